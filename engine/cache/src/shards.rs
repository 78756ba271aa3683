//! Shards: all items of a core, by key, and the memory that they share.
//!
//! Invariants
//! - Slot `s` belongs to shard `s * shard_count / 16384`: fixed ranges, so the SCAN cursor's order is also shard order.
//! - Every change goes through `commit`, and whoever grows pays its share of reclaim at once.
//! - Each database is one keyspace at any time, and no two databases share one.

use std::io;

use item::{Key, Keyspace, Place};
use l1::{Budget, Cause, Departure, Item, Memory, MemoryOptions, NoRoom};

use crate::clients::DATABASE_COUNT;
use crate::route::{self, SLOT_COUNT};
use crate::shard::{Change, Shard};
use crate::statistics::Statistics;

/// All shards of a core.
pub(crate) struct Shards {
    shards: Vec<Shard>,
    memory: Memory,
    seed: u64,
    /// The keyspace of each database.
    databases: [Keyspace; DATABASE_COUNT],
    /// Departures of one upkeep step; empty between steps. Kept for its allocation.
    departed: Vec<Departed>,
}

/// An item that left by itself.
struct Departed {
    shard: usize,
    slot: u16,
    cause: Cause,
}

impl Shards {
    /// `count` empty shards over one memory.
    pub fn new(count: usize, seed: u64, memory: MemoryOptions) -> io::Result<Shards> {
        assert!((1..=usize::from(SLOT_COUNT)).contains(&count), "a shard owns at least one slot");
        let first_slot = |shard: usize| (shard * usize::from(SLOT_COUNT)).div_ceil(count) as u16;
        Ok(Shards {
            shards: (0..count).map(|i| Shard::new(first_slot(i)..first_slot(i + 1))).collect(),
            memory: Memory::new(memory)?,
            seed,
            databases: std::array::from_fn(|database| Keyspace(database as u16)),
            departed: Vec::new(),
        })
    }

    /// Where `key` lives.
    #[inline]
    pub fn place(&self, key: &[u8]) -> Place {
        route::place(self.seed, key)
    }

    /// The keyspace that is database `database` now.
    #[inline]
    pub fn keyspace(&self, database: usize) -> Keyspace {
        self.databases[database]
    }

    /// Starts to fetch the index line of a key.
    #[inline]
    pub fn prefetch_bucket(&self, keyspace: Keyspace, place: Place) {
        self.shard(place.slot).store().prefetch_bucket(keyspace, place);
    }

    /// Starts to fetch the record of a key, given that its index line has arrived.
    #[inline]
    pub fn prefetch_record(&self, keyspace: Keyspace, place: Place) {
        self.shard(place.slot).store().prefetch_record(keyspace, place);
    }

    /// The item of `key`; this counts as a use.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>, now_ms: u64) -> Option<Item<'_>> {
        self.shard_mut(key.place.slot).store_mut().get(key, now_ms)
    }

    /// The item of `key`, without counting a use.
    #[inline]
    pub fn peek(&self, key: &Key<'_>, now_ms: u64) -> Option<Item<'_>> {
        self.shard(key.place.slot).store().peek(key, now_ms)
    }

    /// Applies a change; true if an item changed.
    #[inline]
    pub fn commit(&mut self, change: Change<'_>, statistics: &mut Statistics) -> Result<bool, NoRoom> {
        let grown = match &change {
            Change::Put { key, put } => key.bytes.len() + put.value.len(),
            Change::Expire { key, .. } => key.bytes.len(),
            Change::Remove { .. } => 0,
        };
        let shard = self.index_of(change.key().place.slot);
        let changed = self.shards[shard].commit(&mut self.memory, change)?;
        if grown > 0 {
            self.make_room(grown, statistics);
        }
        Ok(changed)
    }

    /// Visits about `count` keys of a keyspace from `cursor` on, and answers where to go on; 0 is the start and the end.
    pub fn scan(&self, keyspace: Keyspace, cursor: u64, count: usize, now_ms: u64, mut each: impl FnMut(&[u8])) -> u64 {
        let Some(mut shard) = u16::try_from(cursor >> CURSOR_SLOT_SHIFT)
            .ok()
            .filter(|&slot| slot < SLOT_COUNT)
            .map(|slot| self.index_of(slot))
        else {
            return 0;
        };
        let mut cursor = cursor;
        let mut visited = 0;
        loop {
            cursor = self.shards[shard].store().scan(keyspace, cursor, count - visited, |key, item| {
                visited += 1;
                if item.expires_at_ms.is_none_or(|at_ms| at_ms > now_ms) {
                    each(key);
                }
            });
            if cursor != 0 {
                return cursor;
            }
            shard += 1;
            let Some(next) = self.shards.get(shard) else { return 0 };
            cursor = u64::from(next.slots().start) << CURSOR_SLOT_SHIFT;
            if visited >= count {
                return cursor;
            }
        }
    }

    /// Keys in a keyspace, those included that have expired and were not removed yet.
    pub fn len(&self, keyspace: Keyspace) -> u64 {
        self.shards.iter().map(|shard| shard.store().len(keyspace)).sum()
    }

    /// Keys with a deadline in a keyspace.
    pub fn volatile_len(&self, keyspace: Keyspace) -> u64 {
        self.shards.iter().map(|shard| shard.store().volatile_len(keyspace)).sum()
    }

    /// Empties a database.
    pub fn clear(&mut self, database: usize) {
        let keyspace = self.databases[database];
        for shard in &mut self.shards {
            shard.clear(&mut self.memory, keyspace);
        }
    }

    /// Upkeep of all shards; true if there is more to do now.
    pub fn maintain(&mut self, now_ms: u64, statistics: &mut Statistics) -> bool {
        let mut more = false;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let departed = &mut self.departed;
            more |= shard.store_mut().maintain(&mut self.memory, now_ms, Budget { entries: 100 }, |departure| {
                departed.push(Departed::new(index, &departure));
            });
        }
        self.note_departures(statistics);
        more
    }

    /// The memory that all shards share.
    pub fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// The memory that all shards share, to read.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// When upkeep wants to be called next, in Unix milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        None
    }

    fn make_room(&mut self, grown_bytes: usize, statistics: &mut Statistics) {
        let departed = &mut self.departed;
        l1::make_room(&mut self.memory, &mut self.shards, grown_bytes, |shard, departure| {
            departed.push(Departed::new(shard, &departure));
        });
        if !self.departed.is_empty() {
            self.note_departures(statistics);
        }
    }

    #[cold]
    fn note_departures(&mut self, statistics: &mut Statistics) {
        for Departed { shard, slot, cause } in self.departed.drain(..) {
            self.shards[shard].departed(slot);
            match cause {
                Cause::Expired => statistics.expired_keys += 1,
                Cause::Evicted => statistics.evicted_keys += 1,
            }
        }
    }

    #[inline]
    fn index_of(&self, slot: u16) -> usize {
        usize::from(slot) * self.shards.len() / usize::from(SLOT_COUNT)
    }

    #[inline]
    fn shard(&self, slot: u16) -> &Shard {
        &self.shards[self.index_of(slot)]
    }

    #[inline]
    fn shard_mut(&mut self, slot: u16) -> &mut Shard {
        let index = self.index_of(slot);
        &mut self.shards[index]
    }
}

/// A cursor is slot, then 32 bits of hash.
const CURSOR_SLOT_SHIFT: u32 = 32;

impl Departed {
    fn new(shard: usize, departure: &Departure<'_>) -> Departed {
        Departed { shard, slot: departure.place.slot, cause: departure.cause }
    }
}
