//! SimRing: the seam's ring over the fake network.
//!
//! It does whatever io_uring over TCP may do and the seam allows: completions late and out of order between operations,
//! receives that end for want of buffers, for no reason, or after the end of the stream, short sends, sends that wait
//! for the peer, cancels that lose the race, stale completions. What it must not do: reorder or drop the bytes of a
//! link.
//!
//! It also holds its caller to the seam's invariants; the first breach is kept in `breach` for the simulation to
//! report.
//!
//! Absent on purpose: clients, and time except as much as a sleep takes.

mod progress;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uring::{Chunk, Completion, Errno, Event, Op, Outgoing, Peer, Ring, Socket, Token, Wait};

use crate::network::{LinkId, Network};
use crate::pool::Pool;
use crate::sightings::Sightings;
use crate::time::VirtualTime;
use crate::trace;
use crate::weather::Weather;

/// Bits of a generation that travel through a ring.
const GENERATION_MASK: u32 = (1 << 24) - 1;

/// Most sleeps end within this time, in microseconds.
const NAP_US_MAX: u64 = 2_000;

/// Bytes that may still be delivered after a shutdown.
const LATE_BYTES_MAX: usize = 200;

/// Values in one send that count as many.
const MANY_VALUES: usize = 32;

/// Tokens of links that are gone, for stale completions.
const GONE_TOKENS_MAX: usize = 8;

/// The fake ring.
pub struct SimRing {
    /// The links behind the sockets.
    pub network: Network,
    /// What happens, and how often.
    pub weather: Weather,
    /// The caller's first breach of the seam's invariants.
    pub breach: Option<String>,
    /// What the server did since the tally was last taken.
    pub tally: Tally,
    /// The rare things that happened here.
    pub seen: Sightings,
    rng: StdRng,
    time: VirtualTime,
    pool: Pool,
    flights: BTreeMap<(u32, u32), Flight>,
    ready: VecDeque<Completion>,
    owners: BTreeMap<i32, Token>,
    gone: VecDeque<Token>,
}

/// What the server did in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Completions it reaped.
    pub reaped: usize,
    /// Sends and receives that it started.
    pub started: usize,
}

/// Operations of one token.
#[derive(Default)]
struct Flight {
    incoming: Option<Incoming>,
    sending: Option<Sending>,
}

struct Incoming {
    socket: Socket,
    kind: Kind,
    started: bool,
    cancelled: bool,
    /// Its last completion is made and not reaped.
    ended: bool,
}

enum Kind {
    Accept,
    Recv,
    RecvInto(BytesMut),
}

struct Sending {
    socket: Socket,
    out: Outgoing,
    /// `out.sent` at the start.
    from: usize,
    started: bool,
    /// As for `Incoming`.
    ended: bool,
}

impl SimRing {
    /// A ring over a network with `listener_count` listeners.
    pub fn new(seed: u64, weather: Weather, time: VirtualTime, listener_count: usize) -> SimRing {
        SimRing {
            network: Network::new(listener_count),
            breach: None,
            tally: Tally::default(),
            seen: Sightings::default(),
            rng: StdRng::seed_from_u64(seed),
            time,
            pool: Pool::new(weather.buffer_count, weather.buffer_bytes),
            flights: BTreeMap::new(),
            ready: VecDeque::new(),
            owners: BTreeMap::new(),
            gone: VecDeque::new(),
            weather,
        }
    }

