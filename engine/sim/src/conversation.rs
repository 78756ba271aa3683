//! Conversation: what one connection has asked and what it was answered.
//!
//! Invariants
//! - Every reply answers the oldest unanswered request, in the dialect that is in force, after the whole request has
//!   arrived.
//! - After the reply to QUIT, or a protocol error, there is no further reply.
//!
//! Absent on purpose: when to send and to read (`client`), and the values of keys (`oracle`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use server::lifecycle::STALL_US;

use crate::command::{Command, Key, Touch};
use crate::memcache::{self, Ask, Meaning, Numbered};
use crate::network::{Link, LinkId};
use crate::oracle::{Lane, Oracle, shown_reply};
use crate::reply::{self, Malformed, Reply};
use crate::sightings::Sightings;
use crate::trace;

/// EXEC's answer when memory is full and what was queued may need some.
const EXEC_OUT_OF_MEMORY: &[u8] = b"EXECABORT Transaction discarded because of: OOM ";

/// What one connection has asked and was answered.
#[derive(Debug)]
pub struct Conversation {
    /// The connection.
    pub link: LinkId,
    /// Why no further reply may come, if so.
    pub last_words: Option<LastWords>,
    /// The server has closed, or is closing.
    pub is_dead: bool,
    /// It comes from where nobody is served.
    pub must_be_refused: bool,
    /// Reply bytes that the client's socket had not taken when the last tick ended.
    unsent_bytes: usize,
    /// Since when more than a quarter of what pauses it was unsent.
    unsent_since_us: Option<u64>,
    /// That was once so long ago that the server may serve it all the same. When the server forgets that, it cannot be
    /// seen from outside.
    may_be_patient: bool,
    /// The cursor of the walk under way.
    pub cursor: u64,
    lane: Lane,
    asked: VecDeque<Asked>,
    /// Bytes of all requests so far.
    asked_bytes: u64,
    /// Bytes of the reply stream that are parsed.
    parsed: usize,
    /// Ends of replies, in the stream, that the client has not read.
    answers: VecDeque<usize>,
    /// The dialect of the next reply: 2 or 3.
    version: u8,
    name: Bytes,
    id: Option<i64>,
    walk_from_tick: u64,
    walk_found: BTreeSet<Bytes>,
    /// Those of `asked` that have a reply.
    owed: usize,
    /// What MULTI has begun.
    transaction: Option<Transaction>,
    /// Watched keys, and what was read of them since.
    watched: BTreeMap<Key, Option<Reply>>,
    watched_from_tick: u64,
    is_monitor: bool,
    /// Memory is so small that anything may be refused.
    may_be_refused: bool,
    /// It speaks memcached's protocol.
    is_memcached: bool,
    /// A long answer may be refused: what a client may be owed is limited.
    may_be_cut: bool,
    /// What the last gets has told.
    pub numbered: Option<Numbered>,
}

/// What was queued since MULTI.
#[derive(Debug, Default)]
struct Transaction {
    commands: Vec<Command>,
    /// One could not be queued.
    is_aborted: bool,
}

/// A reply after which the server closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// The answer to QUIT.
    Quit,
    /// A protocol error.
    Broken,
    /// Too many clients, or protected mode.
    Refused,
}

#[derive(Debug)]
struct Asked {
    command: Command,
    /// Its end in the stream of requests.
    end: u64,
}

impl Conversation {
    /// A new connection.
    pub fn new(link: LinkId, must_be_refused: bool, may_be_refused: bool) -> Conversation {
        Conversation {
            link,
            last_words: None,
            is_dead: false,
            must_be_refused,
            unsent_bytes: 0,
            unsent_since_us: None,
            may_be_patient: false,
            cursor: 0,
            // A link is never used twice, so it serves as the lane.
            lane: link.0,
            asked: VecDeque::new(),
            asked_bytes: 0,
            parsed: 0,
            answers: VecDeque::new(),
            version: 2,
            name: Bytes::new(),
            id: None,
            walk_from_tick: 0,
            walk_found: BTreeSet::new(),
            owed: 0,
            transaction: None,
            watched: BTreeMap::new(),
            watched_from_tick: 0,
            is_monitor: false,
            may_be_refused,
            is_memcached: false,
            may_be_cut: false,
            numbered: None,
        }
    }

