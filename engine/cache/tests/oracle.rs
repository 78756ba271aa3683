//! String commands against a naive model with virtual time: every reply must be the model's.

use std::collections::BTreeMap;

use cache::{Cache, CacheOptions, ClientIndex, ClientOrigin, Config, Job, JobState, Now, Outcome};
use proptest::prelude::*;

#[allow(dead_code, reason = "the unit tests use the rest of it")]
mod rig;

use rig::{Rig, START_MS};

/// What a key holds in the model.
#[derive(Clone, Debug)]
struct Entry {
    value: String,
    expires_at_ms: Option<u64>,
}

impl Entry {
    fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_none_or(|at_ms| at_ms > now_ms)
    }
}

/// The naive model: a map per database, searched and aged by hand.
#[derive(Default)]
struct Model {
    databases: [BTreeMap<String, Entry>; DATABASES],
    selected: usize,
    now_ms: u64,
}

/// Databases that the steps use.
const DATABASES: usize = 3;

/// A step of a test case. Keys are few, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Wait { ms: u64 },
    Upkeep,
    Get { key: u8 },
    Set { key: u8, value: String, deadline: SetDeadline, condition: &'static str, get: bool },
    Append { key: u8, value: String },
    Add { key: u8, amount: i64 },
    Del { keys: Vec<u8> },
    Exists { keys: Vec<u8> },
    Mset { pairs: Vec<(u8, String)> },
    Mget { keys: Vec<u8> },
    Expire { key: u8, ms: i64, condition: &'static str },
    Persist { key: u8 },
    Pttl { key: u8 },
    Strlen { key: u8 },
    Setnx { key: u8, value: String },
    Getset { key: u8, value: String },
    Getdel { key: u8 },
    Getex { key: u8, deadline: &'static str },
    Setrange { key: u8, at: usize, value: String },
    Getrange { key: u8, start: usize, end: usize },
    Select { database: usize },
    Rename { from: u8, to: u8, only_new: bool },
    Copy { from: u8, to: u8, database: usize, replace: bool },
    Move { key: u8, database: usize },
    Swap { databases: [usize; 2] },
    Random,
    Keys,
    Flush,
}

#[derive(Clone, Debug)]
enum SetDeadline {
    None,
    Keep,
    Px(u64),
    Pxat(u64),
}

fn key() -> impl Strategy<Value = u8> {
    0u8..12
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{0,40}",
        3 => (-1000i64..1000).prop_map(|number| number.to_string()),
        1 => Just(i64::MAX.to_string()),
        1 => (1usize..40_000).prop_map(|length| "x".repeat(length)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = prop_oneof![
        4 => Just(SetDeadline::None),
        1 => Just(SetDeadline::Keep),
        3 => (1u64..3000).prop_map(SetDeadline::Px),
        1 => (1u64..6000).prop_map(|after| SetDeadline::Pxat(START_MS - 1000 + after)),
    ];
    let amount = prop_oneof![-5i64..5, Just(i64::MAX), Just(i64::MIN)];
    let keys = || prop::collection::vec(key(), 1..20);
    let condition = prop_oneof![3 => Just(""), 1 => Just(" NX"), 1 => Just(" XX")];
    let expire_condition =
        prop_oneof![3 => Just(""), 1 => Just(" NX"), 1 => Just(" XX"), 1 => Just(" GT"), 1 => Just(" LT")];
    prop_oneof![
        4 => (0u64..1500).prop_map(|ms| Step::Wait { ms }),
        2 => Just(Step::Upkeep),
        6 => key().prop_map(|key| Step::Get { key }),
        8 => (key(), value(), deadline, condition, any::<bool>())
            .prop_map(|(key, value, deadline, condition, get)| Step::Set { key, value, deadline, condition, get }),
        3 => (key(), value()).prop_map(|(key, value)| Step::Append { key, value }),
        3 => (key(), amount).prop_map(|(key, amount)| Step::Add { key, amount }),
        2 => keys().prop_map(|keys| Step::Del { keys }),
        1 => keys().prop_map(|keys| Step::Exists { keys }),
        2 => prop::collection::vec((key(), value()), 1..20).prop_map(|pairs| Step::Mset { pairs }),
        2 => keys().prop_map(|keys| Step::Mget { keys }),
        4 => (key(), -100i64..3000, expire_condition)
            .prop_map(|(key, ms, condition)| Step::Expire { key, ms, condition }),
        1 => key().prop_map(|key| Step::Persist { key }),
        2 => key().prop_map(|key| Step::Pttl { key }),
        1 => key().prop_map(|key| Step::Strlen { key }),
        2 => (0..DATABASES).prop_map(|database| Step::Select { database }),
        4 => (key(), key(), any::<bool>()).prop_map(|(from, to, only_new)| Step::Rename { from, to, only_new }),
        4 => (key(), key(), 0..DATABASES, any::<bool>())
            .prop_map(|(from, to, database, replace)| Step::Copy { from, to, database, replace }),
        2 => (key(), 0..DATABASES).prop_map(|(key, database)| Step::Move { key, database }),
        1 => [0..DATABASES, 0..DATABASES].prop_map(|databases| Step::Swap { databases }),
        1 => Just(Step::Random),
        1 => (key(), value()).prop_map(|(key, value)| Step::Setnx { key, value }),
        1 => (key(), value()).prop_map(|(key, value)| Step::Getset { key, value }),
        1 => key().prop_map(|key| Step::Getdel { key }),
        2 => (key(), prop_oneof![Just(""), Just(" PX 700"), Just(" PERSIST")])
            .prop_map(|(key, deadline)| Step::Getex { key, deadline }),
        3 => (key(), 0usize..25_000, value()).prop_map(|(key, at, value)| Step::Setrange { key, at, value }),
        1 => (key(), 0usize..100, 0usize..30_000).prop_map(|(key, start, end)| Step::Getrange { key, start, end }),
        1 => Just(Step::Keys),
        1 => Just(Step::Flush),
    ]
}

impl Model {
    fn entries(&mut self) -> &mut BTreeMap<String, Entry> {
        &mut self.databases[self.selected]
    }

    fn live_in(&self, database: usize, key: u8) -> Option<&Entry> {
        self.databases[database].get(&name(key)).filter(|entry| entry.is_alive(self.now_ms))
    }

    /// The keys of the selected database that have not expired.
    fn alive(&self) -> impl Iterator<Item = &String> {
        let entries = self.databases[self.selected].iter();
        entries.filter(|(_, entry)| entry.is_alive(self.now_ms)).map(|(key, _)| key)
    }

    fn rename(&mut self, from: u8, to: u8, only_new: bool) -> String {
        let Some(entry) = self.live(from).cloned() else { return "-ERR no such key".to_owned() };
        if only_new && self.live(to).is_some() {
            return ":0".to_owned();
        }
        self.entries().remove(&name(from));
        self.entries().insert(name(to), entry);
        (if only_new { ":1" } else { "+OK" }).to_owned()
    }

    fn copy(&mut self, from: u8, to: u8, database: usize, replace: bool) -> String {
        if (self.selected, from) == (database, to) {
            return "-ERR source and destination objects are the same".to_owned();
        }
        let copied = self.live(from).cloned().filter(|_| replace || self.live_in(database, to).is_none());
        let reply = format!(":{}", i64::from(copied.is_some()));
        self.databases[database].extend(copied.map(|entry| (name(to), entry)));
        reply
    }

    fn transfer(&mut self, key: u8, database: usize) -> String {
        if self.selected == database {
            return "-ERR source and destination objects are the same".to_owned();
        }
        let moved = self.live(key).cloned().filter(|_| self.live_in(database, key).is_none());
        let reply = format!(":{}", i64::from(moved.is_some()));
        if let Some(entry) = moved {
            self.entries().remove(&name(key));
            self.databases[database].insert(name(key), entry);
        }
        reply
    }

    fn live(&mut self, key: u8) -> Option<&mut Entry> {
        let now_ms = self.now_ms;
        self.entries().get_mut(&name(key)).filter(|entry| entry.is_alive(now_ms))
    }

    fn set(&mut self, key: u8, value: &str, deadline: &SetDeadline, condition: &str, get: bool) -> String {
        let old = self.live(key).cloned();
        let wanted = match condition {
            " NX" => old.is_none(),
            " XX" => old.is_some(),
            _ => true,
        };
        if wanted {
            let expires_at_ms = match deadline {
                SetDeadline::None => None,
                SetDeadline::Keep => old.as_ref().and_then(|entry| entry.expires_at_ms),
                SetDeadline::Px(ms) => Some(self.now_ms + ms),
                SetDeadline::Pxat(at_ms) => Some(*at_ms),
            };
            self.entries().insert(name(key), Entry { value: value.to_owned(), expires_at_ms });
        }
        match (get, wanted) {
            (true, _) => bulk(old.map(|entry| entry.value).as_deref()),
            (false, true) => "+OK".to_owned(),
            (false, false) => "nil".to_owned(),
        }
    }

    fn add(&mut self, key: u8, amount: i64) -> String {
        let (old, expires_at_ms) = match self.live(key) {
            None => (0, None),
            Some(entry) => match entry.value.parse::<i64>() {
                Ok(number) if number.to_string() == entry.value => (number, entry.expires_at_ms),
                _ => return "-ERR value is not an integer or out of range".to_owned(),
            },
        };
        let Some(new) = old.checked_add(amount) else {
            return "-ERR increment or decrement would overflow".to_owned();
        };
        self.entries().insert(name(key), Entry { value: new.to_string(), expires_at_ms });
        format!(":{new}")
    }

    fn expire(&mut self, key: u8, ms: i64, condition: &str) -> String {
        let now_ms = self.now_ms;
        let Some(entry) = self.live(key) else { return ":0".to_owned() };
        let (old, new) = (entry.expires_at_ms.unwrap_or(u64::MAX), now_ms.checked_add_signed(ms).expect("small"));
        let allowed = match condition {
            " NX" => old == u64::MAX,
            " XX" => old != u64::MAX,
            " GT" => new > old,
            " LT" => new < old,
            _ => true,
        };
        if allowed {
            entry.expires_at_ms = Some(new);
        }
        format!(":{}", i64::from(allowed))
    }

    /// The reply to a step that takes or replaces a whole value.
    fn exchange(&mut self, step: &Step) -> String {
        match step {
            Step::Setnx { key, value } => {
                let is_new = self.live(*key).is_none();
                self.set(*key, value, &SetDeadline::None, " NX", false);
                format!(":{}", i64::from(is_new))
            }
            Step::Getset { key, value } => self.set(*key, value, &SetDeadline::None, "", true),
            Step::Getdel { key } => {
                let old = self.live(*key).map(|entry| entry.value.clone());
                self.entries().remove(&name(*key));
                bulk(old.as_deref())
            }
            Step::Getex { key, deadline } => {
                let now_ms = self.now_ms;
                let Some(entry) = self.live(*key) else { return bulk(None) };
                match *deadline {
                    "" => {}
                    " PERSIST" => entry.expires_at_ms = None,
                    _ => entry.expires_at_ms = Some(now_ms + 700),
                }
                bulk(Some(&entry.value))
            }
            other => panic!("{other:?} is answered elsewhere"),
        }
    }

    /// The reply to a step that reads or writes a part of a value.
    fn part(&mut self, step: &Step) -> String {
        match step {
            Step::Setrange { key, at, value } => {
                let (old, expires_at_ms) =
                    self.live(*key).map_or((String::new(), None), |entry| (entry.value.clone(), entry.expires_at_ms));
                if value.is_empty() {
                    return format!(":{}", old.len());
                }
                let mut bytes = old.into_bytes();
                bytes.resize(bytes.len().max(at + value.len()), 0);
                bytes[*at..at + value.len()].copy_from_slice(value.as_bytes());
                let value = String::from_utf8(bytes).expect("all is ASCII");
                let reply = format!(":{}", value.len());
                self.entries().insert(name(*key), Entry { value, expires_at_ms });
                reply
            }
            Step::Getrange { key, start, end } => {
                let value = self.live(*key).map_or("", |entry| entry.value.as_str());
                let end = value.len().min(end + 1);
                bulk(Some(if *start < end { &value[*start..end] } else { "" }))
            }
            other => panic!("{other:?} is answered elsewhere"),
        }
    }

    /// The reply to a step.
    fn run(&mut self, step: &Step) -> String {
        match step {
            Step::Wait { .. } | Step::Upkeep => String::new(),
            Step::Get { key } => bulk(self.live(*key).map(|entry| entry.value.as_str())),
            Step::Set { key, value, deadline, condition, get } => self.set(*key, value, deadline, condition, *get),
            Step::Append { key, value } => match self.live(*key) {
                Some(entry) => {
                    entry.value.push_str(value);
                    format!(":{}", entry.value.len())
                }
                None => {
                    self.set(*key, value, &SetDeadline::None, "", false);
                    format!(":{}", value.len())
                }
            },
            Step::Add { key, amount } => self.add(*key, *amount),
            Step::Del { keys } => {
                let removed = keys
                    .iter()
                    .filter(|key| self.live(**key).is_some() && self.entries().remove(&name(**key)).is_some());
                format!(":{}", removed.count())
            }
            Step::Exists { keys } => format!(":{}", keys.iter().filter(|key| self.live(**key).is_some()).count()),
            Step::Mset { pairs } => {
                for (key, value) in pairs {
                    self.set(*key, value, &SetDeadline::None, "", false);
                }
                "+OK".to_owned()
            }
            Step::Mget { keys } => {
                let values: Vec<String> =
                    keys.iter().map(|key| bulk(self.live(*key).map(|entry| entry.value.as_str()))).collect();
                format!("[{}]", values.join(" "))
            }
            Step::Expire { key, ms, condition } => self.expire(*key, *ms, condition),
            Step::Persist { key } => {
                let persisted = self.live(*key).is_some_and(|entry| entry.expires_at_ms.take().is_some());
                format!(":{}", i64::from(persisted))
            }
            Step::Pttl { key } => {
                let now_ms = self.now_ms;
                match self.live(*key).map(|entry| entry.expires_at_ms) {
                    None => ":-2".to_owned(),
                    Some(None) => ":-1".to_owned(),
                    Some(Some(at_ms)) => format!(":{}", at_ms - now_ms),
                }
            }
            Step::Strlen { key } => format!(":{}", self.live(*key).map_or(0, |entry| entry.value.len())),
            Step::Setnx { .. } | Step::Getset { .. } | Step::Getdel { .. } | Step::Getex { .. } => self.exchange(step),
            Step::Setrange { .. } | Step::Getrange { .. } => self.part(step),
            Step::Select { database } => {
                self.selected = *database;
                "+OK".to_owned()
            }
            Step::Rename { from, to, only_new } => self.rename(*from, *to, *only_new),
            Step::Copy { from, to, database, replace } => self.copy(*from, *to, *database, *replace),
            Step::Move { key, database } => self.transfer(*key, *database),
            Step::Swap { databases: [a, b] } => {
                self.databases.swap(*a, *b);
                "+OK".to_owned()
            }
            // Any of them.
            Step::Random | Step::Keys => self.alive().map(|key| format!("'{key}'")).collect::<Vec<_>>().join(" "),
            Step::Flush => {
                self.entries().clear();
                "+OK".to_owned()
            }
        }
    }
}

fn name(key: u8) -> String {
    // Short and long ones, some in the same slot.
    match key % 3 {
        0 => format!("k{key}"),
        1 => format!("{{tag}}{key}"),
        _ => format!("{}:{key}", "long".repeat(70)),
    }
}

fn bulk(value: Option<&str>) -> String {
    value.map_or("nil".to_owned(), |value| format!("'{value}'"))
}

/// The command line of a step that is a command.
fn line(step: &Step) -> String {
    let names = |keys: &[u8]| keys.iter().map(|key| name(*key)).collect::<Vec<_>>().join(" ");
    match step {
        Step::Wait { .. } | Step::Upkeep => String::new(),
        Step::Get { key } => format!("GET {}", name(*key)),
        Step::Set { key, value, deadline, condition, get } => {
            let deadline = match deadline {
                SetDeadline::None => String::new(),
                SetDeadline::Keep => " KEEPTTL".to_owned(),
                SetDeadline::Px(ms) => format!(" PX {ms}"),
                SetDeadline::Pxat(at_ms) => format!(" pxat {at_ms}"),
            };
            format!("SET {} '{value}'{condition}{deadline}{}", name(*key), if *get { " GET" } else { "" })
        }
        Step::Append { key, value } => format!("APPEND {} '{value}'", name(*key)),
        Step::Add { key, amount: 1 } => format!("INCR {}", name(*key)),
        Step::Add { key, amount: -1 } => format!("DECR {}", name(*key)),
        Step::Add { key, amount } => format!("INCRBY {} {amount}", name(*key)),
        Step::Del { keys } => format!("DEL {}", names(keys)),
        Step::Exists { keys } => format!("EXISTS {}", names(keys)),
        Step::Mset { pairs } => {
            let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{} '{value}'", name(*key))).collect();
            format!("MSET {}", pairs.join(" "))
        }
        Step::Mget { keys } => format!("MGET {}", names(keys)),
        Step::Expire { key, ms, condition } => format!("PEXPIRE {} {ms}{condition}", name(*key)),
        Step::Persist { key } => format!("PERSIST {}", name(*key)),
        Step::Pttl { key } => format!("PTTL {}", name(*key)),
        Step::Strlen { key } => format!("STRLEN {}", name(*key)),
        Step::Setnx { key, value } => format!("SETNX {} '{value}'", name(*key)),
        Step::Getset { key, value } => format!("GETSET {} '{value}'", name(*key)),
        Step::Getdel { key } => format!("GETDEL {}", name(*key)),
        Step::Getex { key, deadline } => format!("GETEX {}{deadline}", name(*key)),
        Step::Setrange { key, at, value } => format!("SETRANGE {} {at} '{value}'", name(*key)),
        Step::Getrange { key, start, end } => format!("GETRANGE {} {start} {end}", name(*key)),
        Step::Select { database } => format!("SELECT {database}"),
        Step::Rename { from, to, only_new } => {
            format!("RENAME{} {} {}", if *only_new { "NX" } else { "" }, name(*from), name(*to))
        }
        Step::Copy { from, to, database, replace } => {
            let replace = if *replace { " REPLACE" } else { "" };
            format!("COPY {} {} DB {database}{replace}", name(*from), name(*to))
        }
        Step::Move { key, database } => format!("MOVE {} {database}", name(*key)),
        Step::Swap { databases: [a, b] } => format!("SWAPDB {a} {b}"),
        Step::Random => "RANDOMKEY".to_owned(),
        Step::Keys => "KEYS *".to_owned(),
        Step::Flush => "FLUSHDB".to_owned(),
    }
}

/// Replies that list keys have no order.
fn comparable(step: &Step, reply: String) -> String {
    if !matches!(step, Step::Keys) {
        return reply;
    }
    let mut keys: Vec<&str> = reply.trim_matches(['[', ']']).split(' ').collect();
    keys.sort_unstable();
    keys.join(" ")
}

/// Upkeep may remove an item this much later than its deadline. Nobody sees it meanwhile, but DBSIZE counts it.
const WHEEL_PRECISION_MS: u64 = 16;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies_are_the_models(steps in prop::collection::vec(step(), 1..120)) {
        let mut rig = Rig::new();
        let mut model = Model { now_ms: START_MS, ..Model::default() };
        for step in &steps {
            match step {
                Step::Wait { ms } => {
                    model.now_ms += ms;
                    rig.advance_ms(*ms);
                }
                Step::Upkeep => rig.maintain(),
                Step::Random => {
                    let (any, found) = (model.run(step), rig.run("RANDOMKEY"));
                    let is_any = any.split(' ').any(|key| key == found);
                    prop_assert!(is_any || any.is_empty() && found == "nil", "{} of {}", found, any);
                }
                command => {
                    let expected = comparable(step, model.run(command));
                    prop_assert_eq!(comparable(step, rig.run(&line(command))), expected, "{}", line(command));
                }
            }
        }
        // After upkeep the model's keys are left, and at most those that expired within the wheel's last ticks.
        rig.maintain();
        for (database, entries) in model.databases.iter().enumerate() {
            rig.run(&format!("SELECT {database}"));
            let left: usize = rig.run("DBSIZE")[1..].parse().expect("a number");
            let alive = |after_ms: u64| entries.values().filter(|entry| entry.is_alive(after_ms)).count();
            let (least, most) = (alive(model.now_ms), alive(model.now_ms - WHEEL_PRECISION_MS));
            prop_assert!((least..=most).contains(&left), "{} of {} to {}", left, least, most);
        }
    }
}
