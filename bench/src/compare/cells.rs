//! What one server did under one setup, round by round.

use crate::compare::report::{CellReport, Round};
use crate::figures::median;
use crate::load::client::Outcome;
use crate::load::pace::Arrivals;
use crate::load::report::{Latency, LoadReport};
use crate::load::tally::Tally;

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loop {
    /// Requests under way per connection, or per burst.
    pub pipeline: u32,
    /// Requests per second and their spread; none: closed loop.
    pub open: Option<(f64, Arrivals)>,
}

impl Loop {
    /// A closed loop.
    pub fn closed(pipeline: u32) -> Loop {
        Loop { pipeline, open: None }
    }
}

/// One server under one setup.
pub struct Cell {
    /// The setup.
    pub setup: Loop,
    /// The server's name.
    pub server: String,
    rounds: Vec<Round>,
    tally: Tally,
}

impl Cell {
    /// No round yet.
    pub fn new(setup: Loop, server: &str) -> Cell {
        Cell { setup, server: server.to_owned(), rounds: Vec::new(), tally: Tally::new() }
    }

    /// Adds a round; `core_busy_ns` is what the server's core did meanwhile, for whomever.
    pub fn add(&mut self, outcome: &Outcome, core_busy_ns: Option<u64>) {
        let report = LoadReport::of(outcome);
        let server_ns = outcome.server_cpu_ns.unwrap_or(0);
        let foreign = core_busy_ns.map(|busy| busy.saturating_sub(server_ns) as f64 / outcome.elapsed_ns.max(1) as f64);
        self.rounds.push(Round {
            cpu_us_per_request: report.server_cpu_us_per_request.unwrap_or(f64::NAN),
            rate: report.rate,
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
            p999_us: report.latency.p999_us,
            lag_p999_us: report.lag_p999_us,
            foreign_share: foreign,
        });
        self.tally.absorb(&outcome.tally);
    }

    /// The middle of the rounds' rates.
    pub fn median_rate(&self) -> Option<f64> {
        median(&self.rounds.iter().map(|round| round.rate).collect::<Vec<_>>())
    }

    /// For reports.
    pub fn into_report(self) -> CellReport {
        CellReport {
            server: self.server,
            pipeline: self.setup.pipeline,
            open_rate: self.setup.open.map(|(rate, _)| rate),
            misses: self.tally.misses,
            faults: self.tally.faults(),
            errors: self.tally.errors.clone(),
            latency: Latency::of(&self.tally.all_ns()),
            rounds: self.rounds,
        }
    }

    #[cfg(test)]
    pub fn push_rate(&mut self, rate: f64) {
        self.rounds.push(Round { rate, ..Round::default() });
    }
}
