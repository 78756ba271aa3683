//! Keys that get another name or database: RENAME, RENAMENX, COPY, MOVE.
//!
//! Invariants
//! - Deadline, flags and the mark of an edit go with the value; those of a key that is replaced are gone.
//! - A refusal for want of memory leaves both keys as they were. While the new item is written both need room.
//! - A renamed or moved value is never copied if it is large. A copied one is: two items that shared one value could
//!   not be charged for it each.

use bytes::Bytes;
use item::{KEY_BYTES_MAX, Key};
use l1::{Put, Stored, Value};
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::{Call, KEY_TOO_LONG};
use crate::clients::DATABASE_COUNT;
use crate::number;
use crate::shard::Change;
use crate::spec::{ACCESS_OVERWRITE, ACCESS_READ, ACCESS_TAKE, Keys, Spec, category, flag};

pub(crate) const RENAME: Spec = Spec {
    name: "rename",
    arity: 3,
    syntax: "key newkey",
    flags: flag::WRITE,
    categories: category::KEYSPACE,
    keys: Keys::two(ACCESS_TAKE, ACCESS_OVERWRITE),
    group: "generic",
    summary: "Gives a key another name, in place of the key that has it.",
    ..Spec::PLAIN
};

pub(crate) const RENAMENX: Spec = Spec {
    name: "renamenx",
    syntax: "key newkey",
    flags: flag::WRITE | flag::FAST,
    keys: Keys::two(ACCESS_TAKE, ACCESS_INSERT_NEW),
    summary: "Gives a key another name unless a key has it.",
    ..RENAME
};

/// Writes a key that was not there.
const ACCESS_INSERT_NEW: &[&str] = &["OW", "insert"];

pub(crate) const COPY: Spec = Spec {
    name: "copy",
    arity: -3,
    syntax: "source destination [DB destination-db] [REPLACE]",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::KEYSPACE,
    keys: Keys::two(ACCESS_READ, ACCESS_OVERWRITE),
    group: "generic",
    since: "6.2.0",
    summary: "Stores a key's value under another name, perhaps in another database.",
    complexity: "O(N), N bytes",
    ..Spec::PLAIN
};

pub(crate) const MOVE: Spec = Spec {
    name: "move",
    arity: 3,
    syntax: "key db",
    flags: flag::WRITE | flag::FAST,
    categories: category::KEYSPACE,
    keys: Keys::one(ACCESS_TAKE),
    group: "generic",
    summary: "Moves a key to another database unless one has its name there.",
    ..Spec::PLAIN
};

const NO_SUCH_KEY: Refusal = Refusal::text("ERR no such key");
const SAME_OBJECT: Refusal = Refusal::text("ERR source and destination objects are the same");
const NO_SUCH_DATABASE: Refusal = Refusal::text("ERR DB index is out of range");

pub(crate) fn rename(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (from, to) = (call.key(), second_key(cache, call)?);
    let is_there = if from.bytes == to.bytes { exists(cache, &from) } else { transfer(cache, &from, &to)? };
    if !is_there {
        return Err(NO_SUCH_KEY);
    }
    reply.ok();
    Ok(())
}

pub(crate) fn renamenx(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (from, to) = (call.key(), second_key(cache, call)?);
    if !exists(cache, &from) {
        return Err(NO_SUCH_KEY);
    }
    // A key that is its own target is in its own way.
    let is_renamed = !exists(cache, &to) && transfer(cache, &from, &to)?;
    reply.integer(i64::from(is_renamed));
    Ok(())
}

