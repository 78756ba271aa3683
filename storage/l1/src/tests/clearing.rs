//! Clearing: gone at once, freed in steps, and never mixed up with what comes after.

use item::Keyspace;

use super::rig::{Known, Rig};

fn known(fill: u8, size: usize) -> Known {
    Known { value: vec![fill; size], expires_at_ms: None, flags: 0 }
}

fn clear(rig: &mut Rig, keyspace: u16) {
    for store in &mut rig.stores {
        store.clear(&mut rig.memory, Keyspace(keyspace));
    }
    rig.oracle.retain(|(number, _), _| *number != keyspace);
}

#[test]
fn clearing_the_only_keyspace_gives_all_segments_back_at_once() {
    let mut rig = Rig::new(4_000_000);
    for number in 0..3_000 {
        rig.put(0, format!("key-{number}").as_bytes(), known(1, number % 200)).unwrap();
    }
    clear(&mut rig, 0);
    let usage = rig.memory.usage();
    assert_eq!((usage.segments_used, usage.live_bytes, usage.heap_bytes), (0, 0, 0));
    rig.audit();
    rig.settle();
    assert_eq!(rig.memory.usage().index_bytes, 0);
    assert!(rig.stores.iter().all(|store| !store.is_clearing()));
}

#[test]
fn clearing_one_keyspace_leaves_the_others_and_frees_in_steps() {
    let mut rig = Rig::new(4_000_000);
    for number in 0..2_000 {
        rig.put(0, format!("key-{number}").as_bytes(), known(1, number % 150)).unwrap();
        rig.put(1, format!("key-{number}").as_bytes(), known(2, number % 150)).unwrap();
    }
    let before = rig.memory.usage();
    clear(&mut rig, 0);
    assert_eq!(rig.stores.iter().map(|store| store.len(Keyspace(0))).sum::<u64>(), 0);
    // New items of the cleared keyspace are not taken for old ones while the old ones are swept.
    for number in 0..1_000 {
        rig.put(0, format!("key-{number}").as_bytes(), known(3, 20)).unwrap();
        rig.maintain(1);
        if number % 100 == 0 {
            rig.audit();
        }
    }
    rig.settle();
    rig.audit();
    for number in 0..2_000 {
        assert!(rig.check(1, format!("key-{number}").as_bytes(), true));
        assert_eq!(rig.check(0, format!("key-{number}").as_bytes(), true), number < 1_000);
    }
    assert!(rig.memory.usage().live_bytes < before.live_bytes * 85 / 100);
}

#[test]
fn clearing_again_and_again_ends_with_nothing() {
    let mut rig = Rig::new(400_000);
    for round in 0..50u8 {
        for number in 0..100 {
            rig.put(u16::from(round % 3), format!("key-{number}").as_bytes(), known(round, 100)).unwrap();
        }
        clear(&mut rig, u16::from(round % 2));
        rig.maintain(5);
    }
    for keyspace in 0..3 {
        clear(&mut rig, keyspace);
    }
    rig.settle();
    rig.audit();
    assert_eq!(rig.memory.usage().segments_used, 0);
}

#[test]
fn cleared_memory_is_used_before_anything_is_evicted() {
    let mut rig = Rig::new(400_000);
    let mut number = 0;
    while rig.memory.usage().charged_bytes < rig.memory.usage().threshold_bytes * 8 / 10 {
        number += 1;
        rig.put(number % 2, format!("key-{number}").as_bytes(), known(1, 50)).unwrap();
    }
    clear(&mut rig, 0);
    // No upkeep in between: the writes themselves sweep what was cleared.
    for more in 0..number / 2 {
        rig.put(0, format!("more-{more}").as_bytes(), known(2, 50)).unwrap();
    }
    assert_eq!(rig.evicted, 0);
    rig.audit();
}
