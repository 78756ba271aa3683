//! Lag: from an item's deadline to its removal by the wheel.

const BUCKETS: usize = 32;

/// Counts by powers of two of milliseconds: bucket 0 is 0 ms, bucket `n` is `2^(n-1)` to `2^n - 1` ms.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LagHistogram {
    counts: [u64; BUCKETS],
}

impl LagHistogram {
    pub(crate) fn record(&mut self, lag_ms: u64) {
        let bucket = (64 - lag_ms.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    /// Removals counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// An upper bound in milliseconds for this part (0 to 1) of the removals.
    pub fn quantile_ms(&self, part: f64) -> u64 {
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        bucket.map_or(0, |bucket| (1u64 << bucket) - 1)
    }

    /// Adds another store's counts.
    pub fn merge(&mut self, other: &LagHistogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_bound_what_was_recorded() {
        let mut lag = LagHistogram::default();
        for ms in [0, 1, 3, 7, 7, 7, 8, 100] {
            lag.record(ms);
        }
        assert_eq!((lag.count(), lag.quantile_ms(0.5), lag.quantile_ms(1.0)), (8, 7, 127));
        assert_eq!(LagHistogram::default().quantile_ms(0.99), 0);
    }
}
