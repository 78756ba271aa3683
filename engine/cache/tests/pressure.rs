//! Pressure: floods of deadlines, commands that find little room, limits that come down.

#[allow(unused_imports, reason = "the rig takes them from here")]
use cache::{Cache, CacheOptions, ClientIndex, ClientOrigin, Config, Job, JobState, Now, Outcome};
use rig::{Rig, START_MS};

#[allow(dead_code, reason = "the unit tests use the rest of it")]
mod rig;

const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

/// The smallest limit that settings allow.
fn small(policy: &str) -> Rig {
    Rig::with(&[("maxmemory", "33554432"), ("maxmemory-policy", policy)])
}

fn db_size(rig: &mut Rig) -> u64 {
    rig.run("DBSIZE").trim_start_matches(':').parse().expect("an integer")
}

/// Stores values of 10,000 bytes until `left` bytes are left to the threshold.
fn fill_up_to(rig: &mut Rig, left: u64) {
    let value = "v".repeat(10_000);
    for i in 0.. {
        let usage = rig.cache.usage();
        if usage.charged_bytes + left >= usage.threshold_bytes {
            return;
        }
        assert_eq!(rig.run(&format!("SET fill:{i} {value}")), "+OK");
    }
}

/// A step of upkeep looked at 64 alarms, so a thousand a tick piled up: live items had to go for them.
#[test]
fn locks_that_come_and_go_leave_few_alarms() {
    let mut rig = small("allkeys-s3fifo");
    for _ in 0..100 {
        for _ in 0..1000 {
            rig.check(&[("SET lock owner NX EX 3600", "+OK"), ("DEL lock", ":1")]);
        }
        rig.advance_ms(1);
        rig.cache.maintain();
    }
    let usage = rig.cache.usage();
    assert!(usage.wheel_bytes < 200_000, "{usage:?}");
}

/// A step of upkeep answered 128 alarms per shard, so two thousand short lives a tick filled the memory.
#[test]
fn short_lives_end_as_fast_as_they_begin() {
    let mut rig = small("noeviction");
    for tick in 0..100 {
        for i in 0..2000 {
            assert_eq!(rig.run(&format!("SET key:{tick}:{i} value PX 20")), "+OK");
        }
        rig.advance_ms(2);
        rig.cache.maintain();
    }
    let keys = db_size(&mut rig);
    assert!(keys < 30_000, "{keys} of 20,000 that are alive");
}

#[test]
fn mset_stores_all_or_nothing() {
    for (left, count, value_bytes) in [(30_000, 2000, 1), (4_500_000, 60, 100_000), (1_200_000, 40, 50_000)] {
        let mut rig = small("noeviction");
        rig.check(&[("SET first old", "+OK")]);
        fill_up_to(&mut rig, left);
        let before = db_size(&mut rig);
        let value = "w".repeat(value_bytes);
        let pairs: String = (0..count).map(|i| format!(" new:{i} {value}")).collect();
        assert_eq!(rig.run(&format!("MSET first new{pairs}")), OUT_OF_MEMORY, "{count} values of {value_bytes} bytes");
        assert_eq!((rig.run("GET first").as_str(), db_size(&mut rig)), ("'old'", before));
        assert_eq!(rig.run("MSET first new"), "+OK");
    }
}

/// All that was too much went in one tick: seconds, for a few million items.
#[test]
fn a_lower_limit_is_reached_by_steps() {
    let mut rig = Rig::with(&[("maxmemory", "134217728")]);
    let value = "v".repeat(64);
    for i in 0..600_000 {
        assert_eq!(rig.run(&format!("SET key:{i} {value}")), "+OK");
    }
    rig.check(&[("CONFIG SET maxmemory 33554432", "+OK")]);
    let mut steps = 0;
    loop {
        let before = rig.cache.usage().statistics.evicted_items;
        let more = rig.cache.maintain();
        let evicted = rig.cache.usage().statistics.evicted_items - before;
        assert!(evicted < 10_000, "{evicted} in one step");
        steps += 1;
        if !more {
            break;
        }
    }
    let usage = rig.cache.usage();
    assert!(steps > 50 && usage.charged_bytes <= 33_554_432, "{steps} {usage:?}");
}

/// A record that filled its span to within eight bytes could never get a deadline.
#[test]
fn the_longest_records_have_room_for_a_deadline() {
    let mut rig = Rig::with(&[("maxmemory", "1073741824")]);
    let key = "k".repeat(16_384);
    for bytes in 16_340..=16_384 {
        let set = format!("SET {key} {}", "v".repeat(bytes));
        rig.check(&[(&set, "+OK"), (&format!("EXPIRE {key} 100"), ":1"), (&format!("TTL {key}"), ":100")]);
        rig.check(&[(&format!("PERSIST {key}"), ":1"), (&format!("STRLEN {key}"), &format!(":{bytes}"))]);
    }
}

/// A record gets shorter, but where it is copied to there was no room.
#[test]
fn persist_is_never_refused() {
    let mut rig = small("noeviction");
    let value = "v".repeat(64);
    let count = (0..).take_while(|i| rig.run(&format!("SET k{i} {value}")) == "+OK").count();
    let volatile: Vec<usize> = (0..count).filter(|i| rig.run(&format!("EXPIRE k{i} 1000")) == ":1").collect();
    assert!(volatile.len() < count, "no deadline fits any more");
    for i in volatile {
        assert_eq!(rig.run(&format!("PERSIST k{i}")), ":1", "{i} of {count}");
    }
}

#[test]
fn flushing_databases_that_are_empty_already_frees_their_slots() {
    let mut rig = small("noeviction");
    for database in 0..16 {
        rig.check(&[(&format!("SELECT {database}"), "+OK")]);
        for i in 0..64 {
            rig.check(&[(&format!("SET k{i} v"), "+OK"), (&format!("DEL k{i}"), ":1")]);
        }
    }
    rig.check(&[("FLUSHALL", "+OK")]);
    rig.maintain();
    let usage = rig.cache.usage();
    assert_eq!((usage.index_bytes, usage.segments_used), (0, 0));
}

#[test]
fn one_scan_answers_a_bounded_number_of_bytes() {
    let mut rig = Rig::with(&[("maxmemory", "268435456")]);
    let long = "k".repeat(16_000);
    for i in 0..500 {
        rig.check(&[(&format!("SET {long}{i} v"), "+OK")]);
    }
    let reply = rig.run("SCAN 0 COUNT 10000");
    assert!((256 * 1024..2 << 20).contains(&reply.len()), "{}", reply.len());
}

/// The wheel stood still until the time that it had already seen.
#[test]
fn items_expire_after_the_clock_was_set_back() {
    let mut rig = Rig::new();
    let at = |ms: u64| Now { unix_ms: START_MS + ms, mono_us: 1_000_000 + ms * 1000 };
    rig.check(&[("SET anchor v EX 864000", "+OK")]);
    for ms in [0, 3_600_000, 1000] {
        rig.cache.begin_tick(at(ms));
        rig.maintain();
    }
    for i in 0..100 {
        rig.check(&[(&format!("SET k{i} v PX 10"), "+OK")]);
    }
    rig.cache.begin_tick(at(2000));
    rig.maintain();
    assert_eq!(db_size(&mut rig), 1);
}
