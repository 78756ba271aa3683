//! Simulation: one seed, from the first connection to the last buffer at home.
//!
//! ```text
//! storm: clients act -> time passes -> tick -> observe -> judge    (faults as the weather has it)
//! calm:  the same without faults, until everything asked is answered; then one client reads every key again
//! end:   all clients leave, the server drains: nothing is open, in flight, charged or lent
//! ```
//!
//! Invariants
//! - Everything that happens follows from the seed: two runs of a seed are the same to the byte.

mod observe;

use std::collections::BTreeSet;

use cache::{Cache, CacheOptions, Holdings, shard_count};
use protocol::Protocol;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use server::node::{Counters, Node};
use server::reactor::{Listener, Progress, Reactor};
use uring::{Socket, Wait};

use crate::client::Client;
use crate::command::{Command, Key, Touch};
use crate::habits::Habits;
use crate::model::Rules;
use crate::network::LinkId;
use crate::oracle::Oracle;
use crate::ring::SimRing;
use crate::sightings::Sightings;
use crate::terms::Terms;
use crate::time::{self, SimClock, VirtualTime};
use crate::trace;
use crate::weather::{CALM_WINDOW_BYTES, Weather};
use crate::workload::{self, Workload};

/// Ticks of storm, unless told otherwise.
pub const STEPS_DEFAULT: u64 = 2_000;
/// Ticks without any movement, while somebody waits, after which the server is stuck.
const STILL_TICKS_MAX: u64 = 3_000;
/// Ticks in which everything must have come to its end once the storm is over.
const CALM_TICKS_MAX: u64 = 400_000;
/// Databases with fewer keys are audited key by key too.
const AUDITED_SINGLY_MAX: usize = 100;
/// Keys that the audit reads together.
const AUDITED_TOGETHER_MAX: usize = 50;
/// The wall clock is set by at most this much at a time.
const CLOCK_STEP_MS_MAX: i64 = 20_000;
/// Memory of the simulated host, in bytes.
const HOST_MEMORY_BYTES: u64 = 1 << 30;
/// Listeners: TCP and unix, and memcached's.
const LISTENERS: [(&str, Protocol); 3] =
    [("127.0.0.1:6379", Protocol::Resp), ("/unixsocket:0", Protocol::Resp), ("127.0.0.1:11211", Protocol::Memcache)];

/// What a seed showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Ticks of the reactor.
    pub ticks: u64,
    /// Commands that were judged.
    pub commands: u64,
    /// Connections.
    pub connections: u64,
    /// Reply bytes that reached clients.
    pub reply_bytes: u64,
    /// A digest of all replies: two runs of a seed agree in it.
    pub digest: u64,
    /// The rare things that happened.
    pub seen: Sightings,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.ticks += other.ticks;
        self.commands += other.commands;
        self.connections += other.connections;
        self.reply_bytes += other.reply_bytes;
        self.digest = self.digest.rotate_left(1) ^ other.digest;
        self.seen += other.seen;
    }
}

/// A breach of what the server promises.
#[derive(Clone, Debug)]
pub struct Violation(pub String);

/// A seed's world.
pub struct Simulation {
    reactor: Reactor<SimRing, SimClock>,
    terms: Terms,
    time: VirtualTime,
    rng: StdRng,
    clients: Vec<Client>,
    oracle: Oracle,
    summary: Summary,
    /// What the reactor said last.
    progress: Progress,
    /// When the server was told to stop, in microseconds.
    drained_from_us: Option<u64>,
    /// What the server had counted when the last tick ended.
    counters: Counters,
    /// Connections that it had then.
    connection_count: usize,
    still_since_tick: u64,
    moves_then: u64,
    /// When the server wanted to be woken when the last tick ended, in microseconds.
    wake_at_us: Option<u64>,
    /// Connections whose command waited then.
    parked: BTreeSet<LinkId>,
}