pub(crate) fn copy(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (from, mut to) = (call.key(), second_key(cache, call)?);
    let mut replaces = false;
    let mut options = call.args_from(3).iter();
    while let Some(option) = options.next() {
        if option.bytes().eq_ignore_ascii_case(b"replace") {
            replaces = true;
        } else if option.bytes().eq_ignore_ascii_case(b"db") {
            let database = options.next().ok_or(Refusal::SYNTAX)?;
            to.keyspace = cache.shards.keyspace(database_number(database.bytes())?);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    if (from.keyspace, from.bytes) == (to.keyspace, to.bytes) {
        return Err(SAME_OBJECT);
    }
    let is_copied = (replaces || !exists(cache, &to)) && duplicate(cache, &from, &to)?;
    reply.integer(i64::from(is_copied));
    Ok(())
}

pub(crate) fn move_key(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let from = call.key();
    let to = Key { keyspace: cache.shards.keyspace(database_number(call.arg(2))?), ..from };
    if from.keyspace == to.keyspace {
        return Err(SAME_OBJECT);
    }
    let is_moved = !exists(cache, &to) && transfer(cache, &from, &to)?;
    reply.integer(i64::from(is_moved));
    Ok(())
}

/// The number of a database that an argument names.
fn database_number(text: &[u8]) -> Result<usize, Refusal> {
    let number = number::parse(text).ok_or(Refusal::NOT_INTEGER)?;
    let number = i32::try_from(number).map_err(|_| Refusal::NOT_INT32)?;
    usize::try_from(number).ok().filter(|&number| number < DATABASE_COUNT).ok_or(NO_SUCH_DATABASE)
}

/// Argument 2 as a key of the client's database.
fn second_key<'a>(cache: &Cache, call: &Call<'a>) -> Result<Key<'a>, Refusal> {
    let bytes = call.arg(2);
    if bytes.len() > KEY_BYTES_MAX {
        return Err(KEY_TOO_LONG);
    }
    Ok(Key { keyspace: call.keyspace, place: cache.shards.place(bytes), bytes })
}

fn exists(cache: &Cache, key: &Key<'_>) -> bool {
    cache.shards.peek(key, cache.now.unix_ms).is_some()
}

/// Moves an item; false if there is none.
fn transfer(cache: &mut Cache, from: &Key<'_>, to: &Key<'_>) -> Result<bool, Refusal> {
    let Cache { shards, scratch, statistics, now, .. } = cache;
    Ok(shards.rename(from, to, now.unix_ms, scratch, statistics)?)
}

