//! Allocation: what the hot path promises not to do.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use item::{Key, Keyspace, Place};
use l1::{Memory, MemoryOptions, Put, Store, StoreOptions, Value, make_room};

/// Counts the allocations of each thread: tests run beside each other.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through `alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ITEMS: u32 = 20_000;

struct Rig {
    memory: Memory,
    stores: Vec<Store>,
}

fn slot_of(key: &[u8]) -> u16 {
    u16::from(key[key.len() - 1] % 16)
}

fn with_key<R>(number: u32, run: impl FnOnce(&Key<'_>) -> R) -> R {
    let mut bytes = *b"key:00000000";
    bytes[4..].copy_from_slice(&number.to_be_bytes().map(|byte| [b'a' + byte / 16, b'a' + byte % 16]).concat()[..8]);
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, 0);
    let place = Place { slot: slot_of(&bytes), hash };
    run(&Key { keyspace: Keyspace(0), place, bytes: &bytes })
}

impl Rig {
    /// Items with and without a deadline, and one large value.
    fn warm() -> Rig {
        let memory = Memory::new(MemoryOptions { limit_bytes: 64 << 20, ..MemoryOptions::default() });
        let mut rig = Rig {
            memory: memory.expect("address space is there"),
            stores: vec![Store::new(StoreOptions::new(0..16, slot_of))],
        };
        for number in 0..ITEMS {
            rig.put(number, &[7; 64], Rig::deadline(number));
        }
        rig
    }

    fn deadline(number: u32) -> Option<u64> {
        (number % 2 == 1).then_some(1_000_000)
    }

    fn put(&mut self, number: u32, value: &[u8], expires_at_ms: Option<u64>) {
        with_key(number, |key| {
            make_room(&mut self.memory, &mut self.stores, 100, |_, _| {}).expect("there is room");
            let put = Put { value: Value::Inline(value), expires_at_ms, flags: 0 };
            self.stores[0].put(&mut self.memory, key, &put).expect("there is room");
        });
    }
}

/// Allocations that `run` made for all items, those for making keys taken off.
fn allocations(mut run: impl FnMut(&mut Rig, u32)) -> u64 {
    let mut rig = Rig::warm();
    let before = ALLOCATIONS.get();
    for number in 0..ITEMS {
        with_key(number, |_| {});
    }
    let for_keys = ALLOCATIONS.get() - before;
    for number in 0..ITEMS {
        run(&mut rig, number);
    }
    ALLOCATIONS.get() - before - 2 * for_keys
}

#[test]
fn hit_allocates_nothing() {
    let count = allocations(|rig, number| {
        with_key(number, |key| {
            rig.stores[0].prefetch_slot(key.keyspace, key.place);
            rig.stores[0].prefetch_bucket(key.keyspace, key.place);
            rig.stores[0].prefetch_record(key.keyspace, key.place);
            assert!(rig.stores[0].get(key, 1).is_some());
        });
    });
    assert_eq!(count, 0);
}

#[test]
fn miss_allocates_nothing() {
    let count = allocations(|rig, number| {
        with_key(number + ITEMS, |key| assert!(rig.stores[0].get(key, 1).is_none()));
    });
    assert_eq!(count, 0);
}

#[test]
fn expired_miss_allocates_nothing() {
    let count = allocations(|rig, number| {
        with_key(number, |key| {
            assert_eq!(rig.stores[0].get(key, 2_000_000).is_some(), Rig::deadline(number).is_none());
        });
    });
    assert_eq!(count, 0);
}

#[test]
fn overwrite_of_equal_span_allocates_nothing() {
    // 61 to 64 bytes take the same span beside a key of 12.
    let count = allocations(|rig, number| rig.put(number, &[8; 61], Rig::deadline(number)));
    assert_eq!(count, 0);
}

#[test]
fn change_in_place_allocates_nothing() {
    let count = allocations(|rig, number| {
        with_key(number, |key| {
            assert_eq!(rig.stores[0].write_in_place(&mut rig.memory, key, 0, &[9]), Ok(true));
        });
    });
    assert_eq!(count, 0);
}

#[test]
fn later_deadline_allocates_nothing() {
    let count = allocations(|rig, number| {
        if Rig::deadline(number).is_some() {
            with_key(number, |key| {
                assert_eq!(rig.stores[0].set_expiry(&mut rig.memory, key, Some(2_000_000)), Ok(true));
            });
        } else {
            with_key(number, |_| {});
        }
    });
    assert_eq!(count, 0);
}
