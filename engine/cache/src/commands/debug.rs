//! DEBUG: what test suites and people who look for faults need. Off unless `enable-debug-command` allows it.
//!
//! A subcommand may hold up all clients: SLEEP on purpose, DIGEST and POPULATE because they go over all keys at once.
//!
//! Absent on purpose: subcommands about Redis's own structures, and those that crash the server.

use std::time::Duration;

use l1::{Put, Value};
use protocol::{Reply, Version};
use xxhash_rust::xxh3::xxh3_128;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::clients::DATABASE_COUNT;
use crate::commands::object::encoding_of;
use crate::commands::server::{NO_APPEND_ONLY_FILE, NO_SNAPSHOTS};
use crate::config::DebugAccess;
use crate::effect::Effect;
use crate::glob::{self, Case};
use crate::number;
use crate::shard::Change;
use crate::spec::{Spec, flag};

pub(crate) const DEBUG: Spec = Spec {
    name: "debug",
    arity: -2,
    syntax: "subcommand [argument [argument ...]]",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    summary: "Container of the commands that look for faults.",
    complexity: "O(1), O(N) for DIGEST and POPULATE",
    ..Spec::PLAIN
};

const NOT_ALLOWED: Refusal = Refusal::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
     local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);
const NO_SUCH_KEY: Refusal = Refusal::text("ERR no such key");

/// What HELP prints: each subcommand with its arguments, and what it does.
const HELP: &[(&str, &str)] = &[
    ("CONFIG-REWRITE-FORCE-ALL", "Writes the settings in force into the settings file."),
    ("DIGEST", "Answers a digest of all databases; equal data have equal digests."),
    ("DIGEST-VALUE <key> [<key> ...]", "Answers a digest of each key's value."),
    ("ERROR <message>", "Answers the message as an error."),
    ("OBJECT <key>", "Answers what is behind a key."),
    ("POPULATE <count> [<prefix>] [<size>]", "Stores so many keys, unless they are there."),
    ("PROTOCOL <type>", "Answers an example of a type of the protocol."),
    ("SDSLEN <key>", "Answers the lengths of a key and its value."),
    ("SET-ACTIVE-EXPIRE <0|1>", "Stops or resumes the removal of expired keys that nobody reads."),
    ("SLEEP <seconds>", "Holds up the server."),
    ("STRINGMATCH-LEN <length> <pattern>", "Matches a string of so many zero bytes."),
];

pub(crate) fn debug(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let is_allowed = match cache.in_force.debug {
        DebugAccess::Yes => true,
        DebugAccess::No => false,
        DebugAccess::Local => cache.clients.get(call.client).origin().is_local(),
    };
    if !is_allowed {
        return Err(NOT_ALLOWED);
    }
    let name = call.arg(1).to_ascii_lowercase();
    match (&name[..], call.len()) {
        (b"config-rewrite-force-all", 2) => cache.config.rewrite().map(|()| reply.ok()).map_err(Refusal::new),
        (b"digest", 2) => {
            reply.simple(&digest(cache));
            Ok(())
        }
        (b"digest-value", 3..) => {
            digest_values(cache, call, reply);
            Ok(())
        }
        (b"error", 3) => Err(Refusal::new(String::from_utf8_lossy(call.arg(2)).into_owned())),
        (b"help", 2) => {
            help(reply);
            Ok(())
        }
        (b"loadaof", 2) => Err(NO_APPEND_ONLY_FILE),
        (b"object", 3) => object(cache, call, reply),
        (b"populate", 3..=5) => populate(cache, call, reply),
        (b"protocol", 3) => protocol(call, reply),
        (b"reload", 2..) => Err(NO_SNAPSHOTS),
        (b"sdslen", 3) => sdslen(cache, call, reply),
        (b"set-active-expire", 3) => {
            let is_on = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)? != 0;
            cache.shards.set_active_expiry(is_on, cache.now.unix_ms);
            reply.ok();
            Ok(())
        }
        (b"sleep", 3) => sleep(cache, call, reply),
        (b"stringmatch-len", 4) => stringmatch(cache, call, reply),
        _ => Err(unknown(call.arg(1))),
    }
}

