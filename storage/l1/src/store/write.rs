//! Writes: put, remove, and changes of the deadline.
//!
//! Invariants
//! - Room in the log is found before anything changes, so a failed write leaves the old value.
//! - An overwrite keeps the item's queue and counts as a use.

use bytes::Bytes;
use item::{Draft, KEY_BYTES_MAX, Key, Kind, RECORD_BYTES_MAX, Record};

use super::heap::Heap;
use super::{Put, Store, Value};
use crate::eviction::ghost::ghost_hash;
use crate::index::{Entry, KeyspaceIndex, Position};
use crate::log::{ChainId, Lifetime, Location, Queue, Stream};
use crate::memory::{Memory, NoRoom, Purpose};
use crate::wheel::Alarm;

/// What a deadline and a CAS number add to a record.
const ADDED_BYTES_MAX: usize = 8 + 8;

/// Bytes of a stub's value: the number of the heap value.
const STUB_BYTES: usize = 4;

impl Store {
    /// Stores a value, new or in place of the old one.
    #[inline]
    pub fn put(&mut self, memory: &mut Memory, key: &Key<'_>, put: &Put<'_>) -> Result<(), NoRoom> {
        debug_assert!(self.slots.contains(&key.place.slot), "the key was routed to the store that owns its slot");
        if key.bytes.len() > KEY_BYTES_MAX {
            return Err(NoRoom);
        }
        let draft = Draft {
            key: *key,
            kind: Kind::Inline,
            value: put.value.bytes(),
            expires_at_ms: put.expires_at_ms,
            flags: put.flags,
            cas: None,
            version: None,
        };
        // With room for what may be added later.
        let fits = draft.bytes() + ADDED_BYTES_MAX <= RECORD_BYTES_MAX;
        let is_inline = put.value.len() <= memory.inline_value_bytes_max() && fits;
        if is_inline {
            self.put_inline(memory, &draft)
        } else {
            let value = match &put.value {
                Value::Inline(bytes) => Bytes::copy_from_slice(bytes),
                Value::Large(bytes) => bytes.clone(),
            };
            self.put_large(memory, key, value, put.expires_at_ms, put.flags)
        }
    }

    /// Writes `bytes` over a value from `at` on, where it lies, and lengthens a large one as far as its allocation
    /// reaches, with zeroes up to `at`. False, and nothing is changed, if that cannot be: the change is then a `put` of
    /// the whole value. The caller knows that the item has not expired. Counts a use, and marks the value as edited.
    pub fn write_in_place(
        &mut self,
        memory: &mut Memory,
        key: &Key<'_>,
        at: usize,
        bytes: &[u8],
    ) -> Result<bool, NoRoom> {
        let Some((position, entry)) = self.find(key) else { return Ok(false) };
        let location = entry.location();
        let record = self.log.record(location).expect("the index names records");
        let end = at + bytes.len();
        // A CAS number says that nothing was written since: `put` drops it.
        if record.cas().is_some() {
            return Ok(false);
        }
        if record.kind() == Kind::Stub {
            let number = Self::heap_number(record);
            let length = self.heap.get(number).expect("a stub has a heap value").len();
            if end as u64 > memory.value_bytes_max() {
                return Ok(false);
            }
            let grown = Heap::charge_of(end.max(length)) - Heap::charge_of(length);
            memory.admit(grown as u64)?;
            if !self.heap.write(number, at, bytes) {
                return Ok(false);
            }
            self.add_heap(memory, self.log.chain_of(location), grown);
        } else {
            let start = record.value_start();
            if end > record.value().len() {
                return Ok(false);
            }
            let tail = self.log.tail_mut(location).expect("the index names records");
            tail[start + at..start + end].copy_from_slice(bytes);
        }
        Record::mark_edited(self.log.tail_mut(location).expect("the index names records"));
        self.replace_entry(key, position, entry.used());
        Ok(true)
    }

    /// Removes an item; whether there was one, expired or not.
    pub fn remove(&mut self, memory: &mut Memory, key: &Key<'_>) -> bool {
        let Some((position, entry)) = self.find(key) else { return false };
        self.remove_entry(memory, key.keyspace.0, key.place.slot, key.place.hash_high(), position, entry.location());
        true
    }

