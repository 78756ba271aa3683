//! The machine: pinning a thread, and the facts that a reader of figures needs.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

const CORE_COUNT_MAX: usize = libc::CPU_SETSIZE as usize;

/// Pins the calling thread, and the processes it starts from now on, to one core.
pub fn pin_to(core: usize) -> io::Result<()> {
    // The crate's core set ends there, and it panics beyond.
    if core < CORE_COUNT_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Ok(());
    }
    let online = read_line("/sys/devices/system/cpu/online").unwrap_or_else(|| "unknown".into());
    Err(io::Error::other(format!("cannot run on core {core}; cores of this machine: {online}")))
}

/// What figures depend on besides the programs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores that are online, as a list of ranges.
    pub cores: String,
    /// Kernel release.
    pub kernel: String,
    /// Mitigations in force, by vulnerability; empty where all are off or not needed.
    pub mitigations: Vec<String>,
    /// Frequency governor of the servers' core, if it has one.
    pub governor: Option<String>,
    /// Transparent huge pages: always, madvise or never.
    pub huge_pages: Option<String>,
    /// One-minute load average before the run.
    pub load_average: Option<f64>,
}

impl Machine {
    /// Reads the facts; `core` is the servers'.
    pub fn read(core: usize) -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let governor = format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        let loadavg = read_line("/proc/loadavg");
        Machine {
            cpu: parse_model(&cpuinfo).unwrap_or_else(|| "unknown processor".into()),
            cores: read_line("/sys/devices/system/cpu/online").unwrap_or_default(),
            kernel: read_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            mitigations: read_mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
            governor: read_line(&governor),
            huge_pages: read_line("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|line| parse_choice(&line)),
            load_average: loadavg.and_then(|line| line.split(' ').next()?.parse().ok()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, cores {}, Linux {}", self.cpu, self.cores, self.kernel)?;
        if let Some(governor) = &self.governor {
            write!(f, ", governor {governor}")?;
        }
        if let Some(huge_pages) = &self.huge_pages {
            write!(f, ", huge pages {huge_pages}")?;
        }
        if let Some(load) = self.load_average {
            write!(f, ", load average {load:.2}")?;
        }
        match self.mitigations.as_slice() {
            [] => write!(f, "\nmitigations: none"),
            mitigations => write!(f, "\nmitigations: {}", mitigations.join("; ")),
        }
    }
}

fn read_line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn parse_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The bracketed word of `always [madvise] never`.
fn parse_choice(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn read_mitigations(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let line = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        let mitigation = text.trim().strip_prefix("Mitigation: ")?.to_owned();
        Some(format!("{} {mitigation}", entry.file_name().to_string_lossy()))
    };
    let mut lines: Vec<String> = entries.flatten().filter_map(line).collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_in_the_kernels_files() {
        assert_eq!(parse_model("processor\t: 0\nmodel name\t: AMD EPYC\n"), Some("AMD EPYC".into()));
        assert_eq!(parse_choice("always [madvise] never"), Some("madvise".into()));
        assert_eq!(parse_choice("none"), None);
    }

    #[test]
    fn this_machine_has_a_kernel() {
        assert!(Machine::read(0).to_string().contains("Linux "));
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        assert!(pin_to(1_000_000).is_err());
    }
}
