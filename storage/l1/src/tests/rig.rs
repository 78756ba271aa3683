//! Rig: stores over one memory, an oracle beside them, and the time.

use std::collections::BTreeMap;

use bytes::Bytes;
use item::{Key, Keyspace, Place};

use super::audit::audit;
use crate::{Budget, Cause, Departure, Memory, MemoryOptions, NoRoom, Put, Store, StoreOptions, Value, make_room};

/// Slots of a test key space, divided among the stores.
pub(super) const SLOTS: u16 = 8;
const STORES: u16 = 2;

/// What the oracle knows of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) value: Vec<u8>,
    pub(super) expires_at_ms: Option<u64>,
    pub(super) flags: u32,
}

pub(super) struct Rig {
    pub(super) memory: Memory,
    pub(super) stores: Vec<Store>,
    pub(super) now_ms: u64,
    pub(super) oracle: BTreeMap<(u16, Vec<u8>), Known>,
    pub(super) evicted: u64,
    /// Spreads hashes when false; otherwise nearly all collide.
    pub(super) collide: bool,
}

/// The slot of a test key: not what the server uses, but as deterministic.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    key.iter().fold(0u16, |slot, byte| slot.wrapping_mul(31).wrapping_add(u16::from(*byte))) % SLOTS
}

impl Rig {
    /// A rig with segments of 2 KiB.
    pub(super) fn new(limit_bytes: u64) -> Rig {
        Rig::with(MemoryOptions { limit_bytes, ..Rig::options() })
    }

    pub(super) fn options() -> MemoryOptions {
        MemoryOptions { address_bytes: 1 << 22, segment_bytes: Some(2048), ..MemoryOptions::default() }
    }

    pub(super) fn with(options: MemoryOptions) -> Rig {
        let width = SLOTS / STORES;
        let store = |index| Store::new(StoreOptions::new(index * width..(index + 1) * width, slot_of));
        Rig {
            memory: Memory::new(options).unwrap(),
            stores: (0..STORES).map(store).collect(),
            now_ms: 1_000_000,
            oracle: BTreeMap::new(),
            evicted: 0,
            collide: false,
        }
    }

    pub(super) fn place(&self, key: &[u8]) -> Place {
        let hash =
            if self.collide { u64::from(key[0] % 3) << 32 } else { xxhash_rust::xxh3::xxh3_64_with_seed(key, 7) };
        Place { slot: slot_of(key), hash }
    }

    pub(super) fn key<'a>(&self, keyspace: u16, bytes: &'a [u8]) -> Key<'a> {
        Key { keyspace: Keyspace(keyspace), place: self.place(bytes), bytes }
    }

    pub(super) fn store_of(&mut self, key: &Key<'_>) -> (&mut Memory, &mut Store) {
        (&mut self.memory, &mut self.stores[usize::from(key.place.slot / (SLOTS / STORES))])
    }

    pub(super) fn put(&mut self, keyspace: u16, bytes: &[u8], known: Known) -> Result<(), NoRoom> {
        let room = self.make_room(known.value.len() + bytes.len() + 64);
        let key = self.key(keyspace, bytes);
        let value = if known.value.len().is_multiple_of(2) {
            Value::Inline(&known.value)
        } else {
            Value::Large(Bytes::copy_from_slice(&known.value))
        };
        let put = Put { value, expires_at_ms: known.expires_at_ms, flags: known.flags };
        let (memory, store) = self.store_of(&key);
        let result = store.put(memory, &key, &put);
        if result.is_ok() {
            self.oracle.insert((keyspace, bytes.to_vec()), known);
        } else if memory.policy() != crate::Policy::NoEviction {
            let _ = room;
        }
        result
    }

    /// Reads through the store and compares with the oracle; whether the item is there.
    pub(super) fn check(&mut self, keyspace: u16, bytes: &[u8], peek: bool) -> bool {
        let key = self.key(keyspace, bytes);
        let now_ms = self.now_ms;
        let expected = self.oracle.get(&(keyspace, bytes.to_vec())).cloned();
        let expected = expected.filter(|known| known.expires_at_ms.is_none_or(|deadline| deadline > now_ms));
        let (_, store) = self.store_of(&key);
        store.prefetch_bucket(key.keyspace, key.place);
        store.prefetch_record(key.keyspace, key.place);
        let item = if peek { store.peek(&key, now_ms) } else { store.get(&key, now_ms) };
        let found = item.map(|item| Known {
            value: item.value.bytes().to_vec(),
            expires_at_ms: item.expires_at_ms,
            flags: item.flags,
        });
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        found.is_some()
    }

    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let (oracle, now_ms, evicted) = (&mut self.oracle, self.now_ms, &mut self.evicted);
        make_room(&mut self.memory, &mut self.stores, bytes, |store, departure| {
            assert_eq!(store, usize::from(departure.slot / (SLOTS / STORES)));
            *evicted += u64::from(departure.cause == Cause::Evicted);
            depart(oracle, now_ms, departure);
        })
    }

    pub(super) fn maintain(&mut self, entries: usize) -> bool {
        let (oracle, now_ms) = (&mut self.oracle, self.now_ms);
        let mut more = false;
        for store in &mut self.stores {
            let depart = |departure: Departure<'_>| {
                assert_eq!(departure.cause, Cause::Expired);
                depart(oracle, now_ms, departure);
            };
            more |= store.maintain(&mut self.memory, now_ms, Budget { entries }, depart);
        }
        more
    }

    /// Upkeep until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let rounds = (0..100_000).find(|_| !self.maintain(50));
        assert!(rounds.is_some(), "upkeep comes to an end");
    }

    pub(super) fn audit(&self) {
        audit(&self.memory, &self.stores);
        for keyspace in 0..4 {
            let counted = self.oracle.keys().filter(|(number, _)| *number == keyspace).count() as u64;
            let len: u64 = self.stores.iter().map(|store| store.len(Keyspace(keyspace))).sum();
            assert_eq!(len, counted, "items of keyspace {keyspace}");
        }
    }
}

fn depart(oracle: &mut BTreeMap<(u16, Vec<u8>), Known>, now_ms: u64, departure: Departure<'_>) {
    let known = oracle.remove(&(departure.keyspace.0, departure.key.to_vec())).expect("only an item departs, once");
    assert_eq!(departure.slot, slot_of(departure.key));
    if departure.cause == Cause::Expired {
        assert!(known.expires_at_ms.is_some_and(|deadline| deadline <= now_ms), "expired before its deadline");
    }
}
