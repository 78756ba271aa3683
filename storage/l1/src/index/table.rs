//! Table: a small hash table of cache-line buckets, the unit that grows.
//!
//! An item's home bucket is its hash scaled to the number of buckets, so homes ascend with the hash, any number of
//! buckets will do, and a rebuild reads and writes front to back. An item whose home is full lies in the next bucket
//! with a free lane.
//!
//! Invariants
//! - A rebuild or a split moves at most [`ITEMS_MAX`] entries, unless more items than that share 32 hash bits.
//! - Until depth [`ENTRY_DEPTH_MAX`], homes depend only on the hash bits in the entries: growing touches no record.
//!
//! Performance: `benches/lookup.rs` compares it with a `hashbrown::HashTable<u64>` per slot.

use super::bucket::{Bucket, LANES, tag_of};
use super::entry::{Entry, HASH_BITS};
use crate::allocation::rounded;

/// Bucket counts that a table may have: with 64 bytes a bucket these are the allocator's size classes.
const SIZES: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128];

/// Most buckets before a table is split.
const BUCKETS_MAX: usize = SIZES[SIZES.len() - 1] as usize;

/// Most items in a table that can still be split.
pub(crate) const ITEMS_MAX: usize = items_max(BUCKETS_MAX);
const _: () = assert!(ITEMS_MAX <= 1024);

/// Up to this depth the entry's own hash bits choose the bucket; 13 of them are left then, for at most 128 buckets.
const ENTRY_DEPTH_MAX: u8 = 9;
const _: () = assert!(HASH_BITS - ENTRY_DEPTH_MAX as u32 >= 13);

/// Deepest split; the two hash bits of an entry below it keep telling items apart. Holds 500 million items in one slot.
const DEPTH_MAX: u8 = 20;
const _: () = assert!(DEPTH_MAX as u32 + 2 <= HASH_BITS);

/// Up to this depth a full table splits without asking whether that tells its items apart: they are spread, unless
/// whoever hashes fails to. It bounds the directory of a slot whose items all share one hash.
const DEPTH_BLIND_MAX: u8 = 12;

/// Items at which a table of this many buckets is full: seven eighths of its lanes, which keeps searches to 1.3 buckets.
const fn items_max(buckets: usize) -> usize {
    match buckets {
        0 => 0,
        1 => LANES,
        more => more * LANES * 7 / 8,
    }
}

/// Where an entry lies. Valid until the table changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    bucket: u32,
    lane: u32,
}

/// A set of entries, found by hash.
pub(crate) struct Table {
    buckets: Box<[Bucket]>,
    len: u32,
    depth: u8,
}

