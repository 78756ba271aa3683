//! Conversation: one RESP connection's requests and what it knows about the replies to come.
//!
//! Invariants
//! - Replies meet requests in order; each is judged by its request, the state of the transaction and the model.
//! - After a refusal that leaves the connection's state in doubt (a SELECT that met -OOM) the conversation ends.
//!
//! Absent on purpose: sockets. `session.rs` moves the bytes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::draw::{DATABASES, Draw, OWN_DATABASES};
use super::judge::{code, judge, refused};
use super::ledger::{Ledger, Step};
use super::model::{Model, Times};
use super::roster::Roster;
use super::talk::Talk;
use super::templates::Template;
use super::wire::{Parsed, Value, Version, parse, shown};
use crate::clock::Nanos;

const ANSWERED_KEPT: usize = 4;
const QUEUED_MAX: u64 = 20;
const SILENT_MAX: u64 = 20;
const INLINE_BYTES_MAX: usize = 4096;
/// EXEC's answer when memory is full and what was queued may need some: nothing of it ran.
const EXEC_OUT_OF_MEMORY: &[u8] = b"EXECABORT Transaction discarded because of: OOM ";

/// How transactions end; UNWATCH stands for EXEC behind one.
pub const TRANSACTION_ENDS: &[&str] = &["EXEC", "EXEC", "EXEC", "EXEC", "UNWATCH", "DISCARD", "RESET"];
/// Arguments that no command expects where they come.
const ODD: &[&[u8]] =
    &[b"", b"abc", b"-1", b"9223372036854775807", b"99999999999999999999", b"1.5", b"nan", b"\0\xff\r\n", b"v"];

/// A request and what may answer it.
struct Request {
    name: String,
    args: Vec<Vec<u8>>,
    meaning: Meaning,
    db: u64,
    sent: Nanos,
    /// True between MULTI and EXEC.
    is_queued: bool,
    /// True if it gets no reply.
    is_silent: bool,
}

impl Request {
    /// As a reader sees it.
    fn line(&self) -> String {
        let words: Vec<String> = self.args.iter().map(|word| shown(word)).collect();
        let place = if self.is_queued { ", in a transaction" } else { "" };
        let silence = if self.is_silent { ", without reply" } else { "" };
        shown(format!("db {}{place}{silence}: {}", self.db, words.join(" ")).as_bytes())
    }
}

#[derive(Clone, Copy)]
enum Meaning {
    /// Judged by the template.
    Form(&'static Template),
    /// Judged by the model.
    Own,
    /// An error that is found before anything is queued.
    Fault,
    /// A mutilated request: any reply that is whole, and ERR.
    Any,
    Select,
    Hello(Version),
    Reset,
    Multi,
    Exec,
    Discard,
    Watch,
    Speak,
    Quit,
    Monitor,
    Garbage,
}

/// A transaction under way, as the replies tell it.
struct Transaction {
    requests: Vec<Request>,
    is_dirty: bool,
}

/// One connection's side of RESP.
pub struct Conversation {
    draw: Draw,
    roster: Rc<Roster>,
    ledger: Rc<RefCell<Ledger>>,
    model: Model,
    pending: VecDeque<Request>,
    /// The last requests that were answered, for who reads about a fault.
    answered: VecDeque<Request>,
    version: Version,
    transaction: Option<Transaction>,
    watches: bool,
    is_monitor: bool,
    id: Option<u64>,
    /// True if the server may close: it was asked to, or this end should.
    is_over: bool,
    /// True between MULTI and EXEC of what is being asked.
    is_queueing: bool,
}

impl Conversation {
    /// Connection `serial` of a run with `seed`.
    pub fn new(seed: u64, serial: u64, roster: Rc<Roster>, ledger: Rc<RefCell<Ledger>>) -> Conversation {
        let mut draw = Draw::new(seed, serial);
        draw.maxmemory = roster.maxmemory;
        Conversation {
            draw,
            roster,
            ledger,
            model: Model::default(),
            pending: VecDeque::new(),
            answered: VecDeque::new(),
            version: Version::Two,
            transaction: None,
            watches: false,
            is_monitor: false,
            id: None,
            is_over: false,
            is_queueing: false,
        }
    }
}

impl Talk for Conversation {
    fn pending_count(&self) -> usize {
        self.pending.len()
    }

