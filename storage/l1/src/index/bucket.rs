//! Bucket: seven entries in one cache line.
//!
//! ```text
//!  byte 0      6 7          8         16                       64
//!  +-----------+----------+---------+---------+-----+---------+
//!  | 7 tags    | passed   | entry 0 | entry 1 | ... | entry 6 |
//!  +-----------+----------+---------+---------+-----+---------+
//! ```
//! A tag is the low byte of the item's 32 hash bits, with 0 replaced by 1; tag 0 marks a free lane.
//!
//! `passed` counts the items whose home is this bucket or an earlier one and that lie in a later one: a search that
//! finds nothing here may stop when it is 0. At 255 it sticks, until the table is rebuilt.
//!
//! Absent on purpose: the memory. A bucket is a line of [`Lines`](super::lines::Lines).

use crate::raw::Line;

/// Entries in one bucket.
pub(crate) const LANES: usize = 7;

const TAG_MASK: u64 = 0x00FF_FFFF_FFFF_FFFF;
const LOW: u64 = 0x0001_0101_0101_0101;
const LOW_SEVEN: u64 = 0x007F_7F7F_7F7F_7F7F;
const HIGH: u64 = 0x0080_8080_8080_8080;
const PASSED_SHIFT: u32 = 56;
const PASSED_STUCK: u64 = 255;

/// One cache line of the index.
pub(crate) type Bucket = Line;

const TAGS: usize = 0;
const FIRST: usize = 1;
const _: () = assert!(FIRST + LANES == 8);

/// The lanes of a bucket that something holds for, lowest first.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lane = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

/// The tag of a hash: never 0.
#[inline]
pub(crate) fn tag_of(hash_high: u32) -> u8 {
    (hash_high as u8).max(1)
}

impl Bucket {
    #[cfg(test)]
    pub(crate) const EMPTY: Bucket = Line([0; 8]);

    /// Lanes with this tag.
    #[inline]
    pub(crate) fn matching(&self, tag: u8) -> Lanes {
        zero_bytes(self.0[TAGS] ^ (LOW * u64::from(tag)))
    }

    /// Lanes that hold nothing.
    #[inline]
    pub(crate) fn free(&self) -> Lanes {
        zero_bytes(self.0[TAGS])
    }

    /// Lanes that hold an entry.
    #[inline]
    pub(crate) fn occupied(&self) -> Lanes {
        Lanes(zero_bytes(self.0[TAGS]).0 ^ HIGH)
    }

    #[inline]
    pub(crate) fn entry(&self, lane: usize) -> u64 {
        self.0[FIRST + lane]
    }

    #[inline]
    pub(crate) fn tag(&self, lane: usize) -> u8 {
        (self.0[TAGS] >> (lane * 8)) as u8
    }

    #[inline]
    pub(crate) fn replace(&mut self, lane: usize, entry: u64) {
        self.0[FIRST + lane] = entry;
    }

    #[inline]
    pub(crate) fn fill(&mut self, lane: usize, tag: u8, entry: u64) {
        debug_assert!(tag != 0 && self.tag(lane) == 0);
        self.0[TAGS] |= u64::from(tag) << (lane * 8);
        self.0[FIRST + lane] = entry;
    }

    #[inline]
    pub(crate) fn empty(&mut self, lane: usize) {
        self.0[TAGS] &= !(0xFF << (lane * 8));
    }

    /// Whether an item that was looked for here may lie further on.
    #[inline]
    pub(crate) fn was_passed(&self) -> bool {
        self.0[TAGS] >> PASSED_SHIFT != 0
    }

    #[inline]
    pub(crate) fn add_passed(&mut self) {
        if self.0[TAGS] >> PASSED_SHIFT != PASSED_STUCK {
            self.0[TAGS] += 1 << PASSED_SHIFT;
        }
    }

    #[inline]
    pub(crate) fn remove_passed(&mut self) {
        let passed = self.0[TAGS] >> PASSED_SHIFT;
        debug_assert!(passed != 0, "an item that passed this bucket was counted");
        if passed != PASSED_STUCK {
            self.0[TAGS] -= 1 << PASSED_SHIFT;
        }
    }
}

/// The high bit of every tag byte that is zero, exactly: adding 0x7F to the low seven bits carries out of no byte.
#[inline]
fn zero_bytes(tags: u64) -> Lanes {
    let tags = tags & TAG_MASK;
    let nonzero = ((tags & LOW_SEVEN) + LOW_SEVEN) | tags;
    Lanes(!nonzero & HIGH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_is_exact_for_every_tag_in_every_lane() {
        for lane in 0..LANES {
            for tag in 1..=255u8 {
                let mut bucket = Bucket::EMPTY;
                for other in 0..LANES {
                    bucket.fill(other, if other == lane { tag } else { tag.wrapping_add(1).max(1) }, other as u64);
                }
                bucket.add_passed();
                let expected: Vec<usize> = (0..LANES).filter(|other| bucket.tag(*other) == tag).collect();
                assert_eq!(bucket.matching(tag).collect::<Vec<_>>(), expected);
                assert_eq!(bucket.free().count(), 0);
                assert_eq!(bucket.occupied().count(), LANES);
            }
        }
    }

    #[test]
    fn emptied_lane_is_free_again() {
        let mut bucket = Bucket::EMPTY;
        bucket.fill(3, 9, 77);
        assert_eq!(bucket.occupied().collect::<Vec<_>>(), [3]);
        assert_eq!(bucket.entry(3), 77);
        bucket.empty(3);
        assert_eq!(bucket.free().count(), LANES);
    }

    #[test]
    fn passed_count_sticks_at_its_maximum() {
        let mut bucket = Bucket::EMPTY;
        for _ in 0..300 {
            bucket.add_passed();
        }
        for _ in 0..300 {
            bucket.remove_passed();
        }
        assert!(bucket.was_passed());
    }
}