impl Table {
    pub(crate) fn new(depth: u8) -> Table {
        Table { buckets: Box::default(), len: 0, depth }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many directory bits choose this table.
    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// Bytes allocated, as the allocator rounds them.
    pub(crate) fn allocated_bytes(&self) -> usize {
        rounded(self.buckets.len() * size_of::<Bucket>())
    }

    pub(crate) fn prefetch(&self, hash_high: u32) {
        crate::raw::prefetch(&self.buckets, self.home(hash_high));
    }

    /// The first entry with this tag that `matches`.
    #[inline]
    pub(crate) fn find(&self, hash_high: u32, mut matches: impl FnMut(Entry) -> bool) -> Option<Position> {
        let tag = tag_of(hash_high);
        let mut at = self.home(hash_high);
        // A full turn ends the search even if every `passed` count sticks.
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            for lane in bucket.matching(tag) {
                if matches(Entry::from_bits(bucket.entry(lane))) {
                    return Some(Position { bucket: at as u32, lane: lane as u32 });
                }
            }
            if !bucket.was_passed() {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    #[inline]
    pub(crate) fn entry(&self, position: Position) -> Entry {
        Entry::from_bits(self.buckets[position.bucket as usize].entry(position.lane as usize))
    }

    #[inline]
    pub(crate) fn replace(&mut self, position: Position, entry: Entry) {
        self.buckets[position.bucket as usize].replace(position.lane as usize, entry.bits());
    }

    /// Whether the next insert needs more buckets.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= items_max(self.buckets.len())
    }

    /// Whether a full table should become two rather than one that is larger.
    pub(crate) fn should_split(&self) -> bool {
        self.buckets.len() >= BUCKETS_MAX
            && self.depth < DEPTH_MAX
            && (self.depth < DEPTH_BLIND_MAX || self.is_told_apart_soon())
    }

    /// Whether the next two hash bits differ between any two items.
    fn is_told_apart_soon(&self) -> bool {
        let bits = |entry: Entry| entry.hash_high() << self.depth >> 30;
        let mut entries = self.entries().map(|(_, entry)| bits(entry));
        entries.next().is_some_and(|first| entries.any(|other| other != first))
    }

    /// Adds an entry that is not there yet. The table must not be full.
    #[inline]
    pub(crate) fn insert(&mut self, hash_high: u32, entry: Entry) {
        debug_assert!(!self.is_full());
        self.place(self.home(hash_high), tag_of(hash_high), entry);
        self.len += 1;
    }

    /// Removes the entry at `position`, found with this hash.
    pub(crate) fn remove(&mut self, hash_high: u32, position: Position) {
        let mut at = self.home(hash_high);
        while at != position.bucket as usize {
            self.buckets[at].remove_passed();
            at = self.after(at);
        }
        self.buckets[at].empty(position.lane as usize);
        self.len -= 1;
    }

    /// Makes room for at least one more. `full_hash` reads the 32 hash bits of an entry's record, for deep tables.
    pub(crate) fn grow(&mut self, full_hash: impl Fn(Entry) -> u32) {
        let buckets = buckets_for(self.len() + 1);
        self.rebuild(buckets, full_hash);
    }

    /// Gives memory back when less than half of what is allocated is in use.
    #[inline]
    pub(crate) fn is_sparse(&self) -> bool {
        self.len() * 2 < items_max(self.buckets.len()) && (self.buckets.len() > 1 || self.len == 0)
    }

    pub(crate) fn shrink(&mut self, full_hash: impl Fn(Entry) -> u32) {
        // An eighth of slack, so that the next inserts do not grow it at once.
        let buckets = if self.len == 0 { 0 } else { buckets_for(self.len() + self.len() / 8) };
        if buckets < self.buckets.len() {
            self.rebuild(buckets, full_hash);
        }
    }

    /// Splits by the next hash bit: keeps the items where it is 0, returns those where it is 1.
    pub(crate) fn split(&mut self, full_hash: impl Fn(Entry) -> u32) -> Table {
        debug_assert!(self.depth < DEPTH_MAX);
        let depth = self.depth + 1;
        let hash_of = |entry: Entry| if depth > ENTRY_DEPTH_MAX { full_hash(entry) } else { entry.hash_high() };
        let bit = 1u32 << (32 - u32::from(depth));
        let upper_len = self.entries().filter(|(_, entry)| hash_of(*entry) & bit != 0).count();
        let mut halves = [(self.len() - upper_len, Table::new(depth)), (upper_len, Table::new(depth))];
        for (len, half) in &mut halves {
            half.buckets = empty_buckets(buckets_for(*len + *len / 8));
        }
        for (tag, entry) in self.entries() {
            let hash = hash_of(entry);
            let (_, half) = &mut halves[usize::from(hash & bit != 0)];
            half.place(half.home(hash), tag, entry);
            half.len += 1;
        }
        let [(_, lower), (_, upper)] = halves;
        *self = lower;
        upper
    }

    /// Every entry with its tag, roughly in the order of the hash.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u8, Entry)> + '_ {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.occupied().map(|lane| (bucket.tag(lane), Entry::from_bits(bucket.entry(lane)))))
    }

    fn rebuild(&mut self, buckets: usize, full_hash: impl Fn(Entry) -> u32) {
        let old = std::mem::replace(&mut self.buckets, empty_buckets(buckets));
        let deep = self.depth > ENTRY_DEPTH_MAX;
        for bucket in &old {
            for lane in bucket.occupied() {
                let entry = Entry::from_bits(bucket.entry(lane));
                let hash = if deep { full_hash(entry) } else { entry.hash_high() };
                self.place(self.home(hash), bucket.tag(lane), entry);
            }
        }
    }

    #[inline]
    fn place(&mut self, home: usize, tag: u8, entry: Entry) {
        let mut at = home;
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(lane) = bucket.free().next() {
                bucket.fill(lane, tag, entry.bits());
                return;
            }
            bucket.add_passed();
            // Ends: the table is not full, so some bucket has a free lane.
            at = self.after(at);
        }
    }

