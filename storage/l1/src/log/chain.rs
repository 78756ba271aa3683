//! Chain: the segments of one queue and lifetime, in the order of their age.

use std::collections::BTreeSet;

use super::{SegmentNumber, Stream};

/// The two logs of S3-FIFO. Policies without a small queue use only `Main`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Queue {
    /// New items prove themselves here.
    Small,
    /// Items that were used again.
    Main,
}

/// Whether the records have a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lifetime {
    Persistent,
    Volatile,
}

impl Lifetime {
    #[inline]
    pub(crate) fn of(expires_at_ms: Option<u64>) -> Lifetime {
        if expires_at_ms.is_some() { Lifetime::Volatile } else { Lifetime::Persistent }
    }
}

/// Which chain of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChainId {
    pub(crate) queue: Queue,
    pub(crate) lifetime: Lifetime,
}

impl ChainId {
    /// Number of chains of a store.
    pub(crate) const COUNT: usize = 4;

    /// Every chain, by its index.
    pub(crate) const ALL: [ChainId; ChainId::COUNT] = [
        ChainId { queue: Queue::Small, lifetime: Lifetime::Persistent },
        ChainId { queue: Queue::Small, lifetime: Lifetime::Volatile },
        ChainId { queue: Queue::Main, lifetime: Lifetime::Persistent },
        ChainId { queue: Queue::Main, lifetime: Lifetime::Volatile },
    ];

    /// A number below `COUNT`.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.queue as usize * 2 + self.lifetime as usize
    }
}

/// The segments of one chain.
#[derive(Default)]
pub(crate) struct Chain {
    open: Option<SegmentNumber>,
    survivor: Option<SegmentNumber>,
    order: BTreeSet<(u64, SegmentNumber)>,
}

impl Chain {
    /// The segment that takes appends of this stream.
    #[inline]
    pub(crate) fn current(&self, stream: Stream) -> Option<SegmentNumber> {
        match stream {
            Stream::Head => self.open,
            Stream::Survivors { .. } => self.survivor,
        }
    }

    pub(crate) fn currents(&self) -> [Option<SegmentNumber>; 2] {
        [self.open, self.survivor]
    }

    pub(crate) fn oldest(&self) -> Option<(u64, SegmentNumber)> {
        self.order.first().copied()
    }

    pub(crate) fn add(&mut self, stream: Stream, age: u64, number: SegmentNumber) {
        self.order.insert((age, number));
        match stream {
            Stream::Head => self.open = Some(number),
            Stream::Survivors { .. } => self.survivor = Some(number),
        }
    }

    /// Stops appending to `number`.
    pub(crate) fn forget_current(&mut self, number: SegmentNumber) {
        if self.open == Some(number) {
            self.open = None;
        }
        if self.survivor == Some(number) {
            self.survivor = None;
        }
    }

    pub(crate) fn remove(&mut self, age: u64, number: SegmentNumber) {
        let was_there = self.order.remove(&(age, number));
        debug_assert!(was_there, "a segment leaves its chain once");
    }
}
