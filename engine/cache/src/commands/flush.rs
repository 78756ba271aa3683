//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! A flush costs the client nothing: the keyspace is empty at once, its memory comes back in upkeep. So ASYNC and SYNC
//! are the same.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::clients::DATABASE_COUNT;
use crate::number;
use crate::spec::{Spec, category, flag};

pub(crate) const DBSIZE: Spec = Spec {
    name: "dbsize",
    arity: 1,
    flags: flag::READONLY | flag::FAST,
    categories: category::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    group: "server",
    summary: "Answers the number of keys in the database.",
    ..Spec::PLAIN
};

pub(crate) const FLUSHDB: Spec = Spec {
    name: "flushdb",
    arity: -1,
    syntax: "[flush-type: ASYNC | SYNC]",
    flags: flag::WRITE,
    categories: category::KEYSPACE | category::DANGEROUS,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    group: "server",
    summary: "Removes all keys of the database.",
    ..Spec::PLAIN
};

pub(crate) const FLUSHALL: Spec = Spec { name: "flushall", summary: "Removes all keys of all databases.", ..FLUSHDB };

pub(crate) const SWAPDB: Spec = Spec {
    name: "swapdb",
    arity: 3,
    syntax: "index1 index2",
    flags: flag::WRITE | flag::FAST,
    categories: category::KEYSPACE | category::DANGEROUS,
    group: "server",
    since: "4.0.0",
    summary: "Exchanges two databases for all clients.",
    ..Spec::PLAIN
};

pub(crate) fn dbsize(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(cache.shards.len(call.keyspace) as i64);
}

pub(crate) fn flushdb(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    check_mode(call)?;
    cache.shards.clear(cache.clients.get(call.client).database());
    reply.ok();
    Ok(())
}

pub(crate) fn flushall(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    check_mode(call)?;
    (0..DATABASE_COUNT).for_each(|database| cache.shards.clear(database));
    reply.ok();
    Ok(())
}

pub(crate) fn swapdb(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let number = |index: usize, name: &'static str| {
        let number = number::parse(call.arg(index)).and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| Refusal::new(format!("ERR invalid {name} DB index")))
    };
    let numbers = [number(1, "first")?, number(2, "second")?];
    let databases = numbers.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if databases.iter().any(|&database| database >= DATABASE_COUNT) {
        return Err(Refusal::text("ERR DB index is out of range"));
    }
    cache.shards.swap(databases);
    reply.ok();
    Ok(())
}

fn check_mode(call: &Call<'_>) -> Result<(), Refusal> {
    match call.args_from(1) {
        [] => Ok(()),
        [mode] if mode.bytes().eq_ignore_ascii_case(b"async") || mode.bytes().eq_ignore_ascii_case(b"sync") => Ok(()),
        _ => Err(Refusal::SYNTAX),
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn databases_are_apart() {
        check(&[
            ("MSET a 1 b 2", "+OK"),
            ("SELECT 15", "+OK"),
            ("DBSIZE", ":0"),
            ("GET a", "nil"),
            ("SET a other", "+OK"),
            ("SELECT 0", "+OK"),
            ("GET a", "'1'"),
            ("FLUSHDB", "+OK"),
            ("DBSIZE", ":0"),
            ("GET a", "nil"),
            ("SELECT 15", "+OK"),
            ("GET a", "'other'"),
            ("FLUSHALL async", "+OK"),
            ("DBSIZE", ":0"),
            ("FLUSHDB SYNC", "+OK"),
            ("FLUSHALL now", "-ERR syntax error"),
            ("FLUSHDB ASYNC SYNC", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn databases_change_places() {
        check(&[
            ("SET a 1", "+OK"),
            ("SWAPDB 0 1", "+OK"),
            ("GET a", "nil"),
            ("SET b 2 EX 100", "+OK"),
            ("SELECT 1", "+OK"),
            ("GET a", "'1'"),
            ("SWAPDB 1 0", "+OK"),
            ("TTL b", ":100"),
            ("FLUSHDB", "+OK"),
            ("DBSIZE", ":0"),
            ("SELECT 0", "+OK"),
            ("KEYS *", "['a']"),
            ("SWAPDB 0 0", "+OK"),
            ("DBSIZE", ":1"),
            ("SWAPDB 44 55", "-ERR DB index is out of range"),
            ("SWAPDB -1 0", "-ERR DB index is out of range"),
            ("SWAPDB 44 a", "-ERR invalid second DB index"),
            ("SWAPDB a 55", "-ERR invalid first DB index"),
        ]);
    }

    #[test]
    fn a_storm_of_flushes_leaves_room() {
        let mut rig = Rig::with(&[("maxmemory", "33554432"), ("maxmemory-policy", "noeviction")]);
        for round in 0..300 {
            rig.check(&[(if round % 2 == 0 { "SELECT 0" } else { "SELECT 3" }, "+OK"), ("FLUSHDB", "+OK")]);
            for i in 0..18 {
                rig.check(&[(&format!("SET k{i} {round}"), "+OK")]);
            }
        }
    }

    #[test]
    fn a_flushed_database_fills_again() {
        let mut rig = Rig::new();
        for round in 0..50 {
            for i in 0..200 {
                rig.check(&[(&format!("SET k{i} round{round} EX 100"), "+OK")]);
            }
            rig.check(&[("DBSIZE", ":200"), ("GET k0", &format!("'round{round}'"))]);
            let flush = if round % 2 == 0 { "FLUSHDB" } else { "FLUSHALL" };
            rig.check(&[(flush, "+OK"), ("DBSIZE", ":0"), ("KEYS *", "[]")]);
            if round % 7 == 0 {
                rig.maintain();
            }
        }
    }
}
