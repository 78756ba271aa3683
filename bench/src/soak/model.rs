//! Model: what the keys of one connection may hold.
//!
//! A key may be gone at any time (evicted, expired, flushed), so a reply is right if it is that for a missing key or
//! that for an item that the key may still hold. Each reply narrows what is possible: once a key was seen missing,
//! it stays missing until it is written.
//!
//! Invariants
//! - Sound: what a correct server may answer is never an error here.
//! - A key has at most `ITEMS_MAX` possible items; beyond, it is forgotten until it is set anew.
//!
//! Absent on purpose: the server's code, and its clock. A deadline is judged by when request and reply passed here.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::wire::{Value, shown};
use crate::clock::Nanos;

const ITEMS_MAX: usize = 8;
/// Clocks of two processes of one machine, and the tick's.
const CLOCK_SLACK_NS: Nanos = 250_000_000;
const TRAIL_KEPT: usize = 200;
const TRAIL_SHOWN: usize = 12;
const BRIEF_BYTES: usize = 24;
const MS_NS: u64 = 1_000_000;

/// An item that a key may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    value: Rc<Vec<u8>>,
    /// The latest moment at which it expires; `None` if it does not.
    deadline: Option<Nanos>,
}

/// When a request left, and when its reply came.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Handed to the socket at or after this.
    pub sent: Nanos,
    /// Read at or before this.
    pub answered: Nanos,
}

/// What is known about a connection's own keys. A key that is not here is missing.
#[derive(Debug, Default)]
pub struct Model {
    keys: HashMap<(u64, Vec<u8>), Possible>,
    /// The last requests on own keys, for who reads about a fault.
    trail: VecDeque<String>,
}

#[derive(Clone, Debug)]
enum Possible {
    /// One of these, or nothing.
    Items(Vec<Item>),
    /// Anything.
    Unknown,
}

/// A reply that is right.
#[derive(Debug, PartialEq)]
enum Answer {
    Ok,
    Nil,
    Integer(i64),
    /// From the first to the second.
    Between(i64, i64),
    Bulk(Rc<Vec<u8>>),
    Slice(Rc<Vec<u8>>, usize, usize),
    Simple(&'static str),
    Refused(&'static str),
}

impl Answer {
    fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Answer::Ok, Value::Simple(text)) => *text == b"OK",
            (Answer::Nil, Value::Null) => true,
            (Answer::Integer(expected), Value::Integer(got)) => expected == got,
            (Answer::Between(low, high), Value::Integer(got)) => (low..=high).contains(&got),
            (Answer::Bulk(expected), Value::Bulk(got)) => expected.as_slice() == *got,
            (Answer::Slice(value, from, to), Value::Bulk(got)) => value[*from..*to] == **got,
            (Answer::Simple(expected), Value::Simple(got)) => expected.as_bytes() == *got,
            (Answer::Refused(code), Value::Error(got)) => got.starts_with(code.as_bytes()),
            _ => false,
        }
    }
}

type Step = (Answer, Option<Item>);

impl Model {
    /// Judges `reply` to the request `name` with `args` (name included) in database `db`, and remembers what it says.
    pub fn observe(
        &mut self,
        db: u64,
        name: &str,
        args: &[Vec<u8>],
        times: Times,
        reply: &Value<'_>,
    ) -> Result<(), String> {
        self.keep_trail(db, args, reply);
        match (name, reply) {
            // What is refused for want of memory has changed nothing.
            (_, Value::Error(text)) if text.starts_with(b"OOM ") => Ok(()),
            ("mget", Value::Array(values)) => {
                if values.len() != args.len() - 1 {
                    return Err(format!("{} values for {} keys", values.len(), args.len() - 1));
                }
                let get = |key: &Vec<u8>| [b"GET".to_vec(), key.clone()];
                args[1..].iter().zip(values).try_for_each(|(key, value)| self.one(db, "get", &get(key), times, value))
            }
            ("mget", Value::Error(text)) if text.starts_with(b"ERR reply exceeds") => Ok(()),
            ("mset", _) => args[1..].chunks(2).try_for_each(|pair| {
                let set = [b"SET".to_vec(), pair[0].clone(), pair[1].clone()];
                self.one(db, "set", &set, times, reply)
            }),
            ("rename" | "copy", _) => self.transfer(db, name, args, times, reply),
            _ => self.one(db, name, args, times, reply),
        }
    }

