//! Conversation: what one connection has asked and what it was answered.
//!
//! Invariants
//! - Every reply answers the oldest unanswered request, in the dialect that is in force, after the whole request has
//!   arrived.
//! - After the reply to QUIT, or a protocol error, there is no further reply.
//!
//! Absent on purpose: when to send and to read (`client`), and the values of keys (`oracle`).

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use server::lifecycle::STALL_US;

use crate::command::Command;
use crate::network::{Link, LinkId};
use crate::oracle::{Lane, Oracle, shown_reply};
use crate::reply::{self, Reply};
use crate::sightings::Sightings;
use crate::trace;

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
    pub fn new(link: LinkId, must_be_refused: bool) -> Conversation {
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
        }
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
    pub fn ask(&mut self, command: Command, wire_bytes: usize) {
        self.asked_bytes += wire_bytes as u64;
        self.asked.push_back(Asked { command, end: self.asked_bytes });
    }

    /// Requests whose reply the client has not read, as far as it has read by now.
    pub fn outstanding(&mut self, link: &Link) -> usize {
        while self.answers.front().is_some_and(|&end| end <= link.read()) {
            self.answers.pop_front();
        }
        self.asked.len() + self.answers.len()
    }

    /// Bytes of the reply stream that were observed.
    pub fn parsed(&self) -> usize {
        self.parsed
    }

    /// True if every request that has arrived whole is answered.
    pub fn is_answered(&self, link: &Link) -> bool {
        self.asked.front().is_none_or(|asked| asked.end > link.delivered)
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
        while self.parsed < link.stream.len() {
            let parsed = reply::parse(&link.stream[self.parsed..]);
            let place = || format!("link {} at reply byte {}", self.link.0, self.parsed);
            let Some((reply, length)) = parsed.map_err(|error| format!("{}: {}", place(), error.0))? else {
                return Err(format!("{}: half a reply was encoded", place()));
            };
            let is_first = self.parsed == 0;
            self.parsed += length;
            self.answers.push_back(self.parsed);
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
            self.judge(reply, link, oracle, tick).map_err(|what| format!("link {}: {what}", self.link.0))?;
        }
        Ok(replies)
    }

    /// The server closes: what has arrived and was not answered may have been executed in this tick.
    /// Returns how many.
    pub fn die(&mut self, link: &Link, oracle: &mut Oracle) -> u64 {
        self.is_dead = true;
        let mut unanswered = 0;
        for asked in self.asked.drain(..) {
            if asked.end <= link.delivered && self.last_words.is_none() {
                oracle.unanswered(self.lane, asked.command);
                unanswered += 1;
            }
        }
        unanswered
    }

    fn judge(&mut self, reply: Reply, link: &Link, oracle: &mut Oracle, tick: u64) -> Result<(), String> {
        if let Some(last_words) = self.last_words {
            return Err(format!("a reply after {last_words:?}: {}", shown_reply(Some(&reply))));
        }
        let Some(Asked { command, end }) = self.asked.pop_front() else {
            return Err(format!("a reply to no request: {}", shown_reply(Some(&reply))));
        };
        trace::line(|| format!("link {} {} -> {}", self.link.0, shown_command(&command), shown_reply(Some(&reply))));
        if link.delivered < end && !matches!(command, Command::Broken(_)) {
            return Err(format!("a reply before the request had arrived: {}", shown_command(&command)));
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
        if self.is_right(&command, &reply)? {
            oracle.answered(self.lane, command, reply);
            return Ok(());
        }
        Err(format!("{} was answered {}", shown_command(&command), shown_reply(Some(&reply))))
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
            Command::Reset => says("RESET"),
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

/// What a client is told that is not served.
fn is_refusal(reply: &Reply) -> bool {
    let Reply::Error(text) = reply else { return false };
    text.starts_with(b"ERR max number of clients") || text.starts_with(b"DENIED")
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
        other => other.args().iter().map(|arg| trace::shown(arg)).collect::<Vec<_>>().join(" "),
    }
}
