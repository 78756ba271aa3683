//! Table: a small hash table of cache-line buckets, the unit that grows.
//!
//! An item's home bucket is its hash scaled to the number of buckets, so homes ascend with the hash, any number of
//! buckets will do, and a rebuild reads and writes front to back. An item whose home is full lies in the next bucket
//! with a free lane.
//!
//! ```text
//!   runs[0] -> [ bucket 0 ][ bucket 1 ][ bucket 2 ][ bucket 3 ]
//!   runs[1] -> [ bucket 4 ][ bucket 5 ][ bucket 6 ][ bucket 7 ]     runs of one length, from Lines
//! ```
//! The table itself is one cache line: length, depth, and where its runs are.
//!
//! Invariants
//! - A rebuild or a split moves at most [`LANES_MAX`] entries.
//! - Until depth [`ENTRY_DEPTH_MAX`], homes depend only on the hash bits in the entries: growing touches no record.
//! - A table that is dropped has given its runs back, or its store has given back all lines.
//!
//! Performance: `benches/lookup.rs` compares it with a `hashbrown::HashTable<u64>` per slot.

use std::num::NonZeroU8;

use super::bucket::{Bucket, LANES, tag_of};
use super::entry::{Entry, HASH_BITS};
use super::lines::{BLOCK_LINES, LineNumber, Lines};
use crate::memory::Memory;

const RUNS: usize = 15;

/// Bucket counts that a table may have, each a number of equal runs: steps of an eighth, coarser where tables are
/// small.
const SIZES: [u8; 23] = [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 72, 80, 88, 96, 104, 120];

/// Most buckets before a table is split.
const BUCKETS_MAX: usize = SIZES[SIZES.len() - 1] as usize;

/// Most entries in any table: a full one that cannot be split.
pub(crate) const LANES_MAX: usize = BUCKETS_MAX * LANES;
const _: () = assert!(LANES_MAX <= 1024);

/// Up to this depth the entry's own hash bits choose the bucket; 13 of them are left then, for at most 120 buckets.
const ENTRY_DEPTH_MAX: u8 = 9;
const _: () = assert!(HASH_BITS - ENTRY_DEPTH_MAX as u32 >= 13);

/// Deepest split; the two hash bits of an entry below it keep telling items apart. Holds 500 million items in one slot.
const DEPTH_MAX: u8 = 20;
const _: () = assert!(DEPTH_MAX as u32 + 2 <= HASH_BITS);

/// Up to this depth a full table splits without asking whether that tells its items apart: they are spread, unless
/// whoever hashes fails to. It bounds the directory of a slot whose items all share one hash.
const DEPTH_BLIND_MAX: u8 = 12;

/// Items at which a table of this many buckets is full: seven eighths of its lanes, which keeps searches to 1.3
/// buckets.
const fn items_max(buckets: usize) -> usize {
    match buckets {
        0 => 0,
        1 => LANES,
        more => more * LANES * 7 / 8,
    }
}

/// The order of the runs of a table with this many buckets: runs of `1 << order` lines.
#[inline]
const fn run_order(buckets: usize) -> usize {
    match buckets {
        0 | 1 => 0,
        2 => 1,
        3..=60 => 2,
        _ => 3,
    }
}

/// Blocks that certainly hold this many buckets.
const fn blocks_for(buckets: usize) -> usize {
    buckets.div_ceil(BLOCK_LINES) + 1
}

/// Free blocks with which a split cannot fail, even if all entries go to one side.
pub(crate) const SPLIT_BLOCKS: usize = 2 * blocks_for(BUCKETS_MAX);

/// Where an entry lies. Valid until the table changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    bucket: u32,
    lane: u32,
}

/// A set of entries, found by hash.
pub(crate) struct Table {
    runs: [LineNumber; RUNS],
    len: u16,
    buckets: u8,
    /// One more than the depth: the zero that is left tells a slot's enum what it holds.
    depth: NonZeroU8,
}

const _: () = assert!(size_of::<Table>() == 64 && RUNS * BLOCK_LINES == BUCKETS_MAX);

