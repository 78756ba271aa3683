//! Summary: what a soak came to, for people and as JSON.

use std::fmt;

use serde::Serialize;
use std::collections::BTreeMap;

use super::ledger::{Calls, Ledger};
use super::templates::NEVER;
use super::vitals::Trend;
use crate::figures::grouped;
use crate::table::Table;

const MIB: f64 = 1_048_576.0;

/// What `--json` writes.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The seed of everything random.
    pub seed: u64,
    /// How long it ran.
    pub seconds: f64,
    /// The server's limit.
    pub maxmemory_bytes: u64,
    /// Requests, answered or without reply by design.
    pub requests: u64,
    /// Values that were compared with what was written.
    pub values_verified: u64,
    /// Lines that monitors got.
    pub monitor_lines: u64,
    /// Connections by how they ended.
    pub connections: BTreeMap<&'static str, u64>,
    /// Calls and allowed errors by command.
    pub commands: BTreeMap<String, Calls>,
    /// Calls and allowed errors by verb of memcached's protocol.
    pub verbs: BTreeMap<String, Calls>,
    /// Memory and descriptors.
    pub trend: Trend,
    /// How often something was wrong.
    pub fault_count: u64,
    /// The first of them.
    pub faults: Vec<String>,
}

impl Summary {
    /// The summary of what `ledger` holds.
    pub fn new(seed: u64, seconds: f64, maxmemory_bytes: u64, ledger: Ledger, trend: Trend) -> Summary {
        Summary {
            seed,
            seconds,
            maxmemory_bytes,
            requests: ledger.total(),
            values_verified: ledger.values_verified,
            monitor_lines: ledger.monitor_lines,
            connections: ledger.endings,
            commands: ledger.commands,
            verbs: ledger.verbs,
            trend,
            fault_count: ledger.fault_count,
            faults: ledger.faults,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["command", "calls", "errors that were allowed"]);
        for (name, calls) in self.commands.iter().chain(&self.verbs) {
            let errors: Vec<String> =
                calls.errors.iter().map(|(code, count)| format!("{code} {}", grouped(*count))).collect();
            table.row([name.clone(), grouped(calls.calls), errors.join(", ")]);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "never called: {}", NEVER.join(", "))?;
        let ends: Vec<String> =
            self.connections.iter().map(|(how, count)| format!("{how} {}", grouped(*count))).collect();
        writeln!(f, "connections: {}", ends.join(", "))?;
        let (requests, verified) = (grouped(self.requests), grouped(self.values_verified));
        writeln!(f, "{requests} requests in {:.0} s, {verified} values verified", self.seconds)?;
        let mib = |bytes: u64| bytes as f64 / MIB;
        let Trend { resident_bytes_early: early, resident_bytes_late: late, resident_bytes_max: most, .. } = self.trend;
        writeln!(
            f,
            "resident: {:.1} MiB early, {:.1} MiB late, {:.1} MiB at most, of {:.1} MiB; descriptors: {} at most",
            mib(early),
            mib(late),
            mib(most),
            mib(self.maxmemory_bytes),
            self.trend.descriptors_max
        )?;
        if self.trend.is_above_limit() {
            let seconds = self.trend.samples_above_limit as f64 / 2.0;
            writeln!(f, "note: above 101 % of maxmemory for {seconds:.1} s")?;
        }
        for fault in &self.faults {
            writeln!(f, "\nERROR {fault}")?;
        }
        match self.fault_count {
            0 => write!(f, "no error; seed {}", self.seed),
            count => write!(f, "\n{} errors; seed {}", grouped(count), self.seed),
        }
    }
}
