//! Slot index: the items of one hash slot, as an extendible set of tables.
//!
//! Nearly always one table, held inline. When a table is full at its largest size it splits by the next hash bit, and a
//! directory over the top hash bits finds the right one. So one insert moves the entries of one table, never more.
//!
//! Invariants
//! - Each table covers one contiguous range of hashes, so a slot can be scanned in hash order.
//! - A directory never shrinks until the slot is empty: then it becomes one empty table again.

use super::entry::Entry;
use super::lines::Lines;
use super::table::{Position, SPLIT_BLOCKS, Table};
use crate::allocation::rounded;
use crate::memory::{Memory, NoRoom};

/// One slot of a keyspace.
pub(crate) enum SlotIndex {
    /// The common case.
    One(Table),
    /// More items than one table may hold.
    Many(Box<Directory>),
}

const _: () = assert!(size_of::<SlotIndex>() == 64);

/// Tables by the top `depth` bits of the hash.
pub(crate) struct Directory {
    depth: u8,
    len: usize,
    table_of: Vec<u32>,
    tables: Vec<Table>,
}

impl SlotIndex {
    pub(crate) fn new() -> SlotIndex {
        SlotIndex::One(Table::new(0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries of all tables.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            SlotIndex::One(table) => table.len(),
            SlotIndex::Many(directory) => directory.len,
        }
    }

    /// Entry number `n`, counted over the tables.
    pub(crate) fn nth(&self, lines: &Lines, n: usize) -> Option<Entry> {
        let mut left = n;
        for table in self.tables() {
            match left.checked_sub(table.len()) {
                Some(rest) => left = rest,
                None => return table.entries(lines).nth(left).map(|(_, entry)| entry),
            }
        }
        None
    }

    /// The table that holds this hash.
    #[inline]
    pub(crate) fn table(&self, hash_high: u32) -> &Table {
        match self {
            SlotIndex::One(table) => table,
            SlotIndex::Many(directory) => &directory.tables[directory.number(hash_high)],
        }
    }

    /// Makes room for one more entry with this hash; returns how many entries that moved. Fails if there is no memory
    /// for it, or if more items than a table holds have the same hash.
    #[inline]
    pub(crate) fn prepare(
        &mut self,
        lines: &mut Lines,
        memory: &mut Memory,
        hash_high: u32,
        full_hash: impl Fn(Entry) -> u32,
    ) -> Result<usize, NoRoom> {
        if self.table(hash_high).is_full() { self.make_room(lines, memory, hash_high, full_hash) } else { Ok(0) }
    }

    /// Adds an entry that is not there yet, and for which `prepare` made room.
    #[inline]
    pub(crate) fn insert(&mut self, lines: &mut Lines, hash_high: u32, entry: Entry) {
        self.table_mut(hash_high).insert(lines, hash_high, entry);
        if let SlotIndex::Many(directory) = self {
            directory.len += 1;
        }
    }

    /// Removes an entry.
    #[inline]
    pub(crate) fn remove(
        &mut self,
        lines: &mut Lines,
        memory: &mut Memory,
        hash_high: u32,
        position: Position,
        full_hash: impl Fn(Entry) -> u32,
    ) {
        if let SlotIndex::Many(directory) = self {
            directory.len -= 1;
        }
        let table = self.table_mut(hash_high);
        table.remove(lines, hash_high, position);
        if table.is_sparse() {
            table.shrink(lines, memory, full_hash);
        }
        if self.is_empty() {
            // An empty table has given its runs back, so all tables of a directory have.
            *self = SlotIndex::new();
        }
    }

    /// Bytes allocated outside of `Lines`, as the allocator rounds them.
    pub(crate) fn allocated_bytes(&self) -> usize {
        match self {
            SlotIndex::One(_) => 0,
            SlotIndex::Many(directory) => directory.allocated_bytes(),
        }
    }

    /// Every entry of the slot.
    #[cfg(test)]
    pub(crate) fn entries<'a>(&'a self, lines: &'a Lines) -> impl Iterator<Item = (u8, Entry)> + 'a {
        self.tables().iter().flat_map(|table| table.entries(lines))
    }

    /// Bytes of the tables' buckets.
    pub(crate) fn line_bytes(&self) -> usize {
        self.tables().iter().map(Table::line_bytes).sum()
    }

    fn tables(&self) -> &[Table] {
        match self {
            SlotIndex::One(table) => std::slice::from_ref(table),
            SlotIndex::Many(directory) => &directory.tables,
        }
    }

    /// Takes one of the tables out, to free the slot step by step; `None` once the slot is empty.
    pub(crate) fn take_table(&mut self) -> Option<Table> {
        let taken = match self {
            SlotIndex::One(table) => Some(std::mem::replace(table, Table::new(0))).filter(Table::has_runs),
            SlotIndex::Many(directory) => directory.tables.pop(),
        };
        if taken.is_none() {
            *self = SlotIndex::new();
        }
        taken
    }

    #[inline]
    fn table_mut(&mut self, hash_high: u32) -> &mut Table {
        match self {
            SlotIndex::One(table) => table,
            SlotIndex::Many(directory) => {
                let number = directory.number(hash_high);
                &mut directory.tables[number]
            }
        }
    }

    #[cold]
    fn make_room(
        &mut self,
        lines: &mut Lines,
        memory: &mut Memory,
        hash_high: u32,
        full_hash: impl Fn(Entry) -> u32,
    ) -> Result<usize, NoRoom> {
        let mut moved = 0;
        // Ends: each split deepens the table of this hash, and one too deep to split grows, until it is as large as can
        // be.
        while self.table(hash_high).is_full() {
            let table = self.table(hash_high);
            let len = table.len();
            if table.should_split(lines) {
                lines.ensure(memory, SPLIT_BLOCKS)?;
                self.directory().split(lines, memory, hash_high, &full_hash);
            } else if let Some(blocks) = table.blocks_to_grow() {
                lines.ensure(memory, blocks)?;
                self.table_mut(hash_high).grow(lines, memory, &full_hash);
            } else {
                return if table.has_lane() { Ok(moved) } else { Err(NoRoom) };
            }
            moved += len;
        }
        Ok(moved)
    }

    /// The directory, made if there is none.
    fn directory(&mut self) -> &mut Directory {
        if let SlotIndex::One(table) = self {
            let table = std::mem::replace(table, Table::new(0));
            let len = table.len();
            *self = SlotIndex::Many(Box::new(Directory { depth: 0, len, table_of: vec![0], tables: vec![table] }));
        }
        match self {
            SlotIndex::Many(directory) => directory,
            SlotIndex::One(_) => unreachable!("replaced above"),
        }
    }
}

impl Directory {
    #[inline]
    fn number(&self, hash_high: u32) -> usize {
        // Shifts by 32 when depth is 0, hence the wider type.
        self.table_of[(u64::from(hash_high) >> (32 - u32::from(self.depth))) as usize] as usize
    }

