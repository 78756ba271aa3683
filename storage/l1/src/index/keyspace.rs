//! Keyspace index: the slots of one database in one store.
//!
//! Invariants
//! - `slots` is empty until the first insert: an unused database costs nothing per slot.
//! - `bytes` is what the slots' array and directories have allocated; the tables' lines belong to the store.

use super::slot::SlotIndex;
use crate::allocation::rounded;

/// One database.
#[derive(Default)]
pub(crate) struct KeyspaceIndex {
    pub(crate) slots: Box<[SlotIndex]>,
    pub(crate) len: u64,
    pub(crate) volatile_len: u64,
    /// Bytes allocated.
    pub(crate) bytes: usize,
    /// Records of this keyspace in segments with this serial or a lower one are dead.
    pub(crate) cleared_serial: u64,
}

impl KeyspaceIndex {
    /// Makes the slots if there are none yet; returns the bytes that took.
    pub(crate) fn prepare(&mut self, slot_count: usize) -> usize {
        if !self.slots.is_empty() {
            return 0;
        }
        self.slots = std::iter::repeat_with(SlotIndex::new).take(slot_count).collect();
        self.bytes = rounded(size_of_val(&*self.slots));
        self.bytes
    }
}
