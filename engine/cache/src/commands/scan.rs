//! Keys without a name: SCAN and KEYS, which walk over a keyspace, and RANDOMKEY.
//!
//! A cursor names a slot and a place in the order of hashes within it, so a walk meets every key that exists from its
//! beginning to its end, whatever grows or splits meanwhile.

use protocol::{Reply, Version};

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::commands::keys::TYPE_STRING;
use crate::glob::{self, Case};
use crate::job::{Job, JobState, SLICE_KEYS};
use crate::number;
use crate::spec::{Keys, Spec, category, flag};

pub(crate) const SCAN: Spec = Spec {
    name: "scan",
    arity: -2,
    syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    flags: flag::READONLY,
    categories: category::KEYSPACE,
    tips: &["nondeterministic_output", "request_policy:special"],
    group: "generic",
    since: "2.8.0",
    summary: "Walks over the keys of the database in steps.",
    complexity: "O(1) per step, O(N) for the whole walk",
    ..Spec::PLAIN
};

pub(crate) const KEYS: Spec = Spec {
    name: "keys",
    arity: 2,
    syntax: "pattern",
    flags: flag::READONLY | flag::BARRIER,
    categories: category::KEYSPACE | category::DANGEROUS,
    keys: Keys::NONE,
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    group: "generic",
    summary: "Answers all keys that match a pattern.",
    complexity: "O(N), N keys in the database",
    ..Spec::PLAIN
};

pub(crate) const RANDOMKEY: Spec = Spec {
    name: "randomkey",
    arity: 1,
    flags: flag::READONLY,
    categories: category::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    group: "generic",
    summary: "Answers a random key of the database.",
    ..Spec::PLAIN
};

/// Keys that one SCAN may visit, whatever its COUNT: other clients wait meanwhile.
const COUNT_MAX: usize = 10_000;

/// Bytes of keys at which a SCAN leaves the rest to the next one: COUNT is a hint.
const REPLY_BYTES: usize = 256 * 1024;
/// Keys between two looks at them.
const STEP_KEYS: usize = 64;

/// What SCAN was asked for beside the cursor.
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    only_type: Option<&'a [u8]>,
}

pub(crate) fn scan(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let cursor = cursor(call.arg(1)).ok_or(Refusal::text("ERR invalid cursor"))?;
    let options = Options::parse(call)?;
    let wanted = |key: &[u8]| {
        options.only_type.is_none_or(|name| name.eq_ignore_ascii_case(TYPE_STRING.as_bytes()))
            && options.pattern.is_none_or(|pattern| glob::matches(pattern, key, Case::Sensitive))
    };
    let (mut found, mut found_count, mut splices) = (Vec::new(), 0, Vec::new());
    let mut elements = Reply::new(&mut found, &mut splices, Version::Resp2);
    let (mut next, mut left, mut found_bytes) = (cursor, options.count, 0);
    loop {
        let step = left.min(STEP_KEYS);
        next = cache.shards.scan(call.keyspace, next, step, cache.now.unix_ms, |key| {
            if wanted(key) {
                elements.bulk(key);
                found_count += 1;
                found_bytes += key.len();
            }
        });
        left -= step;
        if next == 0 || left == 0 || found_bytes >= REPLY_BYTES {
            break;
        }
    }
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found_count);
    reply.raw(&found);
    Ok(())
}

pub(crate) fn keys(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut job = Job::keys(call.keyspace, call.arg(1));
    if cache.shards.len(call.keyspace) > SLICE_KEYS as u64 {
        return Outcome::Job(Box::new(job));
    }
    while job.run(cache, call.client, reply) == JobState::More {}
    Outcome::Done
}

