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
    /// The part of `spent_ns` that `durations` lacks: that of calls while `latency-tracking` was off.
    pub untracked_ns: [u64; COMMAND_COUNT],
    /// Requests of memcached's protocol.
    pub memcache_requests: u64,
    /// Time that they took, in nanoseconds.
    pub memcache_spent_ns: u64,
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
            untracked_ns: [0; COMMAND_COUNT],
            memcache_requests: 0,
            memcache_spent_ns: 0,
            rejected: [0; COMMAND_COUNT],
            failed: [0; COMMAND_COUNT],
            errors: BTreeMap::new(),
            error_replies: 0,
        }
    }
}

impl Statistics {
    /// Commands run, of RESP alone: monitors see no others.
    pub fn calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Commands run, of both protocols.
    pub fn commands_processed(&self) -> u64 {
        self.calls() + self.memcache_requests
    }

    /// Time of all commands of both protocols, in nanoseconds. EXEC's is that of what it ran, which counts already.
    pub fn commands_ns(&self) -> u64 {
        self.spent_ns.iter().sum::<u64>() - self.spent_ns[Command::Exec.index()] + self.memcache_spent_ns
    }

    /// Counts `calls` calls of a command that took `ns_each` each and `left_ns` together beside that; with a histogram
    /// if `is_tracked`.
    #[inline]
    pub fn ran(&mut self, command: Command, calls: u64, ns_each: u64, left_ns: u64, is_tracked: bool) {
        let index = command.index();
        let spent_ns = ns_each * calls + left_ns;
        self.calls[index] += calls;
        self.spent_ns[index] += spent_ns;
        if is_tracked {
            self.durations[index].get_or_insert_with(|| Box::new(Durations::new())).record(ns_each, calls);
        } else {
            self.untracked_ns[index] += spent_ns;
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
