//! What a comparison says: one table per setup for people, everything as JSON for `plot` and others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::memory::MemoryReport;
use crate::figures::{cpu_micros, grouped, median, micros};
use crate::host::Machine;
use crate::load::per_get;
use crate::load::report::{Latency, one_key};
use crate::table::Table;

/// Above this share of the server's core used by others, figures deserve a warning.
const FOREIGN_SHARE_MAX: f64 = 0.05;
/// An open loop whose requests left later than this measures the load, not the server.
const LAG_US_MAX: f64 = 200.0;

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// CPU of the server.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub rate: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// Open loop: how late 99.9 % of the requests left at most.
    pub lag_p999_us: Option<f64>,
    /// Time that others used on the server's core.
    pub foreign_share: Option<f64>,
}

/// One server under one setup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellReport {
    /// The server's name.
    pub server: String,
    /// Requests under way per connection, or per burst.
    pub pipeline: u32,
    /// Requests per second of an open loop.
    pub open_rate: Option<f64>,
    /// Keys that reads of all rounds did not find.
    pub misses: u64,
    /// Requests of all rounds with a wrong answer or none.
    pub faults: u64,
    /// Refusals by text.
    pub errors: BTreeMap<String, u64>,
    /// Latency over all rounds.
    pub latency: Latency,
    /// The rounds.
    pub rounds: Vec<Round>,
}

impl CellReport {
    fn series(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }

    fn median_of(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(&self.series(figure)).unwrap_or(f64::NAN)
    }

    fn cpu_us(&self) -> Vec<f64> {
        self.series(|round| round.cpu_us_per_request)
    }

    /// Median of the rounds' ratios of CPU. Within a round the two ran shortly after one another, so a machine that
    /// changes its pace between rounds does not disturb the ratio.
    fn cpu_ratio(&self, other: &CellReport) -> Option<f64> {
        let ratios: Vec<f64> = self.cpu_us().iter().zip(other.cpu_us()).map(|(own, other)| own / other).collect();
        median(&ratios)
    }
}

/// A whole comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareReport {
    /// Where it ran.
    pub machine: Machine,
    /// What was asked.
    pub setting: String,
    /// Keys that every read asked for.
    #[serde(default = "one_key")]
    pub keys_per_get: u32,
    /// Name, version and program of each server.
    pub servers: Vec<String>,
    /// What is missing, and why.
    pub absent: Vec<String>,
    /// Speed: all servers of a setup in a row.
    pub cells: Vec<CellReport>,
    /// Memory per item.
    pub memory: Vec<MemoryReport>,
}

impl CompareReport {
    /// Nothing measured yet.
    pub fn new(machine: Machine, setting: String, keys_per_get: u32) -> CompareReport {
        CompareReport {
            machine,
            setting,
            keys_per_get,
            servers: Vec::new(),
            absent: Vec::new(),
            cells: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// Requests with a wrong answer or none.
    pub fn faults(&self) -> u64 {
        self.cells.iter().map(|cell| cell.faults).sum()
    }

    /// Machine and setting, before anything is measured.
    pub fn headline(&self) -> String {
        let mut out = format!("{}\n{}\n", self.machine, self.setting);
        for line in &self.absent {
            let _ = writeln!(out, "left out: {line}");
        }
        out
    }

    /// The result for people.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        for line in &self.servers {
            let _ = writeln!(out, "  {line}");
        }
        for cells in self.cells.chunk_by(|a, b| (a.pipeline, a.open_rate) == (b.pipeline, b.open_rate)) {
            let title = match cells[0].open_rate {
                None => format!("closed loop, pipeline {}", cells[0].pipeline),
                Some(rate) => {
                    format!(
                        "open loop at {} requests per second, {} at a time",
                        grouped(rate as u64),
                        cells[0].pipeline
                    )
                }
            };
            let _ = write!(out, "\n{title}{}\n{}", per_get(self.keys_per_get), speed_table(cells));
        }
        if !self.memory.is_empty() {
            let _ = write!(out, "{}", super::memory::describe(&self.memory));
        }
        let warnings = self.warnings();
        if !warnings.is_empty() {
            out.push('\n');
        }
        for line in warnings {
            let _ = writeln!(out, "  note: {line}");
        }
        out
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.absent.iter().map(|line| format!("left out: {line}")).collect();
        for cell in &self.cells {
            let name = format!("{}, pipeline {}", cell.server, cell.pipeline);
            if cell.faults > 0 {
                lines.push(format!("{name}: {} faults {:?}", grouped(cell.faults), cell.errors));
            }
            if cell.misses > 0 {
                lines.push(format!(
                    "{name}: {} keys were not found, though every one was written",
                    grouped(cell.misses)
                ));
            }
            let foreign = cell.median_of(|round| round.foreign_share.unwrap_or(0.0));
            if foreign > FOREIGN_SHARE_MAX {
                lines.push(format!("{name}: others used {:.0} % of the server's core", foreign * 100.0));
            }
            let lag = cell.median_of(|round| round.lag_p999_us.unwrap_or(0.0));
            if lag > LAG_US_MAX {
                lines.push(format!("{name}: the load fell {} µs behind its schedule", micros((lag * 1000.0) as u64)));
            }
        }
        lines
    }
}

