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

use cache::{Cache, CacheOptions, shard_count};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use server::connection::State;
use server::node::Node;
use server::reactor::{Listener, Progress, Reactor};
use uring::{Socket, Wait};

use crate::client::Client;
use crate::command::{Command, Key, Touch};
use crate::conversation::{Conversation, LastWords};
use crate::habits::Habits;
use crate::model::Rules;
use crate::network::Network;
use crate::oracle::Oracle;
use crate::ring::SimRing;
use crate::terms::Terms;
use crate::time::{SimClock, VirtualTime};
use crate::trace;
use crate::wire;
use crate::weather::Weather;
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
/// Memory of the simulated host, in bytes.
const HOST_MEMORY_BYTES: u64 = 1 << 30;
/// Listeners: TCP and unix.
const LISTENERS: [&str; 2] = ["127.0.0.1:6379", "/unixsocket:0"];

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
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.ticks += other.ticks;
        self.commands += other.commands;
        self.connections += other.connections;
        self.reply_bytes += other.reply_bytes;
        self.digest = self.digest.rotate_left(1) ^ other.digest;
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
    /// Nobody needs an excuse any more: the server stops.
    is_draining: bool,
    /// Closes that the server's counters account for, so far.
    excuses_used: u64,
    still_since_tick: u64,
    moves_then: u64,
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
        };
        let cache = Cache::new(options).expect("the host has memory");
        let node = Node::new(cache, terms.connection_limits());
        let ring = SimRing::new(rng.random(), weather.clone(), time.clone(), LISTENERS.len());
        let listener = |(number, address): (usize, &&str)| Listener {
            socket: Socket(i32::try_from(number).expect("few listeners")),
            address: (*address).to_owned(),
        };
        let listeners = LISTENERS.iter().enumerate().map(listener).collect();
        let filler = workload::filler(&mut rng, terms.large_bytes_max);
        let password = terms.password.map(|password| password.as_bytes().into());
        let clients = (0..terms.clients)
            .map(|number| {
                let habits = Habits::random(&mut rng, &weather);
                let workload = Workload::new(number, filler.clone(), terms.large_bytes_max);
                Client::new(number, habits, workload, password.clone())
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
            is_draining: false,
            excuses_used: 0,
            still_since_tick: 0,
            moves_then: 0,
        }
    }

    fn run(&mut self, steps: u64) -> Result<(), String> {
        while self.summary.ticks < steps {
            self.step()?;
        }
        self.calm_down()?;
        self.audit()?;
        self.end()?;
        self.summary.commands = self.oracle.judged;
        self.summary.connections = self.reactor.ring().network.len() as u64;
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
        if was_idle && tally.reaped == 0 && tally.started > 0 {
            return Err("it said that it had nothing to do, and then did something that nobody had asked for".to_owned());
        }
        self.observe()?;
        let rules = Rules {
            now_ms: self.time.now().unix_ms,
            evicts: self.terms.evicts(),
            refuses: self.terms.refuses(),
        };
        self.oracle.end_tick(self.summary.ticks, rules)?;
        if let Some(breach) = self.reactor.ring().breach.take() {
            return Err(format!("a breach of the ring's invariants: {breach}"));
        }
        self.check_liveness()
    }

    /// Reads what the server has encoded in this tick, sent or not, and notices the connections that it closes.
    fn observe(&mut self) -> Result<(), String> {
        self.read_encoded()?;
        let closing = self.closing_sockets();
        let excuses = self.excuses();
        for client in &mut self.clients {
            let Some(conversation) = &mut client.conversation else { continue };
            if conversation.is_dead {
                continue;
            }
            let SimRing { network, .. } = self.reactor.ring();
            let link = network.link(conversation.link);
            let before = conversation.parsed();
            conversation.observe(link, &mut self.oracle, self.summary.ticks)?;
            self.summary.digest = digest(self.summary.digest, &link.stream[before..]);
            self.summary.reply_bytes += (link.stream.len() - before) as u64;
            let is_closing = link.socket.is_some_and(|socket| closing.contains(&socket));
            if !link.server_closed && !is_closing {
                continue;
            }
            trace::line(|| format!("link {} is closed by the server", conversation.link.0));
            if !self.is_draining && !may_close(conversation, network) {
                self.excuses_used += 1;
                if self.excuses_used > excuses {
                    return Err(format!("link {} was closed for no reason", conversation.link.0));
                }
            }
            conversation.die(network.link(conversation.link), &mut self.oracle);
        }
        Ok(())
    }

    /// Appends replies that are encoded, and not handed to the ring, to the streams of their links.
    fn read_encoded(&mut self) -> Result<(), String> {
        let slots = self.reactor.node().connections.slot_count();
        for slot in 0..slots {
            let slot = u32::try_from(slot).expect("few slots");
            let Some(connection) = self.reactor.node().connections.at(slot) else { continue };
            // While a long command runs, `tail` is what waits behind it; it is read once it is released.
            if connection.state == State::Closing || connection.replies.is_waiting() {
                continue;
            }
            let socket = connection.socket;
            let SimRing { network, .. } = self.reactor.ring();
            let Some(id) = network.of_socket(socket) else {
                return Err(format!("a connection on {socket:?}, which is not open"));
            };
            let link = network.link(id);
            let seen = link.stream.len() - link.pushed;
            let Some(connection) = self.reactor.node().connections.at(slot) else { continue };
            let encoded = connection.replies.tail();
            if wire::encoded_len(encoded) < seen {
                return Err(format!("link {}: replies that were encoded have vanished", id.0));
            }
            let new = wire::of_encoded(encoded, seen).concat();
            self.reactor.ring().network.link_mut(id).stream.extend_from_slice(&new);
        }
        Ok(())
    }

    fn closing_sockets(&mut self) -> Vec<Socket> {
        let node = self.reactor.node();
        let slots = u32::try_from(node.connections.slot_count()).expect("few slots");
        let closing = |slot| {
            let connection = node.connections.at(slot)?;
            (connection.state == State::Closing).then_some(connection.socket)
        };
        (0..slots).filter_map(closing).collect()
    }

    /// Connections that the server may have closed because of its settings.
    fn excuses(&mut self) -> u64 {
        let counters = self.reactor.node().counters;
        let mut excuses = 0;
        if self.terms.idle.is_some() {
            excuses += counters.idle_closes;
        }
        if self.terms.unsent_hard_bytes.is_some() {
            excuses += counters.output_limit_closes;
        }
        excuses
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

    /// No faults any more: everything that was asked must be answered.
    fn calm_down(&mut self) -> Result<(), String> {
        trace::line(|| "the storm is over".to_owned());
        self.reactor.ring().weather.calm();
        self.clients.iter_mut().for_each(Client::calm);
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
        let charged = self.reactor.node().charged_bytes;
        if charged != 0 {
            return Err(format!("{charged} bytes are charged for connections, of which there are none"));
        }
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
        }
        trace::line(|| format!("an audit of {} commands", script.len()));
        let mut weather = self.reactor.ring().weather.clone();
        weather.calm();
        let number = self.clients.len();
        let habits = Habits::auditor();
        let filler = workload::filler(&mut self.rng, self.terms.large_bytes_max);
        let workload = Workload::new(number, filler, self.terms.large_bytes_max);
        let password = self.terms.password.map(|password| password.as_bytes().into());
        let mut auditor = Client::new(number, habits, workload, password).with_script(script);
        auditor.calm();
        self.clients.push(auditor);
        self.until("the audit is over", |simulation| {
            let network = &simulation.reactor.ring().network;
            simulation.clients.iter_mut().all(|client| client.is_done(network))
        })
    }

    /// The server drains: everything must come home.
    fn end(&mut self) -> Result<(), String> {
        trace::line(|| "the server drains".to_owned());
        self.is_draining = true;
        self.reactor.begin_drain();
        self.until("the drain", |simulation| simulation.progress == Progress::Drained)?;
        let node = self.reactor.node();
        if !node.connections.is_empty() {
            return Err("drained, and connections are left".to_owned());
        }
        let leaks = self.reactor.ring().leaks();
        if !leaks.is_empty() {
            return Err(format!("leaks: {}", leaks.join("; ")));
        }
        Ok(())
    }
}

/// True if the server has a reason to close the connection that its client gave it, and owes it nothing.
fn may_close(conversation: &Conversation, network: &Network) -> bool {
    let link = network.link(conversation.link);
    if link.client_reset {
        return true;
    }
    let all_sent = link.transferred == link.stream.len();
    match conversation.last_words {
        Some(LastWords::Quit | LastWords::Broken | LastWords::Refused) => all_sent,
        None => link.client_ended && all_sent && conversation.is_answered(link) && link.to_server.is_empty(),
    }
}

/// FNV-1a.
fn digest(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
