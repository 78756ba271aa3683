//! Vitals: the server's process from outside: resident memory and descriptors over time.
//!
//! What counts as growth: the median of the last tenth against that of the second, the first being warm-up.

use std::fs;
use std::io;

use serde::Serialize;

use crate::clock::Nanos;

const PAGE_BYTES: u64 = 4096;
/// Growth, in parts of maxmemory, that is an error.
const GROWTH_MAX: f64 = 0.02;
/// Samples, two a second, above 101 % of maxmemory that are worth a word.
const ABOVE_MAX: usize = 3;
/// Fewer samples have no tenths.
const SAMPLES_MIN: usize = 40;

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Since the start of the run.
    pub at_ns: Nanos,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// Looks at process `pid`; an error if it is gone.
pub fn sample(pid: u32, at_ns: Nanos) -> io::Result<Sample> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let resident_bytes = pages.ok_or_else(|| io::Error::other("/proc/PID/statm has no second number"))? * PAGE_BYTES;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    Ok(Sample { at_ns, resident_bytes, descriptors })
}

/// What the open descriptors of process `pid` are, sorted; sockets by their kind alone.
pub fn descriptors(pid: u32) -> io::Result<Vec<String>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed meanwhile is not open.
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let link = link.to_string_lossy().into_owned();
        links.push(link.split(":[").next().unwrap_or_default().to_owned());
    }
    links.sort();
    Ok(links)
}

/// What the samples say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trend {
    /// Most that was resident.
    pub resident_bytes_max: u64,
    /// Median of the second tenth.
    pub resident_bytes_early: u64,
    /// Median of the last tenth.
    pub resident_bytes_late: u64,
    /// Most descriptors.
    pub descriptors_max: u64,
    /// Longest run of samples above 101 % of maxmemory.
    pub samples_above_limit: usize,
    /// Number of samples.
    pub samples: usize,
}

impl Trend {
    /// The trend of `samples` under a limit of `maxmemory` bytes.
    pub fn of(samples: &[Sample], maxmemory: u64) -> Trend {
        let resident = |part: &[Sample]| median(part.iter().map(|sample| sample.resident_bytes).collect());
        let tenth = samples.len() / 10;
        let limit = maxmemory + maxmemory / 100;
        let runs = samples.split(|sample| sample.resident_bytes <= limit).map(<[Sample]>::len);
        Trend {
            resident_bytes_max: samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0),
            resident_bytes_early: resident(&samples[tenth..2 * tenth]),
            resident_bytes_late: resident(&samples[samples.len() - tenth..]),
            descriptors_max: samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0),
            samples_above_limit: runs.max().unwrap_or(0),
            samples: samples.len(),
        }
    }

    /// An error if memory grew.
    pub fn check(&self, maxmemory: u64) -> Result<(), String> {
        let grown = self.resident_bytes_late.saturating_sub(self.resident_bytes_early);
        if self.samples < SAMPLES_MIN || grown as f64 <= GROWTH_MAX * maxmemory as f64 {
            return Ok(());
        }
        Err(format!("resident memory grew from {} to {} bytes", self.resident_bytes_early, self.resident_bytes_late))
    }

    /// True if more than maxmemory was resident for over a second.
    pub fn is_above_limit(&self) -> bool {
        self.samples_above_limit >= ABOVE_MAX
    }
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(resident: impl Fn(u64) -> u64) -> Trend {
        let sample = |at| Sample { at_ns: at, resident_bytes: resident(at), descriptors: 7 };
        Trend::of(&(0..100).map(sample).collect::<Vec<_>>(), 1000)
    }

    #[test]
    fn growth_after_the_warm_up_is_an_error() {
        trend(|at| at.min(10) * 100).check(1000).expect("flat since the warm-up");
        trend(|at| 900 + at % 3 * 30).check(1000).expect("it goes up and down");
        trend(|at| 900 + at).check(1000).expect_err("9 % in a run");
    }

    #[test]
    fn a_short_run_has_no_trend() {
        assert_eq!(Trend::of(&[], 1000).check(1000), Ok(()));
    }

    #[test]
    fn standing_above_the_limit_is_told_apart_from_a_peak() {
        assert!(!trend(|at| if at % 4 == 0 { 1100 } else { 900 }).is_above_limit());
        assert!(trend(|at| if (20..23).contains(&at) { 1100 } else { 900 }).is_above_limit());
        assert!(!trend(|_| 1010).is_above_limit());
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let sample = sample(std::process::id(), 5).expect("this process");
        assert!(sample.resident_bytes > 100_000 && sample.descriptors >= 3);
    }
}
