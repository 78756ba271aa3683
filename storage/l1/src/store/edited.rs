//! Edited: the mark of a value of which a command changed a part after it was stored.
//!
//! Invariants
//! - `write_in_place` sets the mark, `put` clears it. A new deadline, a CAS number and reclaim keep it.
//! - The mark takes no bytes and changes nothing else.

use item::{Key, Record};

use super::{Store, is_past};

impl Store {
    /// Whether the value of this key was edited since it was put. Counts no use.
    pub fn is_edited(&self, key: &Key<'_>, now_ms: u64) -> bool {
        let record = self.find(key).and_then(|(_, entry)| self.log.record(entry.location()));
        record.is_some_and(|record| record.is_edited() && !is_past(record.expires_at_ms(), now_ms))
    }

    /// Marks the value of this key as edited; false if there is no such item. For a value that was edited by putting
    /// it anew.
    pub fn mark_edited(&mut self, key: &Key<'_>) -> bool {
        let Some((_, entry)) = self.find(key) else { return false };
        Record::mark_edited(self.log.tail_mut(entry.location()).expect("the index names records"));
        true
    }
}
