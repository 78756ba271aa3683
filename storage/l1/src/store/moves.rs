//! Moves: what reclaim does to a store, record by record.
//!
//! Invariants
//! - A record that is not dead and not cleared has an index entry that names its location.

use item::{Keyspace, Record};

use super::{Cause, Departure, Store};
use crate::index::Position;
use crate::log::{ChainId, Location, SegmentNumber, Stream};
use crate::memory::{Memory, Purpose};

/// A live record and its index entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) keyspace: u16,
    pub(crate) slot: u16,
    pub(crate) hash_high: u32,
    pub(crate) frequency: u8,
    pub(crate) chain: ChainId,
    /// Record and heap value.
    pub(crate) weight: u64,
    pub(crate) location: Location,
    pub(crate) expires_at_ms: Option<u64>,
    position: Position,
}

/// What a walk over a segment finds next.
pub(crate) enum Find {
    /// A live record, and where the one after it starts.
    Live(Located, u32),
    /// Nothing live; where to go on.
    Skip(u32),
    /// Everything was seen.
    End,
}

impl Store {
    /// Looks at the record that starts at `unit`. Records that were cleared are marked dead on the way.
    pub(crate) fn walk(&mut self, memory: &mut Memory, number: SegmentNumber, unit: u32) -> Find {
        let segment = self.log.segment(number);
        if unit * 8 >= segment.write_offset {
            return Find::End;
        }
        let (chain, serial) = (segment.chain, segment.serial);
        let location = Location { segment: number, unit };
        let record = self.log.record(location).expect("records follow each other up to the write offset");
        let next = unit + u32::from(record.span().units());
        if record.header().is_dead() {
            return Find::Skip(next);
        }
        if self.is_cleared(record.keyspace(), serial) {
            self.bury(memory, location);
            return Find::Skip(next);
        }
        Find::Live(self.locate(record, chain, location), next)
    }

    /// Copies a record to another segment and patches its entry; false if no segment could be had.
    pub(crate) fn relocate(
        &mut self,
        memory: &mut Memory,
        located: &Located,
        chain: ChainId,
        stream: Stream,
        frequency: u8,
    ) -> bool {
        let span = self.log.record(located.location).expect("it was located").span();
        let Some(to) = self.log.append(memory, chain, stream, span, Purpose::Copy) else { return false };
        self.log.copy(located.location, to);
        if chain != located.chain {
            let heap = located.weight as usize - span.bytes();
            self.remove_heap(memory, located.chain, heap);
            self.add_heap(memory, chain, heap);
        }
        self.log.kill(memory, located.location);
        let local = usize::from(located.slot - self.slots.start);
        let table = self.keyspaces[usize::from(located.keyspace)].slots[local].table(located.hash_high);
        let entry = table.entry(&self.lines, located.position).moved(to, frequency);
        table.replace(&mut self.lines, located.position, entry);
        true
    }

    /// Removes a located record, and tells.
    pub(crate) fn depart_located(
        &mut self,
        memory: &mut Memory,
        located: &Located,
        cause: Cause,
        departed: &mut dyn FnMut(Departure<'_>),
    ) {
        let record = self.log.record(located.location).expect("it was located");
        departed(Departure { key: record.key(), keyspace: Keyspace(located.keyspace), slot: located.slot, cause });
        let Located { keyspace, slot, hash_high, position, location, .. } = *located;
        self.remove_entry(memory, keyspace, slot, hash_high, position, location);
    }

    /// Items in all keyspaces.
    pub(crate) fn total_len(&self) -> u64 {
        self.keyspaces.iter().map(|index| index.len).sum()
    }

    fn locate(&self, record: Record<'_>, chain: ChainId, location: Location) -> Located {
        let (keyspace, hash_high) = (record.keyspace(), record.hash_high());
        let slot = (self.slot_of)(record.key());
        let local = usize::from(slot.wrapping_sub(self.slots.start));
        let index = &self.keyspaces[usize::from(keyspace.0)];
        let table = index.slots[local].table(hash_high);
        let position = table
            .find(&self.lines, hash_high, |entry| entry.location() == location)
            .expect("a live record has an entry");
        Located {
            keyspace: keyspace.0,
            slot,
            hash_high,
            frequency: table.entry(&self.lines, position).frequency(),
            chain,
            weight: (record.span().bytes() + self.heap_charge(location)) as u64,
            location,
            expires_at_ms: record.expires_at_ms(),
            position,
        }
    }
}
