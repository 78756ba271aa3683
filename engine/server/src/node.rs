//! One core's state without its ring: the cache, the connections, and the lists of who needs what next.
//!
//! Invariants
//! - A connection is on `dirty` at most once (its flag says so), and likewise on `run_list`.
//! - `charged_bytes` is the sum of the connections' own `charged_bytes`.
//!
//! Absent on purpose: the ring. Whatever needs it happens in `reactor`, after this state says so.

use std::collections::VecDeque;
use std::time::Duration;

use cache::{Cache, ClientIndex, Now, Wire};
use protocol::resp::Limits;
use protocol::{ArgBuffer, memcache};

use uring::{RingUsage, Token};

use crate::batch::BatchStorage;
use crate::connection::{Connection, State};
use crate::connections::Connections;
use crate::tick::TickFigures;

/// Settings that connections obey. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections at the same time; one more is told so and closed.
    pub clients_max: usize,
    /// A client that is silent for longer is closed; `None`: never.
    pub idle: Option<Duration>,
    /// Unsent replies above which nothing more is received from the client, until it has read three quarters of them.
    pub unsent_pause_bytes: usize,
    /// Unsent replies above which the client is closed; `None`: never.
    pub unsent_hard_bytes: Option<usize>,
    /// Unsent replies above which the client is closed if they stay there for `unsent_soft_time`; `None`: never.
    pub unsent_soft_bytes: Option<usize>,
    /// See `unsent_soft_bytes`.
    pub unsent_soft_time: Duration,
    /// Without a password only loopback clients are served.
    pub protected_mode: bool,
    /// True if clients must authenticate.
    pub password_set: bool,
    /// Bounds of requests.
    pub requests: Limits,
    /// Bounds of requests in memcached's protocol.
    pub memcache_requests: memcache::Limits,
    /// All connection buffers and large values under way together; a larger value is refused while they are over it.
    pub incoming_bytes_max: usize,
}

/// A request of this length is taken however much other clients are sending.
const REQUEST_BYTES_MIN: usize = 64 * 1024;

/// What happened since start, for INFO and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were served.
    pub connections_accepted: u64,
    /// Connections refused because of `clients_max` or protected mode.
    pub connections_refused: u64,
    /// Accepts that failed, for want of file descriptors for example.
    pub accept_errors: u64,
    /// Requests that broke the protocol.
    pub protocol_errors: u64,
    /// Clients closed because their unsent replies went over the hard limit, or stayed over the soft one.
    pub output_limit_closes: u64,
    /// Times that a client was not served because it did not read its replies.
    pub output_pauses: u64,
    /// Times that a client was let go on although it had stopped reading.
    pub output_patience: u64,
    /// Clients closed after the idle timeout.
    pub idle_closes: u64,
    /// Times that the provided buffers ran out.
    pub buffer_shortages: u64,
    /// Receives whose only purpose was to see whether a client that waits is still there.
    pub probes: u64,
    /// Bytes of monitors' lines that were dropped because they were not read.
    pub dropped_push_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// One core's state without its ring.
pub struct Node {
    /// Shards, sessions, settings in force.
    pub cache: Cache,
    /// The connections.
    pub connections: Connections,
    /// Settings that connections obey.
    pub limits: ConnectionLimits,
    /// Counted since start.
    pub counters: Counters,
    /// What the loop did.
    pub ticks: TickFigures,
    /// The time of this tick.
    pub now: Now,
    /// The number of this tick.
    pub tick: u64,
    /// Connections with something to send, or to be closed.
    pub dirty: Vec<u32>,
    /// Connections whose backlog waits for its turn.
    pub run_list: VecDeque<u32>,
    /// Connections with a long command under way; one may stand here several times.
    pub jobs: Vec<u32>,
    /// Connections whose front job waits to be woken; less than half of them may be gone.
    pub parked: Vec<Token>,
    /// How many of them left since the list was last looked through.
    parked_gone: usize,
    /// `Cache::wakes` when they were last woken.
    pub wakes_seen: u64,
    /// How the core does nothing for a while, as DEBUG SLEEP asks; the simulator's does nothing at all.
    pub sleep: fn(Duration),
    /// A client has asked that the server stop.
    pub is_stop_asked: bool,
    /// Bytes of connection buffers that are charged to the memory budget.
    pub charged_bytes: usize,
    /// Bytes that large values under way still lack.
    pub promised_bytes: usize,
    /// Connections that wait for their peers' end.
    pub lingering: Vec<Token>,
    /// The server stops: no new connection comes.
    pub stopping: bool,
    /// Allocations of the batch that serves backlogs.
    pub backlog_storage: BatchStorage,
    /// Allocation for the arguments of assembled requests.
    pub assembled_args: ArgBuffer,
}