    #[inline]
    fn home(&self, hash_high: u32) -> usize {
        let usable = if self.depth > ENTRY_DEPTH_MAX { hash_high } else { hash_high & (u32::MAX << (32 - HASH_BITS)) };
        ((u64::from(usable << self.depth) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }
}

/// The smallest number of buckets in which `items` are not too many.
fn buckets_for(items: usize) -> usize {
    let listed = SIZES.iter().map(|size| usize::from(*size)).find(|size| items_max(*size) >= items);
    // Beyond the list only when 32 hash bits cannot tell the items apart: then by eighths.
    listed.unwrap_or_else(|| {
        let exact = (items * 8).div_ceil(LANES * 7) + 1;
        exact + exact / 8
    })
}

fn empty_buckets(count: usize) -> Box<[Bucket]> {
    vec![Bucket::EMPTY; count].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Location, SegmentNumber};

    fn entry(hash: u32, unit: u32) -> Entry {
        Entry::new(hash, Location { segment: SegmentNumber(0), unit }, 0)
    }

    /// Inserts every hash, growing as a slot would without splitting, and returns the table.
    fn filled(hashes: &[u32], depth: u8) -> Table {
        let mut table = Table::new(depth);
        for (unit, hash) in hashes.iter().enumerate() {
            if table.is_full() {
                table.grow(|entry| hashes[entry.location().unit as usize]);
            }
            table.insert(*hash, entry(*hash, unit as u32));
        }
        table
    }

    fn find(table: &Table, hash: u32, unit: usize) -> Option<Position> {
        table.find(hash, |entry| entry.location().unit as usize == unit)
    }

    fn hashes(count: usize, seed: u64) -> Vec<u32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn every_item_is_found_while_a_table_grows_and_shrinks() {
        for depth in [0, 5, 9, 12, 20] {
            let all = hashes(700, u64::from(depth) + 1);
            let mut table = filled(&all, depth);
            for (unit, hash) in all.iter().enumerate() {
                assert!(find(&table, *hash, unit).is_some());
            }
            for (unit, hash) in all.iter().enumerate() {
                let position = find(&table, *hash, unit).unwrap();
                table.remove(*hash, position);
                assert!(find(&table, *hash, unit).is_none());
                if table.is_sparse() {
                    table.shrink(|entry| all[entry.location().unit as usize]);
                }
                if let Some(next) = all.get(unit + 1) {
                    assert!(find(&table, *next, unit + 1).is_some());
                }
            }
            assert_eq!(table.allocated_bytes(), 0);
        }
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let all = vec![0xABCD_1234; 1500];
        let table = filled(&all, DEPTH_MAX);
        for (unit, hash) in all.iter().enumerate() {
            assert!(find(&table, *hash, unit).is_some());
        }
        assert!(find(&table, 0xABCD_1235, 0).is_none());
    }

    #[test]
    fn split_sends_each_item_to_its_half() {
        for depth in [0, 8, 9, 10, 19] {
            let all: Vec<u32> = hashes(ITEMS_MAX, 9);
            let mut lower = filled(&all, depth);
            let full = |entry: Entry| all[entry.location().unit as usize];
            let upper = lower.split(full);
            assert_eq!(lower.len() + upper.len(), all.len());
            for (unit, hash) in all.iter().enumerate() {
                let half = if hash & (1 << (31 - u32::from(depth))) == 0 { &lower } else { &upper };
                assert!(find(half, *hash, unit).is_some());
            }
        }
    }

    #[test]
    fn fill_stays_above_two_thirds_while_growing() {
        let all = hashes(ITEMS_MAX, 3);
        let mut table = Table::new(0);
        for (unit, hash) in all.iter().enumerate() {
            if table.is_full() {
                table.grow(|entry| all[entry.location().unit as usize]);
            }
            table.insert(*hash, entry(*hash, unit as u32));
            if table.len() > 50 {
                assert!(table.len() * 3 >= table.buckets.len() * LANES * 2);
            }
        }
        assert!(table.buckets.len() <= BUCKETS_MAX);
    }
}
