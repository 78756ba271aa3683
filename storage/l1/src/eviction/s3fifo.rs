//! S3-FIFO: a small queue that most items pass once, a main queue for those that were used again, and a ghost table.
//!
//! After Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction" (SOSP 2023).
//!
//! ```text
//!                new                        used >= threshold times
//!   arrival ------------> [ small, 10 % ] ---------------------------> [ main, 90 % ] --+
//!      |                        | else                                   ^     | unused  | used: count - 1
//!      |                        v                                        |     v         |
//!      |                  evict, ghost                                   |   evict       |
//!      +--- ghost hit, or small is full and nothing was evicted yet -----+---------------+
//! ```
//!
//! Invariants
//! - Items that leave main leave no ghost: they had their second chance.

use super::{Arrival, Balance, Verdict};
use crate::log::Queue;

/// The small queue's part of the bytes, as a divisor.
const SMALL_DIVISOR: u64 = 10;

/// Uses since insertion that take an item from small to main, unless set otherwise.
pub(crate) const PROMOTION_THRESHOLD: u8 = 2;

pub(crate) fn placement(arrival: &Arrival) -> Queue {
    let small_share = arrival.balance.share_bytes / SMALL_DIVISOR;
    let is_small_full = arrival.balance.small_bytes >= small_share;
    // An item as large as the small queue would push everything else out of it.
    let is_too_large = arrival.bytes >= small_share;
    if arrival.is_remembered || is_too_large || (arrival.is_filling && is_small_full) {
        Queue::Main
    } else {
        Queue::Small
    }
}

pub(crate) fn victim_queue(balance: &Balance) -> Queue {
    let main_share = balance.share_bytes - balance.share_bytes / SMALL_DIVISOR;
    if balance.main_bytes > main_share || balance.small_bytes == 0 { Queue::Main } else { Queue::Small }
}

pub(crate) fn verdict(queue: Queue, frequency: u8, threshold: u8) -> Verdict {
    match queue {
        Queue::Small if frequency >= threshold => Verdict::Keep { frequency: 0 },
        Queue::Small => Verdict::Evict { remember: true },
        Queue::Main if frequency > 0 => Verdict::Keep { frequency: frequency - 1 },
        Queue::Main => Verdict::Evict { remember: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_items_start_small_unless_remembered_large_or_filling() {
        let balance = |small_bytes| Balance { small_bytes, main_bytes: 0, share_bytes: 1000 };
        for (is_remembered, is_filling, bytes, small_bytes, expected) in [
            (false, true, 10, 0, Queue::Small),
            (false, true, 10, 99, Queue::Small),
            (false, true, 10, 100, Queue::Main),
            (false, false, 10, 100, Queue::Small),
            (true, false, 10, 0, Queue::Main),
            (false, false, 100, 0, Queue::Main),
        ] {
            let arrival = Arrival { is_remembered, is_filling, bytes, balance: balance(small_bytes) };
            assert_eq!(placement(&arrival), expected, "{arrival:?}");
        }
    }

    #[test]
    fn main_is_the_victim_only_above_its_share_or_when_small_is_empty() {
        for (small_bytes, main_bytes, expected) in
            [(100, 900, Queue::Small), (99, 901, Queue::Main), (0, 10, Queue::Main), (500, 500, Queue::Small)]
        {
            assert_eq!(victim_queue(&Balance { small_bytes, main_bytes, share_bytes: 1000 }), expected);
        }
    }

    #[test]
    fn use_counts_decide_at_the_tails() {
        for (queue, frequency, expected) in [
            (Queue::Small, 1, Verdict::Evict { remember: true }),
            (Queue::Small, 2, Verdict::Keep { frequency: 0 }),
            (Queue::Main, 0, Verdict::Evict { remember: false }),
            (Queue::Main, 3, Verdict::Keep { frequency: 2 }),
        ] {
            assert_eq!(verdict(queue, frequency, PROMOTION_THRESHOLD), expected);
        }
    }
}
