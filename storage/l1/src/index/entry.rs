//! Entry: the eight bytes by which the index knows an item.
//!
//! ```text
//!   63          42 41          20 19           2 1    0
//!  +--------------+--------------+--------------+------+
//!  |   hash, 22   | segment, 22  |  offset, 18  | freq |
//!  +--------------+--------------+--------------+------+
//! ```
//! The hash bits are the top 22 of the 32 that the record keeps; the tag in the bucket has the lowest 8 of them.

use crate::log::{Location, SegmentNumber};

/// Bits of the hash that an entry keeps.
pub(crate) const HASH_BITS: u32 = 22;
/// The highest count of uses.
pub(crate) const FREQUENCY_MAX: u8 = 3;

const FREQUENCY_MASK: u64 = 0x3;
const OFFSET_SHIFT: u32 = 2;
const OFFSET_BITS: u32 = 18;
const SEGMENT_SHIFT: u32 = OFFSET_SHIFT + OFFSET_BITS;
const SEGMENT_BITS: u32 = 22;
const HASH_SHIFT: u32 = SEGMENT_SHIFT + SEGMENT_BITS;

const _: () = assert!(HASH_SHIFT + HASH_BITS == 64);

/// Most segments that one store can have.
pub(crate) const SEGMENT_COUNT_MAX: u32 = 1 << SEGMENT_BITS;
/// Largest segment: what the offset, in units of 8 bytes, can reach.
pub(crate) const SEGMENT_BYTES_MAX: usize = 8 << OFFSET_BITS;

/// One item of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry(u64);

impl Entry {
    #[inline]
    pub(crate) fn new(hash_high: u32, location: Location, frequency: u8) -> Entry {
        debug_assert!(frequency <= FREQUENCY_MAX && location.segment.0 < SEGMENT_COUNT_MAX);
        Entry(
            (u64::from(hash_high) >> (32 - HASH_BITS) << HASH_SHIFT)
                | (u64::from(location.segment.0) << SEGMENT_SHIFT)
                | (u64::from(location.unit) << OFFSET_SHIFT)
                | u64::from(frequency),
        )
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Entry {
        Entry(bits)
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The 22 hash bits, in the place they have in the 32; the lower 10 are zero.
    #[inline]
    pub(crate) fn hash_high(self) -> u32 {
        ((self.0 >> HASH_SHIFT) as u32) << (32 - HASH_BITS)
    }

    #[inline]
    pub(crate) fn location(self) -> Location {
        Location {
            segment: SegmentNumber((self.0 >> SEGMENT_SHIFT) as u32 & (SEGMENT_COUNT_MAX - 1)),
            unit: (self.0 >> OFFSET_SHIFT) as u32 & ((1 << OFFSET_BITS) - 1),
        }
    }

    #[inline]
    pub(crate) fn frequency(self) -> u8 {
        (self.0 & FREQUENCY_MASK) as u8
    }

    /// Counts one use more; saturates.
    #[inline]
    pub(crate) fn used(self) -> Entry {
        if self.0 & FREQUENCY_MASK == FREQUENCY_MASK { self } else { Entry(self.0 + 1) }
    }

    /// The same item elsewhere.
    #[inline]
    pub(crate) fn moved(self, location: Location, frequency: u8) -> Entry {
        Entry::new(self.hash_high(), location, frequency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_back() {
        for (hash, segment, unit, frequency) in [
            (0, 0, 0, 0),
            (u32::MAX, SEGMENT_COUNT_MAX - 1, (1 << OFFSET_BITS) - 1, FREQUENCY_MAX),
            (0x8000_0400, 1, 5, 2),
        ] {
            let location = Location { segment: SegmentNumber(segment), unit };
            let entry = Entry::new(hash, location, frequency);
            assert_eq!(entry.location(), location);
            assert_eq!(entry.frequency(), frequency);
            assert_eq!(entry.hash_high(), hash & 0xFFFF_FC00);
            assert_eq!(Entry::from_bits(entry.bits()), entry);
        }
    }

    #[test]
    fn use_count_saturates() {
        let mut entry = Entry::new(1 << 31, Location { segment: SegmentNumber(3), unit: 9 }, 0);
        for expected in [1, 2, 3, 3] {
            entry = entry.used();
            assert_eq!(entry.frequency(), expected);
            assert_eq!(entry.location().unit, 9);
        }
    }
}
