//! Memcached's text protocol from the client's side: requests, what each may be answered with, and a model of own keys.
//!
//! Invariants
//! - A key of the connection's own holds exactly what was stored, or is missing; shared values name their key.
//! - Every verb in `VERBS` is sent by every run that is long enough.
//!
//! Absent on purpose: a `cache_memlimit` that would be taken. `shutdown` is sent, since no server here allows it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::draw::{Draw, is_value_of};
use super::ledger::Ledger;
use super::talk::Talk;
use super::wire::shown;
use crate::clock::Nanos;

/// What the protocol has.
pub const VERBS: &[&str] = &[
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "flush_all",
    "stats",
    "version",
    "verbosity",
    "cache_memlimit",
    "quit",
];

const STATS: &[&str] = &["", " settings", " items", " slabs", " sizes", " conns", " reset"];
const LINE_BYTES_MAX: usize = 2048;
/// Longest value here: an item of more than a MiB is refused.
const VALUE_BYTES_MAX: usize = 900_000;
const KEYS_MAX: u64 = 30;
/// Refusals for want of memory, which any storing request may get.
const NO_ROOM: &str = "SERVER_ERROR out of memory";

/// An item that an own key may hold, besides nothing.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    value: Vec<u8>,
    flags: u32,
}

struct Request {
    verb: &'static str,
    line: String,
    keys: Vec<String>,
    value: Vec<u8>,
    flags: u32,
    meaning: Meaning,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// One of these lines, `*` for more behind them.
    Lines(&'static [&'static str]),
    /// Values, then END.
    Values { with_cas: bool },
    /// STAT lines, then END; or a line such as RESET.
    Stats,
    /// The number or a refusal, of an own key.
    Number,
    /// What `cas` says.
    Exchange,
    /// A storage command, a removal or a touch of one key.
    Change,
    /// The server closes without a word.
    Quit,
}

/// One connection's side of memcached's text protocol.
pub struct Text {
    draw: Draw,
    ledger: Rc<RefCell<Ledger>>,
    pending: VecDeque<Request>,
    /// What own keys hold if they hold anything; `None` if that is not known.
    own: HashMap<String, Option<Item>>,
    /// The number that `gets` gave last, with its key.
    cas: Option<(String, u64)>,
    sweep: usize,
    is_over: bool,
}

/// A reply read from the front of the input.
struct Reply<'a> {
    /// The lines but for values, without their ends.
    lines: Vec<&'a [u8]>,
    values: Vec<Found<'a>>,
    bytes: usize,
}

struct Found<'a> {
    key: &'a str,
    flags: u32,
    cas: Option<u64>,
    value: &'a [u8],
}

impl Text {
    /// Connection `serial` of a run with `seed`.
    pub fn new(seed: u64, serial: u64, ledger: Rc<RefCell<Ledger>>) -> Text {
        let draw = Draw::new(seed, serial);
        let sweep = serial as usize;
        let (pending, own) = (VecDeque::new(), HashMap::new());
        Text { draw, ledger, pending, own, cas: None, sweep, is_over: false }
    }

    fn own_key(&mut self) -> String {
        String::from_utf8(self.draw.own_key()).expect("keys are text")
    }

    fn shared_key(&mut self) -> String {
        String::from_utf8(self.draw.value_key()).expect("keys are text")
    }

    fn say(&mut self, out: &mut Vec<u8>, verb: &'static str, line: String, meaning: Meaning) {
        self.send(out, Request { verb, line, keys: vec![], value: vec![], flags: 0, meaning });
    }

    fn send(&mut self, out: &mut Vec<u8>, request: Request) {
        out.extend_from_slice(request.line.as_bytes());
        out.extend_from_slice(b"\r\n");
        if is_storage(request.verb) {
            out.extend_from_slice(&request.value);
            out.extend_from_slice(b"\r\n");
        }
        if request.line.ends_with(" noreply") {
            self.ledger.borrow_mut().count_verb(request.verb, None);
        } else {
            self.pending.push_back(request);
        }
    }

    fn retrieve(&mut self, out: &mut Vec<u8>, verb: &'static str) {
        let count = 1 + self.draw.below(KEYS_MAX);
        let keys: Vec<String> =
            (0..count).map(|at| if at % 2 == 0 { self.own_key() } else { self.shared_key() }).collect();
        let exptime = if verb.starts_with("gat") { format!(" {}", self.draw.below(100) + 1) } else { String::new() };
        let line = format!("{verb}{exptime} {}", keys.join(" "));
        let meaning = Meaning::Values { with_cas: verb.ends_with('s') };
        self.send(out, Request { verb, line, keys, value: vec![], flags: 0, meaning });
    }

