//! One core but for its ring: its place on the host, its memory, and what it takes over between ticks.
//!
//! ```text
//! CoreStart --- place, then the runtime's ring ---> Core --- the runtime's loop: tick, Upkeep, tick, ...
//! ```
//!
//! Absent on purpose: the ring and how a core sleeps; each runtime has its own.

use std::fmt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use cache::{Cache, CacheOptions, Policy, Prefault};

use crate::clock::{Clock, HostClock, monotonic_ns};
use crate::node::Node;
use crate::runtime::control::HostFigures;
use crate::runtime::logs::Logs;
use crate::runtime::metrics::Reporter;
use crate::runtime::notify;
use crate::runtime::process::show;
use crate::runtime::start::{self, Listening, StartBlock};
use crate::settings::{Cores, Facts, Live, Loaded, Settings};

/// How often the core takes the host's figures over.
const HOUSEKEEPING_US: u64 = 100_000;

/// Shards of this one core: a data directory made on it can later be spread over as many cores.
const SHARD_COUNT: usize = 8;

/// What a core's thread is given.
pub struct CoreStart {
    /// Settings in force at the start, and where they came from.
    pub loaded: Loaded,
    /// The process's logs, whose level follows the settings.
    pub logs: Logs,
    /// What the host allows.
    pub facts: Facts,
    /// Where clients come from.
    pub listening: Listening,
    /// Written by the control thread.
    pub figures: Arc<HostFigures>,
    /// Tells /metrics and /healthz of this core.
    pub reporter: Reporter,
    /// Set by the signal handler.
    pub stop: Arc<AtomicBool>,
    /// Takes memory to be got ahead to the control thread, which outlives the core's.
    pub hand_over: mpsc::Sender<Prefault>,
}

/// Where a core's thread runs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The CPU it is pinned to; `None` if the host does not let us.
    core: Option<usize>,
    /// CPUs that the process may use.
    cores_allowed: usize,
}

/// A core that is ready to serve once it has a ring.
pub struct Core {
    /// Its state.
    pub node: Node,
    /// Its clock.
    pub clock: HostClock,
    /// Where clients come from.
    pub listening: Listening,
    /// What it does between ticks.
    pub upkeep: Upkeep,
    place: Place,
    facts: Facts,
}

impl CoreStart {
    /// Pins this thread, and tells the control thread which one it is.
    ///
    /// # Errors
    /// The core that was asked for by number is not open to this process.
    pub fn take_place(&self) -> Result<Place, String> {
        let cores_allowed = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
        let core = pin(&self.loaded.settings)?;
        self.figures.core_thread.store(thread_id(), Ordering::Relaxed);
        Ok(Place { core, cores_allowed })
    }
}

impl Core {
    /// Reserves the memory and sets the state up; `kernel` is the kernel's release, for INFO.
    ///
    /// # Errors
    /// One line: the memory cannot be had.
    pub fn new(given: CoreStart, place: Place, kernel: &str) -> Result<Core, String> {
        let CoreStart { loaded, logs, facts, listening, figures, reporter, stop, hand_over } = given;
        let mut clock = HostClock::new();
        let live = Live::new(loaded, facts);
        let options = CacheOptions {
            seed: seed(),
            shard_count: SHARD_COUNT,
            host_memory_bytes: facts.memory_bytes,
            config: Box::new(live.clone()),
            stopwatch: monotonic_ns,
        };
        let cache =
            Cache::new(options).map_err(|error| format!("cannot reserve memory: {error}; lower --maxmemory"))?;
        if let Some(mut prefault) = cache.prefault() {
            // The first pages before the first client; the rest is the control thread's, which outlives this one.
            prefault.step();
            let _ = hand_over.send(prefault);
        }
        let mut node = Node::new(cache, start::connection_limits(&live.settings()));
        node.sleep = std::thread::sleep;
        node.cache.facts_mut().config_file = live.file().map(|file| file.display().to_string()).unwrap_or_default();
        describe(&mut node, &live.settings(), &facts, kernel, clock.now().mono_us);
        let upkeep = Upkeep::new(live, logs, figures, reporter, stop);
        Ok(Core { node, clock, listening, upkeep, place, facts })
    }

    /// Prints the start block and tells the service manager that we are ready; `ring` is what it says of the kernel.
    /// Clients are accepted from the first tick on.
    pub fn announce(&self, ring: &dyn fmt::Display) {
        // A clone: a borrow would last as long as the block does, and CONFIG SET needs the settings.
        let settings = self.upkeep.settings();
        show(&StartBlock {
            ring,
            core: self.place.core,
            cores_allowed: self.place.cores_allowed,
            settings: &settings,
            host_bytes: self.facts.memory_bytes,
            shards: SHARD_COUNT,
            listeners: &self.listening.listeners,
        });
        notify::tell(notify::READY);
        log_approximation(&settings);
    }
}