    /// The same of a client that speaks memcached's protocol.
    pub fn in_memcached(mut self, may_be_cut: bool) -> Conversation {
        (self.is_memcached, self.may_be_cut) = (true, may_be_cut);
        self
    }

    /// Notes how much of its replies the client has been handed by now, and what that left unsent.
    pub fn note_unsent(&mut self, link: &Link, now_us: u64, pause_bytes: usize) {
        self.unsent_bytes = link.stream.len() - link.transferred;
        if self.unsent_bytes <= pause_bytes / 4 {
            self.unsent_since_us = None;
        } else {
            self.may_be_patient |= now_us - *self.unsent_since_us.get_or_insert(now_us) >= STALL_US;
        }
    }

    /// Whether the server may not serve it now: it read too little of what it is owed.
    pub fn must_wait(&self, still_unsent: usize, pause_bytes: usize) -> bool {
        !self.may_be_patient && self.unsent_bytes > pause_bytes && still_unsent > pause_bytes / 4
    }

    /// The client asks.
    pub fn ask(&mut self, command: Command, wire: &[u8]) {
        let end = match &command {
            Command::Memcache(ask) => ask.answerable_bytes(wire),
            _ => wire.len(),
        };
        self.owed += usize::from(command.is_answered());
        self.asked.push_back(Asked { command, end: self.asked_bytes + end as u64 });
        self.asked_bytes += wire.len() as u64;
    }

    /// Requests whose reply the client has not read, as far as it has read by now.
    pub fn outstanding(&mut self, link: &Link) -> usize {
        while self.answers.front().is_some_and(|&end| end <= link.read()) {
            self.answers.pop_front();
        }
        self.owed + self.answers.len()
    }