    /// Removes an item whose value was put elsewhere by reference; whether there was one. The value counts there, even
    /// while replies still send it.
    pub fn release(&mut self, memory: &mut Memory, key: &Key<'_>) -> bool {
        let Some((position, entry)) = self.find(key) else { return false };
        let (keyspace, slot, hash_high) = (key.keyspace.0, key.place.slot, key.place.hash_high());
        drop(self.take_entry(memory, keyspace, slot, hash_high, position, entry.location()));
        true
    }

    /// Changes when an item expires; `None`: never. False if there is no such item.
    pub fn set_expiry(
        &mut self,
        memory: &mut Memory,
        key: &Key<'_>,
        expires_at_ms: Option<u64>,
    ) -> Result<bool, NoRoom> {
        let Some((position, entry)) = self.find(key) else { return Ok(false) };
        let location = entry.location();
        let record = self.log.record(location).expect("the index names records");
        let old_deadline = record.expires_at_ms();
        match (old_deadline, expires_at_ms) {
            (None, None) => {}
            (Some(_), Some(deadline)) => {
                let tail = self.log.tail_mut(location).expect("the index names records");
                Record::set_deadline(tail, deadline);
            }
            (None, Some(_)) | (Some(_), None) => {
                self.change_lifetime(memory, key, position, entry, expires_at_ms)?;
            }
        }
        self.arm(memory, key, old_deadline, expires_at_ms);
        Ok(true)
    }

    #[inline]
    fn put_inline(&mut self, memory: &mut Memory, draft: &Draft<'_>) -> Result<(), NoRoom> {
        let key = &draft.key;
        let Some((position, entry)) = self.find(key) else {
            return self.put_new(memory, draft, None);
        };
        let tail = self.log.tail_mut(entry.location()).expect("the index names records");
        let old = Record::parse(tail).expect("the index names records");
        let old_deadline = old.expires_at_ms();
        if old.fits(draft) {
            draft.encode(tail).expect("equal spans fit");
            self.replace_entry(key, position, entry.used());
        } else {
            self.put_instead(memory, draft, position, entry, None)?;
        }
        if draft.expires_at_ms.is_some() || old_deadline.is_some() {
            self.arm(memory, key, old_deadline, draft.expires_at_ms);
        }
        Ok(())
    }

    fn put_large(
        &mut self,
        memory: &mut Memory,
        key: &Key<'_>,
        value: Bytes,
        expires_at_ms: Option<u64>,
        flags: u32,
    ) -> Result<(), NoRoom> {
        if value.len() as u64 > memory.value_bytes_max() {
            return Err(NoRoom);
        }
        let stub = Draft {
            key: *key,
            kind: Kind::Stub,
            value: &[0; STUB_BYTES],
            expires_at_ms,
            flags,
            cas: None,
            version: None,
        };
        let Some((position, entry)) = self.find(key) else {
            return self.put_new(memory, &stub, Some(value));
        };
        let old = self.log.record(entry.location()).expect("the index names records");
        let old_deadline = old.expires_at_ms();
        if old.fits(&stub) {
            let number = Self::heap_number(old);
            let chain = self.log.chain_of(entry.location());
            let (old_charge, charge) = (self.heap_charge(entry.location()), Heap::charge_of(value.len()));
            memory.admit(charge.saturating_sub(old_charge) as u64)?;
            self.remove_heap(memory, chain, old_charge);
            self.add_heap(memory, chain, charge);
            memory.orphan(self.heap.replace(number, value));
            let tail = self.log.tail_mut(entry.location()).expect("the index names records");
            Draft { value: &number.to_le_bytes(), ..stub }.encode(tail).expect("equal spans fit");
            self.replace_entry(key, position, entry.used());
        } else {
            self.put_instead(memory, &stub, position, entry, Some(value))?;
        }
        self.arm(memory, key, old_deadline, expires_at_ms);
        Ok(())
    }

    /// Stores an item under a key that has none.
    fn put_new(&mut self, memory: &mut Memory, draft: &Draft<'_>, value: Option<Bytes>) -> Result<(), NoRoom> {
        let key = &draft.key;
        let weight = weight_of(draft, value.as_ref());
        memory.admit(weight)?;
        self.prepare_index(memory, key)?;
        let queue = memory.placement(ghost_hash(key.keyspace.0, key.place.slot, key.place.hash_high()), weight);
        let location = self.write(memory, queue, draft, value)?;
        let local = usize::from(key.place.slot - self.slots.start);
        let index = &mut self.keyspaces[usize::from(key.keyspace.0)];
        index.len += 1;
        index.volatile_len += u64::from(draft.expires_at_ms.is_some());
        let entry = Entry::new(key.place.hash_high(), location, 0);
        index.slots[local].insert(&mut self.lines, key.place.hash_high(), entry);
        if draft.expires_at_ms.is_some() {
            self.arm(memory, key, None, draft.expires_at_ms);
        }
        Ok(())
    }

