//! Segment: an append-only run of records.
//!
//! ```text
//!            full, or reclaimed early            live_bytes = 0
//!   [open] ---------------------------> [sealed] --------------> memory given back
//! ```
//! There is no way back to open: a walk over a sealed segment sees every record it will ever have.
//!
//! Invariants
//! - `write_offset` only grows.
//! - Only an overwrite of equal span, a deadline in place, or a dead mark touches a sealed segment.
//!
//! Absent on purpose: locks. A segment belongs to one store, and that to one core at a time.

use item::Span;

use super::ChainId;

/// A segment of one store. Numbers are reused; the serial tells two lives apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SegmentNumber(pub(crate) u32);

impl SegmentNumber {
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a record starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Location {
    pub(crate) segment: SegmentNumber,
    /// Offset in the segment, in units of 8 bytes.
    pub(crate) unit: u32,
}

impl Location {
    #[inline]
    pub(crate) fn offset(self) -> usize {
        self.unit as usize * 8
    }
}

/// Whether a segment takes appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    Sealed,
}

/// When the first and the last record of a segment were written, by the clock of upkeep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    /// Unix seconds.
    pub(crate) first_s: u32,
    /// Unix seconds.
    pub(crate) last_s: u32,
}

impl Written {
    /// The span of time that covers both.
    fn and(self, other: Written) -> Written {
        Written { first_s: self.first_s.min(other.first_s), last_s: self.last_s.max(other.last_s) }
    }
}

/// What is known of a segment besides its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Unique on the core; later ones are higher.
    pub(crate) serial: u64,
    /// Place in the FIFO order: the serial at opening, or that of the first victim of a survivor segment.
    pub(crate) age: u64,
    pub(crate) chain: ChainId,
    /// Bytes written so far.
    pub(crate) write_offset: u32,
    /// Bytes of records that are not dead.
    pub(crate) live_bytes: u32,
    pub(crate) state: State,
    pub(crate) written: Written,
}

impl Segment {
    /// Notes a record that is written now.
    #[inline]
    pub(crate) fn note_write(&mut self, now_s: u32) {
        self.written.last_s = now_s;
    }

    /// Notes a record from another segment.
    pub(crate) fn note_survivor(&mut self, written: Written) {
        self.written = self.written.and(written);
    }

    /// About when the record at `unit` was written, in Unix seconds: as if all had been written at one pace.
    pub(crate) fn written_s(&self, unit: u32) -> u64 {
        let Written { first_s, last_s } = self.written;
        let passed_s = u64::from(last_s.saturating_sub(first_s));
        u64::from(first_s) + passed_s * u64::from(unit) * 8 / u64::from(self.write_offset.max(1))
    }

    #[inline]
    pub(crate) fn has_room(&self, span: Span, segment_bytes: usize) -> bool {
        self.write_offset as usize + span.bytes() <= segment_bytes
    }

    /// What reclaim would win: the rest of the last record's room is lost again in the copy, so it does not count.
    pub(crate) fn dead_bytes(&self) -> usize {
        (self.write_offset - self.live_bytes) as usize
    }
}