    fn store(&mut self, out: &mut Vec<u8>, verb: &'static str) {
        let is_own = verb == "append" || verb == "prepend" || self.draw.one_in(2);
        let key = if is_own { self.own_key() } else { self.shared_key() };
        let mut value = if is_own { self.draw.blob() } else { self.draw.value_of(key.as_bytes()) };
        if value.len() > VALUE_BYTES_MAX && is_own {
            value.truncate(VALUE_BYTES_MAX);
        }
        let (flags, exptime) = (self.draw.below(1000) as u32, self.draw.choose(&[0, 0, 1, 2, 60, 100_000]));
        let silence = if !is_own && self.draw.one_in(4) { " noreply" } else { "" };
        let line = format!("{verb} {key} {flags} {exptime} {}{silence}", value.len());
        self.send(out, Request { verb, line, keys: vec![key], value, flags, meaning: Meaning::Change });
    }

    fn exchange(&mut self, out: &mut Vec<u8>) {
        let Some((key, cas)) = self.cas.take() else {
            let key = self.own_key();
            let meaning = Meaning::Values { with_cas: true };
            let request = Request {
                verb: "gets",
                line: format!("gets {key}"),
                keys: vec![key],
                value: vec![],
                flags: 0,
                meaning,
            };
            return self.send(out, request);
        };
        let (flags, value) = (self.draw.below(9) as u32, self.draw.choose(&["", "1", "new value"]));
        let line = format!("cas {key} {flags} 0 {} {cas}", value.len());
        let value = value.as_bytes().to_vec();
        self.send(out, Request { verb: "cas", line, keys: vec![key], value, flags, meaning: Meaning::Exchange });
    }

    fn change(&mut self, out: &mut Vec<u8>, verb: &'static str) {
        let key = if verb == "delete" && self.draw.one_in(4) { self.shared_key() } else { self.own_key() };
        let number = self.draw.below(1000);
        let (line, meaning) = match verb {
            "delete" => (format!("delete {key}"), Meaning::Change),
            "touch" => (format!("touch {key} {}", number + 1), Meaning::Change),
            _ => (format!("{verb} {key} {number}"), Meaning::Number),
        };
        let request =
            Request { verb, line, keys: vec![key], value: number.to_string().into_bytes(), flags: 0, meaning };
        self.send(out, request);
    }

    fn server(&mut self, out: &mut Vec<u8>, verb: &'static str) {
        let ok = Meaning::Lines(&["OK"]);
        match verb {
            "version" => self.say(out, verb, "version".into(), Meaning::Lines(&["VERSION *"])),
            "verbosity" => self.say(out, verb, "verbosity 1".into(), ok),
            // Too little: it is refused, and the limit stays.
            "cache_memlimit" => {
                self.say(out, verb, "cache_memlimit 1".into(), Meaning::Lines(&["MEMLIMIT_TOO_SMALL *"]))
            }
            "flush_all" => {
                let delay = self.draw.choose(&["", " 0", " 1", " 5"]);
                self.say(out, verb, format!("flush_all{delay}"), ok);
            }
            _ => {
                let report = self.draw.choose(STATS);
                self.say(out, "stats", format!("stats{report}"), Meaning::Stats);
            }
        }
    }

    fn faulty(&mut self, out: &mut Vec<u8>) {
        let (line, answers): (&str, &'static [&'static str]) = self.draw.choose(&[
            ("nosuch command", &["ERROR"] as &[&str]),
            ("get", &["CLIENT_ERROR *"]),
            ("set a", &["CLIENT_ERROR *"]),
            ("incr x:none:1 abc", &["CLIENT_ERROR *"]),
            ("touch x:none:1 abc", &["CLIENT_ERROR *"]),
            ("verbosity abc", &["CLIENT_ERROR *"]),
            ("delete x:none:1 77", &["NOT_FOUND"]),
            ("shutdown", &["SERVER_ERROR*"]),
        ]);
        self.say(out, "(fault)", line.to_owned(), Meaning::Lines(answers));
    }
}

impl Talk for Text {
    fn pending_count(&self) -> usize {
        self.pending.len()
    }

    fn waiting(&self) -> String {
        let first = self.pending.front().map_or("nothing", |request| &request.line);
        format!(
            "memcached, connection {}: {} requests wait; the first: {}",
            self.draw.serial,
            self.pending.len(),
            first
        )
    }

