//! Ledger: what was called, how it was answered, and what was wrong.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::templates::Template;
use crate::clock::Nanos;

/// Errors that are kept with their exchange; more are counted.
const FAULTS_KEPT: usize = 20;

/// From the request of a pause to its end, at most: our longest is of 20 ms, behind what the server does before.
const PAUSE_NS_MAX: Nanos = 5_000_000_000;

/// Something that a connection may ask.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A form of a command.
    Form(&'static Template),
    /// Whatever there is, drawn by weight.
    Rare,
    Shared,
    Calm,
    Own,
    /// Requests that are wrong.
    Faulty,
    /// CLIENT KILL of somebody here.
    Kill,
    /// CLIENT REPLY, and requests without reply.
    Silence,
    Hello,
    Reset,
    Select,
    /// WATCH, UNWATCH maybe, MULTI and what follows, with how it ends.
    Transaction(&'static str),
}

/// Counts of one command.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Replies, and requests that get none.
    pub calls: u64,
    /// Error replies by code; all of them were allowed.
    pub errors: BTreeMap<String, u64>,
}

/// What all connections share.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By command.
    pub commands: BTreeMap<String, Calls>,
    /// By verb of memcached's protocol.
    pub verbs: BTreeMap<String, Calls>,
    /// What every run sends before chance decides.
    pub unsent: Vec<Step>,
    /// Ids of connections that are open.
    pub ids: Vec<u64>,
    /// Ids that somebody was told to kill.
    pub killed: HashSet<u64>,
    /// What was wrong, with the exchange.
    pub faults: Vec<String>,
    /// How often something was wrong.
    pub fault_count: u64,
    /// Values that were compared with what was written.
    pub values_verified: u64,
    /// When CLIENT PAUSE was last sent or answered.
    pub paused_at: Option<Nanos>,
    /// Lines that monitors got.
    pub monitor_lines: u64,
    /// Connections by how they ended.
    pub endings: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// True if clients may have been paused within the last seconds.
    pub fn was_paused(&self, now: Nanos) -> bool {
        self.paused_at.is_some_and(|at| now.saturating_sub(at) < PAUSE_NS_MAX)
    }

    /// Counts a call, and the code if it was answered with an error.
    pub fn count(&mut self, name: &str, code: Option<&str>) {
        count(&mut self.commands, name, code);
    }

    /// Counts a request in memcached's protocol.
    pub fn count_verb(&mut self, verb: &str, code: Option<&str>) {
        count(&mut self.verbs, verb, code);
    }

    /// Keeps what was wrong.
    pub fn fault(&mut self, text: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(text);
        }
    }

    /// Requests that were answered.
    pub fn total(&self) -> u64 {
        self.commands.values().chain(self.verbs.values()).map(|calls| calls.calls).sum()
    }
}

fn count(table: &mut BTreeMap<String, Calls>, name: &str, code: Option<&str>) {
    if !table.contains_key(name) {
        table.insert(name.to_owned(), Calls::default());
    }
    let calls = table.get_mut(name).expect("it was put there");
    calls.calls += 1;
    if let Some(code) = code {
        *calls.errors.entry(code.to_owned()).or_default() += 1;
    }
}
