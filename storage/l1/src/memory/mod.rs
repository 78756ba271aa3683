//! Memory: what one core may use, and what it uses.
//!
//! All stores of a core draw their segments from here and charge here what they allocate besides.
//!
//! ```text
//!   limit            what was configured
//!   effective limit  limit - what resident memory exceeds the accounts by (averaged). What is in force follows it:
//!                    up at once; down, or when others take more, by steps of bounded work
//!   threshold        90 % of the effective limit, more if little of it is log: below it no live record is evicted
//!   charged          live records + heap values + index + wheel + ghost + others
//!   allowed          (effective limit - charged + live records) / segment size: segments that may be in use
//! ```
//!
//! Invariants
//! - `charged` is the sum of its parts, and each part is what a recount of the stores finds.
//! - Inserts leave [`RESERVE_SEGMENTS`] segments for copying, so reclaim can always finish what it began.
//!
//! Absent on purpose: a clock and a reading of the process's memory. Both are arguments.

mod account;
mod orphans;
mod pool;

pub(crate) use account::Account;
pub use account::{Statistics, Usage};

use std::io;

use bytes::Bytes;
use item::INLINE_VALUE_BYTES_MAX;

use crate::eviction::ghost::Ghost;
use crate::eviction::{Arrival, Balance, Order, Policy, Scope};
use crate::index::SEGMENT_BYTES_MAX;
use crate::log::{ChainId, Lifetime, Queue};
use crate::raw::{Arena, Prefault, SegmentMemory};
use crate::reclaim::Cursors;
use crate::store::heap::Heap;
use orphans::Orphans;
use pool::Pool;

/// Smallest limit for one core, in bytes: the open segments of eight stores and their indexes take a quarter of it.
pub const LIMIT_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Segments that only copying may take: two per kind of chain.
const RESERVE_SEGMENTS: u64 = 2 * ChainId::COUNT as u64;

/// Segments beyond the reserve at which compaction begins, at least and as a part of the allowed ones.
const HEADROOM_SEGMENTS_MIN: u64 = 2;
const HEADROOM_DIVISOR: u64 = 64;

/// Segments that a log of few live bytes needs all the same: four open ones in each of eight stores, reserve and
/// headroom.
const SLACK_SEGMENTS_MIN: u64 = 48;

/// Smallest segment that is chosen by itself.
const SEGMENT_BYTES_MIN: usize = 64 * 1024;
/// Limits from here on are served from huge pages: below it one of them is too large a part of the limit.
const HUGE_LIMIT_BYTES_MIN: u64 = 1 << 30;
/// Largest segment that is chosen by itself. Of the open ones half is empty, and four of them share a huge page: with
/// 2 MiB eight stores spent 16 bytes per item of two million on that.
const SEGMENT_BYTES_DERIVED_MAX: usize = 512 * 1024;
/// Segments that a core should have at least: then open and reserved ones stay below 2 % of the limit.
const SEGMENT_COUNT_GOAL: u64 = 2048;
/// An inline value takes at most this part of a segment, so that the unusable end of a segment stays below 3 %.
const INLINE_DIVISOR: usize = 32;
/// A value may take this part of the limit.
const VALUE_DIVISOR: u64 = 8;
/// Stores whose tables may have to grow for the items of one command.
const TABLE_GROWTHS_MAX: u64 = 8;
/// Most that an item takes of its table: the emptiest ones are a third full.
const INDEX_BYTES_PER_ITEM: u64 = 24;
/// A record ends at a multiple of eight bytes.
const RECORD_PAD_BYTES: usize = 7;
/// The ghost table is made for items of this size, or for as many as there are.
const GHOST_ITEM_BYTES: u64 = 128;
/// Weight of a new reading in the average of what resident memory exceeds the accounts by: 1/8.
const FEEDBACK_WEIGHT: f64 = 0.125;

/// Segments whose pages are given back at one reading: a millisecond.
const FEEDBACK_TRIMS: usize = 16;
/// What is in force comes down by this part of a segment at a time.
const LOWER_DIVISOR: u64 = 4;

