//! MEMORY: what keys and the server take.

use std::fmt::Write;

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::clients::DATABASE_COUNT;
pub(crate) use crate::commands::command::{container, help};
use crate::number;
use crate::spec::{ACCESS_METADATA, Keys, Spec, flag};

pub(crate) const MEMORY: Spec = Spec {
    name: "memory",
    arity: -2,
    since: "4.0.0",
    summary: "Container of the commands about memory.",
    ..Spec::PLAIN
};

pub(crate) const MEMORY_USAGE: Spec = Spec {
    name: "memory|usage",
    arity: -3,
    syntax: "key [SAMPLES count]",
    flags: flag::READONLY,
    categories: 0,
    keys: Keys::at(2, ACCESS_METADATA),
    summary: "Answers the bytes that a key and its value take, index and rounding included.",
    ..MEMORY
};

pub(crate) const MEMORY_STATS: Spec = Spec {
    name: "memory|stats",
    arity: 2,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    summary: "Answers what memory is spent on.",
    ..MEMORY
};

pub(crate) const MEMORY_DOCTOR: Spec =
    Spec { name: "memory|doctor", summary: "Answers in words whether memory is used well.", ..MEMORY_STATS };

pub(crate) const MEMORY_MALLOC_STATS: Spec =
    Spec { name: "memory|malloc-stats", summary: "Answers what log and heap hold, as text.", ..MEMORY_STATS };

pub(crate) const MEMORY_PURGE: Spec = Spec {
    name: "memory|purge",
    arity: 2,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Does nothing: memory that is free goes back by itself.",
    ..MEMORY
};

pub(crate) const MEMORY_HELP: Spec = Spec {
    name: "memory|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    summary: "Lists the subcommands.",
    ..MEMORY
};

/// SAMPLES is for values of many elements; a string is looked at as a whole.
pub(crate) fn usage(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    match call.args_from(3) {
        [] => {}
        [name, count] if name.bytes().eq_ignore_ascii_case(b"samples") => {
            let count = number::parse(count.bytes()).ok_or(Refusal::NOT_INTEGER)?;
            if count < 0 {
                return Err(Refusal::SYNTAX);
            }
        }
        _ => return Err(Refusal::SYNTAX),
    }
    match cache.shards.footprint(&call.key_at(2), cache.now.unix_ms) {
        Some(footprint) => reply.integer(footprint.total_bytes() as i64),
        None => reply.null(),
    }
    Ok(())
}