    fn keep_trail(&mut self, db: u64, args: &[Vec<u8>], reply: &Value<'_>) {
        let words: Vec<String> = args.iter().map(|arg| brief(arg)).collect();
        self.trail.truncate(TRAIL_KEPT - 1);
        self.trail.push_front(format!("db {db}: {} -> {}", words.join(" "), short(reply)));
    }

    /// The last requests that named one of the keys, the newest first.
    pub fn trail(&self, args: &[Vec<u8>]) -> String {
        let keys: Vec<String> = args.iter().filter(|arg| arg.starts_with(b"x:")).map(|key| brief(key)).collect();
        let names = |line: &&String| line.split(' ').any(|word| keys.iter().any(|key| key == word));
        let lines: Vec<&str> = self.trail.iter().filter(names).take(TRAIL_SHOWN).map(String::as_str).collect();
        lines.join("\n           ")
    }

    /// The items that a request which left at `sent` may still have met.
    fn possible(&mut self, db: u64, key: &[u8], sent: Nanos) -> Possible {
        match self.keys.remove(&(db, key.to_vec())) {
            None => Possible::Items(Vec::new()),
            Some(Possible::Unknown) => Possible::Unknown,
            Some(Possible::Items(mut items)) => {
                items.retain(|item| item.deadline.is_none_or(|deadline| sent <= deadline + CLOCK_SLACK_NS));
                Possible::Items(items)
            }
        }
    }

    fn remember(&mut self, db: u64, key: &[u8], items: Vec<Item>) {
        match items.len() {
            0 => {}
            1..=ITEMS_MAX => drop(self.keys.insert((db, key.to_vec()), Possible::Items(items))),
            _ => drop(self.keys.insert((db, key.to_vec()), Possible::Unknown)),
        }
    }

    fn one(&mut self, db: u64, name: &str, args: &[Vec<u8>], times: Times, reply: &Value<'_>) -> Result<(), String> {
        let key = &args[1];
        let Possible::Items(items) = self.possible(db, key, times.sent) else {
            return self.unknown(db, name, args, times, reply);
        };
        let (mut expected, mut after, mut is_right) = (Vec::new(), Vec::new(), false);
        for before in std::iter::once(None).chain(items.into_iter().map(Some)) {
            let (answer, item) = step(name, args, before.as_ref(), times);
            if answer.is(reply) {
                is_right = true;
                after.extend(item.filter(|item| !after.contains(item)));
            } else {
                expected.push(answer);
            }
        }
        self.remember(db, key, after);
        if is_right { Ok(()) } else { Err(wrong(&expected)) }
    }

    /// A write that does not depend on what was there makes a key known again.
    fn unknown(
        &mut self,
        db: u64,
        name: &str,
        args: &[Vec<u8>],
        times: Times,
        reply: &Value<'_>,
    ) -> Result<(), String> {
        let is_plain_set = matches!(name, "setex" | "psetex") || (name == "set" && args.len() == 3);
        let is_removal = matches!(name, "del" | "unlink" | "getdel");
        match step(name, args, None, times) {
            (Answer::Ok, item) if is_plain_set && *reply == Value::Simple(b"OK") => {
                self.remember(db, &args[1], item.into_iter().collect());
            }
            _ if is_removal => {}
            _ => drop(self.keys.insert((db, args[1].clone()), Possible::Unknown)),
        }
        Ok(())
    }

    /// RENAME and COPY REPLACE: what the source may hold, the target may then hold.
    fn transfer(
        &mut self,
        db: u64,
        name: &str,
        args: &[Vec<u8>],
        times: Times,
        reply: &Value<'_>,
    ) -> Result<(), String> {
        let (from, to) = (&args[1], &args[2]);
        let source = self.possible(db, from, times.sent);
        let may_exist = !matches!(&source, Possible::Items(items) if items.is_empty());
        let put = |model: &mut Model, key: &[u8]| drop(model.keys.insert((db, key.to_vec()), source.clone()));
        match (name, reply) {
            ("copy", Value::Error(text)) if from == to && text.starts_with(b"ERR ") => put(self, from),
            ("rename", Value::Error(text)) if text.starts_with(b"ERR no such key") => {}
            ("copy", Value::Integer(0)) if from != to => {}
            ("rename", Value::Simple(b"OK")) if may_exist => put(self, to),
            ("copy", Value::Integer(1)) if may_exist && from != to => {
                put(self, from);
                put(self, to);
            }
            _ => return Err(format!("the source {}", if may_exist { "may exist" } else { "is missing" })),
        }
        Ok(())
    }
}