    /// Takes the tally.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// What is still out: operations in flight, completions, buffers, sockets. Empty when everything is home.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for ((slot, generation), flight) in &self.flights {
            let accepts = flight.incoming.as_ref().is_some_and(|incoming| matches!(incoming.kind, Kind::Accept));
            if !accepts && (flight.incoming.is_some() || flight.sending.is_some()) {
                leaks.push(format!("slot {slot} generation {generation} has an operation in flight"));
            }
        }
        if !self.pool.is_full() {
            leaks.push("provided buffers are out".to_owned());
        }
        if self.network.open_count() > 0 {
            leaks.push(format!("{} sockets are open", self.network.open_count()));
        }
        leaks
    }

    fn breach(&mut self, what: String) {
        trace::line(|| format!("BREACH {what}"));
        self.breach.get_or_insert(what);
    }

    fn start(&mut self, token: Token, op: Op) {
        let started = self.weather.early_start > 0.0 && self.rng.random_bool(self.weather.early_start);
        match op {
            Op::Accept { listener } => self.start_incoming(token, listener, Kind::Accept, started),
            Op::Recv { socket } => self.start_incoming(token, socket, Kind::Recv, started),
            Op::RecvInto { socket, into } => {
                if into.capacity() == into.len() {
                    self.breach(format!("{token:?}: RecvInto without room"));
                }
                self.seen.direct_receives += 1;
                self.start_incoming(token, socket, Kind::RecvInto(into), started);
            }
            Op::Send { socket, out } => self.start_send(token, socket, out, started),
            Op::Cancel => {
                if let Some(incoming) = self.flights.get_mut(&key(token)).and_then(|flight| flight.incoming.as_mut()) {
                    incoming.cancelled = true;
                }
            }
        }
    }

    fn start_incoming(&mut self, token: Token, socket: Socket, kind: Kind, started: bool) {
        if !matches!(kind, Kind::Accept) {
            self.tally.started += 1;
            self.check_open(token, socket);
        }
        if self.flights.entry(key(token)).or_default().incoming.is_some() {
            return self.breach(format!("{token:?}: a second receive or accept in flight"));
        }
        let incoming = Incoming { socket, kind, started, cancelled: false, ended: false };
        self.flights.entry(key(token)).or_default().incoming = Some(incoming);
    }

    fn start_send(&mut self, token: Token, socket: Socket, out: Outgoing, started: bool) {
        self.tally.started += 1;
        self.check_open(token, socket);
        if self.flights.entry(key(token)).or_default().sending.is_some() {
            return self.breach(format!("{token:?}: a second send in flight"));
        }
        if out.sent >= out.len() {
            return self.breach(format!("{token:?}: a send of nothing"));
        }
        if out.splices.windows(2).any(|pair| pair[0].at > pair[1].at) {
            return self.breach(format!("{token:?}: splices out of order"));
        }
        self.seen.sends_of_many_values += u64::from(out.splices.len() >= MANY_VALUES);
        if let Some(id) = self.network.of_socket(socket) {
            if self.network.link(id).server_finished {
                return self.breach(format!("{token:?}: a send after the end"));
            }
            if let Some(what) = note_pushed(&mut self.network, id, &out) {
                self.breach(what);
            }
        }
        let from = out.sent;
        let sending = Sending { socket, out, from, started, ended: false };
        self.flights.entry(key(token)).or_default().sending = Some(sending);
    }

    fn check_open(&mut self, token: Token, socket: Socket) {
        if self.network.of_socket(socket).is_none() {
            self.breach(format!("{token:?}: an operation on {socket:?}, which is not open"));
        }
        if *self.owners.entry(socket.0).or_insert(token) != token {
            self.breach(format!("{token:?}: {socket:?} belongs to another token"));
        }
    }

    /// Marks what is queued as started.
    fn submit(&mut self) {
        for flight in self.flights.values_mut() {
            if let Some(incoming) = &mut flight.incoming {
                incoming.started = true;
            }
            if let Some(sending) = &mut flight.sending {
                sending.started = true;
            }
        }
    }

    /// The completion leaves the ring: an operation that ends with it is not in flight any more.
    fn hand_out(&mut self, completion: &Completion) {
        let link = |ring: &SimRing, socket: Option<Socket>| socket.and_then(|socket| ring.network.of_socket(socket));
        let flight = self.flights.get_mut(&key(completion.token));
        match &completion.event {
            Event::Received { result, more } => {
                let socket =
                    flight.as_ref().and_then(|flight| flight.incoming.as_ref()).map(|incoming| incoming.socket);
                if let (false, Some(flight)) = (*more, flight) {
                    flight.incoming = None;
                }
                if let Ok(Some(chunk)) = result {
                    self.pool.lend(chunk);
                    if let Some(id) = link(self, socket) {
                        self.network.deliver(id, u64::from(chunk.len), self.time.us());
                    }
                }
            }
            Event::Filled { got, .. } => {
                let socket = flight.and_then(|flight| flight.incoming.take()).map(|incoming| incoming.socket);
                if let (Some(id), Ok(got)) = (link(self, socket), got) {
                    self.network.deliver(id, *got as u64, self.time.us());
                }
            }
            Event::Accepted { result, more } => {
                if let Some(id) = result.ok().and_then(|socket| self.network.of_socket(socket)) {
                    self.network.link_mut(id).is_handed_out = true;
                }
                if let (false, Some(flight)) = (*more, flight) {
                    flight.incoming = None;
                }
            }
            Event::Sent { .. } => {
                if let Some(flight) = flight {
                    flight.sending = None;
                }
            }
        }
        self.flights.retain(|_, flight| flight.incoming.is_some() || flight.sending.is_some());
    }
}

impl Flight {
    fn uses(&self, socket: Socket) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.socket == socket)
            || self.sending.as_ref().is_some_and(|sending| sending.socket == socket)
    }
}

impl Ring for SimRing {
    fn push(&mut self, token: Token, op: Op) {
        trace::line(|| format!("  push slot {} {}", token.slot, shown_op(&op)));
        self.start(Token { generation: token.generation & GENERATION_MASK, ..token }, op);
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if self.pool.lent_count() > 0 {
            self.breach(format!("{} provided buffers were not recycled before enter", self.pool.lent_count()));
        }
        self.submit();
        self.advance();
        if let (Wait::AtMost(limit), true) = (wait, self.ready.is_empty()) {
            let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            // Clients do not act during a sleep, so most end early, as if one had: a sleep may end at any time.
            let nap_us_max = if self.rng.random_bool(0.7) { limit_us.min(NAP_US_MAX) } else { limit_us };
            self.time.pass(self.rng.random_range(0..=nap_us_max));
            self.advance();
        }
        Ok(())
    }