impl Table {
    pub(crate) const fn new(depth: u8) -> Table {
        Table { runs: [0; RUNS], len: 0, buckets: 0, depth: NonZeroU8::MIN.saturating_add(depth) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of its buckets.
    pub(crate) fn line_bytes(&self) -> usize {
        usize::from(self.buckets) * size_of::<Bucket>()
    }

    /// How many directory bits choose this table.
    #[inline]
    pub(crate) fn depth(&self) -> u8 {
        self.depth.get() - 1
    }

    #[inline]
    pub(crate) fn prefetch(&self, lines: &Lines, hash_high: u32) {
        lines.prefetch(self.line_of(self.home(hash_high)));
    }

    /// The first entry with this tag that `matches`.
    #[inline]
    pub(crate) fn find(
        &self,
        lines: &Lines,
        hash_high: u32,
        mut matches: impl FnMut(Entry) -> bool,
    ) -> Option<Position> {
        let tag = tag_of(hash_high);
        let mut at = self.home(hash_high);
        // A full turn ends the search even if every `passed` count sticks.
        for _ in 0..self.buckets {
            let bucket = lines.line(self.line_of(at));
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
    pub(crate) fn entry(&self, lines: &Lines, position: Position) -> Entry {
        Entry::from_bits(lines.line(self.line_of(position.bucket as usize)).entry(position.lane as usize))
    }

    #[inline]
    pub(crate) fn replace(&self, lines: &mut Lines, position: Position, entry: Entry) {
        lines.line_mut(self.line_of(position.bucket as usize)).replace(position.lane as usize, entry.bits());
    }

    /// Whether the next insert should find more buckets.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= items_max(self.buckets as usize)
    }

    /// Whether a full table should become two rather than one that is larger.
    pub(crate) fn should_split(&self, lines: &Lines) -> bool {
        self.buckets as usize == BUCKETS_MAX
            && self.depth() < DEPTH_MAX
            && (self.depth() < DEPTH_BLIND_MAX || self.is_told_apart_soon(lines))
    }

    /// Whether an insert is possible at all: the last eighth of the lanes is for tables that can neither grow nor
    /// split.
    pub(crate) fn has_lane(&self) -> bool {
        self.len() < self.buckets as usize * LANES
    }

    /// Free blocks with which `grow` cannot fail; `None` if the table is as large as can be.
    pub(crate) fn blocks_to_grow(&self) -> Option<usize> {
        let larger = buckets_for(self.len() + 1);
        (larger > self.buckets as usize).then_some(blocks_for(larger))
    }

    /// Adds an entry that is not there yet. There is a lane for it.
    #[inline]
    pub(crate) fn insert(&mut self, lines: &mut Lines, hash_high: u32, entry: Entry) {
        debug_assert!(self.has_lane());
        self.place(lines, self.home(hash_high), tag_of(hash_high), entry);
        self.len += 1;
    }

    /// Removes the entry at `position`, found with this hash.
    pub(crate) fn remove(&mut self, lines: &mut Lines, hash_high: u32, position: Position) {
        let mut at = self.home(hash_high);
        while at != position.bucket as usize {
            lines.line_mut(self.line_of(at)).remove_passed();
            at = self.after(at);
        }
        lines.line_mut(self.line_of(at)).empty(position.lane as usize);
        self.len -= 1;
    }

    /// Makes room for at least one more. `full_hash` reads the 32 hash bits of an entry's record, for deep tables.
    pub(crate) fn grow(&mut self, lines: &mut Lines, memory: &mut Memory, full_hash: impl Fn(Entry) -> u32) {
        self.rebuild(lines, memory, buckets_for(self.len() + 1), full_hash);
    }

    /// Whether less than half of the buckets are needed.
    #[inline]
    pub(crate) fn is_sparse(&self) -> bool {
        self.len() * 2 < items_max(self.buckets as usize) && (self.buckets > 1 || self.len == 0)
    }

    /// Gives buckets back that are not needed, if there is room to build the smaller table.
    pub(crate) fn shrink(&mut self, lines: &mut Lines, memory: &mut Memory, full_hash: impl Fn(Entry) -> u32) {
        // An eighth of slack, so that the next inserts do not grow it at once.
        let buckets = buckets_for(self.len() + self.len() / 8);
        if buckets < self.buckets as usize && (buckets == 0 || lines.free_blocks() >= blocks_for(buckets)) {
            self.rebuild(lines, memory, buckets, full_hash);
        }
    }

    /// Splits by the next hash bit: keeps the items where it is 0, returns those where it is 1.
    pub(crate) fn split(&mut self, lines: &mut Lines, memory: &mut Memory, full_hash: impl Fn(Entry) -> u32) -> Table {
        debug_assert!(self.depth() < DEPTH_MAX);
        let depth = self.depth() + 1;
        let hash_of = |entry: Entry| if depth > ENTRY_DEPTH_MAX { full_hash(entry) } else { entry.hash_high() };
        let bit = 1u32 << (32 - u32::from(depth));
        let upper_len = self.entries(lines).filter(|(_, entry)| hash_of(*entry) & bit != 0).count();
        let sized = |len: usize, lines: &mut Lines| {
            let mut half = Table::new(depth);
            half.take_runs(lines, buckets_for(len + len / 8));
            half
        };
        let mut halves = [sized(self.len() - upper_len, lines), sized(upper_len, lines)];
        for at in 0..self.buckets as usize {
            let bucket = *lines.line(self.line_of(at));
            for lane in bucket.occupied() {
                let entry = Entry::from_bits(bucket.entry(lane));
                let hash = hash_of(entry);
                let half = &mut halves[usize::from(hash & bit != 0)];
                half.place(lines, half.home(hash), bucket.tag(lane), entry);
                half.len += 1;
            }
        }
        self.release(lines, memory);
        let [lower, upper] = halves;
        *self = lower;
        upper
    }

    /// Whether there is something to give back.
    pub(crate) fn has_runs(&self) -> bool {
        self.buckets > 0
    }

    /// Gives all runs back. The table is empty afterwards.
    pub(crate) fn release(&mut self, lines: &mut Lines, memory: &mut Memory) {
        let order = run_order(self.buckets as usize);
        for run in &self.runs[..self.buckets as usize >> order] {
            lines.free(memory, *run, order);
        }
        *self = Table::new(self.depth());
    }

    /// Every entry with its tag, roughly in the order of the hash.
    pub(crate) fn entries<'a>(&'a self, lines: &'a Lines) -> impl Iterator<Item = (u8, Entry)> + 'a {
        (0..self.buckets as usize).flat_map(|at| {
            let bucket = lines.line(self.line_of(at));
            bucket.occupied().map(|lane| (bucket.tag(lane), Entry::from_bits(bucket.entry(lane))))
        })
    }

    /// Whether the next two hash bits differ between any two items.
    fn is_told_apart_soon(&self, lines: &Lines) -> bool {
        let bits = |entry: Entry| entry.hash_high() << self.depth() >> 30;
        let mut entries = self.entries(lines).map(|(_, entry)| bits(entry));
        entries.next().is_some_and(|first| entries.any(|other| other != first))
    }

    fn rebuild(&mut self, lines: &mut Lines, memory: &mut Memory, buckets: usize, full_hash: impl Fn(Entry) -> u32) {
        let mut old = std::mem::replace(self, Table::new(self.depth()));
        self.take_runs(lines, buckets);
        self.len = old.len;
        let deep = self.depth() > ENTRY_DEPTH_MAX;
        for at in 0..old.buckets as usize {
            let bucket = *lines.line(old.line_of(at));
            for lane in bucket.occupied() {
                let entry = Entry::from_bits(bucket.entry(lane));
                let hash = if deep { full_hash(entry) } else { entry.hash_high() };
                self.place(lines, self.home(hash), bucket.tag(lane), entry);
            }
        }
        old.release(lines, memory);
    }

    fn take_runs(&mut self, lines: &mut Lines, buckets: usize) {
        let order = run_order(buckets);
        for run in &mut self.runs[..buckets >> order] {
            *run = lines.allocate(order);
        }
        self.buckets = buckets as u8;
    }

    #[inline]
    fn place(&self, lines: &mut Lines, home: usize, tag: u8, entry: Entry) {
        let mut at = home;
        loop {
            let bucket: &mut Bucket = lines.line_mut(self.line_of(at));
            if let Some(lane) = bucket.free().next() {
                bucket.fill(lane, tag, entry.bits());
                return;
            }
            bucket.add_passed();
            // Ends: some bucket has a free lane.
            at = self.after(at);
        }
    }

    #[inline]
    fn line_of(&self, bucket: usize) -> LineNumber {
        let order = run_order(self.buckets as usize);
        self.runs[bucket >> order] + (bucket & ((1 << order) - 1)) as LineNumber
    }

    #[inline]
    fn home(&self, hash_high: u32) -> usize {
        let usable =
            if self.depth() > ENTRY_DEPTH_MAX { hash_high } else { hash_high & (u32::MAX << (32 - HASH_BITS)) };
        ((u64::from(usable << self.depth()) * u64::from(self.buckets)) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets as usize { 0 } else { at + 1 }
    }
}

/// The smallest number of buckets in which `items` are not too many, or the largest that there is.
fn buckets_for(items: usize) -> usize {
    let fitting = SIZES.iter().map(|size| usize::from(*size)).find(|size| items_max(*size) >= items);
    fitting.unwrap_or(BUCKETS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryOptions;
    use crate::log::{Location, SegmentNumber};

    struct Ground {
        lines: Lines,
        memory: Memory,
    }

    impl Ground {
        fn new() -> Ground {
            let options = MemoryOptions { segment_bytes: Some(65536), ..MemoryOptions::default() };
            let mut ground = Ground { lines: Lines::default(), memory: Memory::new(options).unwrap() };
            ground.lines.ensure(&mut ground.memory, 2 * SPLIT_BLOCKS).unwrap();
            ground
        }
    }

    fn entry(hash: u32, unit: u32) -> Entry {
        Entry::new(hash, Location { segment: SegmentNumber(0), unit }, 0)
    }

    fn unit_of(entry: Entry) -> usize {
        entry.location().unit as usize
    }

    /// Inserts every hash, growing as a slot would without splitting, and returns the table.
    fn filled(ground: &mut Ground, hashes: &[u32], depth: u8) -> Table {
        let mut table = Table::new(depth);
        for (unit, hash) in hashes.iter().enumerate() {
            if table.is_full() && table.blocks_to_grow().is_some() {
                table.grow(&mut ground.lines, &mut ground.memory, |entry| hashes[unit_of(entry)]);
            }
            table.insert(&mut ground.lines, *hash, entry(*hash, unit as u32));
        }
        table
    }

    fn find(ground: &Ground, table: &Table, hash: u32, unit: usize) -> Option<Position> {
        table.find(&ground.lines, hash, |entry| unit_of(entry) == unit)
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
            let mut ground = Ground::new();
            let all = hashes(700, u64::from(depth) + 1);
            let mut table = filled(&mut ground, &all, depth);
            for (unit, hash) in all.iter().enumerate() {
                assert!(find(&ground, &table, *hash, unit).is_some());
            }
            for (unit, hash) in all.iter().enumerate() {
                let position = find(&ground, &table, *hash, unit).unwrap();
                table.remove(&mut ground.lines, *hash, position);
                assert!(find(&ground, &table, *hash, unit).is_none());
                if table.is_sparse() {
                    table.shrink(&mut ground.lines, &mut ground.memory, |entry| all[unit_of(entry)]);
                }
                if let Some(next) = all.get(unit + 1) {
                    assert!(find(&ground, &table, *next, unit + 1).is_some());
                }
            }
            assert_eq!((table.buckets, ground.lines.bytes()), (0, 0));
        }
    }

    #[test]
    fn equal_hashes_fill_the_last_lane() {
        let mut ground = Ground::new();
        let all = vec![0xABCD_1234; LANES_MAX];
        let table = filled(&mut ground, &all, DEPTH_MAX);
        for (unit, hash) in all.iter().enumerate() {
            assert!(find(&ground, &table, *hash, unit).is_some());
        }
        assert!(find(&ground, &table, 0xABCD_1235, 0).is_none());
        assert!(!table.has_lane() && !table.should_split(&ground.lines));
    }

    #[test]
    fn split_sends_each_item_to_its_half() {
        for depth in [0, 8, 9, 10, 19] {
            let mut ground = Ground::new();
            let all: Vec<u32> = hashes(items_max(BUCKETS_MAX), 9);
            let mut lower = filled(&mut ground, &all, depth);
            let upper = lower.split(&mut ground.lines, &mut ground.memory, |entry| all[unit_of(entry)]);
            assert_eq!(lower.len() + upper.len(), all.len());
            for (unit, hash) in all.iter().enumerate() {
                let half = if hash & (1 << (31 - u32::from(depth))) == 0 { &lower } else { &upper };
                assert!(find(&ground, half, *hash, unit).is_some());
            }
        }
    }

    #[test]
    fn fill_stays_above_two_thirds_while_growing() {
        let mut ground = Ground::new();
        let all = hashes(items_max(BUCKETS_MAX), 3);
        let mut table = Table::new(0);
        for (unit, hash) in all.iter().enumerate() {
            if table.is_full() {
                table.grow(&mut ground.lines, &mut ground.memory, |entry| all[unit_of(entry)]);
            }
            table.insert(&mut ground.lines, *hash, entry(*hash, unit as u32));
            assert!(table.len() <= 100 || table.len() * 3 >= table.buckets as usize * LANES * 2);
        }
    }
}