/// A reply in a few words, without formatting a MiB.
fn short(reply: &Value<'_>) -> String {
    match reply {
        Value::Bulk(text) | Value::Simple(text) | Value::Error(text) => brief(text),
        Value::Array(values) => format!("{} values", values.len()),
        other => format!("{other:?}"),
    }
}

fn brief(bytes: &[u8]) -> String {
    format!(
        "{}{}",
        bytes[..bytes.len().min(BRIEF_BYTES)].escape_ascii(),
        if bytes.len() > BRIEF_BYTES { "~" } else { "" }
    )
}

fn wrong(expected: &[Answer]) -> String {
    let text = expected.iter().map(|answer| match answer {
        Answer::Bulk(value) => format!("\"{}\"", shown(value)),
        Answer::Slice(value, from, to) => format!("\"{}\"", shown(&value[*from..*to])),
        other => format!("{other:?}"),
    });
    format!("expected {}", text.collect::<Vec<_>>().join(" or "))
}

/// The reply to a request on a key that holds `before`, and what it holds then.
fn step(name: &str, args: &[Vec<u8>], before: Option<&Item>, times: Times) -> Step {
    let stays = before.cloned();
    let bulk = |item: Option<&Item>| item.map_or(Answer::Nil, |item| Answer::Bulk(Rc::clone(&item.value)));
    let bytes = before.map_or(&[][..], |item| item.value.as_slice());
    match name {
        "get" => (bulk(before), stays),
        "set" => set(args, before, times),
        "setnx" => match before {
            Some(_) => (Answer::Integer(0), stays),
            None => (Answer::Integer(1), plain(&args[2])),
        },
        "setex" => (Answer::Ok, expiring(&args[3], Some(deadline(b"ex", &args[2], times)))),
        "psetex" => (Answer::Ok, expiring(&args[3], Some(deadline(b"px", &args[2], times)))),
        "getset" => (bulk(before), plain(&args[2])),
        "getdel" => (bulk(before), None),
        "getex" => {
            (bulk(before), before.map(|item| Item { deadline: new_deadline(args, 2, item, times), ..item.clone() }))
        }
        "append" => changed(before, [bytes, &args[2]].concat()),
        "strlen" => (Answer::Integer(bytes.len() as i64), stays),
        "setrange" => setrange(args, before),
        "getrange" | "substr" => (range(args, before), stays),
        "incr" | "decr" | "incrby" | "decrby" => add(name, args, before),
        "setbit" => setbit(args, before),
        "getbit" => (Answer::Integer(bit(bytes, number(&args[2]) as usize)), stays),
        "bitcount" => (Answer::Integer(bytes.iter().map(|byte| i64::from(byte.count_ones())).sum()), stays),
        "del" | "unlink" => (Answer::Integer(i64::from(before.is_some())), None),
        "exists" | "touch" => (Answer::Integer(i64::from(before.is_some())), stays),
        "type" => (Answer::Simple(if before.is_some() { "string" } else { "none" }), stays),
        "expire" | "pexpire" | "persist" => lifetime(name, args, before, times),
        "ttl" | "pttl" => (remaining(name, before, times), stays),
        other => unreachable!("the model does not know {other}"),
    }
}

fn plain(value: &[u8]) -> Option<Item> {
    expiring(value, None)
}

fn expiring(value: &[u8], deadline: Option<Nanos>) -> Option<Item> {
    Some(Item { value: Rc::new(value.to_vec()), deadline })
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("templates draw numbers here")
}

/// The latest moment at which a time to live of `amount` ends.
fn deadline(unit: &[u8], amount: &[u8], times: Times) -> Nanos {
    let ms = number(amount) as u64 * if unit.eq_ignore_ascii_case(b"ex") { 1000 } else { 1 };
    times.answered + ms * MS_NS
}

/// The deadline after the options from `from` on; without any it stays.
fn new_deadline(args: &[Vec<u8>], from: usize, item: &Item, times: Times) -> Option<Nanos> {
    match &args[from..] {
        [unit, amount] => Some(deadline(unit, amount, times)),
        [_persist] => None,
        _ => item.deadline,
    }
}