    fn waiting(&self) -> String {
        let lines = |requests: &VecDeque<Request>| {
            let lines: Vec<String> = requests.iter().take(ANSWERED_KEPT).map(Request::line).collect();
            lines.join("\n           ")
        };
        let (before, waiting, count) = (lines(&self.answered), lines(&self.pending), self.pending.len());
        format!("connection {}, {count} requests wait\n  before   {before}\n  waiting  {waiting}", self.draw.serial)
    }

    fn may_be_closed(&self) -> bool {
        self.is_over || self.id.is_some_and(|id| self.ledger.borrow().killed.contains(&id))
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn greet(&mut self, out: &mut Vec<u8>, now: Nanos) {
        if self.draw.one_in(2) {
            self.hello(out, now);
        }
        self.say(out, now, "CLIENT ID", Meaning::Any);
    }

    fn ask(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let unsent = self.ledger.borrow_mut().unsent.pop();
        let drawn = match self.draw.below(4_000) {
            0 => Step::Rare,
            1 => Step::Kill,
            2..6 => Step::Reset,
            6..14 => Step::Hello,
            14..26 => Step::Silence,
            26..86 => Step::Select,
            86..186 => Step::Transaction(self.draw.choose(TRANSACTION_ENDS)),
            186..286 => Step::Faulty,
            286..600 => Step::Calm,
            600..1900 => Step::Shared,
            _ => Step::Own,
        };
        self.take_step(out, now, unsent.unwrap_or(drawn));
    }

    fn quit(&mut self, out: &mut Vec<u8>, now: Nanos) {
        self.say(out, now, "QUIT", Meaning::Quit);
    }

    fn say_garbage(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let garbage =
            self.draw.choose(&["*1\r\n+4\r\n", "*-x\r\n", "*99999999999\r\n", "*1\r\n$-5\r\n", "*1\r\n$abc\r\n"]);
        out.extend_from_slice(garbage.as_bytes());
        self.push(now, garbage.to_owned(), vec![garbage.as_bytes().to_vec()], Meaning::Garbage);
    }

    fn may_wait(&self, now: Nanos) -> bool {
        self.pending.iter().any(|request| request.name == "wait") || self.ledger.borrow().was_paused(now)
    }

    fn watch_all(&mut self, out: &mut Vec<u8>, now: Nanos) {
        self.say(out, now, "MONITOR", Meaning::Monitor);
    }

    fn meet(&mut self) {
        let ledger = self.ledger.borrow();
        self.draw.ids.clone_from(&ledger.ids);
    }

    fn leave(&mut self) {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(id) = self.id.take() {
            ledger.ids.retain(|other| *other != id);
        }
        // What nobody has seen answered yet is somebody else's to send.
        for request in &self.pending {
            if let Meaning::Form(form) = request.meaning
                && !ledger.commands.contains_key(form.name)
            {
                ledger.unsent.push(Step::Form(form));
            }
        }
    }

    fn take(&mut self, input: &[u8], now: Nanos) -> Result<Option<usize>, String> {
        if input.is_empty() {
            return Ok(None);
        }
        let version = match self.pending.front().map(|request| request.meaning) {
            Some(Meaning::Hello(_) | Meaning::Reset) => Version::Either,
            _ => self.version,
        };
        match parse(input, version) {
            Parsed::Partial => Ok(None),
            Parsed::Broken(why) => Err(self.exchange(self.pending.front(), why, input)),
            Parsed::Whole(Value::Simple([b'0'..=b'9', ..]), consumed) if self.is_monitor => {
                self.ledger.borrow_mut().monitor_lines += 1;
                Ok(Some(consumed))
            }
            Parsed::Whole(value, consumed) => {
                let Some(request) = self.pending.pop_front() else {
                    return Err(self.exchange(None, "a reply to nothing", &input[..consumed]));
                };
                self.note_pause(&request.name, now);
                if !request.is_queued {
                    let code = if let Value::Error(text) = &value { Some(code(text)) } else { None };
                    self.ledger.borrow_mut().count(&request.name, code);
                }
                match self.reply(&request, &value, now) {
                    Ok(()) => {}
                    Err(why) => return Err(self.exchange(Some(&request), &why, &input[..consumed])),
                }
                if request.is_queued {
                    self.queue(request);
                } else {
                    self.keep(request);
                }
                Ok(Some(consumed))
            }
        }
    }
}

/// Requests.
impl Conversation {
    fn take_step(&mut self, out: &mut Vec<u8>, now: Nanos, step: Step) {
        match step {
            Step::Form(form) => self.form(out, now, form),
            Step::Rare => self.rare(out, now),
            Step::Shared => self.shared(out, now),
            Step::Calm => self.calm(out, now),
            Step::Own => self.own(out, now),
            Step::Faulty => self.faulty(out, now),
            Step::Kill => self.kill(out, now),
            Step::Silence => self.silence(out, now),
            Step::Hello => self.hello(out, now),
            Step::Reset => self.reset(out, now),
            Step::Select => self.select(out, now),
            Step::Transaction(end) => self.transact(out, now, end),
        }
    }

