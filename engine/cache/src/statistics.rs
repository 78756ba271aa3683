//! Statistics: counters since start or CONFIG RESETSTAT.
//!
//! Counting must not show in a profile: plain integers of one core, one addition per event.

use std::collections::BTreeMap;

use crate::durations::Durations;
use crate::table::{COMMAND_COUNT, Command};

/// Different error codes that are counted each for itself; more share one line. Clients cannot make codes up, so the
/// bound is a precaution.
const ERROR_CODES_MAX: usize = 128;

/// Counters of one core.
#[derive(Debug)]
pub(crate) struct Statistics {
    /// Keys that a read found.
    pub keyspace_hits: u64,
    /// Keys that a read did not find.
    pub keyspace_misses: u64,
    /// Keys removed because their time had come.
    pub expired_keys: u64,
    /// Keys removed to make room.
    pub evicted_keys: u64,
    /// Commands run, with or without success.
    pub calls: [u64; COMMAND_COUNT],
    /// Time that they took, in nanoseconds.
    pub spent_ns: [u64; COMMAND_COUNT],
    /// The same as histograms; `None` for what was never called, or not while `latency-tracking` was on.
    pub durations: [Option<Box<Durations>>; COMMAND_COUNT],
    /// Commands refused before they ran.
    pub rejected: [u64; COMMAND_COUNT],
    /// Commands that ran and ended with an error.
    pub failed: [u64; COMMAND_COUNT],
    /// Error replies by code.
    pub errors: BTreeMap<String, u64>,
    /// Error replies of all codes.
    pub error_replies: u64,
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics {
            keyspace_hits: 0,
            keyspace_misses: 0,
            expired_keys: 0,
            evicted_keys: 0,
            calls: [0; COMMAND_COUNT],
            spent_ns: [0; COMMAND_COUNT],
            durations: std::array::from_fn(|_| None),
            rejected: [0; COMMAND_COUNT],
            failed: [0; COMMAND_COUNT],
            errors: BTreeMap::new(),
            error_replies: 0,
        }
    }
}

impl Statistics {
    /// Commands run.
    pub fn commands_processed(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Counts `calls` calls of a command that took `ns_each` each; with a histogram if `is_tracked`.
    #[inline]
    pub fn ran(&mut self, command: Command, calls: u64, ns_each: u64, is_tracked: bool) {
        let index = command.index();
        self.calls[index] += calls;
        self.spent_ns[index] += ns_each * calls;
        if is_tracked {
            self.durations[index].get_or_insert_with(|| Box::new(Durations::new())).record(ns_each, calls);
        }
    }

    /// Counts a command that ended with an error.
    #[cold]
    pub fn failed(&mut self, command: Command) {
        self.failed[command.index()] += 1;
    }

    /// Counts an error reply by the code that `text` begins with.
    #[cold]
    pub fn error(&mut self, text: &str) {
        self.error_replies += 1;
        let code = text.split(' ').next().unwrap_or("ERR");
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < ERROR_CODES_MAX {
            self.errors.insert(code.to_owned(), 1);
        }
    }
}
