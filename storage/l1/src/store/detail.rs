//! Detail: what an operator asks about a single item.
//!
//! Absent on purpose: the time of an item's last use. It would cost every item four bytes; the age of its segment and
//! the two bits of use in its index entry tell what eviction needs to know, and this is what they tell about time.

use item::{Key, Keyspace};

use super::Store;

/// What an item takes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footprint {
    /// Its record: header, key, value or stub, padding.
    pub record_bytes: u64,
    /// Its value outside of the record, rounded as the allocator does.
    pub heap_bytes: u64,
    /// Its share of the index table that it is in.
    pub index_bytes: u64,
}

impl Footprint {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.record_bytes + self.heap_bytes + self.index_bytes
    }
}

impl Store {
    /// What the item of this key takes; counts no use. An item that has expired has none.
    pub fn footprint(&self, key: &Key<'_>, now_ms: u64) -> Option<Footprint> {
        self.peek(key, now_ms)?;
        let (_, entry) = self.find(key)?;
        let table = self.slot(key.keyspace, key.place)?.table(key.place.hash_high());
        Some(Footprint {
            record_bytes: self.log.record(entry.location())?.span().bytes() as u64,
            heap_bytes: self.heap_charge(entry.location()) as u64,
            index_bytes: table.line_bytes().div_ceil(table.len()) as u64,
        })
    }

    /// Bytes of the index of a keyspace: its slots and directories, and its tables' buckets.
    pub fn index_bytes(&self, keyspace: Keyspace) -> u64 {
        let Some(index) = self.keyspaces.get(usize::from(keyspace.0)) else { return 0 };
        let tables: usize = index.slots.iter().map(crate::index::SlotIndex::line_bytes).sum();
        (index.bytes + tables) as u64
    }

    /// Seconds for which the item of this key was certainly not used: since it was written, or 0 if it was used after
    /// that. When it was written is known as well as the pace at which its segment was filled was even.
    pub fn idle_s(&self, key: &Key<'_>, now_ms: u64) -> Option<u64> {
        self.peek(key, now_ms)?;
        let (_, entry) = self.find(key)?;
        if entry.frequency() > 0 {
            return Some(0);
        }
        let location = entry.location();
        let written_s = self.log.segment(location.segment).written_s(location.unit);
        Some((now_ms / 1000).saturating_sub(written_s))
    }
}
