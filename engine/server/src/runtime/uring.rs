//! The io_uring runtime: one pinned thread per core around the reactor, and a control thread beside it.
//!
//! The main thread is the control thread: it reads the host's figures every `CONTROL_EVERY` and waits for the core to
//! end. The core is told to stop by a flag that the signal handler sets; it looks at it once per tick, and its sleep is
//! bounded, so a signal is heard within 100 ms.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cache::{Cache, CacheOptions, Prefault};
use signal_hook::consts::{SIGINT, SIGTERM};
use uring::{Features, KernelRing, Setup, Wait};

use crate::clock::{Clock, HostClock};
use crate::idle::Spinner;
use crate::node::Node;
use crate::reactor::{Progress, Reactor};
use crate::runtime::control::{self, HostFigures};
use crate::runtime::start::{self, Listening, StartBlock};
use crate::settings::{self, Cores, Facts, Live, Settings, Startup};

/// How often the core takes the host's figures over.
const HOUSEKEEPING_US: u64 = 100_000;

/// Shards of this one core: a data directory made on it can later be spread over as many cores.
const SHARD_COUNT: usize = 8;

/// Descriptors that are not clients: listeners, ring, /proc files, standard streams.
const DESCRIPTORS_RESERVED: u64 = 32;

/// Runs the server until a signal ends it.
///
/// # Errors
/// One line for standard error: why it did not start, or why it had to stop.
pub fn main() -> Result<(), String> {
    let facts = host_facts()?;
    let read_file = |path: &Path| fs::read_to_string(path);
    let settings = match settings::load(std::env::args_os(), &read_file, &facts).map_err(|error| error.to_string())? {
        Startup::Run(settings) => *settings,
        Startup::Print(text) => {
            show(&format_args!("{text}\n"));
            return Ok(());
        }
    };
    log_to_stderr(&settings);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second signal ends the process at once, whatever the drain waits for.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    let listening = start::listen(&settings)?;
    // Arc: shared by two threads; the core reads it once per housekeeping round, not per request.
    let figures = Arc::new(HostFigures::default());
    let (hand_over, prefault) = mpsc::channel();
    let core = {
        let (figures, stop) = (Arc::clone(&figures), Arc::clone(&stop));
        #[allow(clippy::disallowed_methods, reason = "the runtime is where threads begin")]
        thread::Builder::new()
            .name("pinion-core-0".to_owned())
            .spawn(move || run_core(settings, facts, listening, &figures, &stop, &hand_over))
            .map_err(|error| {
                format!("cannot start the core's thread: {error}; raise the limit of processes (ulimit -u)")
            })?
    };
    control::run(&figures, &prefault, || core.is_finished());
    core.join().map_err(|_| "the core's thread panicked".to_owned())?
}

/// Prints to standard output; that nobody reads it is no reason to stop.
fn show(text: &dyn std::fmt::Display) {
    let mut out = io::stdout();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

fn host_facts() -> Result<Facts, String> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let memory_bytes = settings::memory_allowed(&read).ok_or("cannot read /proc/meminfo; mount /proc")?;
    let files = raise_descriptor_limit().map_err(|error| format!("cannot read the limit of open files: {error}"))?;
    let clients_max = u32::try_from(files.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(u32::MAX);
    Ok(Facts { memory_bytes, clients_max })
}

/// Raises the soft limit of open files to the hard one, and returns it.
fn raise_descriptor_limit() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current != limit.maximum {
        // Refused by some containers: then the soft limit is what we have.
        if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
            return Ok(limit.current.unwrap_or(hard));
        }
    }
    Ok(hard)
}

fn log_to_stderr(settings: &Settings) {
    let level = settings.loglevel.level();
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false).init();
}

