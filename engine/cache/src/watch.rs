//! Watched keys of a shard, with the number of changes to each since it is watched.
//!
//! Invariants
//! - A key stands here exactly as long as some client watches it.
//! - Every change through `Shard::commit` to a key that stands here is counted. Departures (expiry, eviction) and
//!   flushes are not: EXEC sees those by asking whether the key is still there.

use hashbrown::HashTable;
use item::{Key, Keyspace};

#[derive(Debug)]
struct Watched {
    hash: u64,
    keyspace: Keyspace,
    bytes: Box<[u8]>,
    watchers: u32,
    changes: u64,
}

impl Watched {
    fn is(&self, key: &Key<'_>) -> bool {
        self.keyspace == key.keyspace && *self.bytes == *key.bytes
    }
}

/// The watched keys of a shard.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keys: HashTable<Watched>,
}

impl Watches {
    /// True if no key is watched: then a change has nothing to tell.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that are watched, by however many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// One more client watches `key`. The changes so far.
    pub fn watch(&mut self, key: &Key<'_>) -> u64 {
        let hash = key.place.hash;
        let entry = self.keys.entry(hash, |watched| watched.is(key), |watched| watched.hash);
        let mut entry = entry.or_insert_with(|| Watched {
            hash,
            keyspace: key.keyspace,
            bytes: key.bytes.into(),
            watchers: 0,
            changes: 0,
        });
        let watched = entry.get_mut();
        watched.watchers += 1;
        watched.changes
    }

    /// One client less watches `key`. The changes so far.
    pub fn unwatch(&mut self, key: &Key<'_>) -> u64 {
        let found = self.keys.find_entry(key.place.hash, |watched| watched.is(key));
        let mut entry = found.unwrap_or_else(|_| unreachable!("who unwatches has watched"));
        let watched = entry.get_mut();
        watched.watchers -= 1;
        let (watchers, changes) = (watched.watchers, watched.changes);
        if watchers == 0 {
            entry.remove();
        }
        changes
    }

    /// Counts a change of `key`, if it is watched.
    #[cold]
    pub fn changed(&mut self, key: &Key<'_>) {
        if let Some(watched) = self.keys.find_mut(key.place.hash, |watched| watched.is(key)) {
            watched.changes += 1;
        }
    }
}
