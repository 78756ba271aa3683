//! Many: several keys that are set together or not at all: MSETNX, MSETEX.

use item::{KEY_BYTES_MAX, Key};
use l1::Put;
use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::{Call, KEY_TOO_LONG};
use crate::commands::conditions::Condition;
use crate::commands::set::{Deadline, DeadlineOption, existence};
use crate::commands::strings::{check_room, value_of};
use crate::number;
use crate::shard::Change;
use crate::spec::{ACCESS_OVERWRITE, Keys, Spec, category, flag};

pub(crate) const MSETNX: Spec = Spec {
    name: "msetnx",
    arity: -3,
    syntax: "key value [key value ...]",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::STRING,
    keys: Keys::every(2, ACCESS_OVERWRITE),
    group: "string",
    since: "1.0.1",
    summary: "Sets several keys if none of them exists.",
    complexity: "O(N), N keys",
    ..Spec::PLAIN
};

pub(crate) const MSETEX: Spec = Spec {
    name: "msetex",
    arity: -4,
    syntax: "numkeys key value [key value ...] [condition: NX | XX] \
             [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds \
             | KEEPTTL]",
    flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
    keys: Keys::counted(1, 2, ACCESS_OVERWRITE),
    since: "8.4.0",
    summary: "Sets several keys with one deadline, if all of them or none of them exist.",
    ..MSETNX
};

pub(crate) fn msetnx(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.len().is_multiple_of(2) {
        return Err(Refusal::arity(call.command));
    }
    let are_set = set_all(cache, call, call.args_from(1), Condition::IfMissing, Deadline::Never)?;
    reply.integer(i64::from(are_set));
    Ok(())
}