    /// The oldest request that is still to be answered.
    fn front(&self) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.command.is_answered())
    }

    /// True if its oldest request may only be ended by another client.
    pub fn waits_for_ever(&self) -> bool {
        self.front().is_some_and(|asked| asked.command == Command::Wait(0))
    }

    /// True if the oldest request that did not run wants no reply.
    pub fn is_silent(&self) -> bool {
        self.asked.front().is_some_and(|asked| !asked.command.is_answered())
    }

    /// True if its oldest request is a WAIT.
    pub fn waits(&self) -> bool {
        self.asked.iter().map(|asked| unwrapped(&asked.command)).any(|command| matches!(command, Command::Wait(_)))
    }

    /// Bytes of the reply stream that were observed.
    pub fn parsed(&self) -> usize {
        self.parsed
    }

    /// True if every request that has arrived whole is answered.
    pub fn is_answered(&self, link: &Link) -> bool {
        self.front().is_none_or(|asked| asked.end > link.delivered)
    }

    /// Reads the replies that the server has encoded since the last call; returns how many, those to KEYS not counted:
    /// it may have begun long ago.
    pub fn observe(
        &mut self,
        link: &Link,
        oracle: &mut Oracle,
        tick: u64,
        seen: &mut Sightings,
    ) -> Result<usize, String> {
        let mut replies = 0;
        self.note_unheard(link, oracle);
        while self.parsed < link.stream.len() {
            let parsed = self.parse(&link.stream[self.parsed..]);
            let place = || format!("link {} at reply byte {}", self.link.0, self.parsed);
            let Some((reply, length)) = parsed.map_err(|error| format!("{}: {}", place(), error.0))? else {
                return Err(format!("{}: half a reply was encoded", place()));
            };
            let is_first = self.parsed == 0;
            self.parsed += length;
            if self.is_monitor && is_monitor_line(&reply) {
                seen.monitor_lines += 1;
                continue;
            }
            self.answers.push_back(self.parsed);
            self.skip_silent(oracle, seen);
            if is_first && is_refusal(&reply) {
                self.last_words = Some(LastWords::Refused);
                continue;
            }
            if self.must_be_refused {
                return Err(format!("link {} was served", self.link.0));
            }
            if let Some(asked) = self.asked.front() {
                replies += usize::from(!matches!(asked.command, Command::Keys(_)));
                seen.note(&asked.command, &reply);
            }
            self.judge(reply, link, oracle, (tick, seen)).map_err(|what| format!("link {}: {what}", self.link.0))?;
        }
        Ok(replies)
    }

    /// The server closes: what has arrived and was not answered may have been executed in this tick.
    pub fn die(&mut self, link: &Link, oracle: &mut Oracle, seen: &mut Sightings) {
        self.is_dead = true;
        seen.transactions_cut += u64::from(self.transaction.is_some());
        seen.watchers_gone += u64::from(!self.watched.is_empty());
        seen.monitors_gone += u64::from(self.is_monitor);
        self.owed = 0;
        if let Some(Asked { command, end }) = self.asked.front() {
            let arrived = if *end <= link.delivered { "" } else { ", which has not arrived" };
            trace::line(|| format!("link {} is owed {}{arrived}", self.link.0, shown_command(command)));
        }
        for Asked { command, end } in std::mem::take(&mut self.asked) {
            if end > link.delivered || self.last_words.is_some() {
                return;
            }
            seen.unanswered_commands += 1;
            match command {
                Command::Hush("OFF") => seen.silent_clients_gone += 1,
                Command::Multi => self.transaction = Some(Transaction::default()),
                Command::Queued(command) => {
                    if let Some(transaction) = &mut self.transaction {
                        transaction.commands.push(*command);
                    }
                }
                Command::Exec => {
                    if let Some(transaction) = self.transaction.take().filter(|transaction| !transaction.is_aborted) {
                        oracle.unanswered(self.lane, Command::Ran(transaction.commands, Vec::new(), 0));
                    }
                }
                Command::Discard | Command::Reset => self.transaction = None,
                Command::Memcache(Ask::NoReply(_)) => {}
                Command::Memcache(ask) => {
                    if let Some(command) = ask.unheard() {
                        oracle.unanswered(self.lane, command);
                    }
                    self.note_refused_set(&ask, oracle);
                }
                Command::Silent(command) => oracle.unanswered(self.lane, *command),
                command => oracle.unanswered(self.lane, command),
            }
        }
    }

    /// Reads a reply as the client's protocol has it.
    fn parse(&self, input: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
        match self.front().map(|asked| &asked.command) {
            Some(Command::Memcache(ask)) => memcache::parse(input, Some(ask)),
            _ if self.is_memcached => memcache::parse(input, None),
            _ => reply::parse(input),
        }
    }

    /// Requests with noreply that have arrived may be executed now, if they were not before.
    fn note_unheard(&self, link: &Link, oracle: &mut Oracle) {
        if !self.is_memcached || self.last_words.is_some() {
            return;
        }
        for Asked { command, .. } in self.asked.iter().take_while(|asked| asked.end <= link.delivered) {
            if let Command::Memcache(Ask::NoReply(ask)) = command
                && let Some(command) = ask.unheard()
            {
                trace::line(|| format!("link {} may have been served {}", self.link.0, trace::shown(&ask.encode())));
                oracle.perhaps(command);
                self.note_refused_set(ask, oracle);
            }
        }
    }

    /// A set that is refused for want of memory removes what it could not replace.
    fn note_refused_set(&self, ask: &Ask, oracle: &mut Oracle) {
        if let (Ask::Set(key, ..), true) = (ask, self.may_be_refused) {
            oracle.perhaps(Command::One(key.clone(), Touch::Delete));
        }
    }

    /// True if it has said quit, and everything before it is answered.
    pub fn has_quit(&self, link: &Link) -> bool {
        let has_quit = |asked: &Asked| asked.command == Command::Memcache(Ask::Quit) && asked.end <= link.delivered;
        self.owed == 0 && self.asked.back().is_some_and(has_quit)
    }

    /// Takes the requests without a reply off that stand before the oldest one with a reply, which has been answered.
    fn skip_silent(&mut self, oracle: &mut Oracle, seen: &mut Sightings) {
        while self.asked.front().is_some_and(|asked| !asked.command.is_answered()) {
            match self.asked.pop_front().map(|asked| asked.command) {
                Some(Command::Silent(command)) => {
                    seen.silent_commands += 1;
                    oracle.silent(self.lane, *command);
                }
                Some(Command::Memcache(_)) => seen.memcached_silent += 1,
                Some(_) | None => {}
            }
        }
    }

    /// Judges an answer of memcached's protocol.
    fn judge_memcached(
        &mut self,
        ask: &Ask,
        reply: &Reply,
        oracle: &mut Oracle,
        (tick, seen): (u64, &mut Sightings),
    ) -> Result<(), String> {
        seen.memcached_answers += 1;
        match (ask, reply) {
            (Ask::Gets(key), Reply::Array(parts)) => {
                if let [Reply::Bulk(read), Reply::Integer(number)] = &parts[..] {
                    let (key, read) = (key.clone(), read.clone());
                    self.numbered = Some(Numbered { key, number: number.cast_unsigned(), read, tick });
                }
            }
            (Ask::Cas(..), Reply::Simple(text)) => {
                seen.cas_stored += u64::from(&text[..] == b"STORED");
                seen.cas_refused += u64::from(&text[..] == b"EXISTS");
            }
            (Ask::Oversized(..), _) => seen.memcached_oversized += 1,
            _ => {}
        }
        match ask.meaning(reply, self.may_be_refused, self.may_be_cut) {
            Meaning::Did(command, reply) => oracle.answered(self.lane, command, reply),
            Meaning::Removed(key) => oracle.silent(self.lane, Command::One(key, Touch::Delete)),
            Meaning::Nothing => {}
            Meaning::Wrong => return Err(format!("{ask:?} was answered {}", shown_reply(Some(reply)))),
        }
        Ok(())
    }

    fn judge(
        &mut self,
        reply: Reply,
        link: &Link,
        oracle: &mut Oracle,
        (tick, seen): (u64, &mut Sightings),
    ) -> Result<(), String> {
        if let Some(last_words) = self.last_words {
            return Err(format!("a reply after {last_words:?}: {}", shown_reply(Some(&reply))));
        }
        let Some(Asked { command, end }) = self.asked.pop_front() else {
            return Err(format!("a reply to no request: {}", shown_reply(Some(&reply))));
        };
        self.owed -= 1;
        trace::line(|| format!("link {} {} -> {}", self.link.0, shown_command(&command), shown_reply(Some(&reply))));
        // A value for which there is no room is refused before it comes.
        let is_refused = self.is_memcached && self.may_be_refused && matches!(reply, Reply::Error(_));
        if link.delivered < end && !matches!(command, Command::Broken(_)) && !is_refused {
            return Err(format!("a reply before the request had arrived: {}", shown_command(&command)));
        }
        if let Command::Memcache(ask) = &command {
            return self.judge_memcached(ask, &reply, oracle, (tick, seen));
        }
        match command {
            Command::Hello(version) => self.version = version,
            Command::Reset => (self.version, self.name) = (2, Bytes::new()),
            _ => {}
        }
        if !fits_dialect(&reply, self.version) {
            return Err(format!("not RESP{}: {}", self.version, shown_reply(Some(&reply))));
        }
        self.note_walk(&command, &reply, oracle, tick)?;
        if command == Command::Exec {
            return self.judge_exec(reply, oracle, seen);
        }
        self.note_watched(&command, &reply, tick);
        if self.is_right(&command, &reply)? {
            oracle.answered(self.lane, command, reply);
            return Ok(());
        }
        Err(format!("{} was answered {}", shown_command(&command), shown_reply(Some(&reply))))
    }

    /// Judges the answer to EXEC.
    fn judge_exec(&mut self, reply: Reply, oracle: &mut Oracle, seen: &mut Sightings) -> Result<(), String> {
        let transaction = self.transaction.take().ok_or("EXEC without MULTI was asked")?;
        let watched = std::mem::take(&mut self.watched);
        let (since, is_watched) = (self.watched_from_tick, !watched.is_empty());
        let wrong = |what: &str| Err(format!("EXEC {what}: {}", shown_reply(Some(&reply))));
        if transaction.is_aborted {
            let is_refused = matches!(&reply, Reply::Error(text) if text.starts_with(b"EXECABORT "));
            return if is_refused { Ok(()) } else { wrong("of an aborted transaction") };
        }
        match &reply {
            Reply::Array(parts) if parts.len() == transaction.commands.len() => {
                for (command, part) in transaction.commands.iter().zip(parts) {
                    // Inside a transaction nothing waits.
                    if matches!(command, Command::Wait(_)) && *part == Reply::Integer(0) {
                        continue;
                    }
                    if !self.is_right(command, part)? {
                        let (command, part) = (shown_command(command), shown_reply(Some(part)));
                        return Err(format!("{command} was answered {part} in a transaction"));
                    }
                }
                let read = watched.into_iter().filter_map(|(key, read)| Some((key, read?))).collect();
                seen.transactions_run_watched += u64::from(is_watched);
                oracle.answered(self.lane, Command::Ran(transaction.commands, read, since), reply);
                Ok(())
            }
            Reply::Null2 | Reply::Null3 if !watched.is_empty() => {
                oracle.answered(self.lane, Command::NotRun(watched.into_keys().collect(), since), reply);
                Ok(())
            }
            // Nothing of it ran, as after a refusal while it was queued.
            Reply::Error(text) if self.may_be_refused && text.starts_with(EXEC_OUT_OF_MEMORY) => Ok(()),
            _ => wrong(&format!("of {} commands", transaction.commands.len())),
        }
    }

    /// Notes what a right answer does to the transaction and to the keys watched.
    fn note_watched(&mut self, command: &Command, reply: &Reply, tick: u64) {
        match command {
            Command::Watch(keys) if !matches!(reply, Reply::Error(_)) => {
                if self.watched.is_empty() {
                    self.watched_from_tick = tick;
                }
                for key in keys {
                    self.watched.entry(key.clone()).or_default();
                }
            }
            Command::One(key, Touch::Get) => {
                if let Some(read) = self.watched.get_mut(key) {
                    *read = Some(reply.clone());
                }
            }
            Command::Unwatch => self.watched.clear(),
            Command::Discard | Command::Reset => {
                self.watched.clear();
                self.transaction = None;
            }
            _ => {}
        }
    }

    /// True if a command was queued, or refused for a reason.
    fn is_queued(&mut self, command: &Command, reply: &Reply) -> bool {
        let Some(transaction) = &mut self.transaction else { return false };
        match (command, reply) {
            (Command::Wrong(_, expected), Reply::Error(error)) if error.starts_with(expected.as_bytes()) => {
                transaction.is_aborted = true;
                true
            }
            (_, Reply::Error(error)) if self.may_be_refused && error.starts_with(b"OOM ") => {
                transaction.is_aborted = true;
                true
            }
            (command, Reply::Simple(text)) if &text[..] == b"QUEUED" => {
                transaction.commands.push(command.clone());
                true
            }
            _ => false,
        }
    }

    /// True if the answer is right, as far as one connection can tell.
    fn is_right(&mut self, command: &Command, reply: &Reply) -> Result<bool, String> {
        let says = |text: &str| matches!(reply, Reply::Simple(simple) if simple == text.as_bytes());
        let fails = |text: &str| matches!(reply, Reply::Error(error) if error.starts_with(text.as_bytes()));
        Ok(match command {
            Command::Select(_) => says("OK"),
            Command::Ping(None) => says("PONG"),
            Command::Ping(Some(text)) | Command::Echo(text) => *reply == Reply::Bulk(text.clone()),
            Command::Hello(_) => matches!(reply, Reply::Map(_) | Reply::Array(_)),
            Command::ClientId => match *reply {
                Reply::Integer(id) if id > 0 => *self.id.get_or_insert(id) == id,
                _ => false,
            },
            Command::SetName(name) => {
                self.name = name.clone();
                says("OK")
            }
            Command::GetName if self.name.is_empty() => matches!(reply, Reply::Null2 | Reply::Null3),
            Command::GetName => *reply == Reply::Bulk(self.name.clone()),
            Command::Reset => {
                self.is_monitor = false;
                says("RESET")
            }
            Command::Multi => {
                self.transaction = Some(Transaction::default());
                says("OK")
            }
            Command::Queued(command) => self.is_queued(command, reply),
            Command::Watch(_) if self.may_be_refused && fails("OOM ") => true,
            Command::Discard | Command::Watch(_) | Command::Unwatch => says("OK"),
            Command::Pause(..) | Command::Unpause => says("OK"),
            Command::Kill(_) => matches!(reply, Reply::Integer(0..)),
            Command::Unblock(_) => matches!(reply, Reply::Integer(0 | 1)),
            Command::Wait(ms) => *ms > 0 && *reply == Reply::Integer(0) || fails("UNBLOCKED "),
            Command::Monitor => {
                self.is_monitor = true;
                says("OK")
            }
            Command::Loud => says("OK"),
            Command::Memcache(_) => false,
            Command::Exec | Command::Ran(..) | Command::NotRun(..) | Command::Hush(_) | Command::Silent(_) => false,
            Command::Quit => {
                self.last_words = Some(LastWords::Quit);
                says("OK")
            }
            Command::Broken(_) => {
                self.last_words = Some(LastWords::Broken);
                fails("ERR Protocol error")
            }
            Command::Wrong(_, error) => fails(error),
            Command::Any(_) => !matches!(reply, Reply::Error(_)),
            Command::Flush(_) => says("OK"),
            // The oracle's.
            Command::One(..) | Command::Mget(_) | Command::Mset(_) | Command::Delete(..) | Command::Exists(_) => true,
            Command::Size(_) | Command::Keys(_) | Command::Scan(..) => true,
        })
    }

    fn note_walk(&mut self, command: &Command, reply: &Reply, oracle: &mut Oracle, tick: u64) -> Result<(), String> {
        let Command::Scan(db, cursor, _) = command else { return Ok(()) };
        if *cursor == 0 {
            self.walk_found.clear();
            self.walk_from_tick = tick;
        }
        let Reply::Array(parts) = reply else { return Err("SCAN did not answer an array".to_owned()) };
        let [Reply::Bulk(next), Reply::Array(names)] = &parts[..] else {
            return Err("SCAN did not answer a cursor and keys".to_owned());
        };
        let next = std::str::from_utf8(next).ok().and_then(|text| text.parse().ok());
        self.cursor = next.ok_or("a cursor that is no number")?;
        for name in names {
            let Reply::Bulk(name) = name else { return Err("SCAN listed what is no key".to_owned()) };
            self.walk_found.insert(name.clone());
        }
        if self.cursor == 0 {
            oracle.walked(*db, self.walk_from_tick, std::mem::take(&mut self.walk_found));
        }
        Ok(())
    }
}

