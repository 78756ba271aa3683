//! One core's loop, a tick at a time: what arrived is parsed, executed in batches, answered.
//!
//! ```text
//! enter -> reap -> accept, note what ended -> parse + execute what arrived -> backlogs -> long commands
//!       -> maintain (expire, reclaim, a bounded amount) -> settle touched connections (send, receive, close) -> enter
//! ```
//!
//! Invariants
//! - One `enter` per tick: it submits the last tick's sends and collects what came meanwhile.
//! - The time of a tick is read once, after `enter`; a second reading at its end is for statistics alone.
//! - Received pieces are recycled in the tick in which they were reaped, after the last request that borrows from them.
//! - Every connection that was touched is settled before the next `enter`.
//!
//! Absent on purpose: threads, files, signals, and which ring this is. The simulator runs this code as it stands.

use std::io;
use std::time::Duration;

use protocol::Protocol;
use uring::{Chunk, Completion, Errno, Event, Op, Outgoing, Ring, Socket, Token, Wait};

use crate::accept;
use crate::batch::BatchStorage;
use crate::clock::Clock;
use crate::connection::{Receiving, State};
use crate::input;
use crate::jobs;
use crate::lifecycle;
use crate::node::Node;

/// Completions that one tick handles; the rest waits in the ring. Bounds a tick at about a millisecond.
const COMPLETIONS_PER_TICK_MAX: usize = 1024;

/// Slots from here on are listeners, not connections.
const LISTENER_SLOT_BASE: u32 = 1 << 31;

/// How often the connections' limits on time are looked at.
const SWEEP_EVERY_US: u64 = 100_000;
/// A sweep looks at one in this many connections, so each is looked at once per second.
const SWEEP_SHARE: usize = 10;
/// The longest sleep: a lost wake-up is a blip.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long replies may take to leave when the server stops.
const DRAIN_US_MAX: u64 = 5_000_000;

/// A listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The socket, listening already.
    pub socket: Socket,
    /// Its address, for CLIENT LIST.
    pub address: String,
    /// What its clients speak.
    pub protocol: Protocol,
}

struct ListenerState {
    listener: Listener,
    accepting: Accepting,
}

/// The accept of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// None in flight; the next tick starts one.
    Off,
    /// One is in flight.
    On,
    /// It failed, for want of descriptors for example: the next sweep tries again, not the next tick.
    Failed,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do at once.
    Busy,
    /// Nothing is to be done until something arrives or this much time has passed.
    Idle(Duration),
    /// The drain is complete: every reply is out or its client is gone.
    Drained,
}

/// One core's loop.
pub struct Reactor<R, C> {
    ring: R,
    clock: C,
    node: Node,
    listeners: Vec<ListenerState>,
    completions: Vec<Completion>,
    arrivals: Vec<(u32, Chunk)>,
    storage: BatchStorage,
    swept_us: u64,
    sweep_from: usize,
    drain_until_us: Option<u64>,
    /// The last tick settled a connection, so operations may wait for the next `enter`.
    settled: bool,
    /// When the last tick ended, in monotonic microseconds.
    ended_us: u64,
    /// When upkeep last ran.
    maintained_ms: u64,
    /// It had more to do.
    maintain_more: bool,
}

impl<R: Ring, C: Clock> Reactor<R, C> {
    /// A loop that has not begun. It accepts from the first tick on.
    pub fn new(ring: R, clock: C, node: Node, listeners: Vec<Listener>) -> Reactor<R, C> {
        Reactor {
            ring,
            clock,
            node,
            listeners: listeners
                .into_iter()
                .map(|listener| ListenerState { listener, accepting: Accepting::Off })
                .collect(),
            completions: Vec::with_capacity(COMPLETIONS_PER_TICK_MAX),
            arrivals: Vec::with_capacity(COMPLETIONS_PER_TICK_MAX),
            storage: BatchStorage::default(),
            swept_us: 0,
            sweep_from: 0,
            drain_until_us: None,
            settled: false,
            ended_us: 0,
            maintained_ms: 0,
            maintain_more: false,
        }
    }

    /// The state behind the loop.
    pub fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// The ring.
    pub fn ring(&mut self) -> &mut R {
        &mut self.ring
    }

