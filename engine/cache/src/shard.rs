//! Shard: a fixed range of slots with its items, and the one door for every change to them.
//!
//! Invariants
//! - Nothing changes an item except `Shard::commit` and the store's own departures (expiry, eviction), and both bump
//!   the sequence number of the item's slot. So two equal readings mean that nothing in the slot has changed in
//!   between.
//! - A change that is refused bumps nothing and leaves the old value.
//! - A CAS number and the mark of an edit are no change of value or deadline and bump nothing.
//!
//! `commit` feeds WATCH; it and `departed` are the places that later feed client tracking, notifications, L2's
//! clear-before-acknowledge and the replication journal.

use std::ops::Range;

use item::{Key, Keyspace};
use l1::{Memory, NoRoom, Put, Store, StoreOptions};

use crate::route;
use crate::watch::Watches;

/// A change to one item, or to a whole keyspace of the shard.
pub(crate) enum Change<'a> {
    /// Stores a value, new or instead of the old one.
    Put { key: Key<'a>, put: Put<'a> },
    /// Writes over a part of a value where it lies, see `Store::write_in_place`. The item has not expired.
    Write { key: Key<'a>, at: usize, bytes: &'a [u8] },
    /// Changes when an item expires; `None`: never.
    Expire { key: Key<'a>, at_ms: Option<u64> },
    /// Gives an item a CAS number. No client but those who ask for the number can tell.
    Number { key: Key<'a>, cas: u64 },
    /// Marks the value of an item as edited. OBJECT ENCODING alone can tell.
    MarkEdited { key: Key<'a> },
    /// Removes an item.
    Remove { key: Key<'a> },
    /// Removes an item whose value was put under another key.
    Release { key: Key<'a> },
}

impl<'a> Change<'a> {
    /// The key that changes.
    #[inline]
    pub fn key(&self) -> &Key<'a> {
        match self {
            Change::Put { key, .. }
            | Change::Write { key, .. }
            | Change::Expire { key, .. }
            | Change::Number { key, .. }
            | Change::MarkEdited { key }
            | Change::Remove { key }
            | Change::Release { key } => key,
        }
    }
}

/// A range of slots, their items and their sequence numbers.
pub(crate) struct Shard {
    store: Store,
    slots: Range<u16>,
    sequences: Box<[u64]>,
    watches: Watches,
}

impl Shard {
    /// An empty shard of `slots`.
    pub fn new(slots: Range<u16>) -> Shard {
        let sequences = vec![0; slots.len()].into_boxed_slice();
        Shard {
            store: Store::new(StoreOptions::new(slots.clone(), route::slot)),
            slots,
            sequences,
            watches: Watches::default(),
        }
    }

    /// Applies `change`. True if an item changed: a removal or a new deadline may find none, a write in place may not
    /// be possible.
    #[inline]
    pub fn commit(&mut self, memory: &mut Memory, change: &Change<'_>, now_ms: u64) -> Result<bool, NoRoom> {
        let slot = change.key().place.slot;
        // What has expired is gone for those who watch it: its removal is no change.
        let is_seen = self.watches.is_empty() || self.is_change(change, now_ms);
        let changed = match change {
            Change::Put { key, put } => {
                self.store.put(memory, key, put)?;
                true
            }
            Change::Write { key, at, bytes } => self.store.write_in_place(memory, key, *at, bytes)?,
            Change::Expire { key, at_ms } => self.store.set_expiry(memory, key, *at_ms)?,
            // No write: the item's slot has not changed for those who watch it.
            Change::Number { key, cas } => return self.store.set_cas(memory, key, *cas),
            Change::MarkEdited { key } => return Ok(self.store.mark_edited(key)),
            Change::Remove { key } => self.store.remove(memory, key),
            Change::Release { key } => self.store.release(memory, key),
        };
        if changed {
            self.bump(slot);
            if !self.watches.is_empty() && is_seen {
                self.watches.changed(change.key());
            }
        }
        Ok(changed)
    }

    /// Whether a change that takes place would be seen by those who look at the key.
    #[cold]
    fn is_change(&self, change: &Change<'_>, now_ms: u64) -> bool {
        match change {
            Change::Put { .. } | Change::Write { .. } | Change::Expire { .. } | Change::Release { .. } => true,
            Change::Number { .. } | Change::MarkEdited { .. } => false,
            Change::Remove { key } => self.store.peek(key, now_ms).is_some(),
        }
    }

    /// Changes so far to all of its slots.
    pub fn changes(&self) -> u64 {
        self.sequences.iter().sum()
    }

    /// Keys that are watched, by however many.
    pub fn watched_keys(&self) -> usize {
        self.watches.len()
    }

    /// Watched keys.
    pub fn watches_mut(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// Empties a keyspace. Its slots count as changed if it held anything.
    pub fn clear(&mut self, memory: &mut Memory, keyspace: Keyspace) {
        let had_items = self.store.len(keyspace) > 0;
        self.store.clear(memory, keyspace);
        if had_items {
            for sequence in &mut self.sequences {
                *sequence += 1;
            }
        }
    }

    /// Notes that two keyspaces have changed places. The slots count as changed if either holds anything.
    pub fn swapped(&mut self, keyspaces: [Keyspace; 2]) {
        if keyspaces.iter().any(|keyspace| self.store.len(*keyspace) > 0) {
            for sequence in &mut self.sequences {
                *sequence += 1;
            }
        }
    }

    /// Notes that an item of `slot` has expired or was evicted.
    #[inline]
    pub fn departed(&mut self, slot: u16) {
        self.bump(slot);
    }

    /// The items, to read.
    #[inline]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The items, for reads that count as a use and for upkeep. Changes go through `commit`.
    #[inline]
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The slots it owns.
    pub fn slots(&self) -> Range<u16> {
        self.slots.clone()
    }

    /// Changes so far to items of `slot`.
    #[cfg(test)]
    pub fn sequence(&self, slot: u16) -> u64 {
        self.sequences[usize::from(slot - self.slots.start)]
    }

    #[inline]
    fn bump(&mut self, slot: u16) {
        assert!(self.slots.contains(&slot), "a change reaches the shard that owns its slot");
        self.sequences[usize::from(slot - self.slots.start)] += 1;
    }
}

impl AsMut<Store> for Shard {
    #[inline]
    fn as_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}