/// What a core does between ticks: hears the signal, takes changed settings and the host's figures over.
pub struct Upkeep {
    live: Live,
    logs: Logs,
    figures: Arc<HostFigures>,
    reporter: Reporter,
    stop: Arc<AtomicBool>,
    is_stopping: bool,
    policy: Policy,
    revision: u64,
    housekept_us: u64,
    preemptions: u64,
}

impl Upkeep {
    fn new(live: Live, logs: Logs, figures: Arc<HostFigures>, reporter: Reporter, stop: Arc<AtomicBool>) -> Upkeep {
        let (policy, revision) = (live.settings().maxmemory_policy, live.revision());
        Upkeep {
            live,
            logs,
            figures,
            reporter,
            stop,
            is_stopping: false,
            policy,
            revision,
            housekept_us: 0,
            preemptions: 0,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.live.settings().clone()
    }

    /// True once the server is to stop. The service manager hears of it the first time.
    #[inline]
    pub fn is_stopping(&mut self, node: &Node) -> bool {
        if (self.stop.load(Ordering::Relaxed) || node.is_stop_asked) && !self.is_stopping {
            self.is_stopping = true;
            notify::tell(notify::STOPPING);
        }
        self.is_stopping
    }

    /// Takes settings over that have changed; returns true if any has.
    #[inline]
    pub fn take_settings(&mut self, node: &mut Node) -> bool {
        if self.live.revision() == self.revision {
            return false;
        }
        self.revision = self.live.revision();
        let settings = self.live.settings();
        node.limits = start::connection_limits(&settings);
        self.logs.obey(&settings);
        if settings.maxmemory_policy != self.policy {
            self.policy = settings.maxmemory_policy;
            log_approximation(&settings);
        }
        true
    }

    /// Ten times a second takes the host's figures over; returns true if the kernel had given the core's processor to
    /// others since the last time.
    #[inline]
    pub fn housekeep(&mut self, node: &mut Node) -> bool {
        if node.now.mono_us - self.housekept_us < HOUSEKEEPING_US {
            return false;
        }
        self.housekept_us = node.now.mono_us;
        let preemptions = self.figures.preemptions.load(Ordering::Relaxed);
        let was_taken_away = preemptions > self.preemptions;
        self.preemptions = preemptions;
        publish(node, &self.figures);
        self.reporter.beat(|| node.cache.report());
        was_taken_away
    }
}

/// Says once how a policy of Redis is done here, where that is not what its name says.
fn log_approximation(settings: &Settings) {
    let policy = settings.maxmemory_policy;
    if let Some(how) = policy.approximation() {
        tracing::info!("maxmemory-policy {} is approximated: {how}", policy.name());
    }
}

/// Hands the host's figures to the cache: RSS for the memory limit, the rest for INFO.
fn publish(node: &mut Node, figures: &HostFigures) {
    let resident_bytes = figures.resident_bytes.load(Ordering::Relaxed);
    node.cache.feedback(resident_bytes);
    let facts = node.cache.facts_mut();
    facts.rss_bytes = resident_bytes;
    facts.cpu_user_us = figures.user_us.load(Ordering::Relaxed);
    facts.cpu_system_us = figures.system_us.load(Ordering::Relaxed);
}

/// What INFO says of the process and does not change.
fn describe(node: &mut Node, settings: &Settings, host: &Facts, kernel: &str, started_us: u64) {
    let facts = node.cache.facts_mut();
    facts.process_id = process::id();
    facts.tcp_port = settings.port;
    facts.run_id = format!("{:016x}{:016x}{:08x}", seed(), seed(), seed() as u32);
    facts.os = format!("Linux {kernel}");
    facts.executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    facts.host_memory_bytes = host.memory_bytes;
    facts.started_us = started_us;
}

/// Pins this thread; `None` if the host does not let us and no core was asked for by number.
pub(super) fn pin(settings: &Settings) -> Result<Option<usize>, String> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = match &settings.cores {
        Cores::Auto => match allowed.first() {
            Some(first) => first.id,
            None => return Ok(None),
        },
        Cores::List(list) => *list.first().expect("the settings take no empty list"),
    };
    let core = allowed.iter().find(|core| core.id == wanted).copied();
    match core {
        Some(core) if core_affinity::set_for_current(core) => Ok(Some(core.id)),
        Some(_) if settings.cores == Cores::Auto => Ok(None),
        Some(_) | None => {
            let ids: Vec<String> = allowed.iter().map(|core| core.id.to_string()).collect();
            Err(format!("--cores: core {wanted} is not open to this process; choose one of {}", ids.join(", ")))
        }
    }
}

fn thread_id() -> u32 {
    u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0)
}

/// Random bits from the standard library's per-process hash keys, which come from the kernel.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
