//! raw: the only folder of this crate with `unsafe`.
//!
//! Invariants
//! - A [`SegmentMemory`] is the only way to its bytes: the arena carves each range once, and the value is not cloned.
//! - A [`SegmentMemory`] keeps the mapping alive, so it may outlive the arena and move to another thread.
//!
//! Absent on purpose: free lists, budgets and records. What can be safe code is elsewhere.
#![allow(unsafe_code)]

mod arena;
mod prefetch;

pub use arena::{Arena, Line, Prefault, SegmentMemory};
pub(crate) use prefetch::prefetch;
