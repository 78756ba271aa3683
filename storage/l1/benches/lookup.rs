//! Lookup: random lookups in 10 million items, one at a time and in batches of 16 with both prefetch stages, and the
//! index against a `hashbrown::HashTable<u64>` per slot over the same records: the gate of the bucket index is 10 %
//! more lookups or 3 bytes less per item.
//!
//! `cargo bench -p pinion-l1 --bench lookup [-- ITEMS]`
#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench reads the clock")]

#[allow(dead_code, reason = "each bench uses a part")]
mod core;

use std::hint::black_box;
use std::time::Instant;

use self::core::{Core, KEY_BYTES, SLOT_COUNT, VALUE_BYTES, key, key_bytes, next_random, place_of};
use hashbrown::HashTable;
use item::{Draft, Keyspace, Kind, Place, Record};
use l1::raw::{Arena, SegmentMemory};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 16;
const LOOKUPS: usize = 4_000_000;
const ROUNDS: usize = 5;

fn main() {
    let items = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(10_000_000);
    let mut core = Core::new(items * 180 + (256 << 20));
    let mut baseline = Baseline::new(items as usize);
    let value = [b'v'; VALUE_BYTES];
    for number in 0..items {
        let bytes = key_bytes(number);
        let place = place_of(&bytes);
        core.put(&key(&bytes, place), &value);
        baseline.insert(&bytes, place, &value);
    }
    println!(
        "{items} items; index {:.2} B per item, hashbrown per slot {:.2} B",
        core.memory.usage().index_bytes as f64 / items as f64,
        baseline.index_bytes() as f64 / items as f64
    );
    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 0..ROUNDS as u64 {
        let seed = round + 1;
        rates[0].push(rate(seed, items, |batch| one_at_a_time(&mut core, batch)));
        rates[1].push(rate(seed, items, |batch| batched(&mut core, batch)));
        rates[2].push(rate(seed, items, |batch| baseline.one_at_a_time(batch)));
        rates[3].push(rate(seed, items, |batch| baseline.batched(batch)));
        rates[4].push(rate(seed, items, |batch| overwrite(&mut core, batch)));
    }
    let medians = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    let names = [
        "one at a time",
        "batches of 16",
        "hashbrown one at a time",
        "hashbrown batches of 16",
        "overwrite in batches",
    ];
    for (name, rate) in names.iter().zip(medians) {
        println!("{name:<26} {rate:>7.2} million/s");
    }
    println!(
        "batch gain {:.2}, over hashbrown one at a time {:.2}, in batches {:.2}",
        medians[1] / medians[0],
        medians[0] / medians[2],
        medians[1] / medians[3]
    );
}

/// Millions of keys per second that `run` handles in batches; making the keys is not counted.
fn rate(seed: u64, items: u64, mut run: impl FnMut(&[([u8; KEY_BYTES], Place)]) -> usize) -> f64 {
    let mut state = seed;
    let keys: Vec<([u8; KEY_BYTES], Place)> = (0..LOOKUPS)
        .map(|_| {
            let bytes = key_bytes(next_random(&mut state) % items);
            (bytes, place_of(&bytes))
        })
        .collect();
    let start = Instant::now();
    let found: usize = keys.chunks(BATCH).map(&mut run).sum();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(black_box(found), LOOKUPS, "every key is there");
    LOOKUPS as f64 / seconds / 1e6
}

fn one_at_a_time(core: &mut Core, batch: &[([u8; KEY_BYTES], Place)]) -> usize {
    let hit = |(bytes, place): &([u8; KEY_BYTES], Place)| {
        let store = &mut core.stores[Core::store_of(place.slot)];
        store.get(&key(bytes, *place), 1).is_some_and(|item| item.value.bytes()[VALUE_BYTES - 1] == b'v')
    };
    batch.iter().map(hit).filter(|hit| *hit).count()
}

fn batched(core: &mut Core, batch: &[([u8; KEY_BYTES], Place)]) -> usize {
    prefetch(core, batch);
    one_at_a_time(core, batch)
}

fn overwrite(core: &mut Core, batch: &[([u8; KEY_BYTES], Place)]) -> usize {
    prefetch(core, batch);
    for (bytes, place) in batch {
        core.put(&key(bytes, *place), &[b'v'; VALUE_BYTES]);
    }
    batch.len()
}