pub(crate) fn msetex(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    const BAD_COUNT: Refusal = Refusal::text("ERR invalid numkeys value or out of range");
    // More keys than a request can have are no count either.
    let count = number::parse(call.arg(1)).and_then(|count| i32::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(BAD_COUNT)? as usize;
    let given = call.args_from(2);
    let bytes_of_pairs = count.checked_mul(2).and_then(|args| given.split_at_checked(args));
    let (pairs, options) = bytes_of_pairs.ok_or(Refusal::SYNTAX)?;
    let mut deadline = DeadlineOption::default();
    let mut condition = Condition::Always;
    let mut rest = options.iter().map(|arg| arg.bytes());
    while let Some(option) = rest.next() {
        if let Some(given) = existence(option).filter(|given| [Condition::Always, *given].contains(&condition)) {
            condition = given;
        } else if !deadline.take(option, &mut rest, b"keepttl") {
            return Err(Refusal::SYNTAX);
        }
    }
    let keeps = deadline.keeps;
    let deadline = match deadline.resolve(call, cache.now.unix_ms)? {
        Some(at_ms) => Deadline::AtMs(at_ms),
        None if keeps => Deadline::Keep,
        None => Deadline::Never,
    };
    let are_set = set_all(cache, call, pairs, condition, deadline)?;
    reply.integer(i64::from(are_set));
    Ok(())
}

/// Sets all `pairs` if the condition holds of all their keys; whether it did.
fn set_all(
    cache: &mut Cache,
    call: &Call<'_>,
    pairs: &[Arg<'_>],
    condition: Condition<'_>,
    deadline: Deadline,
) -> Result<bool, Refusal> {
    let now_ms = cache.now.unix_ms;
    let pairs = || pairs.chunks_exact(2).map(|pair| (pair[0].bytes(), pair[1]));
    if pairs().any(|(key, _)| key.len() > KEY_BYTES_MAX) {
        return Err(KEY_TOO_LONG);
    }
    for (key, _) in pairs() {
        let key = Key { keyspace: call.keyspace, place: cache.shards.place(key), bytes: key };
        if !condition.holds(cache.shards.peek(&key, now_ms).map(|item| item.value.bytes())) {
            return Ok(false);
        }
    }
    check_room(cache, pairs())?;
    cache.shards.set_promised(true);
    let stored = pairs().try_for_each(|(key, value)| {
        let key = Key { keyspace: call.keyspace, place: cache.shards.place(key), bytes: key };
        let expires_at_ms = match deadline {
            Deadline::Never => None,
            Deadline::Keep => cache.shards.peek(&key, now_ms).and_then(|item| item.expires_at_ms),
            Deadline::AtMs(at_ms) => Some(at_ms),
        };
        let change = match expires_at_ms {
            Some(at_ms) if at_ms <= now_ms => Change::Remove { key },
            Some(_) | None => Change::Put { key, put: Put { value: value_of(value), expires_at_ms, flags: 0 } },
        };
        cache.commit(change).map(drop)
    });
    cache.shards.set_promised(false);
    stored?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn msetnx_sets_all_or_none() {
        check(&[
            ("SET x 1", "+OK"),
            ("MSETNX a 1 b 2 x 3", ":0"),
            ("EXISTS a b", ":0"),
            ("MSETNX a 1 b 2", ":1"),
            ("MGET a b", "['1' '2']"),
            ("MSETNX c 1 c 2", ":1"),
            ("GET c", "'2'"),
            ("MSETNX c 3 c 4", ":0"),
            ("GET c", "'2'"),
            ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
        ]);
    }

    #[test]
    fn msetex_sets_with_one_deadline() {
        check(&[
            ("MSETEX 2 a 1 b 2 EX 10", ":1"),
            ("PTTL a", ":10000"),
            ("PTTL b", ":10000"),
            ("MSETEX 2 a 3 b 4 KEEPTTL", ":1"),
            ("PTTL b", ":10000"),
            ("MSETEX 1 c 5 NX PXAT 1700000000500", ":1"),
            ("PTTL c", ":500"),
            ("MSETEX 2 c 6 d 7 NX", ":0"),
            ("MSETEX 2 c 6 d 7 XX", ":0"),
            ("EXISTS d", ":0"),
            ("MSETEX 2 a 6 b 7 XX", ":1"),
            ("MGET a b c", "['6' '7' '5']"),
            ("TTL a", ":-1"),
            ("MSETEX 2 a 8 new 9 EXAT 1", ":1"),
            ("EXISTS a new", ":0"),
        ]);
    }

    #[test]
    fn bad_counts_and_options_are_refused() {
        check(&[
            ("MSETEX 1 a", "-ERR wrong number of arguments for 'msetex' command"),
            ("MSETEX 0 a 1", "-ERR invalid numkeys value or out of range"),
            ("MSETEX -1 a 1", "-ERR invalid numkeys value or out of range"),
            ("MSETEX x a 1", "-ERR invalid numkeys value or out of range"),
            ("MSETEX 2 a 1 b", "-ERR syntax error"),
            ("MSETEX 9223372036854775807 a 1 b", "-ERR invalid numkeys value or out of range"),
            ("MSETEX 1 a 1 b 2", "-ERR syntax error"),
            ("MSETEX 1 a 1 NX XX", "-ERR syntax error"),
            ("MSETEX 1 a 1 EX", "-ERR syntax error"),
            ("MSETEX 1 a 1 EX 10 KEEPTTL", "-ERR syntax error"),
            ("MSETEX 1 a 1 EX 0", "-ERR invalid expire time in 'msetex' command"),
            ("MSETEX 1 a 1 EX x", "-ERR value is not an integer or out of range"),
            ("EXISTS a b", ":0"),
        ]);
    }

    #[test]
    fn without_room_for_all_none_is_set() {
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "noeviction")]);
        let pairs: String = (0..400).map(|i| format!(" k{i} {}", "x".repeat(30_000))).collect();
        let refusal = "-OOM command not allowed when used memory > 'maxmemory'.";
        rig.check(&[
            (&format!("MSETNX{pairs}"), refusal),
            (&format!("MSETEX 400{pairs} EX 10"), refusal),
            ("DBSIZE", ":0"),
        ]);
    }

    #[test]
    fn keys_that_are_too_long_are_refused() {
        let long = "k".repeat(16 * 1024 + 1);
        let refusal = "-ERR key is longer than 16384 bytes";
        check(&[
            (&format!("MSETNX a 1 {long} 2"), refusal),
            (&format!("MSETEX 2 a 1 {long} 2"), refusal),
            (&format!("MSETEX 1 {long} 2"), refusal),
            ("DBSIZE", ":0"),
        ]);
    }
}