    fn may_be_closed(&self) -> bool {
        self.is_over
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn greet(&mut self, out: &mut Vec<u8>, _: Nanos) {
        self.server(out, "version");
    }

    fn ask(&mut self, out: &mut Vec<u8>, _: Nanos) {
        self.sweep += 1;
        // Each verb has its turn early in the run, then they come as they weigh.
        let drawn = self.draw.below(1000);
        match VERBS[self.sweep % VERBS.len()] {
            _ if drawn < 20 => self.faulty(out),
            verb if is_storage(verb) && verb != "cas" => self.store(out, verb),
            "cas" => self.exchange(out),
            verb @ ("delete" | "incr" | "decr" | "touch") => self.change(out, verb),
            verb @ ("get" | "gets" | "gat" | "gats") => self.retrieve(out, verb),
            // Emptying everything as often as the rest would leave nothing to evict.
            "flush_all" if drawn < 990 && self.sweep > VERBS.len() * 4 => self.retrieve(out, "get"),
            "quit" => self.store(out, "set"),
            verb => self.server(out, verb),
        }
    }

    fn quit(&mut self, out: &mut Vec<u8>, _: Nanos) {
        self.say(out, "quit", "quit".into(), Meaning::Quit);
    }

    fn say_garbage(&mut self, out: &mut Vec<u8>, now: Nanos) {
        self.faulty(out);
        self.quit(out, now);
    }

    fn may_wait(&self, now: Nanos) -> bool {
        self.ledger.borrow().was_paused(now)
    }

    fn watch_all(&mut self, _: &mut Vec<u8>, _: Nanos) {}

    fn meet(&mut self) {}

    fn leave(&mut self) {}

    fn take(&mut self, input: &[u8], _: Nanos) -> Result<Option<usize>, String> {
        let Some(request) = self.pending.front() else {
            return if input.is_empty() { Ok(None) } else { Err(format!("a reply to nothing: {}", shown(input))) };
        };
        let is_list = matches!(request.meaning, Meaning::Values { .. } | Meaning::Stats);
        let text = |why: String| {
            format!("memcached: {why}\n  asked    {}\n  answered {}", shown(request.line.as_bytes()), shown(input))
        };
        let Some(reply) = read(input, is_list).map_err(|why| text(why.to_owned()))? else { return Ok(None) };
        let request = self.pending.pop_front().expect("it was at the front");
        let judged = self.judge(&request, &reply);
        let word = reply.lines.last().map_or("", |line| std::str::from_utf8(line).unwrap_or("?"));
        let code = word.split(' ').next().filter(|code| code.ends_with("ERROR"));
        self.ledger.borrow_mut().count_verb(request.verb, code);
        let text = |why: String| {
            let (asked, answered) = (shown(request.line.as_bytes()), shown(&input[..reply.bytes]));
            format!("memcached: {why}\n  asked    {asked}\n  answered {answered}")
        };
        judged.map(|()| Some(reply.bytes)).map_err(text)
    }

    fn closed(&mut self) {
        if matches!(self.pending.front(), Some(request) if request.meaning == Meaning::Quit) {
            self.pending.pop_front();
            self.ledger.borrow_mut().count_verb("quit", None);
            self.is_over = true;
        }
    }
}

/// Replies.
impl Text {
    fn judge(&mut self, request: &Request, reply: &Reply<'_>) -> Result<(), String> {
        let line = reply.lines.last().map_or("", |line| std::str::from_utf8(line).unwrap_or("?"));
        match request.meaning {
            Meaning::Lines(allowed) => expect(line, allowed),
            Meaning::Stats => expect(line, &["END", "RESET"]),
            Meaning::Values { .. } if line.starts_with("SERVER_ERROR out of memory") => Ok(()),
            Meaning::Values { with_cas } => {
                expect(line, &["END"])?;
                self.values(request, reply, with_cas)
            }
            Meaning::Quit => Err("QUIT has no reply".into()),
            Meaning::Number => self.number(request, line),
            Meaning::Change | Meaning::Exchange => self.changed(request, line),
        }
    }