/// A write found no room: answer `-OOM`. What was stored before is intact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// How to make a [`Memory`].
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// What the core may use, in bytes. At least [`LIMIT_BYTES_MIN`] outside tests.
    pub limit_bytes: u64,
    /// Address space to set aside, in bytes: the highest limit that may be set later, usually the host's memory.
    pub address_bytes: u64,
    /// What goes when memory is short.
    pub policy: Policy,
    /// Segment size, a power of two; `None` derives it from the limit.
    pub segment_bytes: Option<usize>,
    /// S3-FIFO: uses since insertion that take an item from the small to the main queue, 1 to 3.
    pub promotion_threshold: u8,
}

impl Default for MemoryOptions {
    fn default() -> MemoryOptions {
        MemoryOptions {
            limit_bytes: 1 << 30,
            address_bytes: 1 << 30,
            policy: Policy::default(),
            segment_bytes: None,
            promotion_threshold: crate::eviction::s3fifo::PROMOTION_THRESHOLD,
        }
    }
}

/// Who asks for a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A client's write.
    Insert,
    /// Reclaim, which gives a segment back for it.
    Copy,
}

/// The memory of one core.
pub struct Memory {
    pool: Pool,
    pub(crate) account: Account,
    limit_bytes: u64,
    /// What the stores may use as it is in force: the effective limit less what others hold, or still more.
    ceiling_bytes: u64,
    orphans: Orphans,
    /// Averaged excess of resident memory over the accounts; may be negative.
    excess_bytes: f64,
    policy: Policy,
    promotion_threshold: u8,
    /// Items that were admitted together are being stored: none of them is refused.
    is_promised: bool,
    serial: u64,
    /// Time of the last upkeep, unix milliseconds.
    now_ms: u64,
    /// The same in seconds.
    now_s: u32,
    ghost: Option<Ghost>,
    /// Whether nothing was evicted since the memory was last empty.
    is_filling: bool,
    pub(crate) cursors: Cursors,
}

impl Memory {
    /// Reserves address space. Fails if the operating system refuses to map that much.
    pub fn new(options: MemoryOptions) -> io::Result<Memory> {
        let segment_bytes = options.segment_bytes.unwrap_or_else(|| segment_bytes_for(options.limit_bytes));
        assert!(segment_bytes.is_power_of_two() && (1024..=SEGMENT_BYTES_MAX).contains(&segment_bytes));
        // Beyond the limit, a few segments that reclaim may use for a moment.
        let spare = segment_bytes as u64 * 2 * RESERVE_SEGMENTS;
        let address_bytes = options.address_bytes.max(options.limit_bytes) + spare;
        let mut arena = Arena::new(address_bytes as usize, segment_bytes)?;
        if options.limit_bytes >= HUGE_LIMIT_BYTES_MIN {
            arena.ask_for_huge_pages();
        }
        Ok(Memory {
            pool: Pool::new(arena),
            account: Account::default(),
            limit_bytes: options.limit_bytes,
            ceiling_bytes: options.limit_bytes,
            orphans: Orphans::default(),
            excess_bytes: 0.0,
            policy: options.policy,
            promotion_threshold: options.promotion_threshold.clamp(1, 3),
            is_promised: false,
            serial: 0,
            now_ms: 0,
            now_s: 0,
            ghost: None,
            is_filling: true,
            cursors: Cursors::default(),
        })
    }

    /// For another thread: gets pages from the kernel before this core needs them. `None` where that does not pay.
    pub fn prefault(&self) -> Option<Prefault> {
        // Less than the limit by more than runs ahead, so that a full memory stays within it.
        self.pool.prefault(self.limit_bytes / 16 * 15)
    }

    /// Sets the limit. What exceeds a lower one is evicted by the following calls of `make_room` with 0 bytes, a part
    /// in each.
    pub fn set_limit(&mut self, bytes: u64) {
        self.limit_bytes = bytes;
        self.raise_ceiling();
    }

    /// The limit that was set.
    pub fn limit(&self) -> u64 {
        self.limit_bytes
    }