/// Runs a seed for `steps` ticks of storm.
///
/// # Errors
/// What the server did wrong; the trace of this thread has the last lines before it.
pub fn run(seed: u64, steps: u64, verbose: bool) -> Result<Summary, Violation> {
    trace::begin(seed, verbose);
    let mut simulation = Simulation::new(seed);
    let outcome = simulation.run(steps);
    match outcome {
        Ok(()) => Ok(simulation.summary),
        Err(what) => {
            trace::line(|| format!("VIOLATION in tick {}: {what}", simulation.summary.ticks));
            Err(Violation(what))
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut rng = StdRng::seed_from_u64(seed);
        let terms = Terms::random(&mut rng);
        let weather = Weather::of(rng.random());
        trace::line(|| format!("{terms:?}"));
        trace::line(|| format!("{weather:?}"));
        let time = VirtualTime::default();
        // The clock never shows 0 ticks: a server has been up for a moment when the first client comes.
        time.pass(1_000_000);
        let options = CacheOptions {
            seed: rng.random(),
            shard_count: shard_count(1),
            host_memory_bytes: HOST_MEMORY_BYTES,
            config: Box::new(terms.clone()),
            stopwatch: time::stopwatch,
        };
        let cache = Cache::new(options).expect("the host has memory");
        let node = Node::new(cache, terms.connection_limits());
        let ring = SimRing::new(rng.random(), weather.clone(), time.clone(), LISTENERS.len());
        let listener = |(number, (address, protocol)): (usize, &(&str, Protocol))| Listener {
            socket: Socket(i32::try_from(number).expect("few listeners")),
            address: (*address).to_owned(),
            protocol: *protocol,
        };
        let listeners = LISTENERS.iter().enumerate().map(listener).collect();
        let filler = workload::filler(&mut rng, terms.large_bytes_max);
        let password = terms.password;
        let clients = (0..terms.clients)
            .map(|number| {
                let habits = Habits::random(&mut rng, &weather);
                let workload = Workload::new(number, filler.clone(), &terms);
                Client::new(number, habits, workload, password)
            })
            .collect();
        Simulation {
            reactor: Reactor::new(ring, SimClock(time.clone()), node, listeners),
            terms,
            time,
            rng,
            clients,
            oracle: Oracle::default(),
            summary: Summary::default(),
            progress: Progress::Busy,
            drained_from_us: None,
            counters: Counters::default(),
            connection_count: 0,
            still_since_tick: 0,
            moves_then: 0,
            wake_at_us: None,
            parked: BTreeSet::new(),
        }
    }

    fn run(&mut self, steps: u64) -> Result<(), String> {
        while self.summary.ticks < steps {
            self.step()?;
        }
        if self.terms.drains_busy {
            self.summary.seen.busy_drains += 1;
            self.calm();
        } else {
            self.answer_everything()?;
            self.audit()?;
        }
        self.end()?;
        self.summary.commands = self.oracle.judged;
        let links = self.reactor.ring().network.links();
        self.summary.connections = links.len() as u64;
        self.summary.seen.half_closes += links.iter().filter(|link| link.client_ended).count() as u64;
        self.summary.seen += self.reactor.ring().seen;
        let counters = self.reactor.node().counters;
        self.summary.seen.add_counters(&counters);
        self.summary.seen.add_usage(&self.reactor.node().cache.usage());
        Ok(())
    }

    /// Clients act, time passes, the server ticks, and all that it did is judged.
    fn step(&mut self) -> Result<(), String> {
        let SimRing { network, weather, .. } = self.reactor.ring();
        let mut order: Vec<usize> = (0..self.clients.len()).collect();
        order.shuffle(&mut self.rng);
        for index in order {
            self.clients[index].step(&mut self.rng, network, weather);
        }
        if self.rng.random_bool(weather.clock_steps) {
            let step_ms = self.rng.random_range(-CLOCK_STEP_MS_MAX..=CLOCK_STEP_MS_MAX);
            trace::line(|| format!("the wall clock is set by {step_ms} ms"));
            self.time.step_wall_clock(step_ms);
            self.summary.seen.clock_steps += 1;
        }
        let pause = self.rng.random_bool(weather.pause);
        self.time.pass(self.rng.random_range(0..=if pause { weather.pause_us } else { weather.tick_us }));
        self.tick()
    }

    fn tick(&mut self) -> Result<(), String> {
        let wait = match self.progress {
            Progress::Idle(limit) if self.rng.random_bool(0.8) => Wait::AtMost(limit),
            Progress::Idle(_) | Progress::Busy | Progress::Drained => Wait::No,
        };
        let was_idle = matches!(self.progress, Progress::Idle(_));
        self.summary.ticks += 1;
        trace::line(|| format!("tick {} at {} us {wait:?}", self.summary.ticks, self.time.us()));
        self.progress = self.reactor.tick(wait).map_err(|error| format!("the tick failed: {error}"))?;
        let tally = self.reactor.ring().take_tally();
        let counters = self.reactor.node().counters;
        let has_let_go = counters.output_patience > self.counters.output_patience;
        let has_probed = counters.probes > self.counters.probes;
        let was_woken = std::mem::replace(&mut self.wake_at_us, self.reactor.node().cache.wake_at_us());
        let was_woken = was_woken.is_some_and(|us| us <= self.time.us());
        if was_idle && tally.reaped == 0 && tally.started > 0 && !has_let_go && !has_probed && !was_woken {
            return Err(
                "it said that it had nothing to do, and then did something that nobody had asked for".to_owned()
            );
        }
        self.observe()?;
        let rules = Rules {
            now_ms: self.time.now().unix_ms,
            now_us: self.time.us(),
            evicts: self.terms.evicts(),
            refuses: self.terms.refuses(),
            limits_replies: self.terms.unsent_hard_bytes.is_some(),
        };
        self.oracle.end_tick(self.summary.ticks, rules)?;
        if let Some(breach) = self.reactor.ring().breach.take() {
            return Err(format!("a breach of the ring's invariants: {breach}"));
        }
        self.check_liveness()
    }

    fn check_liveness(&mut self) -> Result<(), String> {
        let network = &self.reactor.ring().network;
        let waiting = self.clients.iter_mut().any(|client| !client.is_done(network));
        if !waiting || network.moves != self.moves_then {
            self.moves_then = network.moves;
            self.still_since_tick = self.summary.ticks;
        }
        if self.summary.ticks - self.still_since_tick > STILL_TICKS_MAX {
            return Err(format!("stuck: nothing has moved since tick {}", self.still_since_tick));
        }
        Ok(())
    }

    /// No faults any more.
    fn calm(&mut self) {
        trace::line(|| "the storm is over".to_owned());
        let SimRing { network, weather, .. } = self.reactor.ring();
        weather.calm();
        network.widen(CALM_WINDOW_BYTES);
        self.clients.iter_mut().for_each(Client::calm);
    }

    /// Everything that was asked must be answered.
    fn answer_everything(&mut self) -> Result<(), String> {
        self.calm();
        self.until("everything is answered", |simulation| {
            let network = &simulation.reactor.ring().network;
            simulation.clients.iter_mut().all(|client| client.is_done(network))
        })
    }

    fn until(&mut self, goal: &str, is_reached: impl Fn(&mut Simulation) -> bool) -> Result<(), String> {
        let last_tick = self.summary.ticks + CALM_TICKS_MAX;
        while !is_reached(self) {
            if self.summary.ticks >= last_tick {
                return Err(format!("{goal}: not within {CALM_TICKS_MAX} calm ticks"));
            }
            self.step()?;
        }
        Ok(())
    }

    /// All leave; then one new client reads every key again.
    fn audit(&mut self) -> Result<(), String> {
        let network = &mut self.reactor.ring().network;
        for client in &mut self.clients {
            client.leave(&mut self.rng, network);
        }
        self.until("all clients are gone", |simulation| simulation.reactor.ring().network.open_count() == 0)?;
        self.check_nothing_is_held()?;
        let charged = self.reactor.node().charged_bytes;
        if charged != 0 {
            return Err(format!("{charged} bytes are charged for connections, of which there are none"));
        }
        // The audit asks for everything at once.
        let limits = &mut self.reactor.node().limits;
        (limits.unsent_hard_bytes, limits.unsent_soft_bytes, limits.idle) = (None, None, None);
        let mut script = Vec::new();
        for db in 0..16 {
            let names = self.oracle.names(db);
            script.push(Command::Select(db));
            script.push(Command::Keys(db));
            let keys: Vec<Key> = names.into_iter().map(|name| Key { db, name }).collect();
            if keys.len() < AUDITED_SINGLY_MAX {
                script.extend(keys.iter().cloned().map(|key| Command::One(key, Touch::TtlMillis)));
            }
            script.extend(keys.chunks(AUDITED_TOGETHER_MAX).map(|keys| Command::Mget(keys.to_vec())));
            script.push(Command::Size(db));
            script.push(Command::Flush(db));
            script.push(Command::Size(db));
        }
        trace::line(|| format!("an audit of {} commands", script.len()));
        let number = self.clients.len();
        let habits = Habits::auditor();
        let filler = workload::filler(&mut self.rng, self.terms.large_bytes_max);
        let workload = Workload::new(number, filler, &self.terms);
        let password = self.terms.password;
        let mut auditor = Client::new(number, habits, workload, password).with_script(script);
        auditor.calm();
        self.clients.push(auditor);
        self.until("the audit is over", |simulation| {
            let network = &simulation.reactor.ring().network;
            simulation.clients.iter_mut().all(|client| client.is_done(network))
        })?;
        self.until("the memory of what was flushed is free", |simulation| {
            let usage = simulation.reactor.node().cache.usage();
            usage.live_bytes == 0 && usage.heap_bytes == 0
        })
    }

    /// Without clients nothing may be held for one.
    fn check_nothing_is_held(&mut self) -> Result<(), String> {
        let node = self.reactor.node();
        let (holdings, parked) = (node.cache.holdings(), node.parked.len());
        if holdings != Holdings::default() || parked != 0 {
            return Err(format!("nobody is connected, and there is left: {holdings:?}, {parked} parked"));
        }
        Ok(())
    }

    /// The server drains: everything must come home.
    fn end(&mut self) -> Result<(), String> {
        trace::line(|| "the server drains".to_owned());
        self.drained_from_us = Some(self.time.us());
        self.reactor.begin_drain();
        self.until("the drain", |simulation| simulation.progress == Progress::Drained)?;
        let node = self.reactor.node();
        if !node.connections.is_empty() {
            return Err("drained, and connections are left".to_owned());
        }
        if node.cache.client_count() != 0 {
            return Err(format!("{} sessions without a connection", node.cache.client_count()));
        }
        if node.charged_bytes != 0 {
            return Err(format!("{} bytes are charged for connections, of which there are none", node.charged_bytes));
        }
        self.check_nothing_is_held()?;
        let leaks = self.reactor.ring().leaks();
        if !leaks.is_empty() {
            return Err(format!("leaks: {}", leaks.join("; ")));
        }
        Ok(())
    }
}
