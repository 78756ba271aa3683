//! pinion-l1: the memory tier, a log-structured store of items.
//!
//! ```text
//!   Store (one shard)                              Memory (one core)
//!   +-----------------------------------+          +---------------------------+
//!   | index: slot -> table -> entry     |  charges | accounts, limit, feedback |
//!   | log:   chains of segments         | -------> | free segments <- arena    |
//!   | heap:  values above 16 KiB        |          | ghost table, cursors      |
//!   | wheel: alarms of volatile items   |          +---------------------------+
//!   +-----------------------------------+                       ^
//!                     ^                make_room                |
//!                     +---------- evicts and compacts ----------+
//! ```
//!
//! Why a log: the order of segments is the FIFO order that S3-FIFO needs, so eviction costs no links per item; no
//! allocator stands between the budget and resident memory; and records go to the SSD tier as they are.
//!
//! Invariants
//! - A lookup never returns a value other than the last one stored, nor one whose deadline has passed.
//! - No live record is evicted while everything charged is at most 90 % of the effective limit.
//! - One call moves at most 1024 index entries and does reclaim in proportion to the bytes it adds.
//! - A lookup, and an overwrite of equal span, allocate nothing.
//!
//! Absent on purpose: sockets, disks, clocks, threads and the meaning of commands. `unsafe` is in [`raw`] only.
#![deny(unsafe_code)]

mod allocation;
mod eviction;
mod index;
mod log;
mod memory;
pub mod raw;
mod reclaim;
mod store;
#[cfg(test)]
mod tests;
mod wheel;

pub use allocation::spacious;
pub use eviction::Policy;
pub use memory::{LIMIT_BYTES_MIN, Memory, MemoryOptions, NoRoom, Statistics, Usage};
pub use raw::Prefault;
pub use reclaim::{make_room, sweep};
pub use store::{Budget, Cause, Departure, Footprint, Item, LagHistogram, Put, Store, StoreOptions, Stored, Value};