    /// Sets what goes when memory is short. Items keep their places.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        if !policy.order().has_ghost() {
            self.drop_ghost();
        }
    }

    /// The policy that was set.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Sets what others hold that the limit covers (connection buffers, values on their way in): an absolute figure.
    #[inline]
    pub fn charge(&mut self, other_bytes: u64) {
        self.account.other_bytes = other_bytes + self.orphans.bytes();
        self.raise_ceiling();
    }

    /// Takes a heap value that its store has let go. While replies still send it, it counts as what others hold.
    pub(crate) fn orphan(&mut self, value: Bytes) {
        self.account.other_bytes += self.orphans.add(value);
    }

    /// Lets go of values that nobody sends any more, a bounded number.
    pub(crate) fn sweep_orphans(&mut self) {
        self.account.other_bytes -= self.orphans.sweep();
        self.raise_ceiling();
    }

    /// Takes in a reading of the process's resident memory, of which this core's share is given. Call it every 100 ms.
    pub fn feedback(&mut self, rss_bytes: u64) {
        let excess = rss_bytes as f64 - self.accounted_bytes() as f64;
        self.excess_bytes += (excess - self.excess_bytes) * FEEDBACK_WEIGHT;
        self.raise_ceiling();
        self.trim(FEEDBACK_TRIMS);
    }

    /// Whether what is in force has still to come down to the limit: `make_room` with 0 bytes has more to do.
    pub fn is_lowering(&self) -> bool {
        self.ceiling_bytes > self.wanted_ceiling()
    }

    /// Everything this core accounts for, free segments that still have pages included: compare it with resident
    /// memory.
    pub fn accounted_bytes(&self) -> u64 {
        let segments = self.pool.used() + self.pool.retained();
        self.account.charged() - self.account.live_bytes() + segments * self.segment_bytes() as u64
    }

    /// A snapshot of the accounts.
    pub fn usage(&self) -> Usage {
        Usage {
            live_bytes: self.account.live_bytes(),
            dead_bytes: (self.pool.used() * self.segment_bytes() as u64).saturating_sub(self.account.live_bytes()),
            heap_bytes: self.account.heap_bytes,
            index_bytes: self.account.index_bytes,
            wheel_bytes: self.account.wheel_bytes,
            ghost_bytes: self.account.ghost_bytes,
            other_bytes: self.account.other_bytes,
            small_bytes: self.balance(Scope::All).small_bytes,
            main_bytes: self.balance(Scope::All).main_bytes,
            charged_bytes: self.account.charged(),
            limit_bytes: self.limit_bytes,
            effective_limit_bytes: self.wanted_ceiling() + self.account.other_bytes,
            threshold_bytes: self.threshold(),
            segment_bytes: self.segment_bytes() as u64,
            segments_used: self.pool.used(),
            segments_retained: self.pool.retained(),
            segments_allowed: self.allowed_segments(),
            statistics: self.account.statistics,
        }
    }

    /// Size of a segment.
    #[inline]
    pub fn segment_bytes(&self) -> usize {
        self.pool.segment_bytes()
    }

    /// Longest value that is kept inside a record; longer ones are kept as `Bytes`.
    #[inline]
    pub fn inline_value_bytes_max(&self) -> usize {
        INLINE_VALUE_BYTES_MAX.min(self.segment_bytes() / INLINE_DIVISOR)
    }

    /// Longest value that is stored at all.
    #[inline]
    pub fn value_bytes_max(&self) -> u64 {
        self.limit_bytes / VALUE_DIVISOR
    }

    /// The limit in force.
    #[inline]
    fn effective_limit(&self) -> u64 {
        self.ceiling_bytes + self.account.other_bytes
    }

    /// The limit less the averaged excess of resident memory, at least half of it: a wrong reading must not empty us.
    /// And less what others hold.
    fn wanted_ceiling(&self) -> u64 {
        let excess = self.excess_bytes.max(0.0) as u64;
        (self.limit_bytes - excess.min(self.limit_bytes / 2)).saturating_sub(self.account.other_bytes)
    }

    fn raise_ceiling(&mut self) {
        self.ceiling_bytes = self.ceiling_bytes.max(self.wanted_ceiling());
    }

    /// Comes down to the limit as far as that costs nothing, and a step more; false if it is reached before.
    pub(crate) fn lower_ceiling(&mut self) -> bool {
        let wanted = self.wanted_ceiling();
        let step_min = self.segment_bytes() as u64 / LOWER_DIVISOR;
        let mut step = step_min;
        while self.ceiling_bytes > wanted {
            let before = self.ceiling_bytes;
            self.ceiling_bytes = before.saturating_sub(step).max(wanted);
            if self.is_roomy(0) {
                step *= 2;
            } else if step > step_min {
                self.ceiling_bytes = before;
                step = step_min;
            } else {
                return true;
            }
        }
        false
    }

    /// Records that reclaim has moved or removed since the start.
    pub(crate) fn reclaimed_items(&self) -> u64 {
        let Statistics { evicted_items, compacted_items, kept_items, .. } = self.account.statistics;
        evicted_items + compacted_items + kept_items
    }

    /// Up to here no live record is evicted: never less than 90 % of the effective limit.
    ///
    /// Only the log needs room that holds nothing live: a tenth of its segments, so that compaction stays cheap. Heap
    /// values and tables need none, so the more of the limit they take, the less of it stays unused.
    #[inline]
    pub(crate) fn threshold(&self) -> u64 {
        let limit = self.effective_limit();
        let fixed = self.account.charged() - self.account.live_bytes();
        let open = SLACK_SEGMENTS_MIN * self.segment_bytes() as u64;
        let slack = (limit.saturating_sub(fixed) / 10).max(open).min(limit / 10);
        limit - slack
    }

    /// Segments that may be in use, given what everything else takes.
    #[inline]
    pub(crate) fn allowed_segments(&self) -> u64 {
        let fixed = self.account.charged() - self.account.live_bytes();
        self.effective_limit().saturating_sub(fixed) >> self.pool.segment_shift()
    }

    /// Whether `bytes` more can be written without any work: the fast path of `make_room`.
    #[inline]
    pub(crate) fn is_roomy(&self, bytes: u64) -> bool {
        let allowed = self.allowed_segments();
        self.account.charged() + bytes <= self.threshold()
            && self.pool.used() + self.watermark(allowed) + (bytes >> self.pool.segment_shift()) <= allowed
            && self.pool.used() + self.pool.retained() <= allowed
    }

    /// Whether something has to be evicted before `bytes` more are written.
    #[inline]
    pub(crate) fn is_over_threshold(&self, bytes: u64) -> bool {
        self.account.charged() + bytes > self.threshold()
    }

    /// Whether compaction has to win segments.
    pub(crate) fn is_short_of_segments(&self, bytes: u64) -> bool {
        let allowed = self.allowed_segments();
        self.pool.used() + self.watermark(allowed) + (bytes >> self.pool.segment_shift()) > allowed
    }

    /// Whether an insert of `bytes` might find no segment now.
    pub(crate) fn is_out_of_segments(&self, bytes: u64) -> bool {
        let allowed = self.allowed_segments();
        self.pool.used() + self.reserve(allowed) + bytes.div_ceil(self.segment_bytes() as u64) > allowed
    }

    fn reserve(&self, allowed: u64) -> u64 {
        RESERVE_SEGMENTS.min(allowed / 8)
    }

    fn watermark(&self, allowed: u64) -> u64 {
        self.reserve(allowed) + HEADROOM_SEGMENTS_MIN.max(allowed / HEADROOM_DIVISOR)
    }

    pub(crate) fn take_segment(&mut self, purpose: Purpose) -> Option<SegmentMemory> {
        let allowed = self.allowed_segments();
        let bound = match purpose {
            // What was admitted as a whole may not end half way, though nearly empty segments are all there are.
            Purpose::Insert if self.is_promised => u64::MAX,
            Purpose::Insert => allowed.saturating_sub(self.reserve(allowed)),
            // Copying empties a segment for each it fills: it may pass the limit for that moment.
            Purpose::Copy => u64::MAX,
        };
        if self.pool.used() >= bound { None } else { self.pool.take() }
    }

    pub(crate) fn give_segment(&mut self, segment: SegmentMemory) {
        self.pool.give(segment);
    }

    /// A segment for tables. Not bounded by the limit, which makes room afterwards: an insert must not fail half way.
    pub(crate) fn take_index_segment(&mut self) -> Option<SegmentMemory> {
        let segment = self.pool.take_other()?;
        self.account.index_bytes += self.segment_bytes() as u64;
        Some(segment)
    }

    pub(crate) fn give_index_segment(&mut self, segment: SegmentMemory) {
        self.account.index_bytes -= self.segment_bytes() as u64;
        self.pool.give_other(segment);
    }

    /// Gives pages of free segments that are not allowed any more back to the operating system, `count_max` at most.
    pub(crate) fn trim(&mut self, count_max: usize) {
        let allowed = self.allowed_segments();
        self.pool.trim(allowed, count_max);
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The serial of the segment that was opened last.
    pub(crate) fn last_serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    #[inline]
    pub(crate) fn now_s(&self) -> u32 {
        self.now_s
    }

    pub(crate) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.now_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
    }

    /// Whether `bytes` more may be stored: below the threshold, or with something that may be evicted for them.
    #[inline]
    pub(crate) fn admit(&self, bytes: u64) -> Result<(), NoRoom> {
        if self.account.charged() + bytes <= self.threshold() || bytes == 0 || self.is_promised {
            return Ok(());
        }
        let candidates = self.balance(self.policy.scope());
        if candidates.small_bytes + candidates.main_bytes > 0 { Ok(()) } else { Err(NoRoom) }
    }

    /// Whether items of `bytes` together, `count` of them, may be stored one after the other without a refusal.
    pub fn admits_all(&self, bytes: u64, count: usize) -> Result<(), NoRoom> {
        // Tables grow by whole segments.
        let tables = if count > 1 { (count as u64).min(TABLE_GROWTHS_MAX) * self.segment_bytes() as u64 } else { 0 };
        let after = self.account.charged() + bytes + tables;
        let candidates = self.balance(self.policy.scope());
        let evictable = candidates.small_bytes + candidates.main_bytes;
        // A lower limit that was just set is not in force yet, but what it will not hold is not promised.
        if after <= self.threshold().min(self.limit_bytes) + evictable { Ok(()) } else { Err(NoRoom) }
    }

    /// From when `admits_all` has allowed items until all of them are stored: none is refused meanwhile, for want of a
    /// segment for example, which bytes that are admitted do not promise.
    pub fn set_promised(&mut self, is_promised: bool) {
        self.is_promised = is_promised;
    }

    /// What an item costs at most, in bytes: its record or its heap value, and its place in the index.
    pub fn cost_of(&self, key_bytes: usize, value_bytes: usize) -> u64 {
        let record = item::PREFIX_BYTES_MAX + RECORD_PAD_BYTES + key_bytes;
        let value =
            if value_bytes <= self.inline_value_bytes_max() { value_bytes } else { Heap::charge_of(value_bytes) };
        (record + value) as u64 + INDEX_BYTES_PER_ITEM
    }

    #[inline]
    pub(crate) fn add_live(&mut self, chain: ChainId, bytes: usize) {
        self.account.chain_bytes[chain.index()] += bytes as u64;
    }

    #[inline]
    pub(crate) fn remove_live(&mut self, chain: ChainId, bytes: usize) {
        self.account.chain_bytes[chain.index()] -= bytes as u64;
    }

    pub(crate) fn add_heap(&mut self, chain: ChainId, bytes: usize) {
        self.account.heap_bytes += bytes as u64;
        self.account.chain_bytes[chain.index()] += bytes as u64;
    }

    pub(crate) fn remove_heap(&mut self, chain: ChainId, bytes: usize) {
        self.account.heap_bytes -= bytes as u64;
        self.account.chain_bytes[chain.index()] -= bytes as u64;
    }

    pub(crate) fn promotion_threshold(&self) -> u8 {
        self.promotion_threshold
    }

    pub(crate) fn order(&self) -> Order {
        self.policy.order()
    }

    /// Bytes in the queues, of the records in scope, and what they may have together.
    pub(crate) fn balance(&self, scope: Scope) -> Balance {
        let chain = |queue, lifetime| self.account.chain_bytes[ChainId { queue, lifetime }.index()];
        let of = |queue| match scope {
            Scope::Nothing => 0,
            Scope::Volatile => chain(queue, Lifetime::Volatile),
            Scope::All => chain(queue, Lifetime::Volatile) + chain(queue, Lifetime::Persistent),
        };
        let rest = self.account.charged() - self.account.chain_bytes.iter().sum::<u64>();
        Balance {
            small_bytes: of(Queue::Small),
            main_bytes: of(Queue::Main),
            share_bytes: self.threshold().saturating_sub(rest),
        }
    }

    /// The queue in which a new item of `bytes` starts.
    #[inline]
    pub(crate) fn placement(&mut self, ghost_hash: u64, bytes: u64) -> Queue {
        let is_remembered = self.ghost.as_mut().is_some_and(|ghost| ghost.take(ghost_hash, bytes));
        let arrival = Arrival { is_remembered, is_filling: self.is_filling, bytes, balance: self.balance(Scope::All) };
        self.policy.order().placement(&arrival)
    }

    /// Notes that an item was evicted; `ghost_hash` is given if it shall be remembered.
    pub(crate) fn note_eviction(&mut self, ghost_hash: Option<u64>, bytes: u64, item_count: u64) {
        self.is_filling = false;
        self.account.statistics.evicted_items += 1;
        let Some(hash) = ghost_hash else { return };
        // Nine tenths of what the cache may hold, as the paper has it.
        let size = self.balance(Scope::All).share_bytes / 10 * 9;
        // Later items may be far smaller than those of now.
        let entries = item_count.max(size / GHOST_ITEM_BYTES) as usize;
        let ghost = self.ghost.get_or_insert_with(|| Ghost::new(entries, size));
        ghost.set_size(size);
        ghost.insert(hash, bytes);
        self.account.ghost_bytes = ghost.bytes() as u64;
    }

    /// Forgets what the ghost table remembers once nothing is stored any more.
    pub(crate) fn note_cleared(&mut self) {
        if self.account.chain_bytes.iter().all(|bytes| *bytes == 0) {
            self.is_filling = true;
            self.drop_ghost();
        }
    }

    fn drop_ghost(&mut self) {
        self.ghost = None;
        self.account.ghost_bytes = 0;
    }
}

