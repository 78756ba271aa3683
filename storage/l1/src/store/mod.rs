//! Store: one shard's items in memory.
//!
//! ```text
//!   Key -> keyspaces[keyspace].slots[slot] -> table -> entry -> log record -> value
//!                                                                   | stub
//!                                                                   +-> heap value
//! ```
//!
//! Invariants
//! - Every live record has exactly one index entry, every stub exactly one heap value, every volatile record an alarm.
//! - An item whose deadline has passed is never returned, whether or not it was removed yet.
//! - A write that fails with [`NoRoom`](crate::NoRoom) changes nothing.
//!
//! Absent on purpose: hashing, clock, and other stores. Places and times are arguments, memory is passed in; what needs
//! all stores of a core is in `reclaim`.

mod cas;
mod clear;
mod detail;
mod edited;
mod expiry;
pub(crate) mod heap;
#[cfg(test)]
mod inspect;
mod lag;
mod moves;
mod scan;
mod write;

use std::ops::Range;

use bytes::Bytes;
use item::{Key, Keyspace, Kind, Place, Record};

use crate::index::{Entry, KeyspaceIndex, Lines, Position};
use crate::log::{ChainId, Location, Log};
use crate::memory::Memory;
use crate::wheel::Wheel;
use clear::Retired;
use heap::Heap;

pub use detail::Footprint;
pub use lag::LagHistogram;
pub(crate) use moves::{Find, Located};

/// How to make a [`Store`].
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The slots it owns.
    pub slots: Range<u16>,
    /// The slot of a key, as routing computes it. Reclaim meets keys in the log, where their slots are not kept.
    pub slot_of: fn(&[u8]) -> u16,
}

impl StoreOptions {
    /// A store for these slots.
    pub fn new(slots: Range<u16>, slot_of: fn(&[u8]) -> u16) -> StoreOptions {
        StoreOptions { slots, slot_of }
    }
}

/// A value to store.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Bytes to copy.
    Inline(&'a [u8]),
    /// A refcounted value. Kept as it is, or copied into the record if it is short.
    Large(Bytes),
}

impl Value<'_> {
    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether the value has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Inline(bytes) => bytes,
            Value::Large(bytes) => bytes,
        }
    }
}

/// A stored value.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// Inside a segment: copy it out within the tick.
    Inline(&'a [u8]),
    /// Refcounted: may be kept as long as needed.
    Large(&'a Bytes),
}

impl<'a> Stored<'a> {
    /// The bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Stored::Inline(bytes) => bytes,
            Stored::Large(bytes) => bytes,
        }
    }
}

/// A stored item.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The value.
    pub value: Stored<'a>,
    /// Deadline in unix milliseconds. The item is gone once it is reached.
    pub expires_at_ms: Option<u64>,
    /// Client flags.
    pub flags: u32,
    /// Uses lately, 0 to 3.
    pub frequency: u8,
}

impl Item<'_> {
    /// Whether its deadline is yet to come, if it has one.
    #[inline]
    pub fn is_alive(&self, now_ms: u64) -> bool {
        !is_past(self.expires_at_ms, now_ms)
    }
}

/// What to store under a key.
#[derive(Clone, Debug)]
pub struct Put<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Deadline in unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// Client flags.
    pub flags: u32,
}

/// How much one call may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Items or index entries to look at.
    pub entries: usize,
}

/// Why an item left by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Its deadline passed.
    Expired,
    /// Memory was short.
    Evicted,
}

/// An item that left by itself. Told before its bytes go.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The database.
    pub keyspace: Keyspace,
    /// The slot of the key.
    pub slot: u16,
    /// Why.
    pub cause: Cause,
}

