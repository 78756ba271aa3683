//! Audit: counts everything again and compares with the accounts.

use std::collections::BTreeSet;

use item::Kind;

use crate::log::{ChainId, Location};
use crate::memory::Memory;
use crate::store::Store;
use crate::wheel::Alarm;

/// Panics if any account, counter or link between index, log, heap and wheel is wrong.
pub(super) fn audit(memory: &Memory, stores: &[Store]) {
    let mut chain_bytes = [0u64; ChainId::COUNT];
    let (mut heap_bytes, mut index_bytes, mut wheel_bytes, mut segments) = (0u64, 0u64, 0u64, 0u64);
    for store in stores {
        segments += audit_log(store, &mut chain_bytes, &mut heap_bytes);
        index_bytes += audit_index(store) + store.lines_bytes();
        let (retired_index, retired_wheel) = store.retired_bytes();
        index_bytes += retired_index;
        wheel_bytes += store.wheel.bytes() as u64 + retired_wheel;
    }
    assert_eq!(memory.account.chain_bytes, chain_bytes, "chains");
    assert_eq!(memory.account.heap_bytes, heap_bytes, "heap");
    assert_eq!(memory.account.index_bytes, index_bytes, "index");
    assert_eq!(memory.account.wheel_bytes, wheel_bytes, "wheels");
    assert_eq!(memory.usage().segments_used, segments, "segments");
}

/// Recounts the log and returns its segments.
fn audit_log(store: &Store, chain_bytes: &mut [u64], heap_bytes: &mut u64) -> u64 {
    let (mut segments, mut records, mut stubs) = (0, 0, 0);
    for number in store.log.numbers() {
        segments += 1;
        let segment = store.log.segment(number).clone();
        let mut unit = 0;
        let mut live = 0;
        while unit * 8 < segment.write_offset {
            let location = Location { segment: number, unit };
            let record = store.log.record(location).expect("records follow each other");
            unit += u32::from(record.span().units());
            if record.header().is_dead() {
                continue;
            }
            live += record.span().bytes();
            let charge = store.heap_charge_at(location);
            chain_bytes[segment.chain.index()] += (record.span().bytes() + charge) as u64;
            *heap_bytes += charge as u64;
            stubs += usize::from(record.kind() == Kind::Stub);
            if !store.is_cleared(record.keyspace(), segment.serial) {
                records += 1;
                let named = store.entries(record.keyspace()).into_iter().filter(|(_, named)| *named == location);
                assert_eq!(named.count(), 1, "a live record has one entry");
            }
        }
        assert_eq!(live, segment.live_bytes as usize, "live bytes of a segment");
    }
    assert_eq!(stubs, store.heap_len(), "stubs and heap values");
    assert_eq!(records, store.total_len(), "live records");
    segments
}

/// Recounts the index and returns its bytes.
fn audit_index(store: &Store) -> u64 {
    let alarms: BTreeSet<Alarm> = store.wheel.alarms().into_iter().collect();
    let mut bytes = 0;
    for keyspace in store.keyspace_numbers() {
        let entries = store.entries(keyspace);
        let mut volatile = 0;
        for (slot, location) in &entries {
            let record = store.log.record(*location).expect("an entry names a record");
            assert!(!record.header().is_dead() && record.keyspace() == keyspace);
            assert_eq!((store.slot_of)(record.key()), *slot);
            if record.is_volatile() {
                volatile += 1;
                assert!(
                    alarms.contains(&Alarm::new(keyspace.0, *slot, record.hash_high())),
                    "a volatile item has an alarm"
                );
            }
        }
        assert_eq!(entries.len() as u64, store.len(keyspace));
        assert_eq!(volatile, store.volatile_len(keyspace));
        bytes += store.recount_index(keyspace);
    }
    bytes
}
