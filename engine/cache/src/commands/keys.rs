//! Keys whatever their value: DEL, UNLINK, EXISTS, TOUCH, TYPE.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::strings::for_each_key;
use crate::shard::Change;
use crate::spec::{ACCESS_DELETE, ACCESS_METADATA, Keys, Spec, category, flag};

pub(crate) const DEL: Spec = Spec {
    name: "del",
    arity: -2,
    syntax: "key [key ...]",
    flags: flag::WRITE,
    categories: category::KEYSPACE,
    keys: Keys::every(1, ACCESS_DELETE),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    group: "generic",
    summary: "Removes keys and answers how many there were.",
    complexity: "O(N), N keys",
    ..Spec::PLAIN
};

/// The same as DEL: removing is cheap here whatever the size of the value.
pub(crate) const UNLINK: Spec = Spec { name: "unlink", flags: flag::WRITE | flag::FAST, since: "4.0.0", ..DEL };

pub(crate) const EXISTS: Spec = Spec {
    name: "exists",
    arity: -2,
    syntax: "key [key ...]",
    flags: flag::READONLY | flag::FAST,
    categories: category::KEYSPACE,
    keys: Keys::every(1, ACCESS_METADATA),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    group: "generic",
    summary: "Answers how many of the keys exist; one that is named twice counts twice.",
    complexity: "O(N), N keys",
    ..Spec::PLAIN
};

pub(crate) const TOUCH: Spec = Spec {
    name: "touch",
    syntax: "key [key ...]",
    since: "3.2.1",
    summary: "Counts a use of each key and answers how many exist.",
    ..EXISTS
};

pub(crate) const TYPE: Spec = Spec {
    name: "type",
    arity: 2,
    syntax: "key",
    flags: flag::READONLY | flag::FAST,
    categories: category::KEYSPACE,
    keys: Keys::one(ACCESS_METADATA),
    group: "generic",
    summary: "Answers the type of a key's value.",
    ..Spec::PLAIN
};

pub(crate) fn del(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    call.check_keys(1)?;
    let now_ms = cache.now.unix_ms;
    let mut removed = 0;
    for_each_key(cache, call, 1, |cache, key, _| {
        // One that has expired does not count, but goes all the same.
        removed += i64::from(cache.shards.peek(key, now_ms).is_some());
        cache.commit(Change::Remove { key: *key }).map(|_| ())
    })?;
    reply.integer(removed);
    Ok(())
}

/// Counts hits and misses, but no use: asking for a key does not keep it.
pub(crate) fn exists(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    call.check_keys(1)?;
    let mut found = 0;
    for_each_key(cache, call, 1, |cache, key, _| {
        found += i64::from(cache.peek(key).is_some());
        Ok(())
    })?;
    reply.integer(found);
    Ok(())
}

pub(crate) fn touch(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    call.check_keys(1)?;
    let mut found = 0;
    for_each_key(cache, call, 1, |cache, key, _| {
        found += i64::from(cache.read(key).is_some());
        Ok(())
    })?;
    reply.integer(found);
    Ok(())
}

pub(crate) fn type_of(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let exists = cache.shards.peek(&call.key(), cache.now.unix_ms).is_some();
    reply.simple(if exists { TYPE_STRING } else { "none" });
}

/// The one type so far.
pub(crate) const TYPE_STRING: &str = "string";

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn keys_are_counted_and_removed() {
        check(&[
            ("MSET a 1 b 2", "+OK"),
            ("TOUCH a b c a", ":3"),
            ("EXISTS a b c a", ":3"),
            ("DEL a a c", ":1"),
            ("UNLINK b", ":1"),
            ("UNLINK b", ":0"),
            ("EXISTS a b", ":0"),
            ("DEL", "-ERR wrong number of arguments for 'del' command"),
        ]);
    }

    #[test]
    fn an_expired_key_does_not_count() {
        let mut rig = Rig::new();
        rig.check(&[("SET k v PX 5", "+OK")]);
        rig.advance_ms(5);
        rig.check(&[("EXISTS k", ":0"), ("TYPE k", "+none"), ("DEL k", ":0")]);
    }

    #[test]
    fn every_value_is_a_string() {
        check(&[("SET k v", "+OK"), ("TYPE k", "+string"), ("TYPE none", "+none")]);
    }
}