pub(crate) fn randomkey(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    match cache.shards.random_key(call.keyspace, cache.now.unix_ms) {
        Some(key) => reply.bulk(&key),
        None => reply.null(),
    }
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>) -> Result<Options<'a>, Refusal> {
        let mut options = Options { pattern: None, count: 10, only_type: None };
        for pair in call.args_from(2).chunks(2) {
            let [name, value] = pair else { return Err(Refusal::SYNTAX) };
            let (name, value) = (name.bytes(), value.bytes());
            if name.eq_ignore_ascii_case(b"match") {
                options.pattern = Some(value).filter(|pattern| !glob::matches_all(pattern));
            } else if name.eq_ignore_ascii_case(b"count") {
                let count = number::parse(value).ok_or(Refusal::NOT_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(Refusal::SYNTAX)?;
                options.count = count.min(COUNT_MAX);
            } else if name.eq_ignore_ascii_case(b"type") {
                options.only_type = Some(value);
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// A cursor: digits only, within 64 bits.
fn cursor(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn random_keys_are_equally_likely() {
        let mut rig = Rig::new();
        rig.check(&[("RANDOMKEY", "nil")]);
        // Half of them in one slot, the others spread.
        for i in 0..50 {
            rig.check(&[(&format!("MSET {{tag}}{i} 1 key:{i} 1"), "+OK")]);
        }
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            *counts.entry(rig.run("RANDOMKEY")).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 100);
        assert!(counts.values().all(|count| (50..170).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_random_key_has_not_expired() {
        let mut rig = Rig::new();
        for i in 0..200 {
            rig.check(&[(&format!("SET key:{i} 1 PX 10"), "+OK")]);
        }
        rig.check(&[("SET alive 1", "+OK")]);
        rig.advance_ms(10);
        for _ in 0..20 {
            rig.check(&[("RANDOMKEY", "'alive'")]);
        }
        rig.check(&[("DEL alive", ":1"), ("RANDOMKEY", "nil")]);
    }

    #[test]
    fn small_walks_end_at_once() {
        check(&[
            ("SCAN 0 COUNT 100", "['0' []]"),
            ("SET k v", "+OK"),
            ("SCAN 0 COUNT 100", "['0' ['k']]"),
            ("SCAN 0 MATCH x* COUNT 100", "['0' []]"),
            ("SCAN 0 MATCH k? COUNT 100", "['0' []]"),
            ("SCAN 0 MATCH * COUNT 100", "['0' ['k']]"),
            ("SCAN 0 TYPE string COUNT 100", "['0' ['k']]"),
            ("SCAN 0 TYPE list COUNT 100", "['0' []]"),
            ("KEYS *", "['k']"),
            ("KEYS x*", "[]"),
            ("SELECT 1", "+OK"),
            ("KEYS *", "[]"),
            ("SCAN 0 COUNT 100", "['0' []]"),
        ]);
    }

    #[test]
    fn bad_scans_are_refused_as_in_redis() {
        check(&[
            ("SCAN x", "-ERR invalid cursor"),
            ("SCAN -1", "-ERR invalid cursor"),
            ("SCAN 18446744073709551616", "-ERR invalid cursor"),
            ("SCAN 0 COUNT 0", "-ERR syntax error"),
            ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range"),
            ("SCAN 0 COUNT", "-ERR syntax error"),
            ("SCAN 0 FOO 1", "-ERR syntax error"),
            ("SCAN", "-ERR wrong number of arguments for 'scan' command"),
        ]);
    }

    #[test]
    fn a_walk_meets_every_key_once() {
        let mut rig = Rig::new();
        for i in 0..5000 {
            rig.check(&[(&format!("SET key:{i} v"), "+OK")]);
        }
        let mut keys = rig.scan("COUNT 97");
        keys.sort_unstable();
        assert_eq!(keys.len(), 5000);
        keys.dedup();
        assert_eq!(keys.len(), 5000);
        assert_eq!(rig.scan("MATCH key:12?? COUNT 1000").len(), 100);
    }

    #[test]
    fn a_walk_meets_what_stays_while_other_keys_come_and_go() {
        let mut rig = Rig::new();
        for i in 0..3000 {
            rig.check(&[(&format!("SET stays:{i} v"), "+OK")]);
        }
        let mut step = 0;
        let keys = rig.scan_while("COUNT 50", |rig| {
            for i in 0..100 {
                rig.check(&[(&format!("SET comes:{} v", step * 100 + i), "+OK")]);
            }
            rig.check(&[(&format!("DEL comes:{}", step * 50), ":1")]);
            step += 1;
        });
        let stayed: std::collections::BTreeSet<_> = keys.iter().filter(|key| key.starts_with("stays:")).collect();
        assert_eq!(stayed.len(), 3000);
    }

    #[test]
    fn keys_of_a_big_keyspace_come_in_slices() {
        let mut rig = Rig::new();
        for i in 0..3000 {
            rig.check(&[(&format!("SET key:{i} v"), "+OK")]);
        }
        let (slices, reply) = rig.run_as_job("KEYS key:1*");
        assert!(slices >= 3, "{slices}");
        assert_eq!(reply.matches("'key:1").count(), 1111);
    }
}
