//! Strings: GET, MGET, MSET, APPEND, STRLEN. SET has a file of its own, numbers too.

use item::Key;
use l1::{Put, Stored, Value};
use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::edit;
use crate::shard::Change;
use crate::spec::{ACCESS_INSERT, ACCESS_METADATA, ACCESS_OVERWRITE, ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const GET: Spec = Spec {
    name: "get",
    arity: 2,
    syntax: "key",
    flags: flag::READONLY | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_READ),
    group: "string",
    summary: "Answers the value of a key.",
    ..Spec::PLAIN
};

pub(crate) const MGET: Spec = Spec {
    name: "mget",
    arity: -2,
    syntax: "key [key ...]",
    flags: flag::READONLY | flag::FAST,
    categories: category::STRING,
    keys: Keys::every(1, ACCESS_READ),
    tips: &["request_policy:multi_shard"],
    group: "string",
    summary: "Answers the values of several keys, null for those that do not exist.",
    complexity: "O(N), N keys",
    ..Spec::PLAIN
};

pub(crate) const MSET: Spec = Spec {
    name: "mset",
    arity: -3,
    syntax: "key value [key value ...]",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::STRING,
    keys: Keys::every(2, ACCESS_OVERWRITE),
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    group: "string",
    since: "1.0.1",
    summary: "Sets several keys.",
    complexity: "O(N), N keys",
};

pub(crate) const APPEND: Spec = Spec {
    name: "append",
    arity: 3,
    syntax: "key value",
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_INSERT),
    group: "string",
    since: "2.0.0",
    summary: "Appends to the value of a key, which may not exist yet.",
    complexity: "O(N), N bytes of the new value",
    ..Spec::PLAIN
};

pub(crate) const STRLEN: Spec = Spec {
    name: "strlen",
    arity: 2,
    syntax: "key",
    flags: flag::READONLY | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_METADATA),
    group: "string",
    since: "2.2.0",
    summary: "Answers the length of the value in bytes.",
    ..Spec::PLAIN
};

#[inline]
pub(crate) fn get(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    answer_value(cache, &call.key(), reply);
}

pub(crate) fn mget(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    call.check_keys(1)?;
    reply.array(call.len() - 1);
    for_each_key(cache, call, 1, |cache, key, _| {
        answer_value(cache, key, reply);
        if reply.is_over_limit() { Err(Refusal::REPLY_TOO_LARGE) } else { Ok(()) }
    })
}

pub(crate) fn mset(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.len().is_multiple_of(2) {
        return Err(Refusal::arity(call.command));
    }
    call.check_keys(2)?;
    check_room(cache, call.args_from(1).chunks_exact(2).map(|pair| (pair[0].bytes(), pair[1])))?;
    cache.shards.set_promised(true);
    let stored = for_each_key(cache, call, 2, |cache, key, index| {
        let put = Put { value: value_of(call.request.args()[index + 1]), expires_at_ms: None, flags: 0 };
        cache.commit(Change::Put { key: *key, put }).map(|_| ())
    });
    cache.shards.set_promised(false);
    stored?;
    reply.ok();
    Ok(())
}

/// Makes room for all pairs together, or refuses them together: such a command must not stop half-way.
pub(super) fn check_room<'a>(
    cache: &mut Cache,
    pairs: impl Iterator<Item = (&'a [u8], Arg<'a>)>,
) -> Result<(), Refusal> {
    let value_bytes_max = cache.value_bytes_max();
    let (mut count, mut bytes) = (0, 0);
    for (key, value) in pairs {
        if value.bytes().len() > value_bytes_max {
            return Err(Refusal::NO_ROOM);
        }
        count += 1;
        bytes += cache.shards.cost_of(key.len(), value.bytes().len());
    }
    Ok(cache.shards.make_room_for_all(bytes, count, &mut cache.statistics)?)
}

pub(crate) fn append(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = call.key();
    let tail = call.request.args()[2];
    let Some(item) = cache.shards.get(&key, cache.now.unix_ms) else {
        let put = Put { value: value_of(tail), expires_at_ms: None, flags: 0 };
        cache.commit(Change::Put { key, put })?;
        reply.integer(tail.bytes().len() as i64);
        return Ok(());
    };
    let head_length = item.value.bytes().len();
    let length = head_length + tail.bytes().len();
    if length > cache.in_force.string_bytes_max {
        return Err(Refusal::TOO_LARGE);
    }
    // A change even if it adds nothing, as in Redis.
    edit::write_at(cache, &key, head_length, tail.bytes())?;
    reply.integer(length as i64);
    Ok(())
}

pub(crate) fn strlen(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let length = cache.read(&call.key()).map_or(0, |item| item.value.bytes().len());
    reply.integer(length as i64);
}

