//! Ghost table: fingerprints of what small evicted lately.
//!
//! Entries are four bytes, 16 to a cache line: 22 bits of fingerprint and a stamp of 10, the epoch in which the item
//! was evicted. An epoch lasts until a 128th of the table's size was evicted into it, and the bytes that are still
//! remembered are kept by epoch: when there are more than the size, the oldest epoch is forgotten as a whole. So the
//! table is FIFO to within one epoch, without a queue, and an entry that is taken out makes the others live longer.
//!
//! ```text
//!   31            10 9         0          epoch_bytes: [ 12 ][  9 ][ 12 ][ 11 ][  3 ]
//!  +----------------+-----------+                        ^ oldest              ^ present
//!  | fingerprint 22 | stamp 10  |         stamp 0 marks a free place
//!  +----------------+-----------+
//! ```
//!
//! The table is cut into parts by other hash bits; each part grows by itself, so no insert moves more than one part.
//! Within a part the fingerprint, scaled to the number of lines, names the line: growing needs no other bits.
//!
//! Invariants
//! - An entry of a forgotten epoch is never found, unless nothing cleared it while the stamps went all the way round:
//!   eight sizes of evictions, in which some hundred entries came to its line.
//! - An entry may be lost before: a full line drops its oldest.
//! - False positives are below lines-per-part * 16 / 2^22, about one in four thousand; they send an item to main
//!   unasked.

use crate::allocation::rounded;

const FINGERPRINT_BITS: u32 = 22;
const STAMP_BITS: u32 = 10;
const STAMP_MASK: u32 = (1 << STAMP_BITS) - 1;
/// Stamps go from 1 to this, and round.
const STAMPS: u32 = STAMP_MASK;
/// Epochs in which the size would be evicted, if nothing were taken out.
const SIZE_EPOCHS: u64 = 128;
const PLACES: usize = 16;
/// Entries a part should have when the table is made.
const PART_ENTRIES: usize = 512;
const PARTS_MAX: usize = 1 << 14;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; PLACES]);

#[derive(Default)]
struct Part {
    lines: Vec<Line>,
    /// Entries added since the lines were last counted, plus those counted then.
    len_bound: usize,
}

/// Remembers hashes for a while.
pub(crate) struct Ghost {
    parts: Vec<Part>,
    size_bytes: u64,
    /// Bytes remembered, by stamp.
    epoch_bytes: Box<[u64; STAMPS as usize + 1]>,
    /// Their sum.
    remembered_bytes: u64,
    /// Bytes that were evicted in the present epoch.
    present_bytes: u64,
    window: Window,
    bytes: usize,
}

/// The epochs that are remembered.
#[derive(Clone, Copy)]
struct Window {
    /// Stamp of the present epoch.
    present: u32,
    /// Epochs before it.
    len: u32,
}

impl Ghost {
    /// A table for about `entries` entries that remembers `size_bytes` of evicted items.
    pub(crate) fn new(entries: usize, size_bytes: u64) -> Ghost {
        let part_count = (entries / PART_ENTRIES).next_power_of_two().clamp(1, PARTS_MAX);
        let parts: Vec<Part> = std::iter::repeat_with(Part::default).take(part_count).collect();
        let epoch_bytes = Box::new([0; STAMPS as usize + 1]);
        let bytes = rounded(part_count * size_of::<Part>()) + rounded(size_of_val(&*epoch_bytes));
        let window = Window { present: 1, len: 0 };
        Ghost { parts, size_bytes, epoch_bytes, remembered_bytes: 0, present_bytes: 0, window, bytes }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many evicted bytes it remembers from now on.
    pub(crate) fn set_size(&mut self, size_bytes: u64) {
        self.size_bytes = size_bytes;
    }

    /// Remembers `hash`, of an item of `bytes`.
    pub(crate) fn insert(&mut self, hash: u64, bytes: u64) {
        self.pass(bytes);
        let window = self.window;
        let number = self.part_of(hash);
        let part = &mut self.parts[number];
        if part.len_bound >= part.lines.len() * PLACES * 4 / 5 {
            let before = rounded(part.lines.len() * size_of::<Line>());
            part.recount_or_grow(window);
            self.bytes = self.bytes - before + rounded(part.lines.len() * size_of::<Line>());
        }
        part.insert(fingerprint_of(hash), window);
    }

    /// Whether `hash` is remembered; forgets it, as the item, of `bytes`, is stored again.
    pub(crate) fn take(&mut self, hash: u64, bytes: u64) -> bool {
        let number = self.part_of(hash);
        let Some(stamp) = self.parts[number].take(fingerprint_of(hash), self.window) else { return false };
        // The item may have another size now; an epoch does not remember less than nothing.
        let taken = bytes.min(self.epoch_bytes[stamp as usize]);
        self.epoch_bytes[stamp as usize] -= taken;
        self.remembered_bytes -= taken;
        true
    }

    /// Lets time go on by the bytes of one eviction.
    fn pass(&mut self, bytes: u64) {
        if self.present_bytes >= self.size_bytes / SIZE_EPOCHS {
            self.present_bytes = 0;
            self.window.present = self.window.present % STAMPS + 1;
            self.window.len += 1;
            if self.window.len == STAMPS {
                self.forget_oldest();
            }
        }
        self.present_bytes += bytes;
        self.epoch_bytes[self.window.present as usize] += bytes;
        self.remembered_bytes += bytes;
        // Ends: with one epoch left there is nothing older to forget.
        while self.remembered_bytes > self.size_bytes && self.window.len > 0 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = (self.window.present + STAMPS - 1 - self.window.len) % STAMPS + 1;
        self.remembered_bytes -= std::mem::take(&mut self.epoch_bytes[oldest as usize]);
        self.window.len -= 1;
    }

    fn part_of(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.parts.len() - 1)
    }
}