    /// Stores an item in place of one whose record cannot be overwritten.
    fn put_instead(
        &mut self,
        memory: &mut Memory,
        draft: &Draft<'_>,
        position: Position,
        entry: Entry,
        value: Option<Bytes>,
    ) -> Result<(), NoRoom> {
        let key = &draft.key;
        let old = self.log.record(entry.location()).expect("the index names records");
        let was_volatile = old.is_volatile();
        let old_weight = (old.span().bytes() + self.heap_charge(entry.location())) as u64;
        memory.admit(weight_of(draft, value.as_ref()).saturating_sub(old_weight))?;
        let queue = self.log.chain_of(entry.location()).queue;
        let location = self.write(memory, queue, draft, value)?;
        self.bury(memory, entry.location());
        let frequency = entry.used().frequency();
        self.replace_entry(key, position, entry.moved(location, frequency));
        self.count_lifetime(key.keyspace.0, was_volatile, draft.expires_at_ms.is_some());
        Ok(())
    }

    /// Copies an item's record into one with or without a deadline.
    fn change_lifetime(
        &mut self,
        memory: &mut Memory,
        key: &Key<'_>,
        position: Position,
        entry: Entry,
        expires_at_ms: Option<u64>,
    ) -> Result<(), NoRoom> {
        let record = self.log.record(entry.location()).expect("the index names records");
        let mut copy = [0; item::RECORD_BYTES_MAX];
        let span = record.copy_with_deadline(expires_at_ms, &mut copy).ok_or(NoRoom)?;
        let was_volatile = record.is_volatile();
        let old_chain = self.log.chain_of(entry.location());
        let chain = ChainId { lifetime: Lifetime::of(expires_at_ms), ..old_chain };
        let heap_charge = self.heap_charge(entry.location());
        // Without the deadline the record is shorter: that is not refused.
        let purpose = if expires_at_ms.is_none() { Purpose::Copy } else { Purpose::Insert };
        let location = self.log.append(memory, chain, Stream::Head, span, purpose).ok_or(NoRoom)?;
        let tail = self.log.tail_mut(location).expect("append made room");
        tail[..span.bytes()].copy_from_slice(&copy[..span.bytes()]);
        // The heap value goes over to the new stub.
        self.remove_heap(memory, old_chain, heap_charge);
        self.add_heap(memory, chain, heap_charge);
        self.log.kill(memory, entry.location());
        self.replace_entry(key, position, entry.moved(location, entry.frequency()));
        self.count_lifetime(key.keyspace.0, was_volatile, expires_at_ms.is_some());
        Ok(())
    }

    /// Appends a record, with its heap value if it is a stub.
    fn write(
        &mut self,
        memory: &mut Memory,
        queue: Queue,
        draft: &Draft<'_>,
        value: Option<Bytes>,
    ) -> Result<Location, NoRoom> {
        let span = draft.span().ok_or(NoRoom)?;
        let chain = ChainId { queue, lifetime: Lifetime::of(draft.expires_at_ms) };
        let location = self.log.append(memory, chain, Stream::Head, span, Purpose::Insert).ok_or(NoRoom)?;
        let number = value.map(|value| {
            self.add_heap(memory, chain, Heap::charge_of(value.len()));
            self.heap.insert(value).to_le_bytes()
        });
        let tail = self.log.tail_mut(location).expect("append made room");
        let draft = Draft { value: number.as_ref().map_or(draft.value, |number| number), ..*draft };
        draft.encode(tail).expect("append made room for the span");
        Ok(location)
    }

    /// Marks a record dead and frees its heap value. Its index entry is the caller's.
    pub(super) fn bury(&mut self, memory: &mut Memory, location: Location) {
        if let Some(value) = self.kill(memory, location) {
            memory.orphan(value);
        }
    }