/// One shard's items in memory.
pub struct Store {
    slots: Range<u16>,
    pub(crate) slot_of: fn(&[u8]) -> u16,
    pub(crate) log: Log,
    heap: Heap,
    /// What the heap values are charged, by chain.
    heap_bytes: [usize; ChainId::COUNT],
    /// The buckets of all tables.
    lines: Lines,
    /// By keyspace number; as long as the highest one used.
    keyspaces: Vec<KeyspaceIndex>,
    pub(crate) wheel: Wheel,
    /// Alarms that writes have set since the last upkeep.
    armed: usize,
    /// Wheel length at which a purge begins.
    purge_at: usize,
    retired: Vec<Retired>,
    lag: LagHistogram,
}

impl AsMut<Store> for Store {
    fn as_mut(&mut self) -> &mut Store {
        self
    }
}

impl Store {
    /// An empty store.
    pub fn new(options: StoreOptions) -> Store {
        Store {
            slots: options.slots,
            slot_of: options.slot_of,
            log: Log::new(),
            heap: Heap::default(),
            heap_bytes: [0; ChainId::COUNT],
            lines: Lines::default(),
            keyspaces: Vec::new(),
            wheel: Wheel::default(),
            armed: 0,
            purge_at: 0,
            retired: Vec::new(),
            lag: LagHistogram::default(),
        }
    }

    /// First stage of a batched lookup: starts to load what says where the slot's part of the index is.
    #[inline]
    pub fn prefetch_slot(&self, keyspace: Keyspace, place: Place) {
        if let Some(keyspace) = self.keyspaces.get(usize::from(keyspace.0)) {
            crate::raw::prefetch(&keyspace.slots, usize::from(place.slot.wrapping_sub(self.slots.start)));
        }
    }

    /// Second stage: starts to load the line of the index where the key would be.
    #[inline]
    pub fn prefetch_bucket(&self, keyspace: Keyspace, place: Place) {
        if let Some(slot) = self.slot(keyspace, place) {
            slot.table(place.hash_high()).prefetch(&self.lines, place.hash_high());
        }
    }

    /// Third stage: compares tags and starts to load the records of the candidates.
    #[inline]
    pub fn prefetch_record(&self, keyspace: Keyspace, place: Place) {
        if let Some(slot) = self.slot(keyspace, place) {
            // The first candidate is the right one but for one lookup in forty.
            slot.table(place.hash_high()).find(&self.lines, place.hash_high(), |entry| {
                self.log.prefetch(entry.location());
                true
            });
        }
    }