/// An argument as a value to store: large ones by reference.
#[inline]
pub(crate) fn value_of(arg: Arg<'_>) -> Value<'_> {
    match arg.as_large() {
        Some(large) => Value::Large(large.clone()),
        None => Value::Inline(arg.bytes()),
    }
}

/// Appends a stored value to the reply: large ones by reference.
#[inline]
pub(crate) fn reply_value(reply: &mut Reply<'_>, value: Stored<'_>) {
    match value {
        Stored::Inline(bytes) => reply.bulk(bytes),
        Stored::Large(value) => reply.large(value),
    }
}

/// Keys of one command that are prefetched together; see the server's batch.
const KEYS_PER_BATCH: usize = 16;

/// Calls `each` with every `step`th argument from 1 on as a key, and its index. Their cache misses overlap.
pub(crate) fn for_each_key<'a>(
    cache: &mut Cache,
    call: &Call<'a>,
    step: usize,
    mut each: impl FnMut(&mut Cache, &Key<'a>, usize) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let keyspace = call.keyspace;
    let mut places = [call.place; KEYS_PER_BATCH];
    for (batch, args) in call.args_from(1).chunks(KEYS_PER_BATCH * step).enumerate() {
        let places = &mut places[..args.len().div_ceil(step)];
        for (place, arg) in places.iter_mut().zip(args.iter().step_by(step)) {
            *place = cache.shards.place(arg.bytes());
            cache.shards.prefetch_slot(keyspace, *place);
        }
        cache.shards.prefetch_all(keyspace, places);
        let first = 1 + batch * KEYS_PER_BATCH * step;
        for (i, (place, arg)) in places.iter().zip(args.iter().step_by(step)).enumerate() {
            each(cache, &Key { keyspace, place: *place, bytes: arg.bytes() }, first + i * step)?;
        }
    }
    Ok(())
}

#[inline]
fn answer_value(cache: &mut Cache, key: &Key<'_>, reply: &mut Reply<'_>) {
    match cache.read(key) {
        Some(item) => reply_value(reply, item.value),
        None => reply.null(),
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn values_are_set_and_got() {
        check(&[
            ("GET k", "nil"),
            ("SET k v", "+OK"),
            ("GET k", "'v'"),
            ("get k", "'v'"),
            ("SET k ''", "+OK"),
            ("GET k", "''"),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("GET a b", "-ERR wrong number of arguments for 'get' command"),
            ("HELLO 3", "..."),
            ("GET none", "null"),
        ]);
    }

    #[test]
    fn several_keys_at_once() {
        check(&[
            ("MSET a 1 b 2 c 3", "+OK"),
            ("MGET a b c d", "['1' '2' '3' nil]"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("MSET a", "-ERR wrong number of arguments for 'mset' command"),
            ("MSET a 1 a 2", "+OK"),
            ("MGET a a", "['2' '2']"),
            ("MSET a new EX 10", "+OK"),
            ("GET EX", "'10'"),
        ]);
    }

    #[test]
    fn many_keys_cross_batches() {
        let mut rig = Rig::new();
        let pairs: String = (0..100).map(|i| format!(" key:{i} {i}")).collect();
        let keys: String = (0..101).map(|i| format!(" key:{i}")).collect();
        let values: String = (0..100).map(|i| format!("'{i}' ")).collect();
        rig.check(&[
            (&format!("MSET{pairs}"), "+OK"),
            (&format!("MGET{keys}"), &format!("[{values}nil]")),
            (&format!("EXISTS{keys}"), ":100"),
            (&format!("DEL{keys}"), ":100"),
            ("DBSIZE", ":0"),
        ]);
    }

    #[test]
    fn mset_removes_deadlines() {
        check(&[("SET k v EX 10", "+OK"), ("MSET k w", "+OK"), ("TTL k", ":-1")]);
    }

    #[test]
    fn append_grows_and_keeps_the_deadline() {
        check(&[
            ("APPEND k ab", ":2"),
            ("APPEND k cd", ":4"),
            ("GET k", "'abcd'"),
            ("STRLEN k", ":4"),
            ("STRLEN none", ":0"),
            ("EXPIRE k 10", ":1"),
            ("APPEND k ''", ":4"),
            ("APPEND k e", ":5"),
            ("TTL k", ":10"),
            ("APPEND none ''", ":0"),
            ("EXISTS none", ":1"),
        ]);
    }

    #[test]
    fn append_stops_at_the_longest_string() {
        let mut rig = Rig::new();
        rig.check(&[
            ("CONFIG SET proto-max-bulk-len 1048576", "+OK"),
            (&format!("SET k {}", "x".repeat(1_048_570)), "+OK"),
            ("APPEND k 1234567", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
            ("STRLEN k", ":1048570"),
            ("APPEND k 123456", ":1048576"),
        ]);
    }

    #[test]
    fn values_cross_from_small_to_large() {
        let mut rig = Rig::new();
        let (half, whole) = ("a".repeat(10_000), "a".repeat(20_000));
        rig.check(&[
            (&format!("APPEND k {half}"), ":10000"),
            (&format!("APPEND k {half}"), ":20000"),
            ("GET k", &format!("'{whole}'")),
            (&format!("SET k {half}"), "+OK"),
            ("GET k", &format!("'{half}'")),
        ]);
    }

    #[test]
    fn a_large_value_is_never_copied() {
        let mut rig = Rig::new();
        let value = bytes::Bytes::from(vec![b'x'; 100_000]);
        rig.set_large("k", &value);
        let splices = rig.splices("GET k");
        assert_eq!(splices.len(), 1);
        assert_eq!(splices[0].as_ptr(), value.as_ptr());
        assert_eq!(splices[0].len(), value.len());
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_everywhere() {
        let mut rig = Rig::new();
        let long = "k".repeat(16 * 1024 + 1);
        let refusal = "-ERR key is longer than 16384 bytes";
        rig.check(&[
            (&format!("SET {long} v"), refusal),
            (&format!("GET {long}"), refusal),
            (&format!("MGET k {long}"), refusal),
            (&format!("MSET k v {long} v"), refusal),
            (&format!("DEL k {long}"), refusal),
            ("EXISTS k", ":0"),
            (&format!("SET {} v", &long[1..]), "+OK"),
            (&format!("GET {}", &long[1..]), "'v'"),
        ]);
    }
}
