//! Roster: which commands the server says it has, and which of our forms it therefore gets.
//!
//! Invariant: a command that the server lists and no form covers fails the soak before it begins.

use std::collections::BTreeMap;
use std::io;

use super::conversation::TRANSACTION_ENDS;
use super::ledger::Step;
use super::probe::Probe;
use super::templates::{CALM, NEVER, OWN, RARE, SHARED, Template, covers};
use super::wire::Value;

/// A form of a command on a connection's own keys: name and words.
pub type OwnForm = (&'static str, &'static str);

/// The forms that this server gets, each as often as it weighs.
#[derive(Debug, Default)]
pub struct Roster {
    /// The memory limit it was found with.
    pub maxmemory: u64,
    /// Arity by name, subcommands as `container|sub`, as COMMAND INFO tells it.
    pub arities: BTreeMap<String, i64>,
    /// On shared keys.
    pub shared: Vec<&'static Template>,
    /// About server and connection.
    pub calm: Vec<&'static Template>,
    /// Once in a while.
    pub rare: Vec<&'static Template>,
    /// On own keys.
    pub own: Vec<OwnForm>,
    /// What every run sends first: each form and each step.
    pub each: Vec<Step>,
}

impl Roster {
    /// Asks COMMAND LIST, INFO and DOCS, which must agree.
    pub fn ask(probe: &mut Probe) -> io::Result<Roster> {
        let names = probe.ask(&["COMMAND", "LIST"], names_of)?;
        let documented = probe.ask(&["COMMAND", "DOCS"], documented_of)?;
        let undocumented: Vec<&String> =
            names.iter().filter(|name| !name.contains('|') && !documented.contains(name)).collect();
        if !undocumented.is_empty() {
            return Err(io::Error::other(format!("COMMAND DOCS lacks {undocumented:?}")));
        }
        let words = ["COMMAND", "INFO"].into_iter().chain(names.iter().map(String::as_str));
        let arities = probe.ask(&words.collect::<Vec<_>>(), |value| arities_of(&names, value))?;
        let roster = Roster::of(arities).map_err(io::Error::other)?;
        let maxmemory = probe.setting("maxmemory")?.parse();
        Ok(Roster { maxmemory: maxmemory.map_err(|_| io::Error::other("maxmemory is no number"))?, ..roster })
    }

    fn of(arities: BTreeMap<String, i64>) -> Result<Roster, String> {
        let listed = |name: &str| !NEVER.contains(&name);
        let uncovered: Vec<&String> = arities.keys().filter(|name| listed(name) && !covers(name)).collect();
        if !uncovered.is_empty() {
            return Err(format!("no form of bench/src/soak/templates.rs covers {uncovered:?}"));
        }
        let mut roster = Roster { arities, ..Roster::default() };
        let has = |name: &str| roster.arities.contains_key(name);
        let weighed = |table: &'static [Template]| -> Vec<&'static Template> {
            let forms = table.iter().filter(|form| has(form.name));
            forms.flat_map(|form| std::iter::repeat_n(form, form.weight as usize)).collect()
        };
        let (shared, calm, mut rare) = (weighed(SHARED), weighed(CALM), weighed(RARE));
        let all = [SHARED, CALM, RARE].into_iter().flatten();
        let each: Vec<&'static Template> = all.filter(|form| has(form.name)).collect();
        rare.extend(each.iter().filter(|form| form.weight == 0));
        let own = OWN.iter().filter(|(name, _, _)| has(name));
        let own = own.flat_map(|(name, weight, text)| std::iter::repeat_n((*name, *text), *weight as usize)).collect();
        (roster.shared, roster.calm, roster.rare, roster.own) = (shared, calm, rare, own);
        let steps = [Step::Reset, Step::Hello, Step::Silence, Step::Select, Step::Kill];
        let transactions = TRANSACTION_ENDS.iter().map(|end| Step::Transaction(end));
        roster.each = each.into_iter().map(Step::Form).chain(steps).chain(transactions).collect();
        Ok(roster)
    }

    /// The commands that a run must have seen answered.
    pub fn wanted(&self) -> impl Iterator<Item = &String> {
        self.arities.keys().filter(|name| !NEVER.contains(&name.as_str()))
    }

    /// True if the server has this command.
    pub fn has(&self, name: &str) -> bool {
        self.arities.contains_key(name)
    }
}

fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Bulk(text) | Value::Simple(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn names_of(value: &Value<'_>) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    let mut names = values.iter().map(text_of).collect::<Option<Vec<String>>>()?;
    names.sort();
    Some(names)
}

/// The names at the even places of the flat map.
fn documented_of(value: &Value<'_>) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    values.iter().step_by(2).map(text_of).collect()
}

fn arities_of(names: &[String], value: &Value<'_>) -> Option<BTreeMap<String, i64>> {
    let Value::Array(entries) = value else { return None };
    let mut arities = BTreeMap::new();
    for entry in entries {
        let Value::Array(fields) = entry else { return None };
        let (Some(name), Some(Value::Integer(arity))) = (fields.first().and_then(text_of), fields.get(1)) else {
            return None;
        };
        arities.insert(name, *arity);
    }
    names.iter().all(|name| arities.contains_key(name)).then_some(arities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_nothing_covers_is_an_error() {
        let arities = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 2)).collect();
        let refused = Roster::of(arities(&["get", "frobnicate"])).unwrap_err();
        assert!(refused.contains("frobnicate") && !refused.contains("get\""), "{refused}");
        let roster = Roster::of(arities(&["get", "keys", "shutdown"])).unwrap();
        assert!(roster.shared.iter().all(|form| form.name == "get") && roster.rare[0].name == "keys");
    }
}