    /// The values are those of the keys asked, in their order; a key that is left out is missing.
    fn values(&mut self, request: &Request, reply: &Reply<'_>, with_cas: bool) -> Result<(), String> {
        let mut found = reply.values.iter().peekable();
        for key in &request.keys {
            let Some(value) = found.next_if(|value| value.key == key) else {
                self.own.remove(key).into_iter().for_each(drop);
                continue;
            };
            if value.cas.is_some() != with_cas {
                return Err("a CAS number where none belongs, or none where one does".into());
            }
            if !key.starts_with("x:") {
                // INCR and the like of other clients never touch these.
                if !is_value_of(key.as_bytes(), value.value) {
                    return Err(format!("that is no value of {key}"));
                }
                self.ledger.borrow_mut().values_verified += 1;
                continue;
            }
            match self.own.get(key) {
                Some(Some(item)) if item.value == value.value && item.flags == value.flags => {}
                Some(None) => {}
                Some(Some(item)) => return Err(format!("{key} held flags {}, {}", item.flags, shown(&item.value))),
                None => return Err(format!("{key} was missing")),
            }
            self.ledger.borrow_mut().values_verified += 1;
            self.cas = value.cas.map(|cas| (key.clone(), cas)).or(self.cas.take());
        }
        match found.next() {
            None => Ok(()),
            Some(value) => Err(format!("{} was not asked for, or out of order", value.key)),
        }
    }

    fn number(&mut self, request: &Request, line: &str) -> Result<(), String> {
        let key = &request.keys[0];
        let delta: u64 = std::str::from_utf8(&request.value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let Some(known) = self.own.get_mut(key) else { return expect(line, &["NOT_FOUND"]) };
        if line == "NOT_FOUND" {
            self.own.remove(key);
            return Ok(());
        }
        let Some(item) = known else { return Ok(()) };
        let text = std::str::from_utf8(&item.value).unwrap_or("x").trim_end_matches(' ');
        let is_number = !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        let old = text.parse::<u64>().ok().filter(|_| is_number);
        let Some(old) = old else {
            *known = None;
            return expect(line, &["CLIENT_ERROR cannot increment or decrement non-numeric value", "*"]);
        };
        let new = if request.verb == "incr" { old.wrapping_add(delta) } else { old.saturating_sub(delta) };
        if line.starts_with(NO_ROOM) {
            return Ok(());
        }
        let mut value = new.to_string().into_bytes();
        value.resize(value.len().max(item.value.len()), b' ');
        item.value = value;
        if line == new.to_string() { Ok(()) } else { Err(format!("expected {new}")) }
    }

    fn changed(&mut self, request: &Request, line: &str) -> Result<(), String> {
        let key = &request.keys[0];
        let allowed: &[&str] = match request.verb {
            "set" => &["STORED"],
            "cas" => &["STORED", "EXISTS", "NOT_FOUND"],
            "delete" => &["DELETED", "NOT_FOUND"],
            // A deadline takes eight bytes.
            "touch" => &["TOUCHED", "NOT_FOUND", "SERVER_ERROR out of memory*"],
            _ => &["STORED", "NOT_STORED"],
        };
        if is_storage(request.verb) && line.starts_with("SERVER_ERROR") {
            // A `set` that is refused removes what was there.
            if request.verb == "set" {
                self.own.remove(key);
            }
            return expect(line, &["SERVER_ERROR out of memory*", "SERVER_ERROR object too large for cache"]);
        }
        expect(line, allowed)?;
        if !key.starts_with("x:") {
            return Ok(());
        }
        let may_exist = self.own.contains_key(key);
        let needs_item = matches!(line, "DELETED" | "TOUCHED" | "EXISTS")
            || line == "STORED" && matches!(request.verb, "replace" | "append" | "prepend" | "cas")
            || line == "NOT_STORED" && request.verb == "add";
        if needs_item && !may_exist {
            return Err(format!("{key} was missing"));
        }
        self.follow(request, line);
        Ok(())
    }

    /// What the key holds now.
    fn follow(&mut self, request: &Request, line: &str) {
        let key = request.keys[0].clone();
        let new = Item { value: request.value.clone(), flags: request.flags };
        match (request.verb, line) {
            (_, "NOT_FOUND" | "DELETED") => drop(self.own.remove(&key)),
            ("append" | "prepend", "STORED") => {
                if let Some(Some(item)) = self.own.get_mut(&key) {
                    let (head, tail) =
                        if request.verb == "append" { (&item.value, &new.value) } else { (&new.value, &item.value) };
                    item.value = [head.as_slice(), tail].concat();
                }
            }
            (_, "STORED") => drop(self.own.insert(key, Some(new))),
            // Too large together, or missing: it may be either.
            ("append" | "prepend", _) => {}
            ("replace", "NOT_STORED") => drop(self.own.remove(&key)),
            _ => {}
        }
    }
}

fn is_storage(verb: &str) -> bool {
    matches!(verb, "set" | "add" | "replace" | "append" | "prepend" | "cas")
}

fn expect(line: &str, allowed: &[&str]) -> Result<(), String> {
    let is_one = |allowed: &&str| match allowed.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => line == *allowed,
    };
    if allowed.iter().any(is_one) { Ok(()) } else { Err(format!("expected {}", allowed.join(" or "))) }
}

/// Reads a reply: one line, or values and STAT lines up to one that is neither.
fn read(input: &[u8], is_list: bool) -> Result<Option<Reply<'_>>, &'static str> {
    let mut reply = Reply { lines: Vec::new(), values: Vec::new(), bytes: 0 };
    loop {
        let rest = &input[reply.bytes..];
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return if rest.len() > LINE_BYTES_MAX { Err("a line without end") } else { Ok(None) };
        };
        let line = &rest[..end];
        if !is_list || !(line.starts_with(b"VALUE ") || line.starts_with(b"STAT ")) {
            reply.lines.push(line);
            reply.bytes += end + 2;
            return Ok(Some(reply));
        }
        reply.bytes += end + 2;
        if line.starts_with(b"VALUE ") {
            let Some((mut found, length)) = header(line) else { return Err("a VALUE line in odd spelling") };
            let rest = &input[reply.bytes..];
            if rest.len() < length + 2 {
                return Ok(None);
            }
            if &rest[length..length + 2] != b"\r\n" {
                return Err("a value without its end");
            }
            found.value = &rest[..length];
            reply.bytes += length + 2;
            reply.values.push(found);
        }
    }
}

