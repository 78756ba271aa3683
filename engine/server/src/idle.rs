//! Idle: how long a core looks for work before it sleeps.
//!
//! Spinning saves a wake-up (on a virtual machine an exit of it) when the next request is near, and burns the core when
//! it is not. So the time adapts: a spin that found work doubles the next one up to `--spin-us`, one that found none
//! halves it. When the kernel takes the core away from us (involuntary context switches), someone else needs it: no
//! spin for a while.
//!
//! Absent on purpose: the ring and the clock are arguments.

/// Spins that fail in a row at the shortest length before the next attempt is skipped.
const SKIP_AFTER_FAILURES: u32 = 4;
/// One sleep in so many is preceded by a short spin, to find out whether spinning pays again.
const PROBE_EVERY: u32 = 64;
/// Sleeps without any spin after the core was taken away.
const SKIP_AFTER_PREEMPTION: u32 = 4096;

/// Decides how long to spin before each sleep.
#[derive(Debug)]
pub struct Spinner {
    spin_us_max: u32,
    spin_us: u32,
    failures: u32,
    skip: u32,
}

impl Spinner {
    /// Spins up to `spin_us_max` microseconds; 0 never spins.
    pub fn new(spin_us_max: u32) -> Spinner {
        Spinner { spin_us_max, spin_us: spin_us_max, failures: 0, skip: 0 }
    }

    /// Changes the bound.
    pub fn set_max(&mut self, spin_us_max: u32) {
        if spin_us_max != self.spin_us_max {
            *self = Spinner::new(spin_us_max);
        }
    }

    /// Microseconds to spin before the sleep that is due now.
    pub fn next_us(&mut self) -> u32 {
        if self.spin_us_max == 0 {
            return 0;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return 0;
        }
        self.spin_us.max(1)
    }

    /// Tells whether the last spin found work.
    pub fn found_work(&mut self, found: bool) {
        if found {
            self.failures = 0;
            self.spin_us = (self.spin_us * 2).clamp(1, self.spin_us_max);
            return;
        }
        self.spin_us = (self.spin_us / 2).max(1);
        if self.spin_us == 1 {
            self.failures += 1;
            if self.failures >= SKIP_AFTER_FAILURES {
                self.skip = PROBE_EVERY;
            }
        }
    }

    /// The kernel gave the core to someone else.
    pub fn preempted(&mut self) {
        self.skip = SKIP_AFTER_PREEMPTION;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_that_never_pays_stops_and_is_probed_again() {
        let mut spinner = Spinner::new(64);
        let mut spun_us = 0;
        for _ in 0..10_000 {
            let us = spinner.next_us();
            if us > 0 {
                spinner.found_work(false);
            }
            spun_us += us;
        }
        assert!(spun_us > 64, "it must probe again");
        assert!(spun_us < 1_000, "spun {spun_us} us for nothing");
    }

    #[test]
    fn a_spin_that_pays_grows_to_the_bound() {
        let mut spinner = Spinner::new(50);
        for _ in 0..20 {
            spinner.found_work(false);
        }
        for _ in 0..PROBE_EVERY + 20 {
            if spinner.next_us() > 0 {
                spinner.found_work(true);
            }
        }
        assert_eq!(spinner.next_us(), 50);
    }

    #[test]
    fn preemption_silences_the_spin() {
        let mut spinner = Spinner::new(50);
        spinner.preempted();
        assert_eq!(spinner.next_us(), 0);
    }

    #[test]
    fn zero_never_spins() {
        assert_eq!(Spinner::new(0).next_us(), 0);
    }
}