impl Part {
    fn line_of(&self, fingerprint: u32) -> usize {
        (fingerprint as usize * self.lines.len()) >> FINGERPRINT_BITS
    }

    fn insert(&mut self, fingerprint: u32, window: Window) {
        let line = self.line_of(fingerprint);
        let places = &mut self.lines[line].0;
        let oldest_first = |entry: &u32| u32::MAX - age(*entry, window).unwrap_or(u32::MAX);
        let place = places.iter_mut().min_by_key(|entry| oldest_first(entry)).expect("a line has places");
        *place = (fingerprint << STAMP_BITS) | window.present;
        self.len_bound += 1;
        for entry in places.iter_mut().filter(|entry| age(**entry, window).is_none()) {
            *entry = 0;
        }
    }

    /// Takes an entry out; its stamp.
    fn take(&mut self, fingerprint: u32, window: Window) -> Option<u32> {
        if self.lines.is_empty() {
            return None;
        }
        let line = self.line_of(fingerprint);
        let is_match = |entry: u32| entry >> STAMP_BITS == fingerprint && age(entry, window).is_some();
        let entry = self.lines[line].0.iter_mut().find(|entry| is_match(**entry))?;
        Some(std::mem::take(entry) & STAMP_MASK)
    }

    /// Counts what has not expired, and grows by a sixth if that is still too much for the lines.
    #[cold]
    fn recount_or_grow(&mut self, window: Window) {
        let valid = |lines: &[Line]| {
            lines.iter().flat_map(|line| line.0).filter(|entry| age(*entry, window).is_some()).collect::<Vec<u32>>()
        };
        let entries = valid(&self.lines);
        let fits = entries.len() * 10 < self.lines.len() * PLACES * 7;
        if !fits {
            let count = self.lines.len() + self.lines.len() / 6 + 1;
            self.lines = Vec::with_capacity(count);
            self.lines.resize(count, Line([0; PLACES]));
            for entry in &entries {
                let line = self.line_of(entry >> STAMP_BITS);
                if let Some(place) = self.lines[line].0.iter_mut().find(|place| **place == 0) {
                    *place = *entry;
                }
            }
        }
        self.len_bound = entries.len();
    }
}

/// Epochs since the entry was made, or `None` if it is free or forgotten.
fn age(entry: u32, window: Window) -> Option<u32> {
    let made = entry & STAMP_MASK;
    if made == 0 {
        return None;
    }
    let age = (window.present + STAMPS - made) % STAMPS;
    (age <= window.len).then_some(age)
}

fn fingerprint_of(hash: u64) -> u32 {
    hash as u32 >> (32 - FINGERPRINT_BITS)
}

/// The hash by which the ghost knows an item: what the record and its key can tell without the routing hash.
#[inline]
pub(crate) fn ghost_hash(keyspace: u16, slot: u16, hash_high: u32) -> u64 {
    let seed = (u64::from(keyspace) << 48) | (u64::from(slot) << 32) | u64::from(hash_high);
    // Finaliser of SplitMix64: every output bit depends on every input bit.
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(id: u32) -> u64 {
        ghost_hash(0, (id % 16384) as u16, id.wrapping_mul(0x9E37_79B1))
    }

    #[test]
    fn entry_is_found_once_within_its_reach_and_not_beyond() {
        for entries in [10usize, 1000, 50_000] {
            let mut ghost = Ghost::new(entries, entries as u64 * 100);
            let total = entries as u32 * 3;
            for id in 0..total {
                ghost.insert(hash(id), 100);
            }
            // Size 0: what is taken does not make the others live longer.
            let found = (0..total).filter(|id| ghost.take(hash(*id), 0)).count();
            let expected = entries as f64;
            assert!((found as f64) > expected * 0.97 && (found as f64) < expected * 1.01 + 2.0, "{found} of {entries}");
            assert_eq!((0..total).filter(|id| ghost.take(hash(*id), 0)).count(), 0);
        }
    }

    #[test]
    fn room_of_taken_entries_goes_to_others() {
        let mut ghost = Ghost::new(1000, 1000);
        for id in 0..1000 {
            ghost.insert(hash(id), 1);
        }
        // Half of them leave; so the other half outlives 500 more than the size.
        for id in (0..1000).step_by(2) {
            ghost.take(hash(id), 1);
        }
        for id in 1000..1300 {
            ghost.insert(hash(id), 1);
        }
        let old = (1..1000).step_by(2).filter(|id| ghost.take(hash(*id), 0)).count();
        assert!(old > 450, "{old}");
    }

    #[test]
    fn bytes_per_entry_stay_below_eight() {
        let mut ghost = Ghost::new(20_000, 100_000 * 64);
        for id in 0..300_000 {
            ghost.insert(hash(id), 64);
        }
        assert!(ghost.bytes() < 100_000 * 8, "{}", ghost.bytes());
    }

    #[test]
    fn false_positives_are_rare() {
        let mut ghost = Ghost::new(50_000, 50_000);
        for id in 0..100_000 {
            ghost.insert(hash(id), 1);
        }
        let wrong = (1_000_000..1_100_000).filter(|id| ghost.take(hash(*id), 0)).count();
        assert!(wrong < 200, "{wrong}");
    }
}