    fn allocated_bytes(&self) -> usize {
        rounded(size_of::<Directory>())
            + rounded(self.table_of.capacity() * size_of::<u32>())
            + rounded(self.tables.capacity() * size_of::<Table>())
    }

    fn split(&mut self, lines: &mut Lines, memory: &mut Memory, hash_high: u32, full_hash: impl Fn(Entry) -> u32) {
        let number = self.number(hash_high);
        let old_depth = self.tables[number].depth();
        if old_depth == self.depth {
            self.table_of = self.table_of.iter().flat_map(|table| [*table, *table]).collect();
            self.depth += 1;
        }
        let upper = self.tables[number].split(lines, memory, full_hash);
        let upper_number = self.tables.len() as u32;
        self.tables.push(upper);
        // The old table covered 2^(depth - old_depth) places in a row; the upper half of them changes.
        let covered = 1usize << (self.depth - old_depth);
        let place = (u64::from(hash_high) >> (32 - u32::from(self.depth))) as usize;
        let first = place / covered * covered;
        self.table_of[first + covered / 2..first + covered].fill(upper_number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryOptions;
    use crate::log::{Location, SegmentNumber};

    fn check(count: u32, hash_of: impl Fn(u32) -> u32 + Copy) {
        let options = MemoryOptions { segment_bytes: Some(4096), ..MemoryOptions::default() };
        let (mut memory, mut lines) = (Memory::new(options).unwrap(), Lines::default());
        let mut slot = SlotIndex::new();
        let id_of = |entry: Entry| (entry.location().segment.0 << 18) | entry.location().unit;
        let full = |entry: Entry| hash_of(id_of(entry));
        for id in 0..count {
            let location = Location { segment: SegmentNumber(id >> 18), unit: id & 0x3FFFF };
            let moved = slot.prepare(&mut lines, &mut memory, hash_of(id), full).unwrap();
            assert!(moved <= 1024 * 12, "a split moves one table, but for hashes that are all alike");
            slot.insert(&mut lines, hash_of(id), Entry::new(hash_of(id), location, 0));
        }
        assert_eq!(slot.entries(&lines).count(), count as usize);
        let find = |slot: &SlotIndex, lines: &Lines, id: u32| {
            slot.table(hash_of(id)).find(lines, hash_of(id), |entry| id_of(entry) == id)
        };
        for id in 0..count {
            let position = find(&slot, &lines, id).unwrap();
            slot.remove(&mut lines, &mut memory, hash_of(id), position, full);
            assert!(find(&slot, &lines, id).is_none());
        }
        assert!(slot.is_empty());
        assert_eq!((slot.allocated_bytes(), lines.bytes(), memory.usage().index_bytes), (0, 0, 0));
    }

    #[test]
    fn spread_hashes_split_into_many_tables() {
        check(20_000, |id| id.wrapping_mul(0x9E37_79B1));
    }

    #[test]
    fn hashes_that_share_their_top_bits_deepen_the_directory() {
        check(4_000, |id| id.wrapping_mul(0x9E37_79B1) >> 12);
    }

    #[test]
    fn hashes_that_are_all_equal_fill_one_table() {
        check(800, |_| 0xDEAD_BEEF);
    }
}