    fn form(&mut self, out: &mut Vec<u8>, now: Nanos, form: &'static Template) {
        self.say_as(out, now, form.name, form.text, Meaning::Form(form));
    }

    fn shared(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let roster = Rc::clone(&self.roster);
        let form = self.draw.choose(&roster.shared);
        self.form(out, now, form);
    }

    fn calm(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let roster = Rc::clone(&self.roster);
        let form = self.draw.choose(&roster.calm);
        self.form(out, now, form);
    }

    fn rare(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let roster = Rc::clone(&self.roster);
        let form = self.draw.choose(&roster.rare);
        // Emptying everything as often as the rest would leave nothing to evict.
        let is_flush = form.name == "flushall" || form.name == "flushdb";
        if !is_flush || self.draw.one_in(8) {
            self.form(out, now, form);
        }
    }

    fn own(&mut self, out: &mut Vec<u8>, now: Nanos) {
        if self.draw.db >= OWN_DATABASES {
            return self.shared(out, now);
        }
        let roster = Rc::clone(&self.roster);
        let (name, text) = self.draw.choose(&roster.own);
        self.say_as(out, now, name, text, Meaning::Own);
    }

    fn select(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let db = self.draw.below(DATABASES);
        self.say(out, now, &format!("SELECT {db}"), Meaning::Select);
        self.draw.db = db;
    }

    fn hello(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let (text, version) = self.draw.choose(&[
            ("HELLO 3", Version::Three),
            ("HELLO 2", Version::Two),
            ("HELLO 3 SETNAME soak", Version::Three),
        ]);
        self.say(out, now, text, Meaning::Hello(version));
    }

    fn reset(&mut self, out: &mut Vec<u8>, now: Nanos) {
        self.say(out, now, "RESET", Meaning::Reset);
        self.draw.db = 0;
    }

    fn kill(&mut self, out: &mut Vec<u8>, now: Nanos) {
        if self.draw.ids.is_empty() {
            return;
        }
        let id = self.draw.id();
        self.ledger.borrow_mut().killed.insert(id);
        let victim = self.draw.choose(&["", " SKIPME YES", " SKIPME NO", " TYPE normal"]);
        self.say(out, now, &format!("CLIENT KILL ID {id}{victim}"), Meaning::Any);
    }

    /// Requests that get no reply.
    fn silence(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let before = self.pending.len();
        if self.draw.one_in(2) {
            self.say(out, now, "CLIENT REPLY SKIP", Meaning::Any);
            self.shared(out, now);
            return self.forget_replies(before);
        }
        self.say(out, now, "CLIENT REPLY OFF", Meaning::Any);
        for _ in 0..self.draw.below(SILENT_MAX) {
            self.shared(out, now);
        }
        self.forget_replies(before);
        self.say(out, now, "CLIENT REPLY ON", Meaning::Speak);
    }

    fn forget_replies(&mut self, before: usize) {
        let silent: Vec<Request> = self.pending.drain(before..).collect();
        for request in silent {
            self.ledger.borrow_mut().count(&request.name, None);
            self.keep(Request { is_silent: true, ..request });
        }
    }

    fn transact(&mut self, out: &mut Vec<u8>, now: Nanos, end: &'static str) {
        if end == "UNWATCH" || self.draw.one_in(2) {
            self.say_as(out, now, "watch", "WATCH {$v}", Meaning::Watch);
        }
        if end == "UNWATCH" {
            self.say(out, now, "UNWATCH", Meaning::Watch);
        }
        self.say(out, now, "MULTI", Meaning::Multi);
        self.is_queueing = true;
        for _ in 0..self.draw.below(QUEUED_MAX) {
            match self.draw.below(40) {
                0 => self.faulty(out, now),
                1..5 => self.calm(out, now),
                5..20 => self.shared(out, now),
                _ => self.own(out, now),
            }
        }
        self.is_queueing = false;
        match end {
            "DISCARD" => self.say(out, now, "DISCARD", Meaning::Discard),
            "RESET" => self.reset(out, now),
            _ => self.say(out, now, "EXEC", Meaning::Exec),
        }
    }

