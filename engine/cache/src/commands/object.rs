//! OBJECT: what is behind a key.
//!
//! Differences from Redis, by design
//! - ENCODING is Redis's word for such a value: `raw` for one that a command like APPEND edited in place. It tells
//!   nothing about how it is stored here. INCRBYFLOAT stores as SET does: a whole number is `int`, in Redis `embstr`.
//! - FREQ is the count of uses that eviction goes by: 0 to 3, not 0 to 255.
//! - IDLETIME is 0 for a key that was used since it was written, and else the time since then: no key keeps the time of
//!   its last use.

use l1::Policy;
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::number;
use crate::spec::{ACCESS_METADATA, Keys, Spec, category, flag};

pub(crate) const OBJECT: Spec = Spec {
    name: "object",
    arity: -2,
    group: "generic",
    since: "2.2.3",
    summary: "Container of the commands about what is behind a key.",
    ..Spec::PLAIN
};

const SUBCOMMAND: Spec = Spec {
    arity: 3,
    syntax: "key",
    flags: flag::READONLY,
    categories: category::KEYSPACE,
    keys: Keys::at(2, ACCESS_METADATA),
    tips: &["nondeterministic_output"],
    ..OBJECT
};

pub(crate) const OBJECT_ENCODING: Spec =
    Spec { name: "object|encoding", summary: "Answers how a value is stored.", ..SUBCOMMAND };

pub(crate) const OBJECT_FREQ: Spec =
    Spec { name: "object|freq", since: "4.0.0", summary: "Answers how often a key was used lately.", ..SUBCOMMAND };

pub(crate) const OBJECT_IDLETIME: Spec =
    Spec { name: "object|idletime", summary: "Answers the seconds since a key was used.", ..SUBCOMMAND };

pub(crate) const OBJECT_REFCOUNT: Spec =
    Spec { name: "object|refcount", summary: "Answers how many keys share a value.", ..SUBCOMMAND };

pub(crate) const OBJECT_HELP: Spec = Spec {
    name: "object|help",
    arity: 2,
    syntax: "",
    flags: flag::LOADING | flag::STALE,
    keys: Keys::NONE,
    tips: &[],
    since: "6.2.0",
    summary: "Lists the subcommands.",
    ..SUBCOMMAND
};

const NO_FREQUENCY: Refusal = Refusal::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const NO_IDLE_TIME: Refusal = Refusal::text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);

pub(crate) fn encoding(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let (key, now_ms) = (call.key_at(2), cache.now.unix_ms);
    let is_edited = cache.shards.is_edited(&key, now_ms);
    match cache.shards.peek(&key, now_ms) {
        Some(item) => reply.bulk(encoding_of(item.value.bytes(), is_edited).as_bytes()),
        None => reply.null(),
    }
}

pub(crate) fn freq(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let counts = match Counted::by(cache.in_force.policy) {
        Counted::Uses | Counted::Both => true,
        Counted::Time => false,
    };
    let frequency = cache.shards.peek(&call.key_at(2), cache.now.unix_ms).map(|item| item.frequency);
    match frequency {
        Some(_) if !counts => return Err(NO_FREQUENCY),
        Some(frequency) => reply.integer(i64::from(frequency)),
        None => reply.null(),
    }
    Ok(())
}

pub(crate) fn idletime(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let counts = match Counted::by(cache.in_force.policy) {
        Counted::Time | Counted::Both => true,
        Counted::Uses => false,
    };
    match cache.shards.idle_s(&call.key_at(2), cache.now.unix_ms) {
        Some(_) if !counts => return Err(NO_IDLE_TIME),
        Some(seconds) => reply.integer(seconds as i64),
        None => reply.null(),
    }
    Ok(())
}

/// No two keys share a value.
pub(crate) fn refcount(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    match cache.shards.peek(&call.key_at(2), cache.now.unix_ms) {
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
}

/// What Redis says how it stores a string of these bytes: SET wrote them, or a command edited them in place.
pub(super) fn encoding_of(value: &[u8], is_edited: bool) -> &'static str {
    /// Longest string that Redis puts beside its header.
    const EMBEDDED_BYTES_MAX: usize = 44;
    if is_edited {
        "raw"
    } else if number::parse(value).is_some() {
        "int"
    } else if value.len() <= EMBEDDED_BYTES_MAX {
        "embstr"
    } else {
        "raw"
    }
}

/// What a policy's name says about the choice: Redis keeps one of the two, and refuses to tell the other.
enum Counted {
    Uses,
    Time,
    Both,
}

