//! Clear: empties a keyspace at once for everybody who looks, and frees its memory in steps.
//!
//! ```text
//!   clear ---> other keyspaces have items: seal all segments; the old index is retired and swept:
//!         |      each entry's record is marked dead, unless reclaim met it before
//!         +--> nothing else is left: all segments go back at once; heap values and alarms are dropped in steps
//! ```
//!
//! Invariants
//! - A record of a keyspace is dead if its segment's serial is not above the serial at which the keyspace was cleared.
//!   Segments are sealed by clearing, so no later record can be in them.
//! - A retired entry is followed only into a segment that is still the one it was: its serial tells.

use item::Keyspace;

use super::Store;
use super::heap::{Heap, PAGE_VALUES};
use crate::index::{KeyspaceIndex, SlotIndex};
use crate::log::{ChainId, Location};
use crate::memory::Memory;
use crate::wheel::Wheel;

/// Heap pages or wheel chunks freed for each entry of the budget.
const FREES_PER_STEP: usize = 16;

/// What is left of something that was cleared.
pub(super) enum Retired {
    /// An index whose records have to be marked dead.
    Index(RetiredIndex),
    /// Heap values and alarms that nothing names any more.
    Rest { heap: Heap, wheel: Box<Wheel> },
}

pub(super) struct RetiredIndex {
    slots: Box<[SlotIndex]>,
    next: usize,
    /// Segments with a higher serial hold nothing of it.
    serial: u64,
    /// Bytes still charged.
    pub(super) bytes: usize,
}

impl Store {
    /// Removes all items of a keyspace, and the slots that items which came and went have left. They are gone at once;
    /// their memory comes back with `maintain` and `make_room`.
    pub fn clear(&mut self, memory: &mut Memory, keyspace: Keyspace) {
        let number = usize::from(keyspace.0);
        if let Some(index) = self.keyspaces.get_mut(number).filter(|index| !index.slots.is_empty()) {
            let serial = memory.last_serial();
            let old = std::mem::replace(index, KeyspaceIndex { cleared_serial: serial, ..KeyspaceIndex::default() });
            let retired = RetiredIndex { slots: old.slots, next: 0, serial, bytes: old.bytes };
            self.retired.push(Retired::Index(retired));
            self.log.seal_all(memory);
        }
        if self.is_empty() && self.log.number_bound() > 0 {
            self.release_everything(memory);
        }
    }

    /// Whether memory of cleared items is still to be freed.
    pub fn is_clearing(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Whether a record of this keyspace in a segment with this serial was cleared.
    pub(crate) fn is_cleared(&self, keyspace: Keyspace, serial: u64) -> bool {
        self.keyspaces.get(usize::from(keyspace.0)).is_none_or(|index| serial <= index.cleared_serial)
    }

    /// Frees a part of what was cleared; true while there is more.
    pub(crate) fn sweep(&mut self, memory: &mut Memory, entries_max: usize) -> bool {
        match self.retired.pop() {
            None => return false,
            Some(Retired::Rest { heap, wheel }) => self.sweep_rest(memory, heap, wheel, entries_max),
            Some(Retired::Index(index)) => self.sweep_index(memory, index, entries_max),
        }
        !self.retired.is_empty()
    }

    fn release_everything(&mut self, memory: &mut Memory) {
        // The records that retired indexes would have to mark dead go with the rest, and so do their tables.
        for retired in std::mem::take(&mut self.retired) {
            match retired {
                Retired::Index(index) => memory.account.index_bytes -= index.bytes as u64,
                Retired::Rest { .. } => self.retired.push(retired),
            }
        }
        // An empty keyspace may still have tables, after a write that failed.
        for index in &mut self.keyspaces {
            memory.account.index_bytes -= index.bytes as u64;
            *index = KeyspaceIndex { cleared_serial: index.cleared_serial, ..KeyspaceIndex::default() };
        }
        self.lines.release_all(memory);
        let (heap, wheel) = (std::mem::take(&mut self.heap), std::mem::take(&mut self.wheel));
        for (chain, bytes) in ChainId::ALL.into_iter().zip(std::mem::take(&mut self.heap_bytes)) {
            memory.remove_heap(chain, bytes);
        }
        self.log.release_all(memory);
        self.retired.push(Retired::Rest { heap, wheel: Box::new(wheel) });
        self.purge_at = 0;
        memory.note_cleared();
    }

    fn sweep_rest(&mut self, memory: &mut Memory, mut heap: Heap, mut wheel: Box<Wheel>, entries_max: usize) {
        let before = wheel.bytes() as u64;
        let frees = entries_max * FREES_PER_STEP;
        let has_heap = heap.drop_pages(frees.div_ceil(PAGE_VALUES), |value| memory.orphan(value));
        let has_wheel = wheel.dismantle(frees);
        if has_heap || has_wheel {
            memory.account.wheel_bytes = memory.account.wheel_bytes + wheel.bytes() as u64 - before;
            self.retired.push(Retired::Rest { heap, wheel });
        } else {
            memory.account.wheel_bytes -= before;
        }
    }

    fn sweep_index(&mut self, memory: &mut Memory, mut index: RetiredIndex, entries_max: usize) {
        let mut left = entries_max as isize;
        while left > 0
            && let Some(slot) = index.slots.get_mut(index.next)
        {
            let before = slot.allocated_bytes();
            let taken = slot.take_table();
            let freed = before - slot.allocated_bytes();
            index.bytes -= freed;
            memory.account.index_bytes -= freed as u64;
            let Some(mut table) = taken else {
                index.next += 1;
                left -= 1;
                continue;
            };
            left -= table.len() as isize;
            let locations: Vec<Location> = table.entries(&self.lines).map(|(_, entry)| entry.location()).collect();
            for location in locations {
                self.sweep_record(memory, location, index.serial);
            }
            table.release(&mut self.lines, memory);
        }
        if index.next < index.slots.len() {
            self.retired.push(Retired::Index(index));
        } else {
            memory.account.index_bytes -= index.bytes as u64;
        }
    }

    fn sweep_record(&mut self, memory: &mut Memory, location: Location, serial: u64) {
        let is_same_segment =
            self.log.segment_if_used(location.segment.index()).is_some_and(|(_, s)| s.serial <= serial);
        let is_live = is_same_segment && self.log.record(location).is_some_and(|record| !record.header().is_dead());
        if is_live {
            self.bury(memory, location);
        }
    }
}
