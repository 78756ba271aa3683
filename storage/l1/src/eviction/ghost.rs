//! Ghost table: fingerprints of what small evicted lately.
//!
//! Entries are four bytes, 16 to a cache line: 20 bits of fingerprint and 12 of a coarse stamp. The stamp counts the
//! bytes that were evicted into the table, in steps of a 1024th of its reach, so an entry expires when as many bytes
//! followed it as the cache may hold (times nine tenths): FIFO order without a queue.
//!
//! ```text
//!   31            12 11        0
//!  +----------------+-----------+
//!  | fingerprint 20 | stamp 12  |     stamp 0 marks a free place
//!  +----------------+-----------+
//! ```
//!
//! The table is cut into parts by other hash bits; each part grows by itself, so no insert moves more than one part.
//! Within a part the fingerprint, scaled to the number of lines, names the line: growing needs no other bits.
//!
//! Invariants
//! - An entry is never found after its reach; it may be lost before (a full line drops its oldest entry).
//! - False positives are below lines-per-part * 16 / 2^20, about one in a thousand; they send an item to main unasked.

use crate::allocation::rounded;

const FINGERPRINT_BITS: u32 = 20;
const STAMP_BITS: u32 = 12;
const STAMP_MASK: u32 = (1 << STAMP_BITS) - 1;
/// Stamps in use at once: a quarter of what 12 bits can tell apart, so that an entry that nothing cleared since is not
/// taken for a young one before the stamps went round three more times.
const REACH_STEPS: u32 = 1024;
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
    /// Bytes evicted into the table so far.
    clock: u64,
    /// Bytes that one step of the stamp stands for.
    step_bytes: u64,
    bytes: usize,
}

impl Ghost {
    /// A table for about `entries` entries that remembers each until `reach_bytes` more were evicted.
    pub(crate) fn new(entries: usize, reach_bytes: u64) -> Ghost {
        let part_count = (entries / PART_ENTRIES).next_power_of_two().clamp(1, PARTS_MAX);
        let parts: Vec<Part> = std::iter::repeat_with(Part::default).take(part_count).collect();
        let bytes = rounded(part_count * size_of::<Part>());
        let mut ghost = Ghost { parts, clock: 0, step_bytes: 1, bytes };
        ghost.set_reach(reach_bytes);
        ghost
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many evicted bytes an entry outlives. Changing it keeps the entries, with ages scaled alike.
    pub(crate) fn set_reach(&mut self, reach_bytes: u64) {
        let step = (reach_bytes / u64::from(REACH_STEPS)).max(1);
        // Small changes are not worth a division for every eviction.
        if step.abs_diff(self.step_bytes) * 32 <= self.step_bytes {
            return;
        }
        // The clock in steps stays what it is, so no stamp jumps.
        self.clock = (u128::from(self.clock) * u128::from(step) / u128::from(self.step_bytes)) as u64;
        self.step_bytes = step;
    }

    /// Remembers `hash`, of an item of `bytes`.
    pub(crate) fn insert(&mut self, hash: u64, bytes: u64) {
        self.clock += bytes;
        let stamp = self.stamp();
        let number = self.part_of(hash);
        let part = &mut self.parts[number];
        if part.len_bound >= part.lines.len() * PLACES * 4 / 5 {
            let before = rounded(part.lines.len() * size_of::<Line>());
            part.recount_or_grow(stamp);
            self.bytes = self.bytes - before + rounded(part.lines.len() * size_of::<Line>());
        }
        part.insert(fingerprint_of(hash), stamp);
    }

    /// Whether `hash` is remembered; forgets it, as the item is stored again.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        let stamp = self.stamp();
        let number = self.part_of(hash);
        self.parts[number].take(fingerprint_of(hash), stamp)
    }

    fn part_of(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.parts.len() - 1)
    }

    /// The present stamp: 1 to 4095, going round.
    fn stamp(&self) -> u32 {
        (self.clock / self.step_bytes % u64::from(STAMP_MASK)) as u32 + 1
    }
}

impl Part {
    fn line_of(&self, fingerprint: u32) -> usize {
        (fingerprint as usize * self.lines.len()) >> FINGERPRINT_BITS
    }

    fn insert(&mut self, fingerprint: u32, stamp: u32) {
        let line = self.line_of(fingerprint);
        let places = &mut self.lines[line].0;
        let oldest_first = |entry: &u32| u32::MAX - age(*entry, stamp).unwrap_or(u32::MAX);
        let place = places.iter_mut().min_by_key(|entry| oldest_first(entry)).expect("a line has places");
        *place = (fingerprint << STAMP_BITS) | stamp;
        self.len_bound += 1;
        for entry in places.iter_mut().filter(|entry| age(**entry, stamp).is_none()) {
            *entry = 0;
        }
    }

    fn take(&mut self, fingerprint: u32, stamp: u32) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        let line = self.line_of(fingerprint);
        let is_match = |entry: u32| entry >> STAMP_BITS == fingerprint && age(entry, stamp).is_some();
        match self.lines[line].0.iter_mut().find(|entry| is_match(**entry)) {
            Some(entry) => {
                *entry = 0;
                true
            }
            None => false,
        }
    }

    /// Counts what has not expired, and grows by a sixth if that is still too much for the lines.
    #[cold]
    fn recount_or_grow(&mut self, stamp: u32) {
        let valid = |lines: &[Line]| {
            lines.iter().flat_map(|line| line.0).filter(|entry| age(*entry, stamp).is_some()).collect::<Vec<u32>>()
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

/// Steps since the entry was made, or `None` if it is free or beyond its reach.
fn age(entry: u32, stamp: u32) -> Option<u32> {
    let made = entry & STAMP_MASK;
    if made == 0 {
        return None;
    }
    let age = (stamp + STAMP_MASK - made) % STAMP_MASK;
    (age <= REACH_STEPS).then_some(age)
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
            let found = (0..total).filter(|id| ghost.take(hash(*id))).count();
            let expected = entries as f64;
            assert!((found as f64) > expected * 0.97 && (found as f64) < expected * 1.01 + 2.0, "{found} of {entries}");
            assert_eq!((0..total).filter(|id| ghost.take(hash(*id))).count(), 0);
        }
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
        let wrong = (1_000_000..1_100_000).filter(|id| ghost.take(hash(*id))).count();
        assert!(wrong < 200, "{wrong}");
    }
}
