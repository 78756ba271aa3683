//! Shards: all items of a core, by key, and the memory that they share.
//!
//! Invariants
//! - Slot `s` belongs to shard `s * shard_count / 16384`: fixed ranges, so the SCAN cursor's order is also shard order.
//! - Every change goes through `commit`, and whoever grows pays its share of reclaim at once.
//! - Each database is one keyspace at any time, and no two databases share one.

use std::io;

use item::{Key, Keyspace, Place};
use l1::{Budget, Cause, Departure, Footprint, Item, LagHistogram, Memory, MemoryOptions, NoRoom, Put, Stored, Value};

use crate::clients::DATABASE_COUNT;
use crate::random::Random;
use crate::route::{self, SLOT_COUNT};
use crate::shard::{Change, Shard};
use crate::statistics::Statistics;

/// All shards of a core.
pub(crate) struct Shards {
    shards: Vec<Shard>,
    memory: Memory,
    seed: u64,
    random: Random,
    /// The keyspace of each database.
    databases: [Keyspace; DATABASE_COUNT],
    /// The time of this tick, in Unix milliseconds.
    now_ms: u64,
    /// When upkeep stopped removing what has expired, if it did: its clock stands still then.
    expiry_stopped_at_ms: Option<u64>,
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
            random: Random::new(seed),
            databases: std::array::from_fn(|database| Keyspace(database as u16)),
            now_ms: 0,
            expiry_stopped_at_ms: None,
            departed: Vec::new(),
        })
    }

    /// Until the next call, this is the time.
    #[inline]
    pub fn begin_tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// One more client watches `key`; the changes of it so far.
    pub fn watch(&mut self, key: &Key<'_>) -> u64 {
        self.shard_mut(key.place.slot).watches_mut().watch(key)
    }

    /// One client less watches `key`; the changes of it so far.
    pub fn unwatch(&mut self, key: &Key<'_>) -> u64 {
        self.shard_mut(key.place.slot).watches_mut().unwatch(key)
    }

    /// Keys that are watched, by however many.
    pub fn watched_keys(&self) -> usize {
        self.shards.iter().map(Shard::watched_keys).sum()
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

    /// Starts to fetch what says where the slot's part of the index is.
    #[inline]
    pub fn prefetch_slot(&self, keyspace: Keyspace, place: Place) {
        self.shard(place.slot).store().prefetch_slot(keyspace, place);
    }

    /// Starts to fetch the record of a key, given that its index line has arrived.
    #[inline]
    pub fn prefetch_record(&self, keyspace: Keyspace, place: Place) {
        self.shard(place.slot).store().prefetch_record(keyspace, place);
    }

    /// Starts to fetch the index lines and then the records of keys of one command whose slots were fetched before.
    #[inline]
    pub fn prefetch_all(&self, keyspace: Keyspace, places: &[Place]) {
        places.iter().for_each(|place| self.prefetch_bucket(keyspace, *place));
        places.iter().for_each(|place| self.prefetch_record(keyspace, *place));
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

    /// What an item takes; `None` if there is none. Counts no use.
    pub fn footprint(&self, key: &Key<'_>, now_ms: u64) -> Option<Footprint> {
        self.shard(key.place.slot).store().footprint(key, now_ms)
    }

    /// Whether a command changed a part of an item's value since it was stored as a whole.
    pub fn is_edited(&self, key: &Key<'_>, now_ms: u64) -> bool {
        self.shard(key.place.slot).store().is_edited(key, now_ms)
    }

    /// Seconds for which an item was certainly not used.
    pub fn idle_s(&self, key: &Key<'_>, now_ms: u64) -> Option<u64> {
        self.shard(key.place.slot).store().idle_s(key, now_ms)
    }

    /// Applies a change; true if an item changed.
    #[inline]
    pub fn commit(&mut self, change: Change<'_>, statistics: &mut Statistics) -> Result<bool, NoRoom> {
        let grown_bytes = match &change {
            Change::Put { key, put } => RECORD_BYTES + key.bytes.len() + put.value.len(),
            Change::Expire { key, .. } | Change::Number { key, .. } => RECORD_BYTES + key.bytes.len(),
            // What a write in place adds is paid afterwards: reclaim must not take the very item before it.
            Change::Write { .. } | Change::MarkEdited { .. } | Change::Remove { .. } | Change::Release { .. } => 0,
        };
        if grown_bytes > 0 {
            // Whether there is room for the change the store tells better: it may need none.
            let _ = self.make_room(grown_bytes, statistics);
        }
        self.apply(&change)
    }

    /// Puts the item of `from` under `to`, in place of what was there, with deadline and flags; a large value goes over
    /// by reference. False if there is no such item. A refusal leaves both keys as they were.
    pub fn rename(
        &mut self,
        from: &Key<'_>,
        to: &Key<'_>,
        now_ms: u64,
        scratch: &mut Vec<u8>,
        statistics: &mut Statistics,
    ) -> Result<bool, NoRoom> {
        let Some(item) = self.peek(from, now_ms) else { return Ok(false) };
        let copied_bytes = match item.value {
            Stored::Inline(bytes) => bytes.len(),
            Stored::Large(_) => 0,
        };
        // As in `commit`. This may evict the item itself; what follows evicts nothing, so that no value is held twice.
        let _ = self.make_room(RECORD_BYTES + to.bytes.len() + copied_bytes, statistics);
        let Some(item) = self.peek(from, now_ms) else { return Ok(false) };
        let (expires_at_ms, flags) = (item.expires_at_ms, item.flags);
        let is_edited = self.is_edited(from, now_ms);
        let value = match item.value {
            Stored::Large(value) => Value::Large(value.clone()),
            Stored::Inline(bytes) => {
                scratch.clear();
                scratch.extend_from_slice(bytes);
                Value::Inline(scratch)
            }
        };
        self.apply(&Change::Put { key: *to, put: Put { value, expires_at_ms, flags } })?;
        if is_edited {
            self.apply(&Change::MarkEdited { key: *to })?;
        }
        self.apply(&Change::Release { key: *from })
    }

    /// Applies a change for which room was made.
    #[inline]
    fn apply(&mut self, change: &Change<'_>) -> Result<bool, NoRoom> {
        let shard = self.index_of(change.key().place.slot);
        let result = self.shards[shard].commit(&mut self.memory, change, self.now_ms);
        if result.is_err() { self.commit_again(shard, change) } else { result }
    }

    /// Applies a change that was refused once what was cleared is free, as far as that helps.
    #[cold]
    fn commit_again(&mut self, shard: usize, change: &Change<'_>) -> Result<bool, NoRoom> {
        let mut result = Err(NoRoom);
        while result.is_err() && l1::sweep(&mut self.memory, &mut self.shards) {
            result = self.shards[shard].commit(&mut self.memory, change, self.now_ms);
        }
        result
    }

    /// Visits about `count` keys of a keyspace from `cursor` on, and answers where to go on; 0 is the start and the
    /// end. Passes as many empty slots as it takes: at most all of them, some tens of nanoseconds each.
    pub fn scan(&self, keyspace: Keyspace, cursor: u64, count: usize, now_ms: u64, mut each: impl FnMut(&[u8])) -> u64 {
        let slot = u16::try_from(cursor >> CURSOR_SLOT_SHIFT).ok().filter(|&slot| slot < SLOT_COUNT);
        let Some(mut index) = slot.map(|slot| self.index_of(slot)) else { return 0 };
        let (mut cursor, mut visited) = (cursor, 0);
        while visited < count {
            let Some(shard) = self.shards.get(index) else { return 0 };
            cursor = match shard.store().len(keyspace) {
                0 => 0,
                _ => shard.store().scan(keyspace, cursor, count - visited, |key, item| {
                    visited += 1;
                    if item.is_alive(now_ms) {
                        each(key);
                    }
                }),
            };
            if cursor == 0 {
                index += 1;
                cursor = u64::from(shard.slots().end) << CURSOR_SLOT_SHIFT;
            }
        }
        if index < self.shards.len() { cursor } else { 0 }
    }

    /// Changes since the start; a flush counts as one of each slot. Adds all slots up, some microseconds.
    pub fn changes(&self) -> u64 {
        self.shards.iter().map(Shard::changes).sum()
    }

    /// Keys in a keyspace, those included that have expired and were not removed yet.
    pub fn len(&self, keyspace: Keyspace) -> u64 {
        self.shards.iter().map(|shard| shard.store().len(keyspace)).sum()
    }

    /// Keys with a deadline in a keyspace.
    pub fn volatile_len(&self, keyspace: Keyspace) -> u64 {
        self.shards.iter().map(|shard| shard.store().volatile_len(keyspace)).sum()
    }

    /// The key of a random item that has not expired; each is as likely as any other. `None` if there is none, or if
    /// all that a bounded search met are left for upkeep to remove.
    pub fn random_key(&mut self, keyspace: Keyspace, now_ms: u64) -> Option<Vec<u8>> {
        let len = self.len(keyspace);
        for _ in 0..RANDOM_PICKS.min(len) {
            let n = self.random.below(len);
            let (key, item) = self.nth(keyspace, n).expect("the number is below the length");
            if item.is_alive(now_ms) {
                return Some(key.to_vec());
            }
        }
        let mut found = None;
        self.scan(keyspace, 0, RANDOM_WALK, now_ms, |key| {
            found.get_or_insert_with(|| key.to_vec());
        });
        found
    }

    /// Exchanges two databases. Clients stay where they are.
    pub fn swap(&mut self, [a, b]: [usize; 2]) {
        let [first, second] = [self.databases[a], self.databases[b]];
        self.databases.swap(a, b);
        for shard in &mut self.shards {
            shard.swapped([first, second]);
        }
    }

    /// Item number `n` of a keyspace, expired or not.
    fn nth(&self, keyspace: Keyspace, n: u64) -> Option<(&[u8], Item<'_>)> {
        let mut left = n;
        for shard in &self.shards {
            match left.checked_sub(shard.store().len(keyspace)) {
                Some(rest) => left = rest,
                None => return shard.store().nth(keyspace, left),
            }
        }
        None
    }

    /// Bytes of the index of a keyspace.
    pub fn index_bytes(&self, keyspace: Keyspace) -> u64 {
        self.shards.iter().map(|shard| shard.store().index_bytes(keyspace)).sum()
    }

    /// Empties a database.
    pub fn clear(&mut self, database: usize) {
        let keyspace = self.databases[database];
        for shard in &mut self.shards {
            shard.clear(&mut self.memory, keyspace);
        }
    }

    /// Removes what has expired from all shards, a bounded amount; true if there is more to do now.
    pub fn expire(&mut self, now_ms: u64, statistics: &mut Statistics) -> bool {
        let now_ms = self.expiry_stopped_at_ms.unwrap_or(now_ms);
        let mut more = false;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let departed = &mut self.departed;
            more |=
                shard.store_mut().maintain(&mut self.memory, now_ms, Budget { entries: UPKEEP_ENTRIES }, |departure| {
                    departed.push(Departed::new(index, &departure));
                });
        }
        self.note_departures(statistics);
        more
    }

    /// Makes room before somebody needs it, a bounded amount; true if there is more to do now.
    pub fn make_room_ahead(&mut self, statistics: &mut Statistics) -> bool {
        // Upkeep asks for no room, so there is nothing to refuse.
        let _ = self.make_room(0, statistics);
        self.memory.is_lowering()
    }

    /// The CAS number of an item, if it has one.
    pub fn cas(&self, key: &Key<'_>, now_ms: u64) -> Option<u64> {
        self.shard(key.place.slot).store().cas(key, now_ms)
    }

    /// Lets upkeep remove what expires, or stop it.
    pub fn set_active_expiry(&mut self, is_on: bool, now_ms: u64) {
        self.expiry_stopped_at_ms = if is_on { None } else { Some(self.expiry_stopped_at_ms.unwrap_or(now_ms)) };
    }

    /// True if upkeep leaves what has expired.
    #[inline]
    pub fn is_expiry_stopped(&self) -> bool {
        self.expiry_stopped_at_ms.is_some()
    }

    /// Removes an item that has expired, since upkeep does not.
    #[cold]
    pub fn expire_key(&mut self, key: &Key<'_>, now_ms: u64, statistics: &mut Statistics) {
        if self.peek(key, now_ms).is_none() {
            // A removal needs no room.
            let removed = self.apply(&Change::Remove { key: *key });
            statistics.expired_keys += u64::from(removed == Ok(true));
        }
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
        let next_ms = self.shards.iter().filter_map(|shard| shard.store().next_deadline_ms()).min();
        next_ms.filter(|&next_ms| self.expiry_stopped_at_ms.is_none_or(|stopped_ms| next_ms <= stopped_ms))
    }

    /// From deadlines to the removals by upkeep, over all shards.
    pub fn expiry_lag(&self) -> LagHistogram {
        let mut lag = LagHistogram::default();
        self.shards.iter().for_each(|shard| lag.merge(shard.store().lag()));
        lag
    }

    /// Makes room for items that must all be stored or none: `bytes` of them as `cost_of` counts, `count` of them.
    pub fn make_room_for_all(&mut self, bytes: u64, count: usize, statistics: &mut Statistics) -> Result<(), NoRoom> {
        while self.memory.admits_all(bytes, count).is_err() && l1::sweep(&mut self.memory, &mut self.shards) {}
        self.memory.admits_all(bytes, count)?;
        // More than a value's largest size is not promised at once; each item pays for itself besides.
        let at_once = bytes.min(self.memory.value_bytes_max());
        self.make_room(at_once as usize, statistics)
    }

    /// From when `make_room_for_all` has made room until all items are stored: none is refused.
    pub fn set_promised(&mut self, is_promised: bool) {
        self.memory.set_promised(is_promised);
    }

    /// What an item costs at most.
    pub fn cost_of(&self, key_bytes: usize, value_bytes: usize) -> u64 {
        self.memory.cost_of(key_bytes, value_bytes)
    }

    /// Does the share of reclaim that changes of `grown_bytes` owe, or upkeep's if that is 0. Fails if the policy in
    /// force cannot make room for them.
    #[inline]
    pub fn make_room(&mut self, grown_bytes: usize, statistics: &mut Statistics) -> Result<(), NoRoom> {
        let departed = &mut self.departed;
        let has_room = l1::make_room(&mut self.memory, &mut self.shards, grown_bytes, |shard, departure| {
            departed.push(Departed::new(shard, &departure));
        });
        if !self.departed.is_empty() {
            self.note_departures(statistics);
        }
        has_room
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

/// Random items that RANDOMKEY looks at, and items that it walks over if all of them have expired.
const RANDOM_PICKS: u64 = 16;
const RANDOM_WALK: usize = 1000;

/// What a record holds beside key and value, at most: the estimate that reclaim is paid by.
const RECORD_BYTES: usize = 32;

/// Items that upkeep of one shard looks at in one call: some tens of microseconds.
const UPKEEP_ENTRIES: usize = 128;

/// A cursor is slot, then 32 bits of hash.
const CURSOR_SLOT_SHIFT: u32 = 32;

impl Departed {
    fn new(shard: usize, departure: &Departure<'_>) -> Departed {
        Departed { shard, slot: departure.slot, cause: departure.cause }
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::Rig;
    use crate::route::{SLOT_COUNT, slot};

    const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

    /// The smallest limit of a core, full within some hundred commands.
    fn small(policy: &str) -> Rig {
        Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", policy)])
    }

    /// Sets `key:0` to `key:{count - 1}` to 10,000 bytes each; how many were stored.
    fn fill(rig: &mut Rig, count: usize) -> usize {
        let value = "v".repeat(10_000);
        (0..count)
            .filter(|i| match rig.run(&format!("SET key:{i} {value}")).as_str() {
                "+OK" => true,
                reply => {
                    assert_eq!(reply, OUT_OF_MEMORY);
                    false
                }
            })
            .count()
    }

    #[test]
    fn every_slot_has_one_shard() {
        let rig = Rig::new();
        let shards = &rig.cache.shards;
        let owners: usize = (0..SLOT_COUNT).filter(|&slot| shards.shard(slot).slots().contains(&slot)).count();
        assert_eq!(owners, usize::from(SLOT_COUNT));
        assert_eq!(shards.shards.iter().map(|shard| shard.slots().len()).sum::<usize>(), usize::from(SLOT_COUNT));
    }

    #[test]
    fn a_change_bumps_the_sequence_of_its_slot() {
        let mut rig = Rig::new();
        let sequence = |rig: &Rig| rig.cache.shards.shard(slot(b"k")).sequence(slot(b"k"));
        for (command, bumps) in [
            ("GET k", 0),
            ("SET k 1", 1),
            ("SET k 1 NX", 0),
            ("SET other 1", 0),
            ("INCR k", 1),
            ("APPEND k 1", 1),
            ("SETRANGE k 0 2", 1),
            ("SETRANGE k 0 ''", 0),
            ("SETBIT k 0 1", 1),
            ("SETBIT k 0 1", 0),
            ("SETBIT k 200000 1", 1),
            ("SETBIT k 7 0", 0),
            ("SETBIT k 6 0", 1),
            ("BITFIELD k GET u8 0", 0),
            ("BITFIELD k SET u8 0 1", 1),
            ("BITFIELD k SET u8 0 1", 0),
            ("EXPIRE k 10 LT", 1),
            ("EXPIRE k 20 LT", 0),
            ("PERSIST k", 1),
            ("PERSIST k", 0),
            ("DEL k", 1),
            ("DEL k", 0),
            ("SET k 1 PX 10", 1),
            ("FLUSHALL", 1),
            ("SET k 1 PX 10", 1),
        ] {
            let before = sequence(&rig);
            rig.run(command);
            assert_eq!(sequence(&rig) - before, bumps, "{command}");
        }
        let before = sequence(&rig);
        rig.advance_ms(1000);
        rig.maintain();
        assert_eq!(sequence(&rig) - before, 1, "expiry");
    }

    #[test]
    fn full_memory_refuses_and_keeps_what_is_there() {
        let mut rig = small("noeviction");
        let stored = fill(&mut rig, 2000);
        assert!((500..1000).contains(&stored), "{stored}");
        let value = format!("'{}'", "v".repeat(10_000));
        rig.check(&[("GET key:0", &value), ("DBSIZE", &format!(":{stored}"))]);
        rig.check(&[(&format!("SET key:0 {}", "w".repeat(25_000)), OUT_OF_MEMORY), ("GET key:0", &value)]);
        rig.check(&[(&format!("APPEND key:0 {}", "w".repeat(15_000)), OUT_OF_MEMORY), ("GET key:0", &value)]);
        let pairs: String = (0..10).map(|i| format!(" new:{i} {}", "w".repeat(5_000))).collect();
        rig.check(&[(&format!("MSET{pairs}"), OUT_OF_MEMORY), ("DBSIZE", &format!(":{stored}"))]);
        for i in 0..100 {
            rig.check(&[(&format!("DEL key:{i}"), ":1")]);
        }
        rig.maintain();
        assert!(fill(&mut rig, 50) == 50, "room that was made can be used");
    }

    #[test]
    fn a_full_cache_evicts_and_goes_on() {
        let mut rig = small("allkeys-s3fifo");
        assert_eq!(fill(&mut rig, 5000), 5000);
        let text = rig.run("INFO stats");
        let evicted = text.split("evicted_keys:").nth(1).and_then(|rest| rest.split('\r').next());
        let evicted: usize = evicted.expect("a field").parse().expect("a number");
        assert_eq!(rig.run("DBSIZE"), format!(":{}", 5000 - evicted));
        assert!(evicted > 4000, "{evicted}");
    }

    #[test]
    fn a_value_that_can_never_fit_is_refused() {
        let mut rig = small("allkeys-s3fifo");
        let huge = "x".repeat(rig.cache.value_bytes_max() + 1);
        rig.check(&[("SET k old", "+OK"), (&format!("SET k {huge}"), OUT_OF_MEMORY), ("GET k", "'old'")]);
        rig.check(&[(&format!("APPEND k {huge}"), OUT_OF_MEMORY), ("GET k", "'old'")]);
        rig.check(&[(&format!("MSET k new other {huge}"), OUT_OF_MEMORY), ("GET k", "'old'")]);
    }

    #[test]
    fn a_lower_limit_takes_hold() {
        let mut rig = Rig::with(&[("maxmemory", "134217728")]);
        assert_eq!(fill(&mut rig, 9000), 9000);
        rig.check(&[("CONFIG SET maxmemory 33554432", "+OK")]);
        assert_eq!(fill(&mut rig, 9000), 9000);
        rig.maintain();
        assert!(rig.cache.usage().charged_bytes <= 33_554_432, "{:?}", rig.cache.usage());
    }
}
