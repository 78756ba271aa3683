//! Reclaim: makes room, over all stores of a core.
//!
//! ```text
//!                   charged > 90 % of the effective limit?
//!   make_room --+--> yes: free what was cleared; then judge the oldest records until it is below   (evict)
//!               |
//!               +--> few free segments? copy the live records out of the cheapest segments          (compact)
//! ```
//!
//! **Eviction is decided by live bytes, reclaim by segments.** No live record is evicted while what is charged (live
//! records, heap values, index, wheels, ghost, buffers) is at most 90 % of the effective limit; until then segments are
//! won back by copying.
//!
//! Invariants
//! - Each call does a bounded part of the work, in proportion to the bytes that its caller adds; if that was not enough
//!   to leave a segment for the next write, the rest is done at once and counted as a stall.
//! - The eviction cursor empties the oldest segment of a queue record by record: first in, first out at the precision
//!   of records, whatever the size of segments.
//!
//! Absent on purpose: the choice what to keep. That is the policy's.

mod compact;
mod evict;

use crate::log::{Queue, SegmentNumber};
use crate::memory::{Memory, NoRoom};
use crate::store::{Departure, Store};

/// Records that a call may judge, besides those for its bytes.
const EVICT_STEPS: usize = 128;
/// One more for each so many bytes: a record is hardly smaller.
const EVICT_BYTES_PER_STEP: usize = 32;
/// Index entries swept of what was cleared, in one step.
const SWEEP_ENTRIES: usize = 64;
/// Records that upkeep moves or removes, and steps that it takes, before it leaves the rest of the way down to the
/// limit to its next call.
const UPKEEP_ITEMS: u64 = 512;
const UPKEEP_STEPS: usize = 64;
/// Bytes that a call without bytes of its own (upkeep) compacts.
const UPKEEP_BYTES: usize = 4096;

/// Where a walk over a segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    store: usize,
    segment: SegmentNumber,
    /// Tells whether the segment is still the same.
    serial: u64,
    unit: u32,
}

/// A segment that is being compacted.
#[derive(Clone, Copy, Debug)]
struct Victim {
    walk: Walk,
    /// Bytes of it that are looked at for each byte written.
    price: usize,
}

/// Where reclaim goes on, between calls.
#[derive(Default)]
pub(crate) struct Cursors {
    /// The segment at the old end of the small and of the main queue.
    evict: [Option<Walk>; 2],
    /// The queue that is judged until something leaves it.
    evicting: Option<Queue>,
    /// The segment that is being compacted.
    victim: Option<Victim>,
    /// Bytes of compaction that inserts have paid for and that were not done yet.
    compact_credit: usize,
    /// Where the search for the cheapest segment goes on.
    search: (usize, usize),
}

/// Does the share of reclaim that a write of `bytes` owes; 0 for upkeep once per tick. Call it before a write, or
/// after. `stores` are all stores of the core, always in the same order. `departed` hears of every item that has to go,
/// with the number of its store. Fails if the write would find no room under the policy in force.
#[inline]
pub fn make_room<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    bytes: usize,
    mut departed: impl FnMut(usize, Departure<'_>),
) -> Result<(), NoRoom> {
    let is_following = bytes == 0 && memory.is_lowering();
    if memory.is_roomy(bytes as u64) && !is_following {
        return Ok(());
    }
    make_room_now(memory, stores, bytes, &mut departed)
}

#[cold]
fn make_room_now<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    bytes: usize,
    departed: &mut dyn FnMut(usize, Departure<'_>),
) -> Result<(), NoRoom> {
    if bytes as u64 > memory.value_bytes_max() + item::RECORD_BYTES_MAX as u64 {
        return Err(NoRoom);
    }
    let before = memory.reclaimed_items();
    reclaim(memory, stores, bytes, departed);
    let mut steps = if bytes == 0 { UPKEEP_STEPS } else { 0 };
    while steps > 0 && memory.reclaimed_items() - before < UPKEEP_ITEMS && memory.lower_ceiling() {
        steps -= 1;
        reclaim(memory, stores, bytes, departed);
    }
    memory.trim(1 + bytes / memory.segment_bytes());
    if bytes > 0 {
        // What was cleared is nobody's: no write is refused for it.
        while memory.admit(bytes as u64).is_err() && sweep(memory, stores) {}
        return memory.admit(bytes as u64);
    }
    Ok(())
}

/// One round of eviction and compaction.
fn reclaim<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    bytes: usize,
    departed: &mut dyn FnMut(usize, Departure<'_>),
) {
    let mut steps = EVICT_STEPS + bytes / EVICT_BYTES_PER_STEP;
    let mut can_evict = true;
    while can_evict && steps > 0 && memory.is_over_threshold(bytes as u64) {
        steps -= 1;
        can_evict = sweep(memory, stores) || evict::step(memory, stores, departed);
    }
    if memory.is_short_of_segments(bytes as u64) {
        compact::pay(memory, stores, bytes.max(UPKEEP_BYTES));
    }
    if memory.is_out_of_segments(bytes as u64) {
        catch_up(memory, stores, bytes, departed);
    }
}

/// Reclaims until a write of `bytes` finds a segment, or nothing more can be won.
#[cold]
fn catch_up<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    bytes: usize,
    departed: &mut dyn FnMut(usize, Departure<'_>),
) {
    memory.account.statistics.stalls += u64::from(bytes > 0);
    while memory.is_out_of_segments(bytes as u64) {
        let done = sweep(memory, stores)
            || compact::segment(memory, stores)
            || evict::step(memory, stores, departed)
            || compact::open_segments(memory, stores);
        if !done {
            return;
        }
    }
}

/// Frees a part of what was cleared; false when there is nothing. For writers that were refused for a reason that
/// `make_room` cannot foresee: the first item of a keyspace takes a whole index with it.
pub fn sweep<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S]) -> bool {
    let clearing = stores.iter_mut().map(AsMut::as_mut).find(|store| store.is_clearing());
    clearing.is_some_and(|store| {
        store.sweep(memory, SWEEP_ENTRIES);
        true
    })
}

impl Cursors {
    /// Whether eviction walks this segment: it will be empty soon without being copied.
    fn is_evicting(&self, store: usize, segment: SegmentNumber) -> bool {
        self.evict.iter().flatten().any(|walk| walk.store == store && walk.segment == segment)
    }
}

impl Walk {
    fn is_current(&self, store: &Store) -> bool {
        store.log.is_current(self.segment, self.serial)
    }
}
