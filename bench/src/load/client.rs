//! The event loop of the load: one thread, many connections.
//!
//! Closed loop: every reply makes room for the next request of its connection. Open loop: requests leave when the
//! schedule says, on the connections in turn, whether or not earlier ones were answered; while it runs the loop does
//! not sleep, since a late wake-up would be charged to the server.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::answer::Answer;
use super::connection::Connection;
use super::pace::{Arrivals, Pace};
use super::protocol::Protocol;
use super::tally::Tally;
use super::target::Target;
use super::workload::{Generator, Order, Question, Workload};
use crate::clock::{Clock, Nanos, nanos};
use crate::cpu;

const READ_BYTES: usize = 256 * 1024;
const EVENTS_PER_POLL: usize = 1024;
/// Looks at the clock, the stop flag and the progress bar at least this often.
const POLL_MAX: Duration = Duration::from_millis(50);
/// How long replies are waited for once no more requests are sent.
const DRAIN_NS_MAX: Nanos = 10_000_000_000;
/// Open loop: requests under way over all connections; past it they leave late, and are charged for it.
const PENDING_MAX: u64 = 1 << 20;
/// Open loop: bursts sent between two looks at the sockets.
const BURSTS_PER_TURN: usize = 64;

/// A load to put on a server.
pub struct Load<'a> {
    /// The server.
    pub target: &'a Target,
    /// What it speaks.
    pub protocol: Protocol,
    /// Number of connections, at least 1.
    pub connections: usize,
    /// Closed loop: requests under way per connection. Open loop: requests per burst. At least 1.
    pub pipeline: u32,
    /// The requests.
    pub workload: &'a Workload,
    /// Their order.
    pub order: Order,
    /// When they leave.
    pub pacing: Pacing,
    /// When it ends.
    pub until: Until,
    /// Whether values are compared with what was written.
    pub verifies: bool,
    /// The server's process, if its CPU time is wanted.
    pub pid: Option<u32>,
}

/// When requests leave.
#[derive(Clone, Copy, Debug)]
pub enum Pacing {
    /// When an earlier one is answered.
    Closed,
    /// On a schedule.
    Open {
        /// Requests per second.
        rate: f64,
        /// Gaps between them.
        arrivals: Arrivals,
    },
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// After so much time.
    Elapsed(Duration),
}

/// What a run gave.
pub struct Outcome {
    /// Counts and latencies.
    pub tally: Tally,
    /// From the first request to the last reply.
    pub elapsed_ns: Nanos,
    /// CPU time that the server's process used meanwhile.
    pub server_cpu_ns: Option<u64>,
    /// Keys that every read asked for.
    pub keys_per_get: u32,
}

/// Told now and then how far a run is, from 0 to 1.
pub type OnProgress<'a> = &'a dyn Fn(f64);

/// Runs `load` to its end, or until `stop` is set.
pub fn drive(load: &Load<'_>, on_progress: OnProgress<'_>, stop: &AtomicBool) -> io::Result<Outcome> {
    let mut client = Client::connect(load)?;
    let cpu_before = load.pid.map(cpu::process_ns).transpose()?;
    let clock = Clock::start();
    client.run(load, &clock, on_progress, stop)?;
    let elapsed_ns = clock.now();
    let cpu_after = load.pid.map(cpu::process_ns).transpose()?;
    let server_cpu_ns = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Outcome { tally: client.tally, elapsed_ns, server_cpu_ns, keys_per_get: load.workload.keys_per_get })
}

struct Client {
    poll: Poll,
    /// A connection that broke is taken out.
    connections: Vec<Option<Connection>>,
    next_connection: usize,
    protocol: Protocol,
    generator: Generator,
    verifies: bool,
    tally: Tally,
    buffer: Box<[u8]>,
    /// Requests that may still be asked; `u64::MAX` when time is the limit, 0 once that is over.
    budget: u64,
    pending: u64,
}

