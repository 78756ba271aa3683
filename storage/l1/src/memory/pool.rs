//! Pool: the segments that no store uses.
//!
//! Invariants
//! - The lowest free segment is taken first, so the used ones stay close together and huge pages full.
//! - `retained` segments have pages; `empty` ones were given back to the operating system and read as zero.

use std::collections::BTreeMap;

use crate::raw::{Arena, Prefault, SegmentMemory};

pub(super) struct Pool {
    arena: Arena,
    segment_shift: u32,
    /// By address.
    retained: BTreeMap<usize, SegmentMemory>,
    empty: BTreeMap<usize, SegmentMemory>,
    used: u64,
}

impl Pool {
    pub(super) fn new(arena: Arena) -> Pool {
        let segment_shift = arena.segment_bytes().ilog2();
        Pool { arena, segment_shift, retained: BTreeMap::new(), empty: BTreeMap::new(), used: 0 }
    }

    /// Size of a segment, as a power of two.
    #[inline]
    pub(super) fn segment_shift(&self) -> u32 {
        self.segment_shift
    }

    /// See [`Arena::prefault`].
    pub(super) fn prefault(&self, limit_bytes: u64) -> Option<Prefault> {
        self.arena.prefault(usize::try_from(limit_bytes).unwrap_or(usize::MAX))
    }

    #[inline]
    pub(super) fn segment_bytes(&self) -> usize {
        1 << self.segment_shift
    }

    /// Segments with records.
    #[inline]
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Free segments that still have pages.
    #[inline]
    pub(super) fn retained(&self) -> u64 {
        self.retained.len() as u64
    }

    /// A segment for records.
    pub(super) fn take(&mut self) -> Option<SegmentMemory> {
        let segment = self.take_other()?;
        self.used += 1;
        Some(segment)
    }

    /// Takes a segment for records back.
    pub(super) fn give(&mut self, segment: SegmentMemory) {
        self.used -= 1;
        self.give_other(segment);
    }

    /// A segment for something else, which is charged on its own.
    pub(super) fn take_other(&mut self) -> Option<SegmentMemory> {
        let free = self.retained.pop_first().or_else(|| self.empty.pop_first());
        free.map(|(_, segment)| segment).or_else(|| self.arena.carve())
    }

    /// Takes a segment for something else back.
    pub(super) fn give_other(&mut self, segment: SegmentMemory) {
        self.retained.insert(segment.address(), segment);
    }

    /// Empties free segments, highest first, until used and retained ones are `allowed` or `count_max` were emptied.
    pub(super) fn trim(&mut self, allowed: u64, count_max: usize) {
        for _ in 0..count_max {
            if self.used + self.retained() <= allowed {
                return;
            }
            let Some((address, mut segment)) = self.retained.pop_last() else { return };
            segment.discard();
            self.empty.insert(address, segment);
        }
    }
}