/// Redis's fields as far as they mean something here, then ours.
pub(crate) fn stats(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    let usage = cache.usage();
    let allocated = cache.shards.memory().accounted_bytes();
    let dataset = usage.live_bytes + usage.heap_bytes;
    let keyspaces = (0..DATABASE_COUNT).map(|database| (database, cache.shards.keyspace(database)));
    let databases: Vec<(usize, u64, u64)> = keyspaces
        .map(|(database, keyspace)| (database, cache.shards.len(keyspace), cache.shards.index_bytes(keyspace)))
        .filter(|(_, keys, _)| *keys > 0)
        .collect();
    let keys: u64 = databases.iter().map(|(_, keys, _)| keys).sum();
    let numbers = [
        ("total.allocated", allocated),
        ("clients.normal", usage.other_bytes),
        ("overhead.total", usage.index_bytes + usage.wheel_bytes + usage.ghost_bytes + usage.other_bytes),
        ("keys.count", keys),
        ("keys.bytes-per-key", (usage.charged_bytes - usage.other_bytes).checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", dataset),
        ("log.live-bytes", usage.live_bytes),
        ("log.dead-bytes", usage.dead_bytes),
        ("heap.bytes", usage.heap_bytes),
        ("index.bytes", usage.index_bytes),
        ("wheel.bytes", usage.wheel_bytes),
        ("ghost.bytes", usage.ghost_bytes),
        ("limit.bytes", usage.limit_bytes),
        ("limit.effective-bytes", usage.effective_limit_bytes),
    ];
    let ratio = |part: u64, whole: u64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
    let ratios = [
        ("dataset.percentage", 100.0 * ratio(dataset, allocated)),
        ("fragmentation", ratio(cache.facts.rss_bytes, allocated)),
    ];
    reply.map(databases.len() + numbers.len() + ratios.len());
    for (database, _, index_bytes) in databases {
        reply.bulk(format!("db.{database}").as_bytes());
        reply.map(1);
        reply.bulk(b"overhead.hashtable.main");
        reply.integer(index_bytes as i64);
    }
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
    for (name, ratio) in ratios {
        reply.bulk(name.as_bytes());
        reply.double(ratio);
    }
}

pub(crate) fn doctor(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    let findings = findings(cache);
    let text = if findings.is_empty() { "Nothing is wrong with the memory of this server.\n" } else { &*findings };
    reply.verbatim("txt", text);
}

pub(crate) fn malloc_stats(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    let usage = cache.usage();
    let mut text = String::new();
    let lines = [
        ("segment bytes", usage.segment_bytes),
        ("segments used", usage.segments_used),
        ("segments kept free", usage.segments_retained),
        ("segments allowed", usage.segments_allowed),
        ("live bytes in segments", usage.live_bytes),
        ("dead bytes in segments", usage.dead_bytes),
        ("bytes of large values on the heap", usage.heap_bytes),
    ];
    for (name, number) in lines {
        writeln!(text, "{name}: {number}").expect("writing to a string succeeds");
    }
    reply.verbatim("txt", &text);
}

/// The heap keeps no free pages, and free segments follow the limit.
pub(crate) fn purge(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.ok();
}

/// What an operator should know, in words; empty if there is nothing.
fn findings(cache: &Cache) -> String {
    /// Below so many bytes ratios say nothing.
    const BYTES_MIN: u64 = 64 << 20;
    let usage = cache.usage();
    let allocated = cache.shards.memory().accounted_bytes();
    let mut text = String::new();
    if usage.effective_limit_bytes < usage.limit_bytes / 10 * 9 {
        text.push_str(
            "Resident memory exceeds what is accounted for, so that items have less than maxmemory allows. See \
             pinion_effective_limit_bytes in INFO memory.\n",
        );
    }
    if allocated > BYTES_MIN && usage.other_bytes > usage.limit_bytes / 4 {
        text.push_str("Buffers of clients take more than a quarter of maxmemory. See CLIENT LIST.\n");
    }
    if usage.statistics.stalls > 0 {
        text.push_str(
            "Writes had to wait for room: memory is filled faster than it is reclaimed. See pinion_reclaim_stalls in \
             INFO stats.\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    fn number(reply: &str) -> u64 {
        reply[1..].parse().expect("a number")
    }

    #[test]
    fn usage_is_what_a_key_takes() {
        let mut rig = Rig::new();
        rig.check(&[("MEMORY USAGE none", "nil"), ("SET k v", "+OK")]);
        assert!((16..200).contains(&number(&rig.run("MEMORY USAGE k"))));
        let values = [("a", 1000), ("b", 100_000)];
        for (key, length) in values {
            rig.check(&[(&format!("SET {key} {}", "v".repeat(length)), "+OK")]);
            let usage = number(&rig.run(&format!("MEMORY USAGE {key} SAMPLES 0")));
            assert!((length as u64..length as u64 * 11 / 10 + 100).contains(&usage), "{usage}");
        }
        rig.check(&[
            ("MEMORY USAGE k SAMPLES x", "-ERR value is not an integer or out of range"),
            ("MEMORY USAGE k SAMPLES -1", "-ERR syntax error"),
            ("MEMORY USAGE k SAMPLES", "-ERR syntax error"),
            ("MEMORY USAGE k FOO 1", "-ERR syntax error"),
            ("MEMORY USAGE", "-ERR wrong number of arguments for 'memory|usage' command"),
        ]);
    }

    #[test]
    fn statistics_name_databases_with_keys() {
        let mut rig = Rig::new();
        rig.check(&[("MSET a 1 b 2", "+OK"), ("SELECT 9", "+OK"), ("SET c 3", "+OK"), ("HELLO 3", "...")]);
        let text = rig.run("MEMORY STATS");
        assert!(text.starts_with("{'db.0' {'overhead.hashtable.main' :"), "{text}");
        assert!(text.contains("'db.9' {") && !text.contains("'db.1' {"), "{text}");
        assert!(text.contains("'keys.count' :3"), "{text}");
    }

    #[test]
    fn the_rest_answers_in_words() {
        let mut rig = Rig::new();
        rig.check(&[
            ("MEMORY PURGE", "+OK"),
            ("MEMORY DOCTOR", "'Nothing is wrong with the memory of this server.\n'"),
            ("MEMORY", "-ERR wrong number of arguments for 'memory' command"),
        ]);
        assert!(rig.run("MEMORY MALLOC-STATS").contains("segments used: "));
        assert!(rig.run("MEMORY HELP").starts_with("[+MEMORY <subcommand> "));
        check(&[("MEMORY FOO", "-ERR unknown subcommand 'FOO'. Try MEMORY HELP.")]);
    }
}
