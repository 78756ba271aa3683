//! The server as a whole: TIME, LASTSAVE, ROLE, LOLWUT; and what asks for replicas, snapshots or a cluster: WAITAOF,
//! REPLICAOF, SLAVEOF, SAVE, BGSAVE, BGREWRITEAOF, CLUSTER, READONLY, READWRITE.
//!
//! There are no replicas, snapshots and clusters. What is true without them is answered (no replica has acknowledged
//! anything); what would have to do something answers with an error, so that nobody believes that data is on a disk.
//!
//! Absent on purpose: WAITAOF's waiting. It answers at once what Redis would answer after the timeout. WAIT does wait.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container as cluster_container, help as cluster_help};
use crate::facts::PINION_VERSION;
use crate::number;
use crate::spec::{Spec, category, flag};

const SERVER: Spec = Spec { flags: flag::LOADING | flag::STALE | flag::FAST, ..Spec::PLAIN };

pub(crate) const TIME: Spec = Spec {
    name: "time",
    arity: 1,
    tips: &["nondeterministic_output"],
    since: "2.6.0",
    summary: "Answers the server's time: Unix seconds, and microseconds of the current one.",
    ..SERVER
};

pub(crate) const LASTSAVE: Spec = Spec {
    name: "lastsave",
    arity: 1,
    categories: category::ADMIN | category::DANGEROUS,
    tips: &["nondeterministic_output"],
    summary: "Answers the Unix time of the last snapshot: that of the start, as there are none.",
    ..SERVER
};

pub(crate) const ROLE: Spec = Spec {
    name: "role",
    arity: 1,
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST,
    categories: category::ADMIN | category::DANGEROUS,
    since: "2.8.12",
    summary: "Answers the role in replication: master, without replicas.",
    ..SERVER
};

pub(crate) const LOLWUT: Spec = Spec {
    name: "lolwut",
    arity: -1,
    syntax: "[VERSION version]",
    flags: flag::READONLY | flag::FAST,
    since: "5.0.0",
    summary: "Answers the version, as a picture would be signed.",
    ..SERVER
};

pub(crate) const WAITAOF: Spec = Spec {
    name: "waitaof",
    arity: 4,
    syntax: "numlocal numreplicas timeout",
    flags: flag::BLOCKING,
    categories: category::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    group: "generic",
    since: "7.2.0",
    summary: "Answers how many files have the client's writes, here and on replicas: none.",
    ..SERVER
};

pub(crate) const REPLICAOF: Spec = Spec {
    name: "replicaof",
    arity: 3,
    syntax: "<args: host-port: host port | no-one: NO ONE>",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::STALE,
    since: "5.0.0",
    summary: "Ends replication with NO ONE; nothing else is supported.",
    ..SERVER
};

pub(crate) const SLAVEOF: Spec = Spec { name: "slaveof", since: "1.0.0", ..REPLICAOF };

pub(crate) const SAVE: Spec = Spec {
    name: "save",
    arity: 1,
    flags: flag::ADMIN | flag::NOSCRIPT | flag::NO_MULTI,
    summary: "Refused: there are no snapshots.",
    ..SERVER
};

pub(crate) const BGSAVE: Spec =
    Spec { name: "bgsave", arity: -1, syntax: "[SCHEDULE]", flags: flag::ADMIN | flag::NOSCRIPT, ..SAVE };

pub(crate) const BGREWRITEAOF: Spec =
    Spec { name: "bgrewriteaof", arity: 1, syntax: "", summary: "Refused: there is no append-only file.", ..BGSAVE };

pub(crate) const CLUSTER: Spec = Spec {
    name: "cluster",
    arity: -2,
    flags: flag::LOADING | flag::STALE,
    group: "cluster",
    since: "3.0.0",
    summary: "Container of the commands about the cluster, of which this server is no part.",
    ..SERVER
};

/// Refused like every subcommand but HELP.
const CLUSTER_BASE: Spec = Spec { summary: "Refused: this server is not part of a cluster.", ..CLUSTER };

pub(crate) const CLUSTER_INFO: Spec = Spec { name: "cluster|info", arity: 2, ..CLUSTER_BASE };
pub(crate) const CLUSTER_KEYSLOT: Spec =
    Spec { name: "cluster|keyslot", arity: 3, syntax: "key/string", ..CLUSTER_BASE };
pub(crate) const CLUSTER_MYID: Spec = Spec { name: "cluster|myid", arity: 2, ..CLUSTER_BASE };
pub(crate) const CLUSTER_NODES: Spec = Spec { name: "cluster|nodes", arity: 2, ..CLUSTER_BASE };
pub(crate) const CLUSTER_RESET: Spec =
    Spec { name: "cluster|reset", syntax: "[reset-type: HARD | SOFT]", ..CLUSTER_BASE };
pub(crate) const CLUSTER_SHARDS: Spec = Spec { name: "cluster|shards", arity: 2, since: "7.0.0", ..CLUSTER_BASE };
pub(crate) const CLUSTER_SLOTS: Spec = Spec { name: "cluster|slots", arity: 2, ..CLUSTER_BASE };
pub(crate) const CLUSTER_HELP: Spec =
    Spec { name: "cluster|help", arity: 2, since: "5.0.0", summary: "Lists the subcommands.", ..CLUSTER_BASE };

pub(crate) const READONLY: Spec = Spec {
    name: "readonly",
    arity: 1,
    flags: flag::LOADING | flag::STALE | flag::FAST,
    categories: category::CONNECTION,
    summary: "Refused: this server is not part of a cluster.",
    ..CLUSTER
};

