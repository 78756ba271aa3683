//! Detail: what is told about single items agrees with the accounts and with the clock of upkeep.

use super::rig::{Known, Rig};

fn known(len: usize) -> Known {
    Known { value: vec![b'v'; len], expires_at_ms: None, flags: 0 }
}

fn idle_s(rig: &mut Rig, name: &[u8]) -> Option<u64> {
    let (key, now_ms) = (rig.key(0, name), rig.now_ms);
    let (_, store) = rig.store_of(&key);
    store.idle_s(&key, now_ms)
}

#[test]
fn footprints_sum_up_to_the_accounts() {
    let mut rig = Rig::new(4_000_000);
    let names: Vec<String> = (0..500).map(|number| format!("key-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        rig.put(0, name.as_bytes(), known(number * 3)).unwrap();
    }
    let (mut live_bytes, mut heap_bytes, mut index_bytes) = (0, 0, 0);
    for name in &names {
        let (key, now_ms) = (rig.key(0, name.as_bytes()), rig.now_ms);
        let (_, store) = rig.store_of(&key);
        let footprint = store.footprint(&key, now_ms).unwrap();
        assert_eq!(
            footprint.total_bytes(),
            footprint.record_bytes + footprint.heap_bytes + footprint.index_bytes,
            "{footprint:?}"
        );
        live_bytes += footprint.record_bytes;
        heap_bytes += footprint.heap_bytes;
        index_bytes += footprint.index_bytes;
    }
    let usage = rig.memory.usage();
    assert_eq!((usage.live_bytes, usage.heap_bytes), (live_bytes, heap_bytes));
    assert!((500 * 9..=usage.index_bytes).contains(&index_bytes), "{index_bytes} of {}", usage.index_bytes);
    let key = rig.key(0, b"none");
    assert_eq!(rig.store_of(&key).1.footprint(&key, 0), None);
}

#[test]
fn idle_time_runs_from_the_write_to_the_first_use() {
    let mut rig = Rig::new(4_000_000);
    rig.maintain(1);
    rig.put(0, b"first", known(10)).unwrap();
    rig.now_ms += 100_000;
    rig.maintain(1);
    rig.put(0, b"second", known(10)).unwrap();
    assert_eq!(idle_s(&mut rig, b"first"), Some(100));
    rig.now_ms += 5_000;
    rig.maintain(1);
    // In a segment of its own or halfway through one: written at its end at the latest.
    assert!((5..=60).contains(&idle_s(&mut rig, b"second").unwrap()));
    assert!(rig.check(0, b"second", true));
    assert!(idle_s(&mut rig, b"second").unwrap() >= 5, "a look is no use");
    assert!(rig.check(0, b"second", false));
    assert_eq!(idle_s(&mut rig, b"second"), Some(0));
    assert_eq!(idle_s(&mut rig, b"none"), None);
}

#[test]
fn a_copied_record_keeps_its_age() {
    let mut rig = Rig::new(100_000);
    rig.maintain(1);
    let old = |number: usize| format!("old-{number}").into_bytes();
    for number in 0..400 {
        rig.put(0, &old(number), known(50)).unwrap();
    }
    for number in (0..400).filter(|number| number % 4 != 0) {
        let key = old(number);
        let key = rig.key(0, &key);
        let (memory, store) = rig.store_of(&key);
        assert!(store.remove(memory, &key));
        rig.oracle.remove(&(0, old(number)));
    }
    rig.now_ms += 50_000;
    rig.maintain(1);
    for round in 0..8000 {
        rig.put(0, format!("new-{}", round % 1000).as_bytes(), known(16 + round % 5 * 8)).unwrap();
    }
    assert!(rig.memory.usage().statistics.compacted_items > 0, "{:?}", rig.memory.usage());
    let ages: Vec<u64> = (0..400).filter_map(|number| idle_s(&mut rig, &old(number))).collect();
    // The last segment of each store was filled half before the pause and half after it.
    let of_before = ages.iter().filter(|&&age| age == 50).count();
    assert!(of_before * 2 > ages.len() && ages.len() > 50, "{ages:?}");
}