impl Node {
    /// A node without connections.
    pub fn new(cache: Cache, limits: ConnectionLimits) -> Node {
        Node {
            cache,
            connections: Connections::default(),
            limits,
            counters: Counters::default(),
            ticks: TickFigures::default(),
            now: Now { unix_ms: 0, mono_us: 0 },
            tick: 0,
            dirty: Vec::new(),
            run_list: VecDeque::new(),
            jobs: Vec::new(),
            parked: Vec::new(),
            parked_gone: 0,
            wakes_seen: 0,
            sleep: |_| {},
            is_stop_asked: false,
            charged_bytes: 0,
            promised_bytes: 0,
            lingering: Vec::new(),
            stopping: false,
            backlog_storage: BatchStorage::default(),
            assembled_args: ArgBuffer::new(),
        }
    }

    /// The session of an open connection.
    #[inline]
    pub fn client(&mut self, index: u32) -> Option<ClientIndex> {
        self.connections.at(index)?.client
    }

    /// The bounds for a connection's next request; Redis's small ones until it has authenticated.
    #[inline]
    pub fn parse_limits(&mut self, index: u32) -> Limits {
        let authenticated = self.is_authenticated(index);
        let base = self.limits.requests;
        let left = self.incoming_left();
        let mut limits = Limits { authenticated, large_bytes_max: base.large_bytes_max.min(left), ..base };
        if left < base.request_bytes_max {
            limits.request_bytes_max = self.request_bytes_max(index, base.request_bytes_max);
        }
        limits
    }

    /// The bounds for the next request of a connection that speaks memcached's protocol.
    #[inline]
    pub fn memcache_limits(&mut self, index: u32) -> memcache::Limits {
        let authenticated = self.is_authenticated(index);
        let base = self.limits.memcache_requests;
        let left = self.incoming_left();
        let mut limits = memcache::Limits { authenticated, large_bytes_max: base.large_bytes_max.min(left), ..base };
        if left < base.request_bytes_max {
            limits.request_bytes_max = self.request_bytes_max(index, base.request_bytes_max);
        }
        limits
    }

    #[inline]
    fn is_authenticated(&mut self, index: u32) -> bool {
        !self.limits.password_set
            || self.client(index).is_some_and(|client| self.cache.session(client).is_authenticated())
    }

    /// What all clients together may still send before their requests execute, in bytes.
    #[inline]
    fn incoming_left(&self) -> usize {
        self.limits.incoming_bytes_max.saturating_sub(self.charged_bytes + self.promised_bytes)
    }

    /// What a connection's request may hold while others hold much. What it holds already is part of theirs.
    #[cold]
    fn request_bytes_max(&mut self, index: u32, most: usize) -> usize {
        let left = self.incoming_left();
        let own = self.connections.at(index).map_or(0, |connection| connection.charged_bytes);
        most.min((own + left).max(REQUEST_BYTES_MIN))
    }