    /// Something wrong: an unknown command, a wrong number of arguments, or an argument of the wrong kind.
    fn faulty(&mut self, out: &mut Vec<u8>, now: Nanos) {
        let roster = Rc::clone(&self.roster);
        match self.draw.below(4) {
            0 => self.say(out, now, "NOSUCHCOMMAND a b", Meaning::Fault),
            1 => {
                let words = |name: &str| 1 + name.matches('|').count() as i64;
                let is_wrong = |name: &str, arity: i64| words(name) < arity.abs() || arity > 0 && words(name) > arity;
                let names = roster.arities.iter().filter(|(name, arity)| is_wrong(name, **arity));
                let name = self.draw.choose(&names.map(|(name, _)| name).collect::<Vec<_>>());
                // A container lacks its subcommand like this, a command an argument.
                self.say(out, now, &name.to_uppercase().replace('|', " "), Meaning::Fault);
            }
            _ => {
                let form = self.draw.choose(&roster.shared);
                let mut words = Vec::new();
                // Without the keys whose values are verified.
                self.draw.expand(
                    &form.text.replace("$v", "$m").replace("$malue", "$blob").replace("v:1", "m:1"),
                    &mut words,
                );
                if words.len() > 1 && form.name != "msetex" {
                    let at = 1 + self.draw.below(words.len() as u64 - 1) as usize;
                    words[at] = self.draw.choose(ODD).to_vec();
                }
                self.send(out, now, form.name.to_owned(), words, Meaning::Any);
            }
        }
    }

    fn say(&mut self, out: &mut Vec<u8>, now: Nanos, text: &str, meaning: Meaning) {
        let lower = text.to_lowercase();
        let mut words = lower.split(' ');
        let first = words.next().unwrap_or_default().to_owned();
        let full = format!("{first}|{}", words.next().unwrap_or_default());
        let name = if self.roster.has(&full) { full } else { first };
        let args = text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.send(out, now, name, args, meaning);
    }

    fn say_as(&mut self, out: &mut Vec<u8>, now: Nanos, name: &str, text: &str, meaning: Meaning) {
        let mut words = Vec::new();
        self.draw.expand(text, &mut words);
        self.send(out, now, name.to_owned(), words, meaning);
    }

    fn send(&mut self, out: &mut Vec<u8>, now: Nanos, name: String, args: Vec<Vec<u8>>, meaning: Meaning) {
        let bytes: usize = args.iter().map(Vec::len).sum();
        if bytes < INLINE_BYTES_MAX && self.draw.one_in(30) {
            write_inline(out, &args);
        } else {
            write_array(out, &args);
        }
        self.push(now, name, args, meaning);
    }

    /// Whoever half-closes while a pause holds his request back may be closed without reply.
    fn note_pause(&self, name: &str, now: Nanos) {
        if name == "client|pause" {
            self.ledger.borrow_mut().paused_at = Some(now);
        }
    }

    fn push(&mut self, now: Nanos, name: String, args: Vec<Vec<u8>>, meaning: Meaning) {
        self.note_pause(&name, now);
        let request =
            Request { name, args, meaning, db: self.draw.db, sent: now, is_queued: self.is_queueing, is_silent: false };
        self.pending.push_back(request);
    }
}

/// Replies.
impl Conversation {
    fn exchange(&self, request: Option<&Request>, why: &str, reply: &[u8]) -> String {
        let asked = request.map_or("nothing".to_owned(), Request::line);
        let before: Vec<String> = self.answered.iter().map(Request::line).collect();
        let before = before.join("\n           ");
        let answered = shown(reply);
        format!(
            "connection {}: {why}\n  before   {before}\n  asked    {asked}\n  answered {answered}",
            self.draw.serial
        )
    }

    fn keep(&mut self, request: Request) {
        self.answered.truncate(ANSWERED_KEPT - 1);
        self.answered.push_front(request);
    }

    fn reply(&mut self, request: &Request, value: &Value<'_>, now: Nanos) -> Result<(), String> {
        if request.is_queued {
            return self.queued(request, value);
        }
        match request.meaning {
            Meaning::Form(_) | Meaning::Own | Meaning::Any | Meaning::Fault => self.judge(request, value, now),
            Meaning::Exec => self.executed(value, now),
            Meaning::Garbage => match value {
                Value::Error(text) if text.starts_with(b"ERR Protocol error") => {
                    self.is_over = true;
                    Ok(())
                }
                _ => Err("expected a protocol error".into()),
            },
            _ => self.changed(request, value),
        }
    }

