//! Durations: how long the calls of one command took, as histograms.
//!
//! Two of them, recorded together: one precise to two digits for percentiles, and one by powers of two that is small
//! enough to be copied for whoever collects metrics.
//!
//! Invariant: what is recorded lies within 1 ns and 1 s; anything outside counts as the nearest of the two.

use hdrhistogram::Histogram;

/// The shortest and the longest time that is told apart, as in Redis.
const NS_MIN: u64 = 1;
const NS_MAX: u64 = 1_000_000_000;
/// Digits of a percentile that are exact.
const DIGITS: u8 = 2;

/// Buckets by power of two: bucket `i` holds times above 2^(i-1) ns, up to 2^i ns; the last one all above.
pub const DURATION_BUCKETS: usize = 31;

const _: () = assert!(bucket_of(NS_MAX) == DURATION_BUCKETS - 1 && bucket_of(NS_MIN) == 0);

/// Counts of calls by their time; see `DURATION_BUCKETS`.
pub type DurationBuckets = [u64; DURATION_BUCKETS];

/// Times of one command's calls.
#[derive(Debug)]
pub struct Durations {
    by_power: DurationBuckets,
    precise: Histogram<u64>,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations::new()
    }
}

impl Durations {
    /// Without any call. About 24 KiB: made when a command is first called.
    pub fn new() -> Durations {
        let precise = Histogram::new_with_bounds(NS_MIN, NS_MAX, DIGITS).expect("these bounds are valid");
        Durations { by_power: [0; DURATION_BUCKETS], precise }
    }

    /// Counts `calls` calls of `ns_each`.
    #[inline]
    pub fn record(&mut self, ns_each: u64, calls: u64) {
        let ns = ns_each.clamp(NS_MIN, NS_MAX);
        self.by_power[bucket_of(ns)] += calls;
        self.precise.saturating_record_n(ns, calls);
    }

    /// Calls counted.
    pub fn count(&self) -> u64 {
        self.precise.len()
    }

    /// The time within which `percentile` percent of the calls were done, in nanoseconds.
    pub fn percentile_ns(&self, percentile: f64) -> u64 {
        self.precise.value_at_percentile(percentile)
    }

    /// Counts by power of two.
    pub fn by_power(&self) -> DurationBuckets {
        self.by_power
    }

    /// Calls up to about each power of two microseconds, as (microseconds, calls up to there); only where the count
    /// grows. The edges are Redis's: the last time that two digits cannot tell from 1024 ns, 2048 ns, and so on.
    pub fn cumulative_us(&self) -> Vec<(u64, u64)> {
        const FIRST_EDGE_NS: u64 = 1024;
        let mut found: Vec<(u64, u64)> = Vec::new();
        let mut edge_ns = FIRST_EDGE_NS;
        loop {
            let last_ns = self.precise.highest_equivalent(edge_ns);
            let calls = self.precise.count_between(0, last_ns);
            if calls > found.last().map_or(0, |&(_, before)| before) {
                found.push((last_ns / 1000, calls));
            }
            if edge_ns > NS_MAX {
                return found;
            }
            edge_ns *= 2;
        }
    }
}

#[inline]
const fn bucket_of(ns: u64) -> usize {
    (u64::BITS - (ns - 1).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_powers_of_two() {
        for (ns, bucket) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (1_000_000_000, 30)] {
            assert_eq!(bucket_of(ns), bucket, "{ns}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_nearest() {
        let mut durations = Durations::new();
        durations.record(0, 2);
        durations.record(u64::MAX, 3);
        assert_eq!(durations.count(), 5);
        assert_eq!((durations.by_power()[0], durations.by_power()[30]), (2, 3));
        assert_eq!(durations.percentile_ns(1.0), 1);
    }

    #[test]
    fn counts_are_cumulative_and_only_where_they_grow() {
        let mut durations = Durations::new();
        assert_eq!(durations.cumulative_us(), []);
        for (ns, calls) in [(500, 3), (1031, 1), (1032, 1), (33_000, 2), (900_000_000, 1)] {
            durations.record(ns, calls);
        }
        assert_eq!(durations.cumulative_us(), [(1, 4), (2, 5), (33, 7), (1_082_130, 8)]);
    }
}