impl Client {
    fn connect(load: &Load<'_>) -> io::Result<Client> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            let context = |e: io::Error| io::Error::new(e.kind(), format!("cannot connect to {}: {e}", load.target));
            let mut connection = Connection::open(load.target).map_err(context)?;
            connection.register(poll.registry(), Token(number))?;
            connections.push(Some(connection));
        }
        Ok(Client {
            poll,
            connections,
            next_connection: 0,
            protocol: load.protocol,
            generator: Generator::new(load.workload, load.protocol, load.order),
            verifies: load.verifies,
            tally: Tally::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            budget: match load.until {
                Until::Requests(count) => count,
                Until::Elapsed(_) => u64::MAX,
            },
            pending: 0,
        })
    }

    fn run(
        &mut self,
        load: &Load<'_>,
        clock: &Clock,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let deadline = match load.until {
            Until::Requests(_) => Nanos::MAX,
            Until::Elapsed(duration) => nanos(duration),
        };
        let (mut pace, refill) = match load.pacing {
            Pacing::Closed => (None, load.pipeline),
            Pacing::Open { rate, arrivals } => {
                (Some(Pace::new(rate, load.pipeline, arrivals, 0, load.workload.seed)), 0)
            }
        };
        for slot in 0..self.connections.len() {
            self.ask(slot, refill, clock.now());
        }
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        let mut drain_until = Nanos::MAX;
        let mut next_look = 0;
        loop {
            let now = clock.now();
            if now >= next_look {
                next_look = now + nanos(POLL_MAX);
                on_progress(progress(load.until, now, self.tally.answered()));
                if now >= deadline || stop.load(Ordering::Relaxed) {
                    self.budget = 0;
                }
            }
            if self.budget == 0 && drain_until == Nanos::MAX {
                drain_until = now + DRAIN_NS_MAX;
            }
            if self.budget == 0 && (self.pending == 0 || now >= drain_until) {
                self.tally.lost += self.pending;
                return Ok(());
            }
            if let Some(pace) = &mut pace {
                self.send_due(pace, load.pipeline, clock);
            }
            let timeout = if pace.is_some() && self.budget > 0 { Duration::ZERO } else { POLL_MAX };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                let Token(slot) = event.token();
                self.serve(slot, event.is_readable(), pace.is_none(), clock)?;
            }
        }
    }

    /// Asks up to `count` requests on one connection and sends them.
    fn ask(&mut self, slot: usize, count: u32, since: Nanos) {
        let count = u64::from(count).min(self.budget);
        let Some(connection) = &mut self.connections[slot] else { return };
        for _ in 0..count {
            connection.ask(since, |out, keys| self.generator.write(out, keys));
        }
        if self.budget != u64::MAX {
            self.budget -= count;
        }
        self.pending += count;
        if let Err(e) = connection.flush() {
            self.drop_connection(slot, &e.to_string());
        }
    }

    fn send_due(&mut self, pace: &mut Pace, burst: u32, clock: &Clock) {
        for _ in 0..BURSTS_PER_TURN {
            if self.budget == 0 || self.pending >= PENDING_MAX {
                return;
            }
            let now = clock.now();
            let Some(due) = pace.take_due(now) else { return };
            self.tally.lag_ns.saturating_record(now - due);
            let slot = self.next_connection % self.connections.len();
            self.next_connection += 1;
            self.ask(slot, burst, due);
        }
    }

    /// Reads everything that has arrived on one connection.
    fn serve(&mut self, slot: usize, is_readable: bool, refills: bool, clock: &Clock) -> io::Result<()> {
        loop {
            let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
            let flushed = connection.flush();
            let read =
                match flushed.and_then(|()| if is_readable { connection.read(&mut self.buffer) } else { Ok(None) }) {
                    Ok(Some(0)) => return self.lose(slot, "connection closed by the server"),
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => return Ok(()),
                    Err(e) => return self.lose(slot, &e.to_string()),
                };
            let now = clock.now();
            let (tally, generator, verifies) = (&mut self.tally, &mut self.generator, self.verifies);
            let mut replies: u32 = 0;
            let received = connection.receive(self.protocol, &self.buffer[..read], |pending, keys, answer| {
                replies += 1;
                let latency = now.saturating_sub(pending.since);
                match (pending.question, answer) {
                    (Question::GetMany { .. }, Answer::Items(items)) => {
                        tally.count_many(generator.judge(keys.copied(), &items, verifies), latency);
                    }
                    (Question::GetMany { .. } | Question::Set { .. }, answer) => {
                        tally.count(pending.question, answer, latency, |_| false);
                    }
                    (Question::Get { key }, answer) => {
                        let is_right = |value: &[u8]| !verifies || generator.is_right(key, value);
                        tally.count(pending.question, answer, latency, is_right);
                    }
                }
            });
            self.pending -= u64::from(replies);
            if received.is_err() {
                return self.lose(slot, "reply outside the protocol");
            }
            if refills {
                self.ask(slot, replies, now);
            }
            // A short read has emptied the socket; the next bytes raise a new event.
            if read < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Counts a broken connection; an error once none is left.
    fn lose(&mut self, slot: usize, why: &str) -> io::Result<()> {
        self.drop_connection(slot, why);
        if self.connections.iter().all(Option::is_none) {
            return Err(io::Error::other(format!("every connection is lost; the last one: {why}")));
        }
        Ok(())
    }

    #[cold]
    fn drop_connection(&mut self, slot: usize, why: &str) {
        if let Some(connection) = self.connections[slot].take() {
            let lost = connection.pending_count() as u64;
            self.pending -= lost;
            self.tally.lost += lost;
            *self.tally.errors.entry(why.to_owned()).or_default() += 1;
        }
    }
}

fn progress(until: Until, now: Nanos, answered: u64) -> f64 {
    let (part, whole) = match until {
        Until::Requests(count) => (answered as f64, count as f64),
        Until::Elapsed(duration) => (now as f64, nanos(duration) as f64),
    };
    (part / whole.max(1.0)).min(1.0)
}