    /// The reply to what changes the connection.
    fn changed(&mut self, request: &Request, value: &Value<'_>) -> Result<(), String> {
        if let Value::Error(text) = value {
            // Refused for want of memory: what follows would be judged by a state that the connection is not in.
            self.is_over = true;
            return refused("", text).map(drop);
        }
        let expected: &[u8] = if matches!(request.meaning, Meaning::Reset) { b"RESET" } else { b"OK" };
        match (request.meaning, value) {
            (Meaning::Hello(version), Value::Array(_) | Value::Map(_)) => self.version = version,
            (Meaning::Hello(_), _) => return Err("expected a map".into()),
            (_, Value::Simple(text)) if *text == expected => {}
            _ => return Err(format!("expected {}", shown(expected))),
        }
        match request.meaning {
            Meaning::Reset => {
                (self.transaction, self.watches, self.is_monitor) = (None, false, false);
                self.version = Version::Two;
            }
            Meaning::Multi => self.transaction = Some(Transaction { requests: Vec::new(), is_dirty: false }),
            Meaning::Discard => (self.transaction, self.watches) = (None, false),
            Meaning::Watch => self.watches = request.name == "watch",
            Meaning::Quit => self.is_over = true,
            Meaning::Monitor => self.is_monitor = true,
            _ => {}
        }
        Ok(())
    }

    /// The reply to a request on its own, or its part of EXEC's.
    fn judge(&mut self, request: &Request, value: &Value<'_>, now: Nanos) -> Result<(), String> {
        let verified = match request.meaning {
            Meaning::Form(form) => judge(&request.args, form.replies, form.codes, value)?,
            Meaning::Own => {
                let times = Times { sent: request.sent, answered: now };
                let outcome = self.model.observe(request.db, &request.name, &request.args, times, value);
                outcome.map_err(|why| format!("{why}\n  trail    {}", self.model.trail(&request.args)))?;
                1
            }
            Meaning::Fault => judge(&request.args, "", "ERR", value)?,
            _ => match value {
                Value::Error(text) => refused("ERR", text)?,
                _ => 0,
            },
        };
        if let (Value::Integer(id), "client|id") = (value, request.name.as_str()) {
            self.introduce(*id as u64);
        }
        self.ledger.borrow_mut().values_verified += verified;
        Ok(())
    }

    fn introduce(&mut self, id: u64) {
        if self.id.is_none() {
            self.id = Some(id);
            self.ledger.borrow_mut().ids.push(id);
        }
    }

    /// What is queued is told so, or refused at once.
    fn queued(&mut self, request: &Request, value: &Value<'_>) -> Result<(), String> {
        let may_be_refused = matches!(request.meaning, Meaning::Fault | Meaning::Any);
        match value {
            Value::Simple(b"QUEUED") if !matches!(request.meaning, Meaning::Fault) => Ok(()),
            Value::Error(text) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.is_dirty = true;
                }
                refused(if may_be_refused { "ERR" } else { "" }, text).map(drop)
            }
            _ => Err("expected QUEUED".into()),
        }
    }

    fn queue(&mut self, request: Request) {
        if let Some(transaction) = &mut self.transaction {
            transaction.requests.push(request);
        }
    }

    fn executed(&mut self, value: &Value<'_>, now: Nanos) -> Result<(), String> {
        let watches = std::mem::take(&mut self.watches);
        let Some(transaction) = self.transaction.take() else { return Err("EXEC without MULTI".into()) };
        match value {
            Value::Error(text) if transaction.is_dirty => refused("EXECABORT", text).map(drop),
            Value::Error(text) if text.starts_with(EXEC_OUT_OF_MEMORY) => Ok(()),
            Value::Error(text) => refused("", text).map(drop),
            _ if transaction.is_dirty => Err("expected EXECABORT: something was refused before".into()),
            Value::Null if watches => Ok(()),
            Value::Array(values) if values.len() == transaction.requests.len() => {
                for (at, (request, value)) in transaction.requests.iter().zip(values).enumerate() {
                    let code = if let Value::Error(text) = value { Some(code(text)) } else { None };
                    self.ledger.borrow_mut().count(&request.name, code);
                    let words: Vec<String> = request.args.iter().map(|word| shown(word)).collect();
                    let place = |why| format!("{why}, to {} at {at}: {value:?}", words.join(" "));
                    self.judge(request, value, now).map_err(|why| shown(place(why).as_bytes()))?;
                }
                Ok(())
            }
            _ => Err(format!("expected {} replies", transaction.requests.len())),
        }
    }
}

