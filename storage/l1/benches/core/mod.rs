//! Core: all stores of a core over one memory, as both benches fill it. Keys are 15 bytes, values 64 bytes; slots and
//! hashes as the server computes them.

use item::{Key, Keyspace, Place};
use l1::{Memory, MemoryOptions, Put, Store, StoreOptions, Value, make_room};

pub const SLOT_COUNT: u16 = 16384;
pub const STORE_COUNT: u16 = 8;
pub const KEY_BYTES: usize = 15;
pub const VALUE_BYTES: usize = 64;

/// All stores of a core over one memory.
pub struct Core {
    pub memory: Memory,
    pub stores: Vec<Store>,
}

impl Core {
    /// An empty core with this limit.
    pub fn new(limit_bytes: u64) -> Core {
        let options = MemoryOptions { limit_bytes, address_bytes: limit_bytes, ..MemoryOptions::default() };
        let width = SLOT_COUNT / STORE_COUNT;
        let store = |index| Store::new(StoreOptions::new(index * width..(index + 1) * width, slot_of));
        Core {
            memory: Memory::new(options).expect("address space is there"),
            stores: (0..STORE_COUNT).map(store).collect(),
        }
    }

    /// The store that owns a slot.
    #[inline]
    pub fn store_of(slot: u16) -> usize {
        usize::from(slot / (SLOT_COUNT / STORE_COUNT))
    }

    /// Stores a value as the server does: reclaim first, then the write.
    #[inline]
    pub fn put(&mut self, key: &Key<'_>, value: &[u8]) {
        let _ = make_room(&mut self.memory, &mut self.stores, key.bytes.len() + value.len() + 16, |_, _| {});
        let put = Put { value: Value::Inline(value), expires_at_ms: None, flags: 0 };
        let store = &mut self.stores[Core::store_of(key.place.slot)];
        store.put(&mut self.memory, key, &put).expect("the limit is high enough");
    }
}

/// The key of a number: 15 bytes.
#[inline]
pub fn key_bytes(number: u64) -> [u8; KEY_BYTES] {
    let mut bytes = *b"key:00000000000";
    let mut rest = number;
    for byte in bytes[4..].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

/// A slot that depends on every byte, at about the cost of a table-driven CRC16.
pub fn slot_of(key: &[u8]) -> u16 {
    (xxhash_rust::xxh3::xxh3_64_with_seed(key, 1) >> 50) as u16
}

/// Slot and hash of a key.
#[inline]
pub fn place_of(key: &[u8]) -> Place {
    Place { slot: slot_of(key), hash: xxhash_rust::xxh3::xxh3_64_with_seed(key, 0) }
}

/// A key of keyspace 0.
#[inline]
pub fn key(bytes: &[u8], place: Place) -> Key<'_> {
    Key { keyspace: Keyspace(0), place, bytes }
}

/// A number from SplitMix64.
#[inline]
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}
