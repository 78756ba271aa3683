//! Slot index: the items of one hash slot, as an extendible set of tables.
//!
//! Nearly always one table, held inline. When a table is full at its largest size it splits by the next hash bit, and a
//! directory over the top hash bits finds the right one. So one insert moves the entries of one table, never more.
//!
//! Invariants
//! - Each table covers one contiguous range of hashes, so a slot can be scanned in hash order.
//! - A directory never shrinks until the slot is empty: then it becomes one empty table again.

use super::entry::Entry;
use super::table::{Position, Table};
use crate::allocation::rounded;

/// One slot of a keyspace.
pub(crate) enum SlotIndex {
    /// The common case.
    One(Table),
    /// More items than one table may hold.
    Many(Box<Directory>),
}

const _: () = assert!(size_of::<SlotIndex>() <= 24);

/// What an insert took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Growth {
    /// Bytes allocated.
    pub(crate) bytes: usize,
    /// Entries moved.
    pub(crate) moved: usize,
}

/// Tables by the top `depth` bits of the hash.
pub(crate) struct Directory {
    depth: u8,
    len: usize,
    tables_bytes: usize,
    table_of: Vec<u32>,
    tables: Vec<Table>,
}

impl SlotIndex {
    pub(crate) fn new() -> SlotIndex {
        SlotIndex::One(Table::new(0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            SlotIndex::One(table) => table.len() == 0,
            SlotIndex::Many(directory) => directory.len == 0,
        }
    }

    /// The table that holds this hash.
    #[inline]
    pub(crate) fn table(&self, hash_high: u32) -> &Table {
        match self {
            SlotIndex::One(table) => table,
            SlotIndex::Many(directory) => &directory.tables[directory.number(hash_high)],
        }
    }

    /// The table that holds this hash, for changes that keep its length.
    #[inline]
    pub(crate) fn table_mut(&mut self, hash_high: u32) -> &mut Table {
        match self {
            SlotIndex::One(table) => table,
            SlotIndex::Many(directory) => {
                let number = directory.number(hash_high);
                &mut directory.tables[number]
            }
        }
    }

    /// Adds an entry that is not there yet; returns what that took.
    #[inline]
    pub(crate) fn insert(&mut self, hash_high: u32, entry: Entry, full_hash: impl Fn(Entry) -> u32) -> Growth {
        let grown =
            if self.table(hash_high).is_full() { self.make_room(hash_high, full_hash) } else { Growth::default() };
        self.table_mut(hash_high).insert(hash_high, entry);
        if let SlotIndex::Many(directory) = self {
            directory.len += 1;
        }
        grown
    }

    /// Removes an entry; returns by how many bytes the slot's memory shrank.
    #[inline]
    pub(crate) fn remove(&mut self, hash_high: u32, position: Position, full_hash: impl Fn(Entry) -> u32) -> usize {
        let table = self.table_mut(hash_high);
        table.remove(hash_high, position);
        let sparse = table.is_sparse();
        if let SlotIndex::Many(directory) = self {
            directory.len -= 1;
        }
        if sparse { self.shrink(hash_high, full_hash) } else { 0 }
    }

    /// Bytes allocated, as the allocator rounds them.
    pub(crate) fn allocated_bytes(&self) -> usize {
        match self {
            SlotIndex::One(table) => table.allocated_bytes(),
            SlotIndex::Many(directory) => directory.allocated_bytes(),
        }
    }

    /// Every entry of the slot.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u8, Entry)> + '_ {
        let tables = match self {
            SlotIndex::One(table) => std::slice::from_ref(table),
            SlotIndex::Many(directory) => &directory.tables[..],
        };
        tables.iter().flat_map(Table::entries)
    }

    /// Takes one of the tables out, to free the slot step by step; `None` once the slot is empty.
    pub(crate) fn take_table(&mut self) -> Option<Table> {
        let taken = match self {
            SlotIndex::One(table) => Some(std::mem::replace(table, Table::new(0))).filter(|table| table.len() > 0),
            SlotIndex::Many(directory) => {
                let table = directory.tables.pop();
                directory.tables_bytes -= table.as_ref().map_or(0, Table::allocated_bytes);
                table
            }
        };
        if taken.is_none() {
            *self = SlotIndex::new();
        }
        taken
    }