    /// The item of this key. Counts a use.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now_ms: u64) -> Option<Item<'_>> {
        let hash_high = key.place.hash_high();
        let slot = usize::from(key.place.slot.wrapping_sub(self.slots.start));
        let table = self.keyspaces.get(usize::from(key.keyspace.0))?.slots.get(slot)?.table(hash_high);
        let (log, mut found) = (&self.log, None);
        let position = table.find(&self.lines, hash_high, |entry| {
            found = log.record(entry.location()).filter(|record| record.key() == key.bytes);
            found.is_some()
        })?;
        let record = found?;
        let expires_at_ms = record.expires_at_ms();
        if is_past(expires_at_ms, now_ms) {
            return None;
        }
        let old = table.entry(&self.lines, position);
        let entry = old.used();
        if entry != old {
            table.replace(&mut self.lines, position, entry);
        }
        let value = stored(&self.heap, record);
        Some(Item { value, expires_at_ms, flags: record.flags(), frequency: entry.frequency() })
    }

    /// The item of this key, without counting a use.
    #[inline]
    pub fn peek(&self, key: &Key<'_>, now_ms: u64) -> Option<Item<'_>> {
        let (_, entry) = self.find(key)?;
        let item = self.item(entry)?;
        if is_past(item.expires_at_ms, now_ms) { None } else { Some(item) }
    }

    /// Items of a keyspace, those that have expired but were not removed yet included.
    #[inline]
    pub fn len(&self, keyspace: Keyspace) -> u64 {
        self.keyspaces.get(usize::from(keyspace.0)).map_or(0, |index| index.len)
    }

    /// Whether no keyspace has an item.
    pub fn is_empty(&self) -> bool {
        self.keyspaces.iter().all(|index| index.len == 0)
    }

    /// Items of a keyspace that have a deadline.
    #[inline]
    pub fn volatile_len(&self, keyspace: Keyspace) -> u64 {
        self.keyspaces.get(usize::from(keyspace.0)).map_or(0, |index| index.volatile_len)
    }

    /// Lag between deadlines and removals by the wheel.
    pub fn lag(&self) -> &LagHistogram {
        &self.lag
    }

    /// Alarms in the timer wheel, stale ones included.
    pub fn alarm_count(&self) -> usize {
        self.wheel.len()
    }

    #[inline]
    fn slot(&self, keyspace: Keyspace, place: Place) -> Option<&crate::index::SlotIndex> {
        let slot = usize::from(place.slot.wrapping_sub(self.slots.start));
        self.keyspaces.get(usize::from(keyspace.0))?.slots.get(slot)
    }

    /// Puts another entry where this key was found.
    #[inline]
    fn replace_entry(&mut self, key: &Key<'_>, position: Position, entry: Entry) {
        let slot = usize::from(key.place.slot.wrapping_sub(self.slots.start));
        let slot = &self.keyspaces[usize::from(key.keyspace.0)].slots[slot];
        slot.table(key.place.hash_high()).replace(&mut self.lines, position, entry);
    }

    /// The entry of this key, expired or not.
    #[inline]
    fn find(&self, key: &Key<'_>) -> Option<(Position, Entry)> {
        let table = self.slot(key.keyspace, key.place)?.table(key.place.hash_high());
        let position = table.find(&self.lines, key.place.hash_high(), |entry| {
            self.log.record(entry.location()).is_some_and(|record| record.key() == key.bytes)
        })?;
        Some((position, table.entry(&self.lines, position)))
    }

    fn item(&self, entry: Entry) -> Option<Item<'_>> {
        let record = self.log.record(entry.location())?;
        Some(Item {
            value: stored(&self.heap, record),
            expires_at_ms: record.expires_at_ms(),
            flags: record.flags(),
            frequency: entry.frequency(),
        })
    }

    /// The number of the heap value behind a stub.
    fn heap_number(record: Record<'_>) -> u32 {
        let number = record.value().first_chunk().expect("a stub holds four bytes");
        u32::from_le_bytes(*number)
    }

    fn add_heap(&mut self, memory: &mut Memory, chain: ChainId, bytes: usize) {
        self.heap_bytes[chain.index()] += bytes;
        memory.add_heap(chain, bytes);
    }

    fn remove_heap(&mut self, memory: &mut Memory, chain: ChainId, bytes: usize) {
        self.heap_bytes[chain.index()] -= bytes;
        memory.remove_heap(chain, bytes);
    }

    fn volatile_total(&self) -> u64 {
        self.keyspaces.iter().map(|index| index.volatile_len).sum()
    }

    /// What the chain of a record weighs besides the record itself.
    fn heap_charge(&self, location: Location) -> usize {
        match self.log.record(location) {
            Some(record) if record.kind() == Kind::Stub => {
                let value = self.heap.get(Self::heap_number(record)).expect("a stub has a heap value");
                Heap::charge_of(value.len())
            }
            Some(_) | None => 0,
        }
    }
}

#[inline]
fn stored<'a>(heap: &'a Heap, record: Record<'a>) -> Stored<'a> {
    if record.kind() == Kind::Stub {
        Stored::Large(heap.get(Store::heap_number(record)).expect("a stub has a heap value"))
    } else {
        Stored::Inline(record.value())
    }
}

/// Whether a deadline has passed.
#[inline]
fn is_past(expires_at_ms: Option<u64>, now_ms: u64) -> bool {
    expires_at_ms.is_some_and(|deadline| deadline <= now_ms)
}