pub(crate) const READWRITE: Spec = Spec { name: "readwrite", ..READONLY };

pub(crate) fn time(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    const MICROSECONDS: u64 = 1_000_000;
    let unix_us = cache.now.unix_us();
    reply.array(2);
    for number in [unix_us / MICROSECONDS, unix_us % MICROSECONDS] {
        reply.bulk(itoa::Buffer::new().format(number).as_bytes());
    }
}

pub(crate) fn lastsave(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(cache.started_unix_seconds() as i64);
}

pub(crate) fn role(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(0);
    reply.array(0);
}

/// Takes VERSION and whatever belongs to it, as Redis does.
pub(crate) fn lolwut(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if let [name, version, ..] = call.args_from(1)
        && name.bytes().eq_ignore_ascii_case(b"version")
    {
        number::parse(version.bytes()).ok_or(Refusal::NOT_INTEGER)?;
    }
    reply.verbatim("txt", &format!("Pinion ver. {PINION_VERSION}\n"));
    Ok(())
}

pub(crate) fn waitaof(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let local = number::parse(call.arg(1)).ok_or(Refusal::NOT_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(Refusal::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    if replicas < 0 {
        return Err(Refusal::text("ERR value is out of range, must be positive"));
    }
    check_timeout(call.arg(3))?;
    if local > 0 {
        return Err(Refusal::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    reply.array(2);
    reply.integer(0);
    reply.integer(0);
    Ok(())
}

fn check_timeout(text: &[u8]) -> Result<(), Refusal> {
    match number::parse(text) {
        None => Err(Refusal::text("ERR timeout is not an integer or out of range")),
        Some(timeout) if timeout < 0 => Err(Refusal::text("ERR timeout is negative")),
        Some(_) => Ok(()),
    }
}

pub(crate) fn replicaof(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if !(call.arg(1).eq_ignore_ascii_case(b"no") && call.arg(2).eq_ignore_ascii_case(b"one")) {
        return Err(Refusal::text("ERR this server cannot be a replica"));
    }
    reply.ok();
    Ok(())
}

pub(crate) fn save(_: &mut Cache, _: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    Err(NO_SNAPSHOTS)
}

pub(crate) fn bgsave(_: &mut Cache, call: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    match call.args_from(1) {
        [] => Err(NO_SNAPSHOTS),
        [word] if word.bytes().eq_ignore_ascii_case(b"schedule") => Err(NO_SNAPSHOTS),
        _ => Err(Refusal::SYNTAX),
    }
}

pub(crate) fn bgrewriteaof(_: &mut Cache, _: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    Err(NO_APPEND_ONLY_FILE)
}

pub(crate) fn cluster(_: &mut Cache, _: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    Err(Refusal::text("ERR This instance has cluster support disabled"))
}

/// The refusal of what would write or read a snapshot.
pub(crate) const NO_SNAPSHOTS: Refusal = Refusal::text("ERR snapshots are not supported, data lives in memory only");

/// The refusal of what would write or read an append-only file.
pub(crate) const NO_APPEND_ONLY_FILE: Refusal =
    Refusal::text("ERR an append-only file is not supported, data lives in memory only");

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, START_MS, check};

    #[test]
    fn the_time_is_that_of_the_tick() {
        let mut rig = Rig::new();
        let seconds = START_MS / 1000;
        rig.check(&[("TIME", &format!("['{seconds}' '0']")), ("LASTSAVE", &format!(":{}", seconds - 1))]);
        rig.advance_ms(1234);
        rig.check(&[("TIME", &format!("['{}' '234000']", seconds + 1)), ("LASTSAVE", &format!(":{}", seconds - 1))]);
    }

    #[test]
    fn there_are_no_replicas() {
        check(&[
            ("ROLE", "['master' :0 []]"),
            ("WAITAOF 0 0 0", "[:0 :0]"),
            ("WAITAOF 0 1 10", "[:0 :0]"),
            ("WAITAOF 0 1 x", "-ERR timeout is not an integer or out of range"),
            ("WAITAOF 0 1 -1", "-ERR timeout is negative"),
            ("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
            ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
            ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive"),
            ("REPLICAOF NO ONE", "+OK"),
            ("slaveof no one", "+OK"),
            ("REPLICAOF localhost 6379", "-ERR this server cannot be a replica"),
        ]);
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        const NO_CLUSTER: &str = "-ERR This instance has cluster support disabled";
        const NO_SNAPSHOTS: &str = "-ERR snapshots are not supported, data lives in memory only";
        check(&[
            ("SAVE", NO_SNAPSHOTS),
            ("BGSAVE", NO_SNAPSHOTS),
            ("BGSAVE SCHEDULE", NO_SNAPSHOTS),
            ("BGSAVE now", "-ERR syntax error"),
            ("BGREWRITEAOF", "-ERR an append-only file is not supported, data lives in memory only"),
            ("CLUSTER INFO", NO_CLUSTER),
            ("CLUSTER SLOTS", NO_CLUSTER),
            ("CLUSTER", "-ERR wrong number of arguments for 'cluster' command"),
            ("CLUSTER FOO", "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP."),
            ("READONLY", NO_CLUSTER),
            ("READWRITE", NO_CLUSTER),
        ]);
    }

    #[test]
    fn pictures_are_signed() {
        let mut rig = Rig::new();
        assert!(rig.run("LOLWUT").starts_with("'Pinion ver. "));
        assert!(rig.run("LOLWUT VERSION 6 40 20").starts_with("'Pinion ver. "));
        rig.check(&[("LOLWUT VERSION x", "-ERR value is not an integer or out of range")]);
    }
}
