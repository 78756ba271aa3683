//! Replay: a look-aside loop over the real store. Every request is a get; a miss stores the item at once.
//!
//! The reference simulator counts nothing but the items' sizes, so the limit is set such that the threshold, less what
//! index, ghost table, headers and rounding take, is exactly the cache size of the reference.

use std::collections::HashMap;

use bytes::Bytes;
use item::{Key, Keyspace, Place};
use l1::{Memory, MemoryOptions, Policy, Put, Store, StoreOptions, Value, make_room};

const SLOTS: u16 = 16;

/// How an item of the trace becomes one of the store.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each test uses one")]
pub enum Mode {
    /// Every item is one record of this many bytes, and the cache size is a number of items.
    Objects { record_bytes: usize },
    /// An item is a value of its size, and the cache size is in bytes.
    Bytes,
}

static ZEROES: [u8; 128 * 1024] = [0; 128 * 1024];

pub struct Replay {
    memory: Memory,
    store: Store,
    mode: Mode,
    size: u64,
    /// Sizes of the items held, by number, and their sum.
    held: HashMap<u64, u64>,
    held_bytes: u64,
    pub requests: u64,
    pub hits: u64,
}

fn slot_of(key: &[u8]) -> u16 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, 1) as u16 % SLOTS
}

impl Replay {
    /// A cache of `size` items or bytes.
    pub fn new(mode: Mode, size: u64) -> Replay {
        let segment_bytes = match mode {
            Mode::Objects { record_bytes } => record_bytes * 4,
            Mode::Bytes => 4096,
        };
        let options = MemoryOptions {
            limit_bytes: 1 << 20,
            address_bytes: 1 << 30,
            policy: Policy::AllkeysS3fifo,
            segment_bytes: Some(segment_bytes),
            promotion_threshold: 2,
        };
        let memory = Memory::new(options).expect("address space is there");
        let store = Store::new(StoreOptions::new(0..SLOTS, slot_of));
        let mut replay =
            Replay { memory, store, mode, size, held: HashMap::new(), held_bytes: 0, requests: 0, hits: 0 };
        replay.set_limit();
        replay
    }

    /// One request for an item of the trace.
    pub fn request(&mut self, number: u64, size: usize) {
        self.requests += 1;
        let mut buffer = [0u8; 512];
        let key_bytes = match self.mode {
            Mode::Objects { record_bytes } => record_bytes - if record_bytes > 260 { 10 } else { 8 },
            Mode::Bytes => 8,
        };
        buffer[..8].copy_from_slice(&number.to_le_bytes());
        let bytes = &buffer[..key_bytes];
        let place = Place { slot: slot_of(bytes), hash: xxhash_rust::xxh3::xxh3_64_with_seed(bytes, 0) };
        let key = Key { keyspace: Keyspace(0), place, bytes };
        if self.store.get(&key, 1).is_some() {
            self.hits += 1;
            return;
        }
        let (value, cost) = match self.mode {
            Mode::Objects { record_bytes } => (Value::Inline(&[]), record_bytes as u64),
            Mode::Bytes => (Value::Large(Bytes::copy_from_slice(&ZEROES[..size])), size as u64),
        };
        self.make_room(cost);
        let put = Put { value, expires_at_ms: None, flags: 0 };
        self.store.put(&mut self.memory, &key, &put).expect("there is room");
        self.held.insert(number, cost);
        self.held_bytes += cost;
        self.set_limit();
    }

    /// Evicts until `cost` more fits. Eviction is done in bounded steps, and the reference knows no time: so repeat.
    fn make_room(&mut self, cost: u64) {
        for _ in 0..1000 {
            let before = self.held.len();
            let (held, held_bytes) = (&mut self.held, &mut self.held_bytes);
            let store = std::slice::from_mut(&mut self.store);
            let _ = make_room(&mut self.memory, store, cost as usize, |_, departure| {
                let number = departure.key.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                *held_bytes -= number.and_then(|number| held.remove(&number)).expect("it was held");
            });
            if self.held.len() == before {
                return;
            }
        }
    }

    /// Hits in percent.
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 * 100.0 / self.requests as f64
    }

    /// Evictions that a shortage of segments forced.
    pub fn stalls(&self) -> u64 {
        self.memory.usage().statistics.stalls
    }

    fn set_limit(&mut self) {
        let usage = self.memory.usage();
        let wanted = match self.mode {
            Mode::Objects { record_bytes } => self.size * record_bytes as u64,
            Mode::Bytes => self.size,
        };
        // The threshold grows with the limit, not in proportion: a few corrections meet it.
        let target = wanted + usage.charged_bytes - self.held_bytes;
        if target == usage.threshold_bytes {
            return;
        }
        self.set_limit_at_once(target + target / 9);
        for _ in 0..4 {
            let threshold = self.memory.usage().threshold_bytes;
            self.set_limit_at_once((self.memory.limit() + target).saturating_sub(threshold).max(target));
        }
    }

    /// Sets a limit that holds all there is, and goes all the way down to it.
    fn set_limit_at_once(&mut self, bytes: u64) {
        self.memory.set_limit(bytes);
        while self.memory.is_lowering() {
            self.make_room(0);
        }
    }
}
