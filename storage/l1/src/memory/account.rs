//! Account: bytes and events, by what they were spent on.

use crate::log::ChainId;

/// Bytes in use, by kind.
#[derive(Clone, Default, Debug)]
pub(crate) struct Account {
    /// Live records and the heap values behind their stubs, by chain.
    pub(crate) chain_bytes: [u64; ChainId::COUNT],
    /// Heap values, also contained in `chain_bytes`.
    pub(crate) heap_bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) wheel_bytes: u64,
    pub(crate) ghost_bytes: u64,
    pub(crate) other_bytes: u64,
    pub(crate) statistics: Statistics,
}

impl Account {
    /// Everything that counts against the limit.
    #[inline]
    pub(crate) fn charged(&self) -> u64 {
        self.chain_bytes.iter().sum::<u64>() + self.index_bytes + self.wheel_bytes + self.ghost_bytes + self.other_bytes
    }

    /// Spans of the live records.
    #[inline]
    pub(crate) fn live_bytes(&self) -> u64 {
        self.chain_bytes.iter().sum::<u64>() - self.heap_bytes
    }
}

/// Events since the start.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// Live items that had to go.
    pub evicted_items: u64,
    /// Items removed by the wheel or found expired by reclaim.
    pub expired_items: u64,
    /// Records copied within their chain to win their segment back.
    pub compacted_items: u64,
    /// Records copied to the young end of the main queue.
    pub kept_items: u64,
    /// Writes that had to reclaim on the spot because no segment was free.
    pub stalls: u64,
    /// Most index entries that one insert moved.
    pub entries_moved_max: u64,
}

/// A snapshot of [`Memory`](crate::Memory), in bytes and segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Spans of the live records.
    pub live_bytes: u64,
    /// The rest of the segments in use: dead records, unwritten and unusable ends.
    pub dead_bytes: u64,
    /// Values outside the segments, rounded as the allocator does.
    pub heap_bytes: u64,
    /// Index tables.
    pub index_bytes: u64,
    /// Timer wheels.
    pub wheel_bytes: u64,
    /// Ghost table.
    pub ghost_bytes: u64,
    /// What was charged from outside.
    pub other_bytes: u64,
    /// Records and heap values in the small queue.
    pub small_bytes: u64,
    /// Records and heap values in the main queue.
    pub main_bytes: u64,
    /// Everything that counts against the limit.
    pub charged_bytes: u64,
    /// The limit that was set.
    pub limit_bytes: u64,
    /// The limit after feedback.
    pub effective_limit_bytes: u64,
    /// Where eviction begins.
    pub threshold_bytes: u64,
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Segments with records.
    pub segments_used: u64,
    /// Free segments that still have pages.
    pub segments_retained: u64,
    /// Segments that may be in use.
    pub segments_allowed: u64,
    /// Events since the start.
    pub statistics: Statistics,
}