/// Everything of one core, on its own pinned thread.
fn run_core(
    settings: Settings,
    facts: Facts,
    listening: Listening,
    figures: &HostFigures,
    stop: &AtomicBool,
    hand_over: &mpsc::Sender<Prefault>,
) -> Result<(), String> {
    let cores_allowed = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
    let core = pin(&settings)?;
    figures.core_thread.store(thread_id(), Ordering::Relaxed);
    let mut ring = KernelRing::new(Setup::default()).map_err(|error| error.to_string())?;
    uring::self_test(&mut ring).map_err(|error| error.to_string())?;
    let mut clock = HostClock::new();
    let live = Live::new(settings, facts);
    let options = CacheOptions {
        seed: seed(),
        shard_count: SHARD_COUNT,
        host_memory_bytes: facts.memory_bytes,
        config: Box::new(live.clone()),
    };
    let cache = Cache::new(options).map_err(|error| format!("cannot reserve memory: {error}; lower --maxmemory"))?;
    if let Some(mut prefault) = cache.prefault() {
        // The first pages before the first client; the rest is the control thread's, which outlives this one.
        prefault.step();
        let _ = hand_over.send(prefault);
    }
    let mut node = Node::new(cache, start::connection_limits(&live.settings()));
    describe(&mut node, &live.settings(), &facts, &ring, clock.now().mono_us);
    // A clone: a borrow would last as long as the block does, and CONFIG SET needs the settings.
    let shown = live.settings().clone();
    let block = StartBlock {
        features: ring.features(),
        core,
        cores_allowed,
        settings: &shown,
        host_bytes: facts.memory_bytes,
        shards: SHARD_COUNT,
        listeners: &listening.listeners,
    };
    show(&block);
    warn_of_kernel(ring.features(), &shown);
    log_approximation(&shown);
    let Listening { listeners, unix } = listening;
    let mut reactor = Reactor::new(ring, clock, node, listeners);
    let ended = serve(&mut reactor, &live, figures, stop);
    drop(unix);
    ended
}

/// Says once how a policy of Redis is done here, where that is not what its name says.
fn log_approximation(settings: &Settings) {
    let policy = settings.maxmemory_policy;
    if let Some(how) = policy.approximation() {
        tracing::info!("maxmemory-policy {} is approximated: {how}", policy.name());
    }
}

fn warn_of_kernel(features: &Features, settings: &Settings) {
    if !features.unix_end_of_stream && settings.unixsocket.is_some() && settings.timeout.is_zero() {
        tracing::warn!("this kernel may miss that a unix socket's client has gone; set timeout, or use a newer kernel");
    }
}

/// Ticks until the drain is complete.
fn serve(
    reactor: &mut Reactor<KernelRing, HostClock>,
    live: &Live,
    figures: &HostFigures,
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut spinner = Spinner::new(live.settings().spin_us);
    let mut policy = live.settings().maxmemory_policy;
    let (mut wait, mut housekept_us, mut preemptions, mut revision) = (Wait::No, 0, 0, live.revision());
    loop {
        let progress = reactor.tick(wait).map_err(|error| format!("the kernel's ring failed: {error}"))?;
        wait = match progress {
            Progress::Busy => Wait::No,
            Progress::Idle(longest) => spin(reactor, &mut spinner, longest),
            Progress::Drained => return Ok(()),
        };
        if stop.load(Ordering::Relaxed) {
            reactor.begin_drain();
        }
        if live.revision() != revision {
            revision = live.revision();
            let settings = live.settings();
            reactor.node().limits = start::connection_limits(&settings);
            spinner.set_max(settings.spin_us);
            if settings.maxmemory_policy != policy {
                policy = settings.maxmemory_policy;
                log_approximation(&settings);
            }
        }
        let now_us = reactor.node().now.mono_us;
        if now_us - housekept_us >= HOUSEKEEPING_US {
            housekept_us = now_us;
            let taken_away = figures.preemptions.load(Ordering::Relaxed);
            if taken_away > preemptions {
                spinner.preempted();
            }
            preemptions = taken_away;
            publish(reactor.node(), figures);
        }
    }
}

/// Looks for work for as long as it pays; says how to wait then.
#[inline]
fn spin(reactor: &mut Reactor<KernelRing, HostClock>, spinner: &mut Spinner, longest: Duration) -> Wait {
    let spin_us = spinner.next_us();
    if spin_us == 0 {
        return Wait::AtMost(longest);
    }
    if reactor.has_submissions() {
        return Wait::No;
    }
    let until_us = reactor.clock().now().mono_us + u64::from(spin_us);
    loop {
        for _ in 0..16 {
            if reactor.is_ready() {
                spinner.found_work(true);
                return Wait::No;
            }
            std::hint::spin_loop();
        }
        if reactor.clock().now().mono_us >= until_us {
            spinner.found_work(false);
            return Wait::AtMost(longest);
        }
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
fn describe(node: &mut Node, settings: &Settings, host: &Facts, ring: &KernelRing, started_us: u64) {
    let facts = node.cache.facts_mut();
    facts.process_id = process::id();
    facts.tcp_port = settings.port;
    facts.run_id = format!("{:016x}{:016x}{:08x}", seed(), seed(), seed() as u32);
    facts.os = format!("Linux {}", ring.features().kernel);
    facts.executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    facts.host_memory_bytes = host.memory_bytes;
    facts.started_us = started_us;
}

/// Pins this thread; `None` if the host does not let us and no core was asked for by number.
fn pin(settings: &Settings) -> Result<Option<usize>, String> {
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