fn speed_table(cells: &[CellReport]) -> Table {
    let heads = ["server", "CPU µs/req", "min..max", "x floor", "x pinion", "req/s", "p50 µs", "p99 µs", "p99.9 µs"];
    let mut table = Table::new(heads);
    let reference = |name: &str| cells.iter().find(|cell| cell.server == name);
    let (floor, pinion) = (reference("floor"), reference("pinion"));
    for cell in cells {
        let cpu = cell.cpu_us();
        let low = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let high = cpu.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ratio = |other: Option<&CellReport>| {
            let ratio = other.and_then(|other| cell.cpu_ratio(other));
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let us = |figure: fn(&Round) -> f64| micros((cell.median_of(figure) * 1000.0) as u64);
        table.row([
            cell.server.clone(),
            cpu_micros(median(&cpu).unwrap_or(f64::NAN)),
            format!("{}..{}", cpu_micros(low), cpu_micros(high)),
            ratio(floor),
            ratio(pinion),
            grouped(cell.median_of(|round| round.rate).round() as u64),
            us(|round| round.p50_us),
            us(|round| round.p99_us),
            us(|round| round.p999_us),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::latency_histogram;

    fn cell(server: &str, cpu: &[f64]) -> CellReport {
        let round =
            |&cpu_us_per_request: &f64| Round { cpu_us_per_request, rate: 1e6, p50_us: 50.0, ..Round::default() };
        CellReport {
            server: server.into(),
            pipeline: 16,
            open_rate: None,
            misses: 0,
            faults: 0,
            errors: BTreeMap::new(),
            latency: Latency::of(&latency_histogram()),
            rounds: cpu.iter().map(round).collect(),
        }
    }

    fn report() -> CompareReport {
        let mut report = CompareReport::new(Machine::default(), "setting".into(), 1);
        report.cells =
            vec![cell("pinion", &[0.5, 0.6, 0.4]), cell("floor", &[0.4, 0.4, 0.4]), cell("redis", &[1.0, 2.4, 0.8])];
        report
    }

    #[test]
    fn ratios_are_medians_of_ratios_within_rounds() {
        let text = report().describe();
        let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
        let words: Vec<_> = line("pinion").split_whitespace().map(String::from).collect();
        assert_eq!(words[..6], ["pinion", "0.500", "0.400..0.600", "1.25", "1.00", "1,000,000"]);
        // Round by round: 2.5, 6 and 2 times the floor; 2, 4 and 2 times pinion.
        let words: Vec<_> = line("redis").split_whitespace().map(String::from).collect();
        assert_eq!(words[3..5], ["2.50", "2.00"]);
        assert!(text.contains("closed loop, pipeline 16"), "{text}");
    }

    #[test]
    fn disturbances_are_named() {
        let mut report = report();
        report.cells[0].rounds[0].foreign_share = Some(0.5);
        report.cells[0].rounds[1].foreign_share = Some(0.4);
        report.cells[1].misses = 3;
        report.absent.push("valkey: no valkey-server".into());
        let text = report.describe();
        for part in ["others used 40 %", "floor, pipeline 16: 3 keys were not found", "left out: valkey"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_report_survives_json() {
        let text = serde_json::to_string(&report()).unwrap();
        let back: CompareReport = serde_json::from_str(&text).unwrap();
        assert_eq!(back.describe(), report().describe());
    }

    #[test]
    fn the_heading_says_how_many_keys_a_read_asks_for() {
        let text = CompareReport { keys_per_get: 100, ..report() }.describe();
        assert!(text.contains("closed loop, pipeline 16, 100 keys per get\n"), "{text}");
        assert!(report().describe().contains("closed loop, pipeline 16\n"));
    }
}
