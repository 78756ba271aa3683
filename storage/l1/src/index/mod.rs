//! Index: from a key's place to the record, slot first.
//!
//! Per keyspace an array over the store's slots; per slot a small set of tables ([`slot`]); per table cache-line
//! buckets ([`table`], [`bucket`]) of eight-byte entries ([`entry`]). A slot can thus be counted, listed, flushed and
//! handed on by itself, and no insert moves more than one table's entries.
//!
//! The buckets lie in segments of the arena, handed out in runs of lines ([`lines`]).
//!
//! A lookup touches the slot's line in the array, one line of the table, and the record.
//!
//! Absent on purpose: keys. The caller compares them in the record that an entry names.

mod bucket;
mod entry;
mod keyspace;
mod lines;
mod slot;
mod table;

pub(crate) use entry::{Entry, SEGMENT_BYTES_MAX, SEGMENT_COUNT_MAX};
pub(crate) use keyspace::KeyspaceIndex;
pub(crate) use lines::Lines;
pub(crate) use slot::SlotIndex;
pub(crate) use table::Position;