fn write_array(out: &mut Vec<u8>, args: &[Vec<u8>]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// As a line, every argument quoted.
fn write_inline(out: &mut Vec<u8>, args: &[Vec<u8>]) {
    for arg in args {
        out.push(b'"');
        for byte in arg {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
        out.extend_from_slice(b"\" ");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A conversation that asked `texts` and hears `replies`.
    fn hear(texts: &[(&str, Meaning, bool)], replies: &str) -> Result<Conversation, String> {
        let roster = Roster { arities: BTreeMap::new(), ..Roster::default() };
        let mut talk = Conversation::new(1, 1, Rc::new(roster), Rc::default());
        let mut out = Vec::new();
        for (text, meaning, is_queued) in texts {
            talk.is_queueing = *is_queued;
            talk.say(&mut out, 0, text, *meaning);
        }
        let mut input = replies.as_bytes();
        while let Some(consumed) = talk.take(input, 1)? {
            input = &input[consumed..];
        }
        Ok(talk)
    }

    const TRANSACTION: &[(&str, Meaning, bool)] = &[
        ("MULTI", Meaning::Multi, false),
        ("SET x:1:1 a", Meaning::Own, true),
        ("GET x:1:1", Meaning::Own, true),
        ("EXEC", Meaning::Exec, false),
    ];

    #[test]
    fn the_replies_of_a_transaction_are_judged_one_by_one() {
        let head = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
        assert!(hear(TRANSACTION, &format!("{head}*2\r\n+OK\r\n$1\r\na\r\n")).is_ok());
        for wrong in ["*2\r\n+OK\r\n$1\r\nb\r\n", "*1\r\n+OK\r\n", "*-1\r\n", "-EXECABORT no\r\n", "+OK\r\n"] {
            assert!(hear(TRANSACTION, &format!("{head}{wrong}")).is_err(), "{wrong}");
        }
        let full = "-EXECABORT Transaction discarded because of: OOM no\r\n";
        assert!(hear(TRANSACTION, &format!("{head}{full}")).is_ok());
        let dirty = "+OK\r\n-OOM no\r\n+QUEUED\r\n";
        assert!(hear(TRANSACTION, &format!("{dirty}-EXECABORT no\r\n")).is_ok());
        assert!(hear(TRANSACTION, &format!("{dirty}*1\r\n$-1\r\n")).is_err(), "it ran although a part was refused");
    }

    #[test]
    fn replies_that_are_missing_too_many_or_out_of_order_are_found() {
        let echoes = [("ECHO", "a"), ("ECHO", "b")].map(|(name, text)| (format!("{name} {text}"), ECHO));
        let texts: Vec<(&str, Meaning, bool)> =
            echoes.iter().map(|(text, meaning)| (text.as_str(), *meaning, false)).collect();
        assert_eq!(hear(&texts, "$1\r\na\r\n$1\r\nb\r\n").map(|talk| talk.pending_count()), Ok(0));
        assert_eq!(hear(&texts, "$1\r\na\r\n").map(|talk| talk.pending_count()), Ok(1));
        assert!(hear(&texts, "$1\r\nb\r\n$1\r\na\r\n").is_err());
        assert!(hear(&texts, "$1\r\na\r\n$1\r\nb\r\n+OK\r\n").is_err());
    }

    const ECHO: Meaning = Meaning::Form(&Template { name: "echo", weight: 1, text: "", replies: "bulk", codes: "" });

    #[test]
    fn types_of_resp3_come_only_after_hello() {
        let hello = ("HELLO 3", Meaning::Hello(Version::Three), false);
        let get = ("GET x:1:1", Meaning::Own, false);
        assert!(hear(&[hello, get], "%0\r\n_\r\n").is_ok());
        assert!(hear(&[hello, get], "%0\r\n$-1\r\n").is_err());
        assert!(hear(&[get], "_\r\n").is_err());
    }

    #[test]
    fn a_fault_must_be_refused() {
        let fault = ("NOSUCH a", Meaning::Fault, false);
        assert!(hear(&[fault], "-ERR unknown command\r\n").is_ok());
        assert!(hear(&[fault], "+OK\r\n").is_err());
        assert!(hear(&[fault], "-WRONGTYPE no\r\n").is_err());
    }
}
