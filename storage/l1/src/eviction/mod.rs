//! Eviction policies: what goes when memory is short.
//!
//! Every Redis name is accepted. The log keeps the order of arrival and two bits of use per item, and each name maps to
//! the nearest behaviour of that:
//!
//! | name                       | candidates  | behaviour                                                        |
//! |----------------------------|-------------|------------------------------------------------------------------|
//! | noeviction                 | none        | writes that need room fail                                       |
//! | allkeys-s3fifo             | all         | S3-FIFO ([`s3fifo`]); the default                                |
//! | volatile-s3fifo            | with TTL    | the same                                                         |
//! | allkeys-lru, volatile-lru  | as named    | CLOCK: the oldest goes, unless it was used ([`clock`])           |
//! | allkeys-lfu, volatile-lfu  | as named    | CLOCK with a count: each use up to 3 saves it once               |
//! | allkeys-lrm, volatile-lrm  | as named    | FIFO ([`fifo`]): the item written longest ago goes               |
//! | allkeys-random, volatile-random | as named | FIFO as well: no order in which items are used is respected    |
//! | volatile-ttl               | with TTL    | the nearest deadline, as the timer wheel sorts them              |
//!
//! Invariants
//! - A policy is pure: it sees counts and answers; `reclaim` moves the records.
//!
//! Absent on purpose: links, stamps or samples per item. The order of segments is the order of the queue.

pub(crate) mod clock;
pub(crate) mod fifo;
pub(crate) mod ghost;
pub(crate) mod s3fifo;

use crate::log::Queue;

/// A `maxmemory-policy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Writes that need room fail.
    NoEviction,
    /// S3-FIFO over all items.
    #[default]
    AllkeysS3fifo,
    /// S3-FIFO over the items with a deadline.
    VolatileS3fifo,
    /// Redis: approximated least recently used, over all items.
    AllkeysLru,
    /// Redis: approximated least recently used, over the items with a deadline.
    VolatileLru,
    /// Redis: approximated least frequently used, over all items.
    AllkeysLfu,
    /// Redis: approximated least frequently used, over the items with a deadline.
    VolatileLfu,
    /// Redis: least recently modified, over all items.
    AllkeysLrm,
    /// Redis: least recently modified, over the items with a deadline.
    VolatileLrm,
    /// Redis: any item.
    AllkeysRandom,
    /// Redis: any item with a deadline.
    VolatileRandom,
    /// Redis: the item with the nearest deadline.
    VolatileTtl,
}

/// Which items may be evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Nothing,
    Volatile,
    All,
}

/// In which order they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    S3Fifo,
    Clock { counted: bool },
    Fifo,
    NearestDeadline,
}

/// What becomes of the item at the old end of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It goes; `remember` leaves its fingerprint in the ghost table.
    Evict { remember: bool },
    /// It is copied to the young end of the main queue, with this count of uses.
    Keep { frequency: u8 },
}

/// Bytes in the two queues, candidates only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Balance {
    pub(crate) small_bytes: u64,
    pub(crate) main_bytes: u64,
    /// What both may hold together.
    pub(crate) share_bytes: u64,
}

/// What is known of an item when it is stored for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The ghost table remembers it.
    pub(crate) is_remembered: bool,
    /// Nothing had to be evicted so far.
    pub(crate) is_filling: bool,
    pub(crate) bytes: u64,
    pub(crate) balance: Balance,
}

impl Policy {
    /// Every policy, in the order of the table above.
    pub const ALL: [Policy; 12] = [
        Policy::NoEviction,
        Policy::AllkeysS3fifo,
        Policy::VolatileS3fifo,
        Policy::AllkeysLru,
        Policy::VolatileLru,
        Policy::AllkeysLfu,
        Policy::VolatileLfu,
        Policy::AllkeysLrm,
        Policy::VolatileLrm,
        Policy::AllkeysRandom,
        Policy::VolatileRandom,
        Policy::VolatileTtl,
    ];