fn set(args: &[Vec<u8>], before: Option<&Item>, times: Times) -> Step {
    let (mut reads, mut is_refused, mut ends, mut at) = (false, false, None, 3);
    while let Some(word) = args.get(at) {
        match word.as_slice() {
            b"NX" => is_refused = before.is_some(),
            b"XX" => is_refused = before.is_none(),
            b"GET" => reads = true,
            b"KEEPTTL" => ends = before.and_then(|item| item.deadline),
            unit => {
                at += 1;
                ends = Some(deadline(unit, &args[at], times));
            }
        }
        at += 1;
    }
    let answer = match (reads, before) {
        (true, Some(item)) => Answer::Bulk(Rc::clone(&item.value)),
        (true, None) => Answer::Nil,
        (false, _) if is_refused => Answer::Nil,
        (false, _) => Answer::Ok,
    };
    (answer, if is_refused { before.cloned() } else { expiring(&args[2], ends) })
}

fn changed(before: Option<&Item>, value: Vec<u8>) -> Step {
    let answer = Answer::Integer(value.len() as i64);
    (answer, Some(Item { value: Rc::new(value), deadline: before.and_then(|item| item.deadline) }))
}

fn setrange(args: &[Vec<u8>], before: Option<&Item>) -> Step {
    let (offset, part) = (number(&args[2]) as usize, &args[3]);
    if part.is_empty() {
        return (Answer::Integer(before.map_or(0, |item| item.value.len()) as i64), before.cloned());
    }
    let mut value = before.map_or(Vec::new(), |item| item.value.to_vec());
    value.resize(value.len().max(offset + part.len()), 0);
    value[offset..offset + part.len()].copy_from_slice(part);
    changed(before, value)
}

fn range(args: &[Vec<u8>], before: Option<&Item>) -> Answer {
    let value = before.map_or_else(Rc::default, |item| Rc::clone(&item.value));
    let length = value.len() as i64;
    let [from, to] = [number(&args[2]), number(&args[3])].map(|at| if at < 0 { at + length } else { at });
    // Two ends counted from the back in the wrong order are an empty range even where both are cut to the start.
    let is_reversed = number(&args[2]) < 0 && number(&args[3]) < 0 && number(&args[2]) > number(&args[3]);
    let (from, to) = (from.max(0), to.max(0).min(length - 1));
    if is_reversed || from > to {
        return Answer::Slice(value, 0, 0);
    }
    Answer::Slice(value, from as usize, to as usize + 1)
}

fn add(name: &str, args: &[Vec<u8>], before: Option<&Item>) -> Step {
    let amount = match name {
        "incr" => 1,
        "decr" => -1,
        "incrby" => number(&args[2]),
        _ => -number(&args[2]),
    };
    let text = before.map_or(&b"0"[..], |item| item.value.as_slice());
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    let own = parsed.filter(|number| number.to_string().as_bytes() == text);
    match own.map(|number| number.checked_add(amount)) {
        None | Some(None) => (Answer::Refused("ERR "), before.cloned()),
        Some(Some(sum)) => {
            let (_, item) = changed(before, sum.to_string().into_bytes());
            (Answer::Integer(sum), item)
        }
    }
}

fn bit(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at / 8).map_or(0, |byte| i64::from(byte >> (7 - at % 8) & 1))
}

fn setbit(args: &[Vec<u8>], before: Option<&Item>) -> Step {
    let (at, is_set) = (number(&args[2]) as usize, args[3] == b"1");
    let mut value = before.map_or(Vec::new(), |item| item.value.to_vec());
    let old = bit(&value, at);
    value.resize(value.len().max(at / 8 + 1), 0);
    let mask = 1 << (7 - at % 8);
    value[at / 8] = if is_set { value[at / 8] | mask } else { value[at / 8] & !mask };
    let (_, item) = changed(before, value);
    (Answer::Integer(old), item)
}

fn lifetime(name: &str, args: &[Vec<u8>], before: Option<&Item>, times: Times) -> Step {
    let Some(item) = before else { return (Answer::Integer(0), None) };
    let (answer, ends) = match name {
        "persist" => (i64::from(item.deadline.is_some()), None),
        "expire" => (1, Some(deadline(b"ex", &args[2], times))),
        _ => (1, Some(deadline(b"px", &args[2], times))),
    };
    (Answer::Integer(answer), Some(Item { deadline: ends, ..item.clone() }))
}

