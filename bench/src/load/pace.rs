//! When requests are meant to leave in an open loop.
//!
//! The schedule knows nothing of replies: a server that stalls finds every request that was due meanwhile waiting, and
//! each of them is charged the wait, because its latency counts from the time it was meant to leave.
//!
//! Absent on purpose: a clock. `now` is an argument.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::clock::Nanos;

/// How the gaps between requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Like many independent clients: exponential gaps
    Poisson,
    /// All gaps equal
    Even,
}

/// A schedule of bursts.
pub struct Pace {
    gap_ns: f64,
    arrivals: Arrivals,
    /// Kept as a fraction, so that a rate that does not divide a second drifts by no whole gap in a run.
    next_ns: f64,
    rng: Xoshiro256PlusPlus,
}

impl Pace {
    /// `requests_per_second` requests, `burst` at a time, from `start` on.
    pub fn new(requests_per_second: f64, burst: u32, arrivals: Arrivals, start: Nanos, seed: u64) -> Pace {
        assert!(requests_per_second > 0.0 && burst > 0);
        let gap_ns = 1e9 * f64::from(burst) / requests_per_second;
        Pace { gap_ns, arrivals, next_ns: start as f64, rng: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    /// The time that the next burst was meant to leave, if that time has come; each burst is given out once.
    pub fn take_due(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.next_due();
        if due > now {
            return None;
        }
        self.next_ns += match self.arrivals {
            Arrivals::Even => self.gap_ns,
            // 1 - [0, 1) is never zero, so the logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.rng.random::<f64>()).ln() * self.gap_ns,
        };
        Some(due)
    }

    /// When the next burst is meant to leave.
    pub fn next_due(&self) -> Nanos {
        self.next_ns as Nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(pace: &mut Pace, now: Nanos) -> Vec<Nanos> {
        std::iter::from_fn(|| pace.take_due(now)).collect()
    }

    #[test]
    fn even_arrivals_keep_the_rate_without_drift() {
        // 3 per second does not divide a second.
        let mut pace = Pace::new(3.0, 1, Arrivals::Even, 0, 1);
        let due = take_all(&mut pace, 1_000_000_000_000);
        assert!(due.len().abs_diff(3001) <= 1, "{}", due.len());
        assert!(due[3000].abs_diff(1_000_000_000_000) < 1000, "{}", due[3000]);
    }

    #[test]
    fn poisson_arrivals_keep_the_mean_and_vary() {
        let mut pace = Pace::new(1000.0, 1, Arrivals::Poisson, 0, 1);
        let due = take_all(&mut pace, 100_000_000_000);
        assert!(due.len().abs_diff(100_000) < 1500, "{}", due.len());
        let short = due.windows(2).filter(|pair| pair[1] - pair[0] < 500_000).count();
        // P(gap < half the mean) = 1 - e^-0.5 = 0.393.
        assert!((0.38..0.41).contains(&(short as f64 / due.len() as f64)), "{short}");
    }

    #[test]
    fn a_burst_counts_as_its_requests() {
        let mut pace = Pace::new(1600.0, 16, Arrivals::Even, 0, 1);
        assert_eq!(take_all(&mut pace, 999_999_999).len(), 100);
    }

    #[test]
    fn a_stall_leaves_every_missed_request_due_at_its_own_time() {
        let mut pace = Pace::new(1000.0, 1, Arrivals::Even, 500, 1);
        assert_eq!(pace.take_due(499), None);
        assert_eq!(pace.take_due(500), Some(500));
        assert_eq!(pace.take_due(500), None);
        // Nobody looks for 10 ms.
        let missed = take_all(&mut pace, 10_000_500);
        assert_eq!(missed.len(), 10);
        assert_eq!((missed[0], missed[9]), (1_000_500, 10_000_500));
        assert_eq!(pace.next_due(), 11_000_500);
    }
}