    /// True if a tick would find something to do. Reads user memory only.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.ring.is_ready()
    }

    /// True if operations may wait for the next tick to submit them: then it is no time to spin.
    #[inline]
    pub fn has_submissions(&self) -> bool {
        self.settled
    }

    /// When the last tick ended, in monotonic microseconds: the spin after it needs no reading of its own.
    pub fn ended_us(&self) -> u64 {
        self.ended_us
    }

    /// The clock, for the spin between ticks.
    pub fn clock(&mut self) -> &mut C {
        &mut self.clock
    }

    /// Runs one tick; sleeps in it only as `wait` allows.
    ///
    /// # Errors
    /// The ring is broken; nothing can be served any more.
    pub fn tick(&mut self, wait: Wait) -> io::Result<Progress> {
        self.accept_again();
        self.ring.enter(wait)?;
        self.node.now = self.clock.now();
        self.node.tick += 1;
        self.node.cache.begin_tick(self.node.now);
        self.reap();
        let buffers_used = self.arrivals.len();
        self.serve_arrivals();
        self.serve_run_list();
        jobs::run(&mut self.node);
        self.maintain();
        self.sweep();
        if !self.node.lingering.is_empty() {
            lifecycle::end_lingering(&mut self.node, &mut self.ring);
        }
        self.settle();
        self.ended_us = self.clock.now().mono_us;
        self.node.ticks.ticked(self.ended_us - self.node.now.mono_us, buffers_used);
        Ok(self.progress())
    }

    /// Expiry, reclaim and lazy frees: once per millisecond, the precision of deadlines, or each tick while work is
    /// left.
    #[inline]
    fn maintain(&mut self) {
        let now_ms = self.node.now.unix_ms;
        if self.maintain_more || self.maintained_ms != now_ms {
            self.maintained_ms = now_ms;
            self.maintain_more = self.node.cache.maintain();
        }
    }

    /// Stops accepting; what is owed goes out, then every connection is closed and `tick` says `Drained`.
    pub fn begin_drain(&mut self) {
        if self.drain_until_us.is_some() {
            return;
        }
        self.node.stopping = true;
        self.drain_until_us = Some(self.node.now.mono_us + DRAIN_US_MAX);
        for (index, state) in self.listeners.iter().enumerate() {
            if state.accepting == Accepting::On {
                self.ring.push(listener_token(index), Op::Cancel);
            }
        }
        for index in 0..self.node.connections.slot_count() {
            if let Some(connection) = self.node.connections.at(slot_number(index)) {
                // What it waits for may never come.
                connection.is_doomed = connection.is_parked;
            }
            self.node.drain(slot_number(index));
        }
        self.settle();
    }

    fn accept_again(&mut self) {
        if self.drain_until_us.is_some() {
            return;
        }
        for (index, state) in self.listeners.iter_mut().enumerate() {
            if state.accepting == Accepting::Off {
                state.accepting = Accepting::On;
                self.ring.push(listener_token(index), Op::Accept { listener: state.listener.socket });
            }
        }
    }

    fn reap(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions, COMPLETIONS_PER_TICK_MAX);
        for Completion { token, event } in completions.drain(..) {
            match event {
                Event::Received { result, more } => self.received(token, result, more),
                Event::Sent { out, result } => self.sent(token, out, result),
                Event::Accepted { result, more } => self.accepted(token, result, more),
                Event::Filled { into, got } => self.filled(token, into, got),
            }
        }
        self.completions = completions;
    }

    #[inline]
    fn received(&mut self, token: Token, result: Result<Option<Chunk>, Errno>, more: bool) {
        let Some(connection) = self.node.connections.of(token) else {
            if let Ok(Some(chunk)) = result {
                self.ring.recycle(chunk);
            }
            return;
        };
        if !more {
            connection.receiving = Receiving::Off;
            self.node.mark_dirty(token.slot);
        }
        match result {
            Ok(Some(chunk)) => {
                self.node.counters.received_bytes += u64::from(chunk.len);
                self.arrivals.push((token.slot, chunk));
            }
            Ok(None) => self.peer_ended(token.slot),
            Err(error) => self.receive_failed(token.slot, error),
        }
    }

    #[cold]
    fn peer_ended(&mut self, index: u32) {
        if let Some(connection) = self.node.connections.at(index) {
            connection.peer_ended = true;
        }
        self.node.mark_dirty(index);
    }

    #[cold]
    fn receive_failed(&mut self, index: u32, error: Errno) {
        match error {
            // The receive starts again when the connection is settled, after this tick's pieces are recycled.
            Errno::NO_BUFFERS => self.node.counters.buffer_shortages += 1,
            Errno::CANCELED | Errno::INTERRUPTED | Errno::AGAIN => {}
            _ => {
                if let Some(connection) = self.node.connections.at(index) {
                    lifecycle::begin_close(&mut self.ring, connection);
                }
            }
        }
        self.node.mark_dirty(index);
    }

    fn filled(&mut self, token: Token, into: bytes::BytesMut, got: Result<usize, Errno>) {
        let Some(connection) = self.node.connections.of(token) else { return };
        connection.receiving = Receiving::Off;
        connection.assembler.put_filling(into);
        connection.active_us = self.node.now.mono_us;
        match got {
            Ok(0) => self.peer_ended(token.slot),
            Ok(count) => {
                self.node.counters.received_bytes += count as u64;
                connection.received_bytes += count as u64;
            }
            Err(error) => self.receive_failed(token.slot, error),
        }
        self.node.recharge(token.slot);
        self.node.mark_dirty(token.slot);
    }

    #[inline]
    fn sent(&mut self, token: Token, out: Outgoing, result: Result<usize, Errno>) {
        let Some(connection) = self.node.connections.of(token) else { return };
        match result {
            Ok(count) => {
                self.node.counters.sent_bytes += count as u64;
                connection.sent_bytes += count as u64;
                connection.progress_us = self.node.now.mono_us;
                if out.sent < out.len() && connection.state != State::Closing {
                    connection.sending = Some(out.len() - out.sent);
                    self.ring.push(token, Op::Send { socket: connection.socket, out });
                    self.node.mark_dirty(token.slot);
                    return;
                }
                connection.sending = None;
                connection.sending_held_bytes = 0;
                connection.replies.give_back(out);
                if !connection.replies.is_ready() {
                    // It has read all: it reads.
                    connection.patience = 0;
                }
                // A connection that only waits for its next request needs no look.
                if connection.state != State::Open || connection.paused || connection.replies.is_ready() {
                    self.node.mark_dirty(token.slot);
                }
            }
            Err(_) => {
                connection.sending = None;
                connection.sending_held_bytes = 0;
                lifecycle::begin_close(&mut self.ring, connection);
                self.node.mark_dirty(token.slot);
            }
        }
    }

    #[cold]
    fn accepted(&mut self, token: Token, result: Result<Socket, Errno>, more: bool) {
        let index = (token.slot - LISTENER_SLOT_BASE) as usize;
        if !more {
            self.listeners[index].accepting = if result.is_ok() { Accepting::Off } else { Accepting::Failed };
        }
        match result {
            Ok(socket) if self.drain_until_us.is_none() => {
                accept::admit(&mut self.node, &mut self.ring, socket, &self.listeners[index].listener);
            }
            Ok(socket) => self.ring.close(socket),
            Err(Errno::CANCELED) => {}
            Err(_) => self.node.counters.accept_errors += 1,
        }
    }

    fn serve_arrivals(&mut self) {
        if self.arrivals.is_empty() {
            return;
        }
        let mut batch = self.storage.lend();
        for (index, chunk) in &self.arrivals {
            input::arrived(&mut self.node, &mut batch, *index, self.ring.chunk(chunk));
        }
        batch.run(&mut self.node);
        self.storage.give_back(batch);
        for (_, chunk) in self.arrivals.drain(..) {
            self.ring.recycle(chunk);
        }
    }

    fn serve_run_list(&mut self) {
        // Those that are put back in this tick wait for the next one.
        for _ in 0..self.node.run_list.len() {
            let Some(index) = self.node.run_list.pop_front() else { return };
            input::resume_backlog(&mut self.node, index);
            self.node.mark_dirty(index);
        }
    }

    fn settle(&mut self) {
        let mut dirty = std::mem::take(&mut self.node.dirty);
        self.settled = !dirty.is_empty();
        for index in dirty.drain(..) {
            lifecycle::settle(&mut self.node, &mut self.ring, index);
        }
        // Settling marks nothing dirty, so the list that gathered meanwhile is empty.
        debug_assert!(self.node.dirty.is_empty());
        self.node.dirty = dirty;
        self.node.cache.charge(self.node.charged_bytes as u64);
    }

    /// Looks at the limits on time of a share of the connections, and revives listeners that had failed.
    fn sweep(&mut self) {
        let now_us = self.node.now.mono_us;
        if now_us - self.swept_us < SWEEP_EVERY_US {
            return;
        }
        self.swept_us = now_us;
        for state in &mut self.listeners {
            if state.accepting == Accepting::Failed {
                state.accepting = Accepting::Off;
            }
        }
        let count = self.node.connections.slot_count();
        let share = count.div_ceil(SWEEP_SHARE);
        for _ in 0..share {
            if self.sweep_from >= count {
                self.sweep_from = 0;
            }
            lifecycle::enforce_time_limits(&mut self.node, &mut self.ring, slot_number(self.sweep_from));
            self.sweep_from += 1;
        }
        self.node.publish(self.ring.usage());
    }

    fn progress(&self) -> Progress {
        if let Some(until_us) = self.drain_until_us
            && (self.node.connections.is_empty() || self.node.now.mono_us >= until_us)
        {
            return Progress::Drained;
        }
        // A job may have woken others that had run before it.
        let has_jobs = !self.node.jobs.is_empty() || self.node.wakes_seen != self.node.cache.wakes();
        if self.maintain_more || !self.node.run_list.is_empty() || has_jobs {
            return Progress::Busy;
        }
        let until_deadline = match self.node.cache.next_deadline_ms() {
            Some(deadline_ms) => Duration::from_millis(deadline_ms.saturating_sub(self.node.now.unix_ms)),
            None => SLEEP_MAX,
        };
        let until_wake = match self.node.cache.wake_at_us() {
            Some(us) => Duration::from_micros(us.saturating_sub(self.node.now.mono_us)),
            None => SLEEP_MAX,
        };
        let until_deadline = until_deadline.min(until_wake);
        if until_deadline.is_zero() { Progress::Busy } else { Progress::Idle(until_deadline.min(SLEEP_MAX)) }
    }
}

fn listener_token(index: usize) -> Token {
    Token { slot: LISTENER_SLOT_BASE + slot_number(index), generation: 0 }
}

fn slot_number(index: usize) -> u32 {
    u32::try_from(index).expect("tables hold far fewer than 2^32 slots")
}