fn remaining(name: &str, before: Option<&Item>, times: Times) -> Answer {
    match before {
        None => Answer::Integer(-2),
        Some(Item { deadline: None, .. }) => Answer::Integer(-1),
        Some(Item { deadline: Some(deadline), .. }) => {
            let ms = ((deadline + CLOCK_SLACK_NS).saturating_sub(times.sent) / MS_NS) as i64;
            Answer::Between(0, if name == "ttl" { ms / 1000 + 1 } else { ms })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Times = Times { sent: 1_000, answered: 2_000 };

    fn observe(model: &mut Model, line: &str, times: Times, reply: &Value<'_>) -> Result<(), String> {
        let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        model.observe(0, &line.split(' ').next().unwrap().to_lowercase(), &args, times, reply)
    }

    /// Every exchange but the last is right; the last is wrong.
    #[track_caller]
    fn check_last_is_wrong(exchanges: &[(&str, Value<'_>)]) {
        let mut model = Model::default();
        let (last, first) = exchanges.split_last().unwrap();
        for (line, reply) in first {
            observe(&mut model, line, AT, reply).unwrap();
        }
        assert!(observe(&mut model, last.0, AT, &last.1).is_err(), "{last:?}");
    }

    const OK: Value<'static> = Value::Simple(b"OK");

    #[test]
    fn a_foreign_old_or_torn_value_is_wrong() {
        check_last_is_wrong(&[("GET k", Value::Bulk(b"ghost"))]);
        check_last_is_wrong(&[("SET k a", OK), ("GET k", Value::Bulk(b"b"))]);
        check_last_is_wrong(&[("SET k a", OK), ("SET k b", OK), ("GET k", Value::Bulk(b"a"))]);
        check_last_is_wrong(&[("SET k abc", OK), ("GETRANGE k 0 1", Value::Bulk(b"abc"))]);
        check_last_is_wrong(&[("SET k 5", OK), ("INCR k", Value::Integer(7))]);
        check_last_is_wrong(&[("SET k abc", OK), ("APPEND k d", Value::Integer(5))]);
        check_last_is_wrong(&[("SET k a PX 100", OK), ("PTTL k", Value::Integer(600))]);
        check_last_is_wrong(&[("SET k a", OK), ("RENAME k q", OK), ("GET k", Value::Bulk(b"a"))]);
        check_last_is_wrong(&[("SET k a", OK), ("MGET k q", Value::Array(vec![Value::Bulk(b"a")]))]);
    }

    #[test]
    fn a_value_may_go_at_any_time_and_does_not_come_back() {
        check_last_is_wrong(&[("SET k a", OK), ("GET k", Value::Null), ("GET k", Value::Bulk(b"a"))]);
        check_last_is_wrong(&[("SET k a", OK), ("EXISTS k", Value::Integer(0)), ("STRLEN k", Value::Integer(1))]);
        check_last_is_wrong(&[("SET k a", OK), ("DEL k", Value::Integer(1)), ("GET k", Value::Bulk(b"a"))]);
    }

    #[test]
    fn a_reply_that_leaves_two_items_possible_leaves_both() {
        let mut model = Model::default();
        let mut right = |line: &str, reply: Value<'_>| observe(&mut model, line, AT, &reply).unwrap();
        right("SET k zz", OK);
        right("SETBIT k 63 0", Value::Integer(0));
        right("GET k", Value::Bulk(b"\0\0\0\0\0\0\0\0"));
        right("GET k", Value::Null);
        check_last_is_wrong(&[
            ("SET k zz", OK),
            ("SETBIT k 63 0", Value::Integer(0)),
            ("GET k", Value::Bulk(b"\0\0\0\0\0\0\0\0")),
            ("GET k", Value::Bulk(b"zz\0\0\0\0\0\0")),
        ]);
    }

    #[test]
    fn a_refused_write_leaves_the_old_value() {
        let oom = Value::Error(b"OOM command not allowed");
        check_last_is_wrong(&[("SET k a", OK), ("SET k b", oom.clone()), ("GET k", Value::Bulk(b"b"))]);
        let mut model = Model::default();
        observe(&mut model, "SET k a", AT, &OK).unwrap();
        observe(&mut model, "APPEND k b", AT, &oom).unwrap();
        observe(&mut model, "GET k", AT, &Value::Bulk(b"a")).unwrap();
    }

    #[test]
    fn nothing_outlives_its_deadline() {
        let late = |ms: u64| Times { sent: ms * MS_NS, answered: ms * MS_NS };
        let mut model = Model::default();
        observe(&mut model, "PSETEX k 100 a", AT, &OK).unwrap();
        observe(&mut model, "GET k", late(120), &Value::Bulk(b"a")).expect("the clock's slack");
        assert!(observe(&mut model, "GET k", late(500), &Value::Bulk(b"a")).is_err());
    }
}