/// The largest segment of which the limit holds the number we want.
fn segment_bytes_for(limit_bytes: u64) -> usize {
    let wanted = (limit_bytes / SEGMENT_COUNT_GOAL).max(1);
    (1usize << wanted.ilog2()).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_DERIVED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_size_follows_the_limit() {
        for (limit, expected) in [
            (LIMIT_BYTES_MIN, 64 << 10),
            (256 << 20, 128 << 10),
            (1 << 30, 512 << 10),
            (4 << 30, 512 << 10),
            (1 << 40, 512 << 10),
        ] {
            assert_eq!(segment_bytes_for(limit), expected);
        }
    }

    #[test]
    fn the_ghost_table_is_made_for_more_items_than_the_first_ones() {
        let mut memory = Memory::new(MemoryOptions::default()).unwrap();
        memory.note_eviction(Some(1), 4 << 20, 200);
        assert!(memory.usage().ghost_bytes > 100_000, "{:?}", memory.usage());
    }

    #[test]
    fn excess_of_resident_memory_lowers_the_effective_limit_and_recovers() {
        let options = MemoryOptions { limit_bytes: 100 << 20, address_bytes: 100 << 20, ..MemoryOptions::default() };
        let mut memory = Memory::new(options).unwrap();
        for _ in 0..100 {
            memory.feedback(10 << 20);
        }
        let lowered = memory.usage().effective_limit_bytes;
        assert!((89 << 20..91 << 20).contains(&lowered), "{lowered}");
        for _ in 0..100 {
            memory.feedback(0);
        }
        assert!(memory.usage().effective_limit_bytes > 99 << 20);
        for _ in 0..1000 {
            memory.feedback(u64::MAX);
        }
        assert_eq!(memory.usage().effective_limit_bytes, 50 << 20);
    }
}