fn unknown(name: &[u8]) -> Refusal {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    Refusal::new(format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."))
}

fn help(reply: &mut Reply<'_>) {
    reply.array(1 + 2 * HELP.len());
    reply.simple("DEBUG <subcommand> [<argument> ...], where the subcommand is one of:");
    for (subcommand, summary) in HELP {
        reply.simple(subcommand);
        reply.simple(&format!("    {summary}"));
    }
}

/// The digest of an item: of its value, and of whether it has a deadline.
fn digest_of_value(value: &[u8], is_volatile: bool) -> u128 {
    xxh3_128(value) ^ if is_volatile { xxh3_128(b"deadline") } else { 0 }
}

/// 40 digits, as many as Redis's SHA-1 has; 0 for nothing at all.
fn digits(digest: u128) -> String {
    format!("{digest:040x}")
}

fn digest(cache: &Cache) -> String {
    let now_ms = cache.now.unix_ms;
    let mut digest = 0;
    for database in 0..DATABASE_COUNT {
        let keyspace = cache.shards.keyspace(database);
        let mut cursor = 0;
        loop {
            cursor = cache.shards.scan(keyspace, cursor, 1000, now_ms, |bytes| {
                let key = item::Key { keyspace, place: cache.shards.place(bytes), bytes };
                let Some(item) = cache.shards.peek(&key, now_ms) else { return };
                let value = digest_of_value(item.value.bytes(), item.expires_at_ms.is_some());
                // Hashed together, so that two keys that exchange their values change the sum.
                let parts = [&[database as u8][..], &value.to_le_bytes(), bytes].concat();
                digest ^= xxh3_128(&parts);
            });
            if cursor == 0 {
                break;
            }
        }
    }
    digits(digest)
}

fn digest_values(cache: &Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let keys = call.args_from(2);
    reply.array(keys.len());
    for key in keys {
        let key = item::Key { keyspace: call.keyspace, place: cache.shards.place(key.bytes()), bytes: key.bytes() };
        let item = cache.shards.peek(&key, cache.now.unix_ms);
        let digest = item.map_or(0, |item| digest_of_value(item.value.bytes(), item.expires_at_ms.is_some()));
        reply.simple(&digits(digest));
    }
}

/// Argument 2 as a key of the client's database.
fn key<'a>(cache: &Cache, call: &Call<'a>) -> item::Key<'a> {
    let bytes = call.arg(2);
    item::Key { keyspace: call.keyspace, place: cache.shards.place(bytes), bytes }
}

/// Redis's fields. An item has no address that means anything, so its hash stands there.
fn object(cache: &Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (key, now_ms) = (key(cache, call), cache.now.unix_ms);
    let item = cache.shards.peek(&key, now_ms).ok_or(NO_SUCH_KEY)?;
    let idle_s = cache.shards.idle_s(&key, now_ms).ok_or(NO_SUCH_KEY)?;
    let value = item.value.bytes();
    reply.simple(&format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle_s}",
        key.place.hash,
        encoding_of(value, cache.shards.is_edited(&key, now_ms)),
        value.len(),
        (now_ms / 1000).saturating_sub(idle_s),
    ));
    Ok(())
}

/// Redis's fields. Strings have no spare room here.
fn sdslen(cache: &Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (key, now_ms) = (key(cache, call), cache.now.unix_ms);
    let item = cache.shards.peek(&key, now_ms).ok_or(NO_SUCH_KEY)?;
    let footprint = cache.shards.footprint(&key, now_ms).ok_or(NO_SUCH_KEY)?;
    let (key_bytes, value_bytes) = (key.bytes.len(), item.value.bytes().len());
    reply.simple(&format!(
        "key_sds_len:{key_bytes}, key_sds_avail:0, key_zmalloc: {key_bytes}, val_sds_len:{value_bytes}, \
         val_sds_avail:0, val_zmalloc: {}",
        footprint.total_bytes() - key_bytes as u64,
    ));
    Ok(())
}

