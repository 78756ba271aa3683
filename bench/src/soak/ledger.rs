//! Ledger: what was called, how it was answered, and what was wrong.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::templates::Template;

/// Errors that are kept with their exchange; more are counted.
const FAULTS_KEPT: usize = 20;

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
    /// Forms that nobody has sent yet.
    pub unsent: Vec<&'static Template>,
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
    /// Lines that monitors got.
    pub monitor_lines: u64,
    /// Connections by how they ended.
    pub endings: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// Counts a call, and the code if it was answered with an error.
    pub fn count(&mut self, name: &str, code: Option<&str>) {
        count(&mut self.commands, name, code);
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