fn prefetch(core: &Core, batch: &[([u8; KEY_BYTES], Place)]) {
    for (_, place) in batch {
        core.stores[Core::store_of(place.slot)].prefetch_slot(Keyspace(0), *place);
    }
    for (_, place) in batch {
        core.stores[Core::store_of(place.slot)].prefetch_bucket(Keyspace(0), *place);
    }
    for (_, place) in batch {
        core.stores[Core::store_of(place.slot)].prefetch_record(Keyspace(0), *place);
    }
}

/// hashbrown takes the bucket from the low bits and the tag from the high ones: both from the record's 32.
#[inline]
fn spread(hash_high: u32) -> u64 {
    u64::from(hash_high) << 32 | u64::from(hash_high)
}

/// The same records in huge pages as well, indexed by a hashbrown table of places per slot.
struct Baseline {
    arena: Arena,
    segments: Vec<SegmentMemory>,
    write_offset: usize,
    tables: Vec<HashTable<u64>>,
}

const SEGMENT_BYTES: usize = 2 << 20;

impl Baseline {
    fn new(items: usize) -> Baseline {
        let tables = std::iter::repeat_with(HashTable::new).take(usize::from(SLOT_COUNT)).collect();
        let arena = Arena::new(items * 96 + 64 * SEGMENT_BYTES, SEGMENT_BYTES).expect("address space is there");
        Baseline { arena, segments: Vec::new(), write_offset: SEGMENT_BYTES, tables }
    }

    fn insert(&mut self, bytes: &[u8], place: Place, value: &[u8]) {
        let draft = Draft {
            key: key(bytes, place),
            kind: Kind::Inline,
            value,
            expires_at_ms: None,
            flags: 0,
            cas: None,
            version: None,
        };
        let span = draft.bytes().next_multiple_of(8);
        if self.write_offset + span > SEGMENT_BYTES {
            self.segments.push(self.arena.carve().expect("the arena is large enough"));
            self.write_offset = 0;
        }
        let segment = self.segments.len() - 1;
        draft.encode(&mut self.segments[segment][self.write_offset..]).expect("there is room");
        // 16 tag bits and the place, as the design's slot: growing reads the hash from the record.
        let at = (segment * SEGMENT_BYTES + self.write_offset) as u64 / 8;
        self.write_offset += span;
        let entry = (place.hash >> 48 << 48) | at;
        let segments = &self.segments;
        self.tables[usize::from(place.slot)].insert_unique(spread(place.hash_high()), entry, |entry| {
            spread(Self::record(segments, *entry).hash_high())
        });
    }

    fn index_bytes(&self) -> usize {
        let own = self.tables.len() * size_of::<HashTable<u64>>();
        own + self.tables.iter().map(HashTable::allocation_size).sum::<usize>()
    }

    fn record(segments: &[SegmentMemory], entry: u64) -> Record<'_> {
        let at = (entry & 0xFFFF_FFFF_FFFF) as usize * 8;
        Record::parse(&segments[at / SEGMENT_BYTES][at % SEGMENT_BYTES..]).expect("entries name records")
    }

    fn one_at_a_time(&self, batch: &[([u8; KEY_BYTES], Place)]) -> usize {
        let hit = |(bytes, place): &&([u8; KEY_BYTES], Place)| {
            let found = self.tables[usize::from(place.slot)].find(spread(place.hash_high()), |entry| {
                entry >> 48 == place.hash >> 48 && Self::record(&self.segments, *entry).key() == bytes
            });
            found.is_some_and(|entry| Self::record(&self.segments, *entry).value()[VALUE_BYTES - 1] == b'v')
        };
        batch.iter().filter(hit).count()
    }

    /// The tag compare of the first stage brings table and records in, as far as hashbrown lets a caller do that.
    fn batched(&self, batch: &[([u8; KEY_BYTES], Place)]) -> usize {
        let mut candidates = [0u64; BATCH];
        for ((_, place), candidate) in batch.iter().zip(&mut candidates) {
            let found = self.tables[usize::from(place.slot)]
                .find(spread(place.hash_high()), |entry| entry >> 48 == place.hash >> 48);
            *candidate = found.copied().unwrap_or(0);
        }
        let header = |entry: &u64| {
            let at = (entry & 0xFFFF_FFFF_FFFF) as usize * 8;
            self.segments[at / SEGMENT_BYTES][at % SEGMENT_BYTES]
        };
        let headers: u8 = candidates.iter().map(header).fold(0, |all, byte| all ^ byte);
        black_box(headers);
        self.one_at_a_time(batch)
    }
}