/// The command itself.
fn unwrapped(command: &Command) -> &Command {
    match command {
        Command::Silent(command) | Command::Queued(command) => command,
        command => command,
    }
}

/// What a monitor is told: a time, then a command.
fn is_monitor_line(reply: &Reply) -> bool {
    matches!(reply, Reply::Simple(text) if text.first().is_some_and(u8::is_ascii_digit))
}

/// What a client is told that is not served.
fn is_refusal(reply: &Reply) -> bool {
    let Reply::Error(text) = reply else { return false };
    let starts =
        [&b"ERR max number of clients"[..], b"DENIED", b"ERROR Too many open connections", b"SERVER_ERROR Pinion is"];
    starts.iter().any(|start| text.starts_with(start))
}

/// True if a reply could be encoded so in RESP2 or RESP3.
fn fits_dialect(reply: &Reply, version: u8) -> bool {
    match reply {
        Reply::Null2 => version == 2,
        Reply::Null3 | Reply::Scalar(_) => version == 3,
        Reply::Map(elements) => version == 3 && elements.iter().all(|element| fits_dialect(element, version)),
        Reply::Array(elements) => elements.iter().all(|element| fits_dialect(element, version)),
        Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_) => true,
    }
}

/// A request for a line of the trace.
pub fn shown_command(command: &Command) -> String {
    match command {
        Command::Broken(bytes) => format!("broken: {}", trace::shown(bytes)),
        Command::Memcache(ask) => trace::shown(&ask.encode()),
        other => other.args().iter().map(|arg| trace::shown(arg)).collect::<Vec<_>>().join(" "),
    }
}