    /// Puts a connection on the list of those with something to send or to close.
    #[inline]
    pub fn mark_dirty(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Puts a connection on the run list.
    pub fn run_later(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.on_run_list {
            connection.on_run_list = true;
            self.run_list.push_back(index);
        }
    }

    /// Has the jobs of all parked connections look again whether they may go on.
    pub fn unpark(&mut self) {
        for token in std::mem::take(&mut self.parked) {
            if self.connections.of(token).is_some() {
                self.jobs.push(token.slot);
            }
        }
        self.parked_gone = 0;
    }

    /// A parked connection has left. Looks through the list now and then: what waits for ever is never woken.
    pub fn forget_parked(&mut self) {
        self.parked_gone += 1;
        if self.parked_gone * 2 > self.parked.len() {
            let connections = &mut self.connections;
            self.parked.retain(|token| connections.of(*token).is_some());
            self.parked_gone = 0;
        }
    }

    /// Stops serving a connection whose peer does not read: its unsent replies are over the limit.
    #[inline]
    pub fn pause_if_unread(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        if connection.patience > 0 {
            self.recharge(index);
        }
        let is_crowded = self.is_crowded();
        let limit = self.limits.unsent_pause_bytes;
        let Some(connection) = self.connections.at(index) else { return };
        if !connection.paused && connection.unsent_bytes() > connection.pause_bytes(limit, is_crowded) {
            connection.paused = true;
            connection.progress_us = self.now.mono_us;
            self.counters.output_pauses += 1;
            self.mark_dirty(index);
        }
    }

    /// Whether all connections together hold as much as they may.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.charged_bytes >= self.limits.incoming_bytes_max
    }

    /// The connection waits for the rest of a request: its receive may have to change, its buffers are charged.
    pub fn note_assembling(&mut self, index: u32) {
        self.recharge(index);
        let Some(connection) = self.connections.at(index) else { return };
        if connection.assembler.filling().is_some() {
            self.mark_dirty(index);
        }
    }

    /// Charges what a connection's buffers hold now to the memory budget.
    pub fn recharge(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        let held = connection.held_bytes();
        self.charged_bytes = self.charged_bytes - connection.charged_bytes + held;
        connection.charged_bytes = held;
        let promised = connection.assembler.promised();
        self.promised_bytes = self.promised_bytes - connection.promised_bytes + promised;
        connection.promised_bytes = promised;
    }

    /// Takes a complete request off the connection's charge: from here on it is the store that pays for its value.
    pub fn hand_over(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        self.charged_bytes -= connection.charged_bytes;
        connection.charged_bytes = 0;
        self.cache.charge(self.charged_bytes as u64);
    }

    /// Brings up to date what CLIENT LIST tells of a connection's buffers, and what they are charged.
    pub fn observe(&mut self, index: u32) {
        let now_us = self.now.mono_us;
        let Some(connection) = self.connections.at(index) else { return };
        connection.rest(now_us);
        self.recharge(index);
        let Some(connection) = self.connections.at(index) else { return };
        let Some(client) = connection.client else { return };
        let wire = Wire {
            query_bytes: connection.assembler.held_bytes() + connection.backlog.len(),
            query_free_bytes: connection.backlog.capacity() - connection.backlog.len(),
            output_bytes: connection.unsent_bytes(),
            output_values: 0,
            output_value_bytes: 0,
            total_bytes: size_of::<Connection>() + connection.charged_bytes,
            received_bytes: connection.received_bytes,
            sent_bytes: connection.sent_bytes,
        };
        self.cache.session_mut(client).wire = wire;
    }

    /// Brings up to date what CLIENT LIST tells of all connections.
    #[cold]
    pub fn observe_all(&mut self) {
        for index in 0..self.connections.slot_count() {
            self.observe(index as u32);
        }
    }

    /// Ends what a connection may still do: once its replies are out, it is closed.
    pub fn drain(&mut self, index: u32) {
        let Some(connection) = self.connections.at(index) else { return };
        if connection.state == State::Open {
            connection.state = State::Draining;
        }
        self.mark_dirty(index);
    }

    /// Hands everything that is counted to the cache, for INFO; to be called every 100 ms.
    pub fn publish(&mut self, ring: RingUsage) {
        self.cache.facts_mut().tick = self.ticks.facts(ring, self.counters.buffer_shortages);
        self.publish_counters();
        self.cache.sample();
    }

    /// Hands the counters of connections and bytes to the cache.
    pub fn publish_counters(&mut self) {
        let counters = self.counters;
        let facts = self.cache.facts_mut();
        facts.clients_max = self.limits.clients_max as u64;
        facts.connections_received = counters.connections_accepted;
        facts.connections_rejected = counters.connections_refused;
        facts.net_input_bytes = counters.received_bytes;
        facts.net_output_bytes = counters.sent_bytes;
        facts.output_limit_disconnections = counters.output_limit_closes;
        facts.protocol_errors = counters.protocol_errors;
    }
}