impl Counted {
    fn by(policy: Policy) -> Counted {
        match policy {
            Policy::AllkeysLfu | Policy::VolatileLfu => Counted::Uses,
            Policy::AllkeysS3fifo | Policy::VolatileS3fifo => Counted::Both,
            Policy::NoEviction
            | Policy::AllkeysLru
            | Policy::VolatileLru
            | Policy::AllkeysLrm
            | Policy::VolatileLrm
            | Policy::AllkeysRandom
            | Policy::VolatileRandom
            | Policy::VolatileTtl => Counted::Time,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn encodings_are_those_of_redis() {
        let (embedded, raw) = ("x".repeat(44), "x".repeat(45));
        for (value, encoding) in [
            ("1", "int"),
            ("-9223372036854775808", "int"),
            ("9223372036854775808", "embstr"),
            ("01", "embstr"),
            ("''", "embstr"),
            (&embedded, "embstr"),
            (&raw, "raw"),
        ] {
            check(&[(&format!("SET k {value}"), "+OK"), ("OBJECT ENCODING k", &format!("'{encoding}'"))]);
        }
    }

    #[test]
    fn what_was_edited_in_place_is_raw_until_it_is_stored_anew() {
        for (edit, is_edited) in [
            ("APPEND k 2", true),
            ("APPEND k ''", true),
            ("SETRANGE k 0 2", true),
            ("SETRANGE k 3 2", true),
            ("SETRANGE k 0 ''", false),
            ("SETBIT k 7 0", true),
            ("SETBIT k 7 1", true),
            ("SETBIT k 70 1", true),
            ("BITFIELD k SET u8 0 50", true),
            ("BITFIELD k SET u8 80 50", true),
            ("BITFIELD k SET u8 0 49", true),
            ("BITFIELD k GET u8 0", false),
            ("BITOP OR k k", true),
            ("GETEX k PERSIST", false),
        ] {
            let mut rig = Rig::new();
            let encoding = if is_edited { "'raw'" } else { "'int'" };
            rig.check(&[("SET k 1", "+OK"), (edit, "..."), ("OBJECT ENCODING k", encoding)]);
            for after in ["EXPIRE k 10", "PERSIST k", "COPY k other", "RENAME other k", "GET k"] {
                rig.check(&[(after, "..."), ("OBJECT ENCODING k", encoding)]);
            }
            rig.check(&[("MOVE k 1", ":1"), ("SELECT 1", "+OK"), ("OBJECT ENCODING k", encoding)]);
            rig.check(&[("SET k 1", "+OK"), ("OBJECT ENCODING k", "'int'")]);
        }
    }

    #[test]
    fn what_edits_make_of_nothing_is_raw_but_for_append() {
        check(&[
            ("APPEND a 1", ":1"),
            ("OBJECT ENCODING a", "'int'"),
            ("SETRANGE b 0 1", ":1"),
            ("OBJECT ENCODING b", "'raw'"),
            ("SETBIT c 1 0", ":0"),
            ("OBJECT ENCODING c", "'raw'"),
            ("BITFIELD d SET u8 0 49", "[:0]"),
            ("OBJECT ENCODING d", "'raw'"),
        ]);
    }

    #[test]
    fn counting_makes_a_number_of_an_edited_value() {
        for count in ["INCR k", "DECR k", "INCRBY k 1", "DECRBY k 1", "GETSET k 1", "SET k 1 KEEPTTL", "MSET k 1"] {
            check(&[
                ("SET k 1", "+OK"),
                ("APPEND k 2", ":2"),
                ("OBJECT ENCODING k", "'raw'"),
                (count, "..."),
                ("OBJECT ENCODING k", "'int'"),
            ]);
        }
    }

    #[test]
    fn use_and_idle_time_are_told() {
        let mut rig = Rig::new();
        rig.maintain();
        rig.check(&[("SET k v", "+OK"), ("OBJECT FREQ k", ":0"), ("OBJECT REFCOUNT k", ":1")]);
        rig.advance_ms(3000);
        rig.maintain();
        rig.check(&[
            ("TTL k", "..."),
            ("TYPE k", "..."),
            ("EXISTS k", ":1"),
            ("OBJECT IDLETIME k", ":3"),
            ("TOUCH k", ":1"),
            ("OBJECT IDLETIME k", ":0"),
            ("OBJECT FREQ k", ":1"),
            ("GET k", "'v'"),
            ("OBJECT FREQ k", ":2"),
        ]);
        for subcommand in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
            rig.check(&[(&format!("OBJECT {subcommand} none"), "nil")]);
        }
    }

    #[test]
    fn the_policy_decides_what_is_told() {
        const NO_FREQUENCY: &str = "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
                                    note that when switching between policies at runtime LRU and LFU data will take \
                                    some time to adjust.";
        let mut rig = Rig::with(&[("maxmemory-policy", "allkeys-lru")]);
        rig.check(&[("SET k v", "+OK"), ("OBJECT FREQ k", NO_FREQUENCY), ("OBJECT FREQ none", "nil")]);
        rig.check(&[("CONFIG SET maxmemory-policy allkeys-lfu", "+OK"), ("OBJECT FREQ k", ":0")]);
        assert!(rig.run("OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is selected"));
    }

    #[test]
    fn wrong_words_are_refused() {
        check(&[
            ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
            ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
            ("OBJECT FOO k", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ]);
        assert!(Rig::new().run("OBJECT HELP").starts_with("[+OBJECT <subcommand> "));
    }
}