    /// The name that CONFIG SET takes and CONFIG GET gives.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::NoEviction => "noeviction",
            Policy::AllkeysS3fifo => "allkeys-s3fifo",
            Policy::VolatileS3fifo => "volatile-s3fifo",
            Policy::AllkeysLru => "allkeys-lru",
            Policy::VolatileLru => "volatile-lru",
            Policy::AllkeysLfu => "allkeys-lfu",
            Policy::VolatileLfu => "volatile-lfu",
            Policy::AllkeysLrm => "allkeys-lrm",
            Policy::VolatileLrm => "volatile-lrm",
            Policy::AllkeysRandom => "allkeys-random",
            Policy::VolatileRandom => "volatile-random",
            Policy::VolatileTtl => "volatile-ttl",
        }
    }

    /// The policy of this name, in any case.
    pub fn parse(name: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// How the log does it, where that is not what the name says: a line for the log and the README.
    pub const fn approximation(self) -> Option<&'static str> {
        match self {
            Policy::NoEviction | Policy::AllkeysS3fifo | Policy::VolatileS3fifo => None,
            Policy::AllkeysLru | Policy::VolatileLru => Some("CLOCK: oldest first, used items get another round"),
            Policy::AllkeysLfu | Policy::VolatileLfu => Some("CLOCK with a use count of 0 to 3"),
            Policy::AllkeysLrm | Policy::VolatileLrm => Some("FIFO by the time of writing"),
            Policy::AllkeysRandom | Policy::VolatileRandom => Some("FIFO, use is ignored"),
            Policy::VolatileTtl => Some("nearest deadline, to the precision of the timer wheel"),
        }
    }

    pub(crate) const fn scope(self) -> Scope {
        match self {
            Policy::NoEviction => Scope::Nothing,
            Policy::AllkeysS3fifo
            | Policy::AllkeysLru
            | Policy::AllkeysLfu
            | Policy::AllkeysLrm
            | Policy::AllkeysRandom => Scope::All,
            Policy::VolatileS3fifo
            | Policy::VolatileLru
            | Policy::VolatileLfu
            | Policy::VolatileLrm
            | Policy::VolatileRandom
            | Policy::VolatileTtl => Scope::Volatile,
        }
    }

    pub(crate) const fn order(self) -> Order {
        match self {
            Policy::AllkeysS3fifo | Policy::VolatileS3fifo => Order::S3Fifo,
            Policy::AllkeysLru | Policy::VolatileLru => Order::Clock { counted: false },
            Policy::AllkeysLfu | Policy::VolatileLfu => Order::Clock { counted: true },
            Policy::NoEviction
            | Policy::AllkeysLrm
            | Policy::VolatileLrm
            | Policy::AllkeysRandom
            | Policy::VolatileRandom => Order::Fifo,
            Policy::VolatileTtl => Order::NearestDeadline,
        }
    }
}

impl Order {
    /// The queue that a new item starts in.
    #[inline]
    pub(crate) fn placement(self, arrival: &Arrival) -> Queue {
        match self {
            Order::S3Fifo => s3fifo::placement(arrival),
            Order::Clock { .. } | Order::Fifo | Order::NearestDeadline => Queue::Main,
        }
    }

    /// The queue whose oldest item is judged next.
    pub(crate) fn victim_queue(self, balance: &Balance) -> Queue {
        match self {
            Order::S3Fifo => s3fifo::victim_queue(balance),
            // Left over from another policy: older than what came since.
            Order::Clock { .. } | Order::Fifo | Order::NearestDeadline => {
                if balance.small_bytes > 0 {
                    Queue::Small
                } else {
                    Queue::Main
                }
            }
        }
    }

    /// What becomes of the oldest item of `queue`. `threshold` is the count of uses that takes an item from small to
    /// main.
    pub(crate) fn verdict(self, queue: Queue, frequency: u8, threshold: u8) -> Verdict {
        match self {
            Order::S3Fifo => s3fifo::verdict(queue, frequency, threshold),
            Order::Clock { counted } => clock::verdict(frequency, counted),
            Order::Fifo | Order::NearestDeadline => fifo::verdict(),
        }
    }

    /// Whether evicted items leave fingerprints.
    pub(crate) fn has_ghost(self) -> bool {
        self == Order::S3Fifo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_accepted_in_any_case() {
        for policy in Policy::ALL {
            assert_eq!(Policy::parse(policy.name()), Some(policy));
            assert_eq!(Policy::parse(&policy.name().to_uppercase()), Some(policy));
        }
        assert_eq!(Policy::parse("allkeys-nothing"), None);
    }
}