/// `VALUE key flags bytes [cas]`
fn header(line: &[u8]) -> Option<(Found<'_>, usize)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(1);
    let (key, flags, length) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let cas = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some((Found { key, flags, cas, value: &[] }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears `replies` to `exchanges` in turn; the last outcome.
    fn hear(exchanges: &[(&'static str, &str, Meaning, &str)]) -> Result<(), String> {
        let mut text = Text::new(1, 1, Rc::default());
        let mut last = Ok(());
        for (line, value, meaning, reply) in exchanges {
            last.clone().expect("only the last exchange is wrong");
            let verb = line.split(' ').next().expect("a verb");
            let keys = line.split(' ').skip(1).filter(|word| word.contains(':')).map(str::to_owned).collect();
            let request = Request {
                verb,
                line: (*line).to_owned(),
                keys,
                value: value.as_bytes().to_vec(),
                flags: 0,
                meaning: *meaning,
            };
            text.pending.push_back(request);
            last = text.take(reply.as_bytes(), 0).map(|taken| assert_eq!(taken, Some(reply.len()), "{reply:?}"));
        }
        last
    }

    const VALUES: Meaning = Meaning::Values { with_cas: false };
    const STORED: (&str, &str, Meaning, &str) = ("set x:1 0 0 1", "5", Meaning::Change, "STORED\r\n");

    #[test]
    fn an_own_value_is_the_stored_one_or_missing() {
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "VALUE x:1 0 1\r\n5\r\nEND\r\n")]).is_ok());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "END\r\n")]).is_ok());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "VALUE x:1 0 1\r\n6\r\nEND\r\n")]).is_err());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "VALUE x:1 7 1\r\n5\r\nEND\r\n")]).is_err());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "VALUE x:2 0 1\r\n5\r\nEND\r\n")]).is_err());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "VALUE x:1 0 1 9\r\n5\r\nEND\r\n")]).is_err());
        assert!(hear(&[("get x:1", "", VALUES, "VALUE x:1 0 1\r\n5\r\nEND\r\n")]).is_err());
    }

    #[test]
    fn arithmetic_and_removal_follow_the_value() {
        assert!(hear(&[STORED, ("incr x:1 2", "2", Meaning::Number, "7\r\n")]).is_ok());
        assert!(hear(&[STORED, ("incr x:1 2", "2", Meaning::Number, "8\r\n")]).is_err());
        let deleted = ("delete x:1", "", Meaning::Change, "DELETED\r\n");
        assert!(hear(&[STORED, deleted, ("get x:1", "", VALUES, "VALUE x:1 0 1\r\n5\r\nEND\r\n")]).is_err());
        assert!(hear(&[STORED, deleted, ("touch x:1 5", "", Meaning::Change, "TOUCHED\r\n")]).is_err());
        assert!(hear(&[STORED, ("get x:1", "", VALUES, "STORED\r\n")]).is_err());
    }
}
