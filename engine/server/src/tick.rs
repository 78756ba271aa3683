//! Ticks: how long the loop's turns are and what they did, for INFO tick and /metrics.
//!
//! Absent on purpose: clocks. The reactor says how long a tick was.

use cache::{Durations, TickFacts};
use uring::RingUsage;

/// What the loop did since the start.
#[derive(Debug, Default)]
pub struct TickFigures {
    facts: TickFacts,
    lengths: Durations,
    buffers_used_max: u64,
}

impl TickFigures {
    /// Counts a batch of `requests` requests, at least one.
    #[inline]
    pub fn batched(&mut self, requests: usize) {
        let size = (requests.ilog2() as usize).min(cache::BATCH_SIZES - 1);
        self.facts.batches[size] += 1;
        self.facts.batched_requests += requests as u64;
    }

    /// Counts a tick that took `length_us` and began with `buffers_used` provided buffers full.
    #[inline]
    pub fn ticked(&mut self, length_us: u64, buffers_used: usize) {
        let length_ns = length_us * 1000;
        self.facts.ticks += 1;
        self.facts.length_sum_ns += length_ns;
        self.facts.length_max_ns = self.facts.length_max_ns.max(length_ns);
        self.lengths.record(length_ns, 1);
        self.buffers_used_max = self.buffers_used_max.max(buffers_used as u64);
    }

    /// Counts a spin before a sleep; `found_work` if the sleep was not needed.
    #[inline]
    pub fn spun(&mut self, found_work: bool) {
        self.facts.spins += 1;
        self.facts.spins_with_work += u64::from(found_work);
    }

    /// Counts a sleep.
    #[inline]
    pub fn slept(&mut self) {
        self.facts.sleeps += 1;
    }

    /// All of it, with what the ring says.
    pub fn facts(&mut self, ring: RingUsage, buffer_shortages: u64) -> TickFacts {
        TickFacts {
            length_p50_ns: self.lengths.percentile_ns(50.0),
            length_p99_ns: self.lengths.percentile_ns(99.0),
            lengths: self.lengths.by_power(),
            enters: ring.enters,
            buffers: ring.buffers,
            buffer_shortages,
            buffers_used_max: std::mem::take(&mut self.buffers_used_max),
            ..self.facts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_batches_are_counted_by_size() {
        let mut figures = TickFigures::default();
        for requests in [1, 2, 3, 31, 32, 100] {
            figures.batched(requests);
        }
        for us in [1, 2, 3, 1000] {
            figures.ticked(us, 7);
        }
        figures.spun(true);
        figures.spun(false);
        figures.slept();
        let facts = figures.facts(RingUsage { enters: 9, buffers: 64 }, 1);
        assert_eq!((facts.batches, facts.batched_requests), ([1, 2, 0, 0, 1, 2], 169));
        assert_eq!((facts.ticks, facts.length_sum_ns, facts.length_max_ns), (4, 1_006_000, 1_000_000));
        assert!((2000..2100).contains(&facts.length_p50_ns), "{}", facts.length_p50_ns);
        assert_eq!((facts.spins, facts.spins_with_work, facts.sleeps, facts.enters), (2, 1, 1, 9));
        assert_eq!((facts.buffers_used_max, facts.buffer_shortages), (7, 1));
        assert_eq!(figures.facts(RingUsage::default(), 0).buffers_used_max, 0, "it is that of the time since");
    }
}
