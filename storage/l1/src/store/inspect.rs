//! Inspect: what tests count again.

use item::Keyspace;

use super::Store;
use super::clear::Retired;
use crate::log::Location;

impl Store {
    pub(crate) fn keyspace_numbers(&self) -> impl Iterator<Item = Keyspace> + use<> {
        (0..self.keyspaces.len() as u16).map(Keyspace)
    }

    /// Slot and location of every entry.
    pub(crate) fn entries(&self, keyspace: Keyspace) -> Vec<(u16, Location)> {
        let Some(index) = self.keyspaces.get(usize::from(keyspace.0)) else { return Vec::new() };
        let of_slot = |(local, slot): (usize, &crate::index::SlotIndex)| {
            let number = self.slots.start + local as u16;
            slot.entries(&self.lines).map(|(_, entry)| (number, entry.location())).collect::<Vec<_>>()
        };
        index.slots.iter().enumerate().flat_map(of_slot).collect()
    }

    pub(crate) fn recount_index(&self, keyspace: Keyspace) -> u64 {
        let index = &self.keyspaces[usize::from(keyspace.0)];
        let slots: usize = index.slots.iter().map(|slot| slot.allocated_bytes()).sum();
        let bytes = crate::allocation::rounded(size_of_val(&*index.slots)) + slots;
        assert_eq!(bytes, index.bytes);
        bytes as u64
    }

    /// Bytes of the segments that hold tables.
    pub(crate) fn lines_bytes(&self) -> u64 {
        self.lines.bytes() as u64
    }

    pub(crate) fn heap_len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn heap_charge_at(&self, location: Location) -> usize {
        self.heap_charge(location)
    }

    /// Bytes still charged for cleared indexes and wheels.
    pub(crate) fn retired_bytes(&self) -> (u64, u64) {
        self.retired.iter().fold((0, 0), |(index_bytes, wheel_bytes), retired| match retired {
            Retired::Index(index) => (index_bytes + index.bytes as u64, wheel_bytes),
            Retired::Rest { wheel, .. } => (index_bytes, wheel_bytes + wheel.bytes() as u64),
        })
    }
}