fn populate(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let count = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let prefix = call.args_from(3).first().map_or(&b"key"[..], |prefix| prefix.bytes());
    let size = match call.args_from(4) {
        [] => None,
        [size, ..] => {
            Some(number::parse(size.bytes()).and_then(|size| usize::try_from(size).ok()).ok_or(Refusal::NOT_INTEGER)?)
        }
    };
    if size.is_some_and(|size| size > cache.value_bytes_max()) {
        return Err(Refusal::NO_ROOM);
    }
    for i in 0..count {
        let bytes = [prefix, format!(":{i}").as_bytes()].concat();
        let key = item::Key { keyspace: call.keyspace, place: cache.shards.place(&bytes), bytes: &bytes };
        if bytes.len() > item::KEY_BYTES_MAX || cache.shards.peek(&key, cache.now.unix_ms).is_some() {
            continue;
        }
        let mut value = format!("value:{i}").into_bytes();
        if let Some(size) = size {
            value.resize(size, 0);
        }
        let put = Put { value: Value::Inline(&value), expires_at_ms: None, flags: 0 };
        cache.commit(Change::Put { key, put })?;
    }
    reply.ok();
    Ok(())
}

fn protocol(call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let kind = call.arg(2).to_ascii_lowercase();
    let is_resp3 = reply.version() == Version::Resp3;
    match &kind[..] {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3141.0 / 1000.0),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.integer(i);
                reply.boolean(i == 1);
            }
        }
        b"attrib" => {
            if is_resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if is_resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"push" => return Err(Refusal::text("ERR RESP2 is not supported by this command")),
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" if is_resp3 => reply.raw(b"(1234567999999999999999999999999999999\r\n"),
        b"bignum" => reply.bulk(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(Refusal::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|null|array|set|map|attrib|push|verbatim|true|false|bignum",
            ));
        }
    }
    Ok(())
}

fn sleep(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    const NOT_A_DURATION: Refusal = Refusal::text("ERR value is not a valid float");
    let seconds = std::str::from_utf8(call.arg(2)).ok().and_then(|text| text.parse::<f64>().ok());
    // What does not fit into a duration is negative, not a number, or the end of the world.
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or(NOT_A_DURATION)?;
    cache.timing.order_sleep(duration);
    cache.effects.push(Effect::Sleep(duration));
    reply.ok();
    Ok(())
}

