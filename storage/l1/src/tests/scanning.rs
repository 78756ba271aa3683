//! Scanning: what is there throughout is visited, whatever else happens.

use std::collections::BTreeSet;

use item::Keyspace;

use super::rig::{Known, Rig, SLOTS};

fn known() -> Known {
    Known { value: b"v".to_vec(), expires_at_ms: None, flags: 0 }
}

/// Scans all stores with `count` per call, running `between` after each call; the names seen, with repetitions.
fn scan(rig: &mut Rig, count: usize, mut between: impl FnMut(&mut Rig)) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for number in 0..rig.stores.len() {
        let mut cursor = 0;
        loop {
            let before = seen.len();
            let store = &rig.stores[number];
            cursor = store.scan(Keyspace(0), cursor, count, |name, _| seen.push(name.to_vec()));
            assert!(seen.len() - before <= count + 1200, "one call visits a bounded number");
            if cursor == 0 {
                break;
            }
            assert!((cursor >> 32) < u64::from(SLOTS));
            between(rig);
        }
    }
    seen
}

#[test]
fn every_item_is_visited_once_when_nothing_changes() {
    for items in [0u32, 1, 10, 5_000] {
        for count in [1, 10, 1_000, 100_000] {
            let mut rig = Rig::new(4_000_000);
            for number in 0..items {
                rig.put(0, format!("key-{number}").as_bytes(), known()).unwrap();
                rig.put(1, format!("other-{number}").as_bytes(), known()).unwrap();
            }
            let seen = scan(&mut rig, count, |_| {});
            assert_eq!(seen.len(), items as usize);
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), items as usize);
        }
    }
}

#[test]
fn every_number_names_another_item() {
    for items in [0u32, 1, 10, 5_000] {
        let mut rig = Rig::new(4_000_000);
        for number in 0..items {
            rig.put(0, format!("key-{number}").as_bytes(), known()).unwrap();
        }
        let mut seen = BTreeSet::new();
        for store in &rig.stores {
            let len = store.len(Keyspace(0));
            seen.extend((0..len).map(|n| store.nth(Keyspace(0), n).unwrap().0.to_vec()));
            assert!(store.nth(Keyspace(0), len).is_none() && store.nth(Keyspace(1), 0).is_none());
        }
        assert_eq!(seen.len(), items as usize);
    }
}

#[test]
fn items_that_stay_are_visited_while_tables_split_and_shrink() {
    let mut rig = Rig::new(16_000_000);
    for number in 0..2_000 {
        rig.put(0, format!("stay-{number}").as_bytes(), known()).unwrap();
    }
    let mut round = 0u32;
    let seen = scan(&mut rig, 50, |rig| {
        round += 1;
        for number in 0..500 {
            let name = format!("come-{}-{number}", round % 8);
            if round % 16 < 8 {
                rig.put(0, name.as_bytes(), known()).unwrap();
            } else {
                let key = rig.key(0, name.as_bytes());
                let (memory, store) = rig.store_of(&key);
                store.remove(memory, &key);
            }
        }
    });
    let seen: BTreeSet<Vec<u8>> = seen.into_iter().collect();
    assert!(round > 16);
    for number in 0..2_000 {
        assert!(seen.contains(format!("stay-{number}").as_bytes()), "stay-{number}");
    }
}

#[test]
fn items_with_equal_hashes_are_visited_together() {
    let mut rig = Rig::new(4_000_000);
    rig.collide = true;
    for number in 0..900 {
        rig.put(0, format!("key-{number}").as_bytes(), known()).unwrap();
    }
    let seen = scan(&mut rig, 10, |_| {});
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 900);
}

#[test]
fn cursors_that_no_scan_gave_are_harmless() {
    let mut rig = Rig::new(4_000_000);
    for number in 0..100 {
        rig.put(0, format!("key-{number}").as_bytes(), known()).unwrap();
    }
    for cursor in [1, u64::MAX, u64::from(SLOTS) << 32, 0x7FFF_FFFF, (3 << 32) | 0xFFFF_FFFF] {
        for store in &rig.stores {
            let next = store.scan(Keyspace(0), cursor, 10, |_, _| {});
            assert!(next == 0 || next > cursor || cursor >> 32 < u64::from(SLOTS / 2));
        }
    }
    assert_eq!(rig.stores[0].scan(Keyspace(9), 0, 10, |_, _| unreachable!("no such keyspace")), 0);
}
