//! Transactions: what MULTI queues and WATCH remembers, per client.
//!
//! ```text
//!   (none) --MULTI--> open --EXEC--> run, or refused if aborted or if a watched key changed --> (none)
//!                      |  +-- a command that cannot be queued --> aborted: only EXEC (refused) and DISCARD lead out
//!                      +--DISCARD, RESET--> (none)
//! ```
//!
//! Invariants
//! - What a transaction holds is charged, and bounded over all clients together.
//! - A client's watched keys are registered with their shards until EXEC, DISCARD, UNWATCH, RESET or its end.

use hashbrown::hash_table::Entry;
use item::{Key, Keyspace, Place};

use crate::answer::Refusal;
use crate::cache::{Cache, Shown};
use crate::clients::ClientIndex;
use crate::owned::OwnedRequest;
use crate::shards::Shards;

/// A client's transaction between MULTI and EXEC.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// What EXEC runs.
    pub queued: Vec<OwnedRequest>,
    /// A command could not be queued, so EXEC will refuse.
    pub aborted: bool,
    /// Some queued command writes.
    pub writes: bool,
    /// Some queued command may need memory.
    pub grows: bool,
    /// What queued commands show.
    pub shows: Shown,
    held_bytes: usize,
}

impl Transaction {
    /// Queues a request.
    pub fn push(&mut self, request: OwnedRequest) {
        self.held_bytes += request.held_bytes();
        self.queued.push(request);
    }

    /// Bytes held, for accounting.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

/// A key that a client watches, as it was then.
#[derive(Debug)]
pub(crate) struct Watch {
    database: usize,
    keyspace: Keyspace,
    place: Place,
    bytes: Box<[u8]>,
    existed: bool,
    changes: u64,
}

impl Watch {
    fn key(&self) -> Key<'_> {
        Key { keyspace: self.keyspace, place: self.place, bytes: &self.bytes }
    }

    /// True if `key` of `database` is this one.
    fn is(&self, database: usize, key: &Key<'_>) -> bool {
        self.database == database && self.keyspace == key.keyspace && *self.bytes == *key.bytes
    }

    /// Ends the registration; true if the key is as it was.
    fn end(&self, shards: &mut Shards, now_ms: u64) -> bool {
        let changes = shards.unwatch(&self.key());
        let now_keyspace = shards.keyspace(self.database);
        let exists = shards.peek(&Key { keyspace: now_keyspace, ..self.key() }, now_ms).is_some();
        if now_keyspace != self.keyspace {
            // SWAPDB has put another database here: missing before and after is no change.
            return !self.existed && !exists;
        }
        changes == self.changes && exists == self.existed
    }
}

/// What is held for clients beside their connections: nothing if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Transactions and watches, in bytes.
    pub transaction_bytes: usize,
    /// Keys that are watched, by however many.
    pub watched_keys: usize,
    /// Clients that monitor.
    pub monitors: usize,
}

impl Cache {
    /// What is held for clients beside their connections.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            transaction_bytes: self.transaction_bytes,
            watched_keys: self.shards.watched_keys(),
            monitors: self.monitors.count(),
        }
    }

    /// True if transactions and watches may hold so many more keys or requests, of so many bytes together.
    pub(crate) fn may_hold(&self, count: usize, bytes: usize) -> bool {
        (self.transaction_bytes + count * size_of::<Watch>() + bytes) as u64 <= self.shards.memory().value_bytes_max()
    }

    /// Watches a key for a client, once.
    pub(crate) fn watch(&mut self, client: ClientIndex, key: &Key<'_>) {
        let session = self.clients.get_mut(client);
        let database = session.database();
        let hash = |watch: &Watch| watch.place.hash;
        let Entry::Vacant(entry) = session.watches.entry(key.place.hash, |watch| watch.is(database, key), hash) else {
            return;
        };
        let existed = self.shards.peek(key, self.now.unix_ms).is_some();
        let changes = self.shards.watch(key);
        let (keyspace, place) = (key.keyspace, key.place);
        entry.insert(Watch { database, keyspace, place, bytes: key.bytes.into(), existed, changes });
        self.transaction_bytes += size_of::<Watch>() + key.bytes.len();
    }

    /// Forgets all keys that a client watches; true if every one of them is as it was.
    pub(crate) fn unwatch(&mut self, client: ClientIndex) -> bool {
        let watches = std::mem::take(&mut self.clients.get_mut(client).watches);
        let mut unchanged = true;
        for watch in watches {
            self.transaction_bytes -= size_of::<Watch>() + watch.bytes.len();
            unchanged &= watch.end(&mut self.shards, self.now.unix_ms);
        }
        unchanged
    }

    /// Ends a client's transaction because EXEC itself was malformed, as Redis does: what the client sends next is not
    /// queued.
    #[cold]
    pub(crate) fn reject_exec(&mut self, client: ClientIndex) -> Refusal {
        self.take_transaction(client);
        self.unwatch(client);
        Refusal::text("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
    }

    /// Ends a client's transaction; `None` if it has none.
    pub(crate) fn take_transaction(&mut self, client: ClientIndex) -> Option<Transaction> {
        let transaction = self.clients.get_mut(client).take_transaction()?;
        self.transaction_bytes -= transaction.held_bytes();
        Some(transaction)
    }
}
