//! Scan: visits the items of a keyspace in slots' order, and in hash order within a slot; or picks one by its number.
//!
//! The cursor is `slot << 32 | hash`: the place where the next call begins. It holds no state of the store, so tables
//! may split, shrink and grow between calls: an item that is there throughout is visited, for its place never changes.
//!
//! Invariants
//! - Items with the same 22 hash bits are visited by the same call.
//! - One call visits at most `count` items and one table's worth of equal hashes, and passes at most [`SLOTS_MAX`]
//!   slots.

use item::Keyspace;

use super::{Item, Store};
use crate::index::{Entry, SlotIndex};

/// Slots that one call passes at most: a sparse keyspace takes several calls.
const SLOTS_MAX: usize = 1024;
const SLOT_SHIFT: u32 = 32;

impl Store {
    /// Visits about `count` items from `cursor` on and returns the cursor to go on with, 0 at the end of this store. A
    /// cursor before this store's slots begins at the first one, which is also where cursor 0 begins.
    pub fn scan(&self, keyspace: Keyspace, cursor: u64, count: usize, mut each: impl FnMut(&[u8], &Item<'_>)) -> u64 {
        let Some(index) = self.keyspaces.get(usize::from(keyspace.0)) else { return 0 };
        let first_slot = usize::from(self.slots.start);
        let mut slot = ((cursor >> SLOT_SHIFT) as usize).max(first_slot);
        let mut hash = if slot == (cursor >> SLOT_SHIFT) as usize { cursor as u32 } else { 0 };
        let mut left = count.max(1);
        for _ in 0..SLOTS_MAX {
            let Some(slot_index) = index.slots.get(slot - first_slot) else { return 0 };
            while left > 0 {
                let Some(next) = self.scan_slot(slot_index, hash, &mut left, &mut each) else {
                    hash = 0;
                    slot += 1;
                    break;
                };
                hash = next;
            }
            if left == 0 {
                break;
            }
        }
        if slot - first_slot >= index.slots.len() { 0 } else { (slot as u64) << SLOT_SHIFT | u64::from(hash) }
    }

    /// Item number `n` of a keyspace, from 0 to `len` - 1, expired or not: the same one until something changes. Reads
    /// one number per slot, so all numbers cost about the same.
    pub fn nth(&self, keyspace: Keyspace, n: u64) -> Option<(&[u8], Item<'_>)> {
        let index = self.keyspaces.get(usize::from(keyspace.0))?;
        let mut left = usize::try_from(n).ok()?;
        for slot in &index.slots {
            match left.checked_sub(slot.len()) {
                Some(rest) => left = rest,
                None => {
                    let entry = slot.nth(&self.lines, left)?;
                    return Some((self.log.record(entry.location())?.key(), self.item(entry)?));
                }
            }
        }
        None
    }

    /// Visits items of the table that holds `hash`, from there on; returns where to go on in this slot, if anywhere.
    fn scan_slot(
        &self,
        slot: &SlotIndex,
        hash: u32,
        left: &mut usize,
        each: &mut impl FnMut(&[u8], &Item<'_>),
    ) -> Option<u32> {
        let table = slot.table(hash);
        let mut entries: Vec<Entry> =
            table.entries(&self.lines).map(|(_, entry)| entry).filter(|entry| entry.hash_high() >= hash).collect();
        entries.sort_unstable_by_key(|entry| entry.hash_high());
        let mut previous = None;
        for entry in &entries {
            if *left == 0 && previous != Some(entry.hash_high()) {
                return Some(entry.hash_high());
            }
            previous = Some(entry.hash_high());
            *left = left.saturating_sub(1);
            let record = self.log.record(entry.location()).expect("the index names records");
            each(record.key(), &self.item(*entry).expect("the index names records"));
        }
        // The table covers the hashes that share its top `depth` bits; the next one begins after them.
        let covered = 1u64 << (32 - u32::from(table.depth()));
        let next = (u64::from(hash) / covered + 1) * covered;
        u32::try_from(next).ok()
    }
}
