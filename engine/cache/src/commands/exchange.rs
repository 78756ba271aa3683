//! Exchange: commands that answer a value and change its item: GETSET, GETDEL, GETEX.

use l1::Put;
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::set::DeadlineOption;
use crate::commands::strings::{reply_value, value_of};
use crate::shard::Change;
use crate::spec::{ACCESS_MODIFY, ACCESS_TAKE, Keys, Spec, category, flag};

pub(crate) const GETSET: Spec = Spec {
    name: "getset",
    arity: 3,
    syntax: "key value",
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_MODIFY),
    group: "string",
    summary: "Sets a key and answers what it held before.",
    ..Spec::PLAIN
};

pub(crate) const GETDEL: Spec = Spec {
    name: "getdel",
    arity: 2,
    syntax: "key",
    flags: flag::WRITE | flag::FAST,
    keys: Keys::one(ACCESS_TAKE),
    since: "6.2.0",
    summary: "Answers the value of a key and removes it.",
    ..GETSET
};

pub(crate) const GETEX: Spec = Spec {
    name: "getex",
    arity: -2,
    syntax: "key [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds \
             | PERSIST]",
    flags: flag::WRITE | flag::FAST,
    keys: Keys::one(&["RW", "access", "update"]),
    since: "6.2.0",
    summary: "Answers the value of a key and changes its deadline.",
    ..GETSET
};

pub(crate) fn getset(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = call.key();
    answer(cache, call, reply);
    let put = Put { value: value_of(call.request.args()[2]), expires_at_ms: None, flags: 0 };
    cache.commit(Change::Put { key, put })?;
    Ok(())
}

pub(crate) fn getdel(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if answer(cache, call, reply).is_some() {
        cache.commit(Change::Remove { key: call.key() })?;
    }
    Ok(())
}

pub(crate) fn getex(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let mut deadline = DeadlineOption::default();
    let mut rest = call.args_from(2).iter().map(|arg| arg.bytes());
    while let Some(option) = rest.next() {
        if !deadline.take(option, &mut rest, b"persist") {
            return Err(Refusal::SYNTAX);
        }
    }
    let (key, now_ms) = (call.key(), cache.now.unix_ms);
    let Some(old_deadline_ms) = answer(cache, call, reply) else { return Ok(()) };
    let new_deadline_ms = deadline.resolve(call, now_ms)?;
    match new_deadline_ms {
        Some(at_ms) if at_ms <= now_ms => cache.commit(Change::Remove { key })?,
        Some(at_ms) => cache.commit(Change::Expire { key, at_ms: Some(at_ms) })?,
        None if deadline.keeps && old_deadline_ms.is_some() => cache.commit(Change::Expire { key, at_ms: None })?,
        None => false,
    };
    Ok(())
}

/// Answers the value. The item's deadline if there is an item.
fn answer(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Option<Option<u64>> {
    let item = cache.read(&call.key());
    match &item {
        Some(item) => reply_value(reply, item.value),
        None => reply.null(),
    }
    item.map(|item| item.expires_at_ms)
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn the_old_value_is_answered() {
        check(&[
            ("GETSET k a", "nil"),
            ("GETSET k b", "'a'"),
            ("GET k", "'b'"),
            ("EXPIRE k 10", ":1"),
            ("GETSET k c", "'b'"),
            ("TTL k", ":-1"),
            ("GETDEL k", "'c'"),
            ("GETDEL k", "nil"),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn getex_changes_the_deadline() {
        check(&[
            ("GETEX k", "nil"),
            ("SET k v", "+OK"),
            ("GETEX k", "'v'"),
            ("TTL k", ":-1"),
            ("GETEX k EX 10", "'v'"),
            ("PTTL k", ":10000"),
            ("GETEX k", "'v'"),
            ("PTTL k", ":10000"),
            ("GETEX k PX 1500", "'v'"),
            ("PTTL k", ":1500"),
            ("GETEX k EXAT 1700000020", "'v'"),
            ("PTTL k", ":20000"),
            ("GETEX k PXAT 1700000000001", "'v'"),
            ("PTTL k", ":1"),
            ("GETEX k PERSIST", "'v'"),
            ("TTL k", ":-1"),
            ("GETEX k PERSIST PERSIST", "'v'"),
            ("GETEX k EX 10 EX 20", "'v'"),
            ("TTL k", ":20"),
            ("GETEX k EXAT 1", "'v'"),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn bad_options_are_refused_as_in_redis() {
        check(&[
            ("GETEX", "-ERR wrong number of arguments for 'getex' command"),
            ("GETEX k FOO", "-ERR syntax error"),
            ("GETEX k EX", "-ERR syntax error"),
            ("GETEX k EX 10 PX 10", "-ERR syntax error"),
            ("GETEX k EX 10 PERSIST", "-ERR syntax error"),
            ("GETEX k PERSIST EX 10", "-ERR syntax error"),
            ("GETEX k KEEPTTL", "-ERR syntax error"),
            ("GETEX k EX x", "nil"),
            ("SET k v EX 5", "+OK"),
            ("GETEX k EX x", "-ERR value is not an integer or out of range"),
            ("GETEX k EX 0", "-ERR invalid expire time in 'getex' command"),
            ("GETEX k PX -1", "-ERR invalid expire time in 'getex' command"),
            ("GETEX k EX 9223372036854775807", "-ERR invalid expire time in 'getex' command"),
            ("TTL k", ":5"),
        ]);
    }

    #[test]
    fn what_has_expired_is_not_answered() {
        let mut rig = Rig::new();
        rig.check(&[("SET k v PX 10", "+OK")]);
        rig.advance_ms(10);
        rig.check(&[("GETEX k EX 10", "nil"), ("GETDEL k", "nil"), ("GETSET k w", "nil"), ("TTL k", ":-1")]);
    }

    #[test]
    fn getset_without_room_keeps_the_old_value() {
        let mut rig = Rig::with(&[("maxmemory", "8388608")]);
        let huge = "x".repeat(rig.cache.value_bytes_max() + 1);
        rig.check(&[
            ("SET k old", "+OK"),
            (&format!("GETSET k {huge}"), "-OOM command not allowed when used memory > 'maxmemory'."),
            ("GET k", "'old'"),
        ]);
    }
}