    /// Marks a record dead and hands out its heap value.
    fn kill(&mut self, memory: &mut Memory, location: Location) -> Option<Bytes> {
        let record = self.log.record(location).expect("the index names records");
        let number = (record.kind() == Kind::Stub).then(|| Self::heap_number(record));
        let value = number.map(|number| {
            let chain = self.log.chain_of(location);
            let charge = self.heap_charge(location);
            self.remove_heap(memory, chain, charge);
            self.heap.remove(number)
        });
        self.log.kill(memory, location);
        value
    }

    /// Removes an item whose entry is at `position`.
    pub(super) fn remove_entry(
        &mut self,
        memory: &mut Memory,
        keyspace: u16,
        slot: u16,
        hash_high: u32,
        position: Position,
        location: Location,
    ) {
        if let Some(value) = self.take_entry(memory, keyspace, slot, hash_high, position, location) {
            memory.orphan(value);
        }
    }

    /// Removes an item whose entry is at `position`, and hands out its heap value.
    fn take_entry(
        &mut self,
        memory: &mut Memory,
        keyspace: u16,
        slot: u16,
        hash_high: u32,
        position: Position,
        location: Location,
    ) -> Option<Bytes> {
        let is_volatile = self.log.record(location).expect("the index names records").is_volatile();
        let local = usize::from(slot - self.slots.start);
        let log = &self.log;
        let index = &mut self.keyspaces[usize::from(keyspace)];
        let slot = &mut index.slots[local];
        let before = slot.allocated_bytes();
        slot.remove(&mut self.lines, memory, hash_high, position, |entry| log.hash_high(entry.location()));
        let freed = before - slot.allocated_bytes();
        index.bytes -= freed;
        index.len -= 1;
        index.volatile_len -= u64::from(is_volatile);
        memory.account.index_bytes -= freed as u64;
        // After the index: while it shrinks it may read the hash of any record of the table.
        self.kill(memory, location)
    }

    /// Makes sure that an alarm rings at a new deadline, given the one that an alarm covers already.
    pub(super) fn arm(&mut self, memory: &mut Memory, key: &Key<'_>, covered: Option<u64>, deadline: Option<u64>) {
        let Some(deadline) = deadline else { return };
        if covered.is_some_and(|covered| covered <= deadline) {
            return;
        }
        let alarm = Alarm::new(key.keyspace.0, key.place.slot, key.place.hash_high());
        self.armed += 1;
        self.set_alarm(memory, alarm, deadline);
    }

    pub(super) fn set_alarm(&mut self, memory: &mut Memory, alarm: Alarm, deadline_ms: u64) {
        self.change_wheel(memory, |wheel, now_ms| wheel.set(alarm, deadline_ms, now_ms));
    }

    /// Makes room in the index for one more item, and the index itself if this is the keyspace's first.
    fn prepare_index(&mut self, memory: &mut Memory, key: &Key<'_>) -> Result<(), NoRoom> {
        let number = usize::from(key.keyspace.0);
        if self.keyspaces.len() <= number {
            self.keyspaces.resize_with(number + 1, KeyspaceIndex::default);
        }
        let index = &mut self.keyspaces[number];
        memory.account.index_bytes += index.prepare(self.slots.len()) as u64;
        let slot = &mut index.slots[usize::from(key.place.slot - self.slots.start)];
        let before = slot.allocated_bytes();
        let log = &self.log;
        let moved =
            slot.prepare(&mut self.lines, memory, key.place.hash_high(), |entry| log.hash_high(entry.location()))?;
        let grown = slot.allocated_bytes() - before;
        index.bytes += grown;
        memory.account.index_bytes += grown as u64;
        let most = &mut memory.account.statistics.entries_moved_max;
        *most = (*most).max(moved as u64);
        Ok(())
    }

    fn count_lifetime(&mut self, keyspace: u16, was_volatile: bool, is_volatile: bool) {
        let index = &mut self.keyspaces[usize::from(keyspace)];
        index.volatile_len = index.volatile_len + u64::from(is_volatile) - u64::from(was_volatile);
    }
}

/// What an item adds to its queue.
fn weight_of(draft: &Draft<'_>, value: Option<&Bytes>) -> u64 {
    let span = draft.bytes().next_multiple_of(8);
    (span + value.map_or(0, |value| Heap::charge_of(value.len()))) as u64
}