/// Stores an item a second time; false if there is none.
fn duplicate(cache: &mut Cache, from: &Key<'_>, to: &Key<'_>) -> Result<bool, Refusal> {
    let Cache { shards, scratch, statistics, now, .. } = cache;
    let Some(item) = shards.peek(from, now.unix_ms) else { return Ok(false) };
    let is_edited = shards.is_edited(from, now.unix_ms);
    let (expires_at_ms, flags) = (item.expires_at_ms, item.flags);
    let value = match item.value {
        Stored::Large(value) => Value::Large(Bytes::copy_from_slice(value)),
        Stored::Inline(bytes) => {
            scratch.clear();
            scratch.extend_from_slice(bytes);
            Value::Inline(scratch)
        }
    };
    shards.commit(Change::Put { key: *to, put: Put { value, expires_at_ms, flags } }, statistics)?;
    if is_edited {
        shards.commit(Change::MarkEdited { key: *to }, statistics)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn a_key_gets_another_name() {
        check(&[
            ("MSET a 1 b 2", "+OK"),
            ("RENAME a b", "+OK"),
            ("MGET a b", "[nil '1']"),
            ("RENAME b b", "+OK"),
            ("RENAME none b", "-ERR no such key"),
            ("RENAME none none", "-ERR no such key"),
            ("RENAME b", "-ERR wrong number of arguments for 'rename' command"),
            ("GET b", "'1'"),
        ]);
    }

    #[test]
    fn renamenx_spares_the_key_that_has_the_name() {
        check(&[
            ("MSET a 1 b 2", "+OK"),
            ("RENAMENX a b", ":0"),
            ("RENAMENX a a", ":0"),
            ("MGET a b", "['1' '2']"),
            ("RENAMENX a c", ":1"),
            ("MGET a c", "[nil '1']"),
            ("RENAMENX none c", "-ERR no such key"),
        ]);
    }

    #[test]
    fn the_deadline_goes_with_the_value() {
        let mut rig = Rig::new();
        rig.check(&[
            ("SET a 1 PX 5000", "+OK"),
            ("SET b 2", "+OK"),
            ("RENAME a b", "+OK"),
            ("PTTL b", ":5000"),
            ("SET c 3", "+OK"),
            ("RENAME c b", "+OK"),
            ("PTTL b", ":-1"),
            ("SET a 1 PX 5000", "+OK"),
            ("COPY a d", ":1"),
            ("MOVE a 3", ":1"),
            ("PTTL d", ":5000"),
            ("SELECT 3", "+OK"),
            ("PTTL a", ":5000"),
        ]);
        rig.advance_ms(5000);
        rig.check(&[
            ("RENAME a b", "-ERR no such key"),
            ("SET other 1", "+OK"),
            ("RENAMENX other a", ":1"),
            ("TTL a", ":-1"),
            ("COPY none a REPLACE", ":0"),
        ]);
        rig.maintain();
        rig.check(&[("GET a", "'1'")]);
    }

    #[test]
    fn a_copy_is_independent() {
        check(&[
            ("SET a 1", "+OK"),
            ("COPY a b", ":1"),
            ("COPY a b", ":0"),
            ("COPY none c", ":0"),
            ("SET a 2", "+OK"),
            ("COPY a b REPLACE", ":1"),
            ("APPEND b 3", ":2"),
            ("MGET a b", "['2' '23']"),
            ("COPY a a", "-ERR source and destination objects are the same"),
            ("COPY a a DB 0", "-ERR source and destination objects are the same"),
            ("COPY a a DB 1", ":1"),
            ("COPY a a DB 1", ":0"),
            ("COPY b a replace db 1", ":1"),
            ("SELECT 1", "+OK"),
            ("GET a", "'23'"),
            ("COPY a b DB x", "-ERR value is not an integer or out of range"),
            ("COPY a b DB 16", "-ERR DB index is out of range"),
            ("COPY a b DB -1", "-ERR DB index is out of range"),
            ("COPY a b DB", "-ERR syntax error"),
            ("COPY a b FOO", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn a_key_moves_to_another_database() {
        check(&[
            ("SET a 1", "+OK"),
            ("MOVE a 0", "-ERR source and destination objects are the same"),
            ("MOVE a 16", "-ERR DB index is out of range"),
            ("MOVE a x", "-ERR value is not an integer or out of range"),
            ("MOVE a 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
            ("COPY a b DB 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
            ("MOVE none 1", ":0"),
            ("MOVE a 1", ":1"),
            ("DBSIZE", ":0"),
            ("SET a 2", "+OK"),
            ("MOVE a 1", ":0"),
            ("GET a", "'2'"),
            ("SELECT 1", "+OK"),
            ("GET a", "'1'"),
        ]);
    }

    #[test]
    fn a_large_value_is_moved_by_reference_and_charged_once() {
        let mut rig = Rig::new();
        let value = bytes::Bytes::from(vec![b'x'; 1_000_000]);
        rig.set_large("a", &value);
        let address = value.as_ptr();
        drop(value);
        let held = |rig: &Rig| (rig.cache.usage().heap_bytes, rig.cache.usage().other_bytes);
        let before = held(&rig);
        rig.check(&[("SET b 1", "+OK"), ("RENAME a b", "+OK"), ("MOVE b 1", ":1"), ("SELECT 1", "+OK")]);
        assert_eq!(rig.splices("GET b")[0].as_ptr(), address);
        assert_eq!(held(&rig), before);
        rig.check(&[("COPY b c", ":1")]);
        assert_ne!(rig.splices("GET c")[0].as_ptr(), address);
        rig.check(&[("DEL b c", ":2")]);
        assert_eq!(held(&rig), (0, 0));
    }

    #[test]
    fn without_room_both_keys_stay() {
        const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "noeviction")]);
        let value = "v".repeat(10_000);
        let mut stored = 0;
        while rig.run(&format!("SET key:{stored} {value}")) == "+OK" {
            stored += 1;
        }
        rig.check(&[
            ("RENAME key:0 new", OUT_OF_MEMORY),
            ("RENAMENX key:0 new", OUT_OF_MEMORY),
            ("COPY key:0 new", OUT_OF_MEMORY),
            ("MOVE key:0 1", OUT_OF_MEMORY),
            ("EXISTS new key:0", ":1"),
            ("DBSIZE", &format!(":{stored}")),
            // What takes the place of a value of the same size needs no room.
            ("RENAME key:0 key:1", "+OK"),
            ("EXISTS key:0 key:1", ":1"),
        ]);
    }

    #[test]
    fn a_full_cache_renames_all_the_same() {
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "allkeys-lru")]);
        let value = "v".repeat(40_000);
        for i in 0..1000 {
            rig.check(&[(&format!("SET key:{i} {value}"), "+OK"), (&format!("RENAME key:{i} moved:{i}"), "+OK")]);
        }
        rig.check(&[("STRLEN moved:999", ":40000")]);
        rig.maintain();
        assert!(rig.cache.usage().charged_bytes <= 8_388_608, "{:?}", rig.cache.usage());
    }
}