    #[cold]
    fn make_room(&mut self, hash_high: u32, full_hash: impl Fn(Entry) -> u32) -> Growth {
        let before = self.allocated_bytes();
        let mut moved = 0;
        // Ends: each split deepens the table of this hash, and a table too deep to split grows instead.
        while self.table(hash_high).is_full() {
            moved += self.table(hash_high).len();
            if self.table(hash_high).should_split() {
                self.directory().split(hash_high, &full_hash);
            } else {
                self.resize(hash_high, |table| table.grow(&full_hash));
            }
        }
        Growth { bytes: self.allocated_bytes() - before, moved }
    }

    #[cold]
    fn shrink(&mut self, hash_high: u32, full_hash: impl Fn(Entry) -> u32) -> usize {
        let before = self.allocated_bytes();
        if self.is_empty() {
            *self = SlotIndex::new();
        } else {
            self.resize(hash_high, |table| table.shrink(full_hash));
        }
        before - self.allocated_bytes()
    }

    fn resize(&mut self, hash_high: u32, change: impl FnOnce(&mut Table)) {
        let table = self.table_mut(hash_high);
        let before = table.allocated_bytes();
        change(table);
        let after = table.allocated_bytes();
        if let SlotIndex::Many(directory) = self {
            directory.tables_bytes = directory.tables_bytes - before + after;
        }
    }

    /// The directory, made if there is none.
    fn directory(&mut self) -> &mut Directory {
        if let SlotIndex::One(table) = self {
            let table = std::mem::replace(table, Table::new(0));
            let (len, tables_bytes) = (table.len(), table.allocated_bytes());
            let directory = Directory { depth: 0, len, tables_bytes, table_of: vec![0], tables: vec![table] };
            *self = SlotIndex::Many(Box::new(directory));
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
            + self.tables_bytes
    }

    fn split(&mut self, hash_high: u32, full_hash: impl Fn(Entry) -> u32) {
        let number = self.number(hash_high);
        let old_depth = self.tables[number].depth();
        if old_depth == self.depth {
            self.table_of = self.table_of.iter().flat_map(|table| [*table, *table]).collect();
            self.depth += 1;
        }
        let before = self.tables[number].allocated_bytes();
        let upper = self.tables[number].split(full_hash);
        self.tables_bytes =
            self.tables_bytes - before + self.tables[number].allocated_bytes() + upper.allocated_bytes();
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
    use crate::log::{Location, SegmentNumber};

    fn check(count: u32, hash_of: impl Fn(u32) -> u32 + Copy) {
        let mut slot = SlotIndex::new();
        let mut bytes = 0;
        let full = |entry: Entry| {
            let location = entry.location();
            hash_of((location.segment.0 << 18) | location.unit)
        };
        for id in 0..count {
            let location = Location { segment: SegmentNumber(id >> 18), unit: id & 0x3FFFF };
            bytes += slot.insert(hash_of(id), Entry::new(hash_of(id), location, 0), full).bytes;
            if id % 64 == 0 {
                assert_eq!(bytes, slot.allocated_bytes());
            }
        }
        assert_eq!(slot.entries().count(), count as usize);
        let find = |slot: &SlotIndex, id: u32| {
            slot.table(hash_of(id))
                .find(hash_of(id), |entry| (entry.location().segment.0 << 18) | entry.location().unit == id)
        };
        for id in 0..count {
            let position = find(&slot, id).unwrap();
            bytes -= slot.remove(hash_of(id), position, full);
            assert!(find(&slot, id).is_none());
        }
        assert!(slot.is_empty());
        assert_eq!((bytes, slot.allocated_bytes()), (0, 0));
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
    fn hashes_that_are_all_equal_grow_one_table() {
        check(2_000, |_| 0xDEAD_BEEF);
    }
}
