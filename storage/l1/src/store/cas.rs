//! CAS numbers: written into a record when a client first asks for one.
//!
//! Invariants
//! - Value, deadline, flags and queue stay as they are; a new deadline keeps the number.
//! - A write of the value drops the number: `put` writes none. So a number says that nothing was written since.

use item::{Key, Record};

use super::{Store, is_past};
use crate::log::Stream;
use crate::memory::{Memory, NoRoom, Purpose};

impl Store {
    /// The CAS number of an item, if a client has asked for one since the last write.
    pub fn cas(&self, key: &Key<'_>, now_ms: u64) -> Option<u64> {
        let (_, entry) = self.find(key)?;
        let record = self.log.record(entry.location()).filter(|record| !is_past(record.expires_at_ms(), now_ms))?;
        record.cas()
    }

    /// Gives an item this CAS number, in place of the old one if it had one. False if there is no such item.
    ///
    /// # Errors
    /// The record grows by eight bytes and memory is full; the item has no number then.
    pub fn set_cas(&mut self, memory: &mut Memory, key: &Key<'_>, cas: u64) -> Result<bool, NoRoom> {
        let Some((position, entry)) = self.find(key) else { return Ok(false) };
        let old = entry.location();
        let tail = self.log.tail_mut(old).expect("the index names records");
        if Record::set_cas(tail, cas) {
            return Ok(true);
        }
        let record = self.log.record(old).expect("the index names records");
        let mut copy = [0; item::RECORD_BYTES_MAX];
        let span = record.copy_with_cas(cas, &mut copy).ok_or(NoRoom)?;
        memory.admit((span.bytes() - record.span().bytes()) as u64)?;
        let chain = self.log.chain_of(old);
        let location = self.log.append(memory, chain, Stream::Head, span, Purpose::Insert).ok_or(NoRoom)?;
        let tail = self.log.tail_mut(location).expect("append made room");
        tail[..span.bytes()].copy_from_slice(&copy[..span.bytes()]);
        // A heap value goes over to the new stub, in the same chain.
        self.log.kill(memory, old);
        self.replace_entry(key, position, entry.moved(location, entry.frequency()));
        Ok(true)
    }
}