fn stringmatch(cache: &Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let length = number::parse(call.arg(2)).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|&length| length <= cache.string_bytes_max()).ok_or(Refusal::NOT_INTEGER)?;
    reply.integer(i64::from(glob::matches(call.arg(3), &vec![0; length], Case::Sensitive)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::rig::Rig;
    use crate::{ClientOrigin, Effect};

    fn debugging() -> Rig {
        Rig::with(&[("enable-debug-command", "yes")])
    }

    #[test]
    fn it_is_off_unless_allowed() {
        let refused = |rig: &mut Rig| rig.run("DEBUG HELP").starts_with("-ERR DEBUG command not allowed. If the");
        assert!(refused(&mut Rig::new()));
        assert!(!refused(&mut debugging()));
        assert!(!refused(&mut Rig::with(&[("enable-debug-command", "local")])));
        for (address, is_local) in [
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("/tmp/pinion.sock:0", true),
            ("10.0.0.1:5000", false),
            ("", false),
        ] {
            let origin = ClientOrigin { address: address.to_owned(), ..ClientOrigin::default() };
            assert_eq!(origin.is_local(), is_local, "{address}");
        }
    }

    #[test]
    fn expiry_stops_and_resumes() {
        let mut rig = debugging();
        rig.check(&[("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")]);
        for key in ["a", "b", "c"] {
            rig.check(&[(&format!("SET {key} v PX 10"), "+OK")]);
        }
        rig.advance_ms(1000);
        rig.maintain();
        assert!(rig.cache.next_deadline_ms().is_none(), "nothing is due while it is stopped");
        rig.check(&[
            ("DBSIZE", ":3"),
            ("MGET a none", "[nil nil]"),
            ("DBSIZE", ":2"),
            ("EXISTS b", ":0"),
            ("DBSIZE", ":1"),
            ("EXPIRE c 10", ":0"),
            ("SET d v PX 10", "+OK"),
            ("DEBUG SET-ACTIVE-EXPIRE 1", "+OK"),
        ]);
        assert!(rig.run("INFO stats").contains("expired_keys:2\r\n"));
        rig.advance_ms(100);
        rig.maintain();
        rig.check(&[("DBSIZE", ":0")]);
        assert!(rig.run("INFO stats").contains("expired_keys:4\r\n"));
    }

    #[test]
    fn equal_data_have_equal_digests() {
        let digest = |commands: &[&str]| {
            let mut rig = debugging();
            commands.iter().for_each(|command| assert!(!rig.run(command).starts_with('-')));
            rig.run("DEBUG DIGEST")
        };
        let empty = format!("+{}", "0".repeat(40));
        assert_eq!(digest(&[]), empty);
        assert_eq!(digest(&["SET a 1", "DEL a"]), empty);
        let two = digest(&["MSET a 1 b 2"]);
        assert_eq!(digest(&["SET b 2", "SET c 1", "RENAME c a"]), two);
        for other in [&["MSET a 2 b 1"][..], &["MSET a 1 b 2", "EXPIRE a 10"], &["SELECT 1", "MSET a 1 b 2"]] {
            assert_ne!(digest(other), two);
        }
        let mut rig = debugging();
        rig.run("MSET a 1 b 1");
        let values = rig.run("DEBUG DIGEST-VALUE a b none");
        let values: Vec<&str> = values.trim_matches(['[', ']']).split(' ').collect();
        assert_eq!((values[0], values[2]), (values[1], &*empty));
        assert_ne!(values[0], values[2]);
    }

    #[test]
    fn objects_are_shown() {
        let mut rig = debugging();
        rig.check(&[("SET k v", "+OK"), ("DEBUG OBJECT none", "-ERR no such key")]);
        let text = rig.run("DEBUG OBJECT k");
        assert!(text.contains(" refcount:1 encoding:embstr serializedlength:1 lru:"), "{text}");
        assert!(
            rig.run("DEBUG SDSLEN k").starts_with("+key_sds_len:1, key_sds_avail:0, key_zmalloc: 1, val_sds_len:1,")
        );
    }

    #[test]
    fn types_of_the_protocol_are_shown() {
        let mut rig = debugging();
        rig.check(&[
            ("DEBUG PROTOCOL string", "'Hello World'"),
            ("DEBUG PROTOCOL attrib", "'Some real reply following the attribute'"),
            ("DEBUG PROTOCOL true", ":1"),
            ("DEBUG PROTOCOL bignum", "'1234567999999999999999999999999999999'"),
            ("DEBUG PROTOCOL map", "[:0 :0 :1 :1 :2 :0]"),
            ("HELLO 3", "..."),
            ("DEBUG PROTOCOL map", "{:0 #f :1 #t :2 #f}"),
            ("DEBUG PROTOCOL verbatim", "'txt:This is a verbatim\nstring'"),
            ("DEBUG PROTOCOL null", "null"),
        ]);
    }

    #[test]
    fn the_rest_does_as_it_is_told() {
        let mut rig = debugging();
        rig.check(&[
            ("DEBUG POPULATE 3", "+OK"),
            ("MGET key:0 key:2 key:3", "['value:0' 'value:2' nil]"),
            ("DEBUG POPULATE 2 other 20", "+OK"),
            ("STRLEN other:1", ":20"),
            ("DEBUG ERROR 'WRONG way'", "-WRONG way"),
            ("DEBUG STRINGMATCH-LEN 10 *", ":1"),
            ("DEBUG STRINGMATCH-LEN 10 ?", ":0"),
            ("DEBUG SLEEP 0.25", "+OK"),
            ("DEBUG SLEEP x", "-ERR value is not a valid float"),
            ("DEBUG SLEEP -1", "-ERR value is not a valid float"),
            ("DEBUG RELOAD", "-ERR snapshots are not supported, data lives in memory only"),
            ("DEBUG LOADAOF", "-ERR an append-only file is not supported, data lives in memory only"),
            ("DEBUG FOO", "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP."),
            ("DEBUG OBJECT", "-ERR unknown subcommand or wrong number of arguments for 'OBJECT'. Try DEBUG HELP."),
        ]);
        assert_eq!(rig.cache.take_effects(), [Effect::Sleep(Duration::from_millis(250))]);
    }
}