    fn reap(&mut self, completions: &mut Vec<Completion>, limit: usize) {
        let mut count = self.ready.len().min(limit);
        if count > 1 && self.rng.random_bool(self.weather.partial_reap) {
            count = self.rng.random_range(1..count);
        }
        for completion in self.ready.drain(..count).collect::<Vec<_>>() {
            trace::line(|| format!("  reap slot {} {}", completion.token.slot, shown_event(&completion.event)));
            self.hand_out(&completion);
            completions.push(completion);
        }
        self.tally.reaped += count;
    }

    fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn chunk(&self, chunk: &Chunk) -> &[u8] {
        self.pool.bytes(chunk)
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.pool.recycle(chunk);
    }

    fn peer(&self, socket: Socket) -> Option<Peer> {
        let link = self.network.link(self.network.of_socket(socket)?);
        (!link.client_reset).then_some(link.peer)
    }

    fn finish_writing(&mut self, socket: Socket) -> bool {
        trace::line(|| format!("  finish writing {socket:?}"));
        if self.flights.values().any(|flight| flight.sending.as_ref().is_some_and(|sending| sending.socket == socket)) {
            self.breach(format!("the end of {socket:?} with a send in flight"));
        }
        match self.network.of_socket(socket) {
            Some(id) => {
                self.network.link_mut(id).server_finished = true;
                self.network.moves += 1;
            }
            None => self.breach(format!("the end of {socket:?}, which is not open")),
        }
        self.seen.lingering_closes += 1;
        true
    }

    fn shutdown(&mut self, socket: Socket) {
        trace::line(|| format!("  shutdown {socket:?}"));
        match self.network.of_socket(socket) {
            Some(id) => {
                let link = self.network.link_mut(id);
                link.server_ended = true;
                // Some of what had arrived is still delivered; what had not never is.
                link.to_server.truncate(self.rng.random_range(0..=LATE_BYTES_MAX));
                self.network.moves += 1;
            }
            None => self.breach(format!("shutdown of {socket:?}, which is not open")),
        }
    }

    fn close(&mut self, socket: Socket) {
        trace::line(|| format!("  close {socket:?}"));
        let Some(id) = self.network.of_socket(socket) else {
            return self.breach(format!("close of {socket:?}, which is not open"));
        };
        if self.flights.values().any(|flight| flight.uses(socket)) {
            self.breach(format!("close of {socket:?} with an operation in flight"));
        }
        if let Some(token) = self.owners.remove(&socket.0) {
            self.note_gone(token);
        }
        self.seen.closes_with_unread_bytes += u64::from(!self.network.link(id).to_server.is_empty());
        let lose_bytes = self.rng.random_bool(self.weather.close_loses_bytes);
        self.network.close(id, lose_bytes);
    }
}

/// Adds replies that are new to the link's stream; what was seen of them before must not have changed.
fn note_pushed(network: &mut Network, id: LinkId, out: &Outgoing) -> Option<String> {
    if out.sent > 0 {
        return None;
    }
    let link = network.link_mut(id);
    for piece in crate::wire::of_outgoing(out, 0) {
        let seen = (link.stream.len() - link.pushed).min(piece.len());
        if piece[..seen] != link.stream[link.pushed..link.pushed + seen] {
            return Some(format!("link {}: replies changed after they were encoded", id.0));
        }
        link.stream.extend_from_slice(&piece[seen..]);
        link.pushed += piece.len();
    }
    None
}

fn key(token: Token) -> (u32, u32) {
    (token.slot, token.generation & GENERATION_MASK)
}

fn shown_op(op: &Op) -> String {
    match op {
        Op::Accept { listener } => format!("Accept on {listener:?}"),
        Op::Recv { socket } => format!("Recv {socket:?}"),
        Op::RecvInto { socket, into } => format!("RecvInto {socket:?} room {}", into.capacity() - into.len()),
        Op::Send { socket, out } => {
            let pieces = crate::wire::of_outgoing(out, out.sent);
            let head = pieces.first().map_or(&b""[..], |piece| piece);
            format!("Send {socket:?} from {} of {}: {}", out.sent, out.len(), trace::shown(head))
        }
        Op::Cancel => "Cancel".to_owned(),
    }
}

fn shown_event(event: &Event) -> String {
    match event {
        Event::Accepted { result, more } => format!("Accepted {} more {more}", shown_result(result)),
        Event::Received { result: Ok(Some(chunk)), more } => {
            format!("Received {} bytes in buffer {} more {more}", chunk.len, chunk.buffer)
        }
        Event::Received { result, more } => format!("Received {} more {more}", shown_result(result)),
        Event::Filled { got, .. } => format!("Filled {}", shown_result(got)),
        Event::Sent { out, result } => format!("Sent {}, {} of {}", shown_result(result), out.sent, out.len()),
    }
}

fn shown_result<T: std::fmt::Debug>(result: &Result<T, Errno>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(errno) => io::Error::from_raw_os_error(errno.0).to_string(),
    }
}
