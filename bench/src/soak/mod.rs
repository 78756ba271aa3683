//! `soak`: every command the server has, from many connections that come and go, for a long time.
//!
//! It finds replies outside the protocol, missing, out of order or with errors that the request cannot get, values that
//! nobody wrote, and a server that dies, grows, or keeps descriptors.
//!
//! ```text
//!  templates -> roster (what this server has) -> draw -> conversation -> session -> fleet
//!                                       judge, model <-- replies <--+
//! ```
//!
//! Invariants
//! - A command that the server lists and nothing here sends is an error; so is one that was not sent in the run.
//! - What a correct server may answer is never an error.
//!
//! Absent on purpose: SHUTDOWN, and figures of speed: `load` and `compare` give those.

mod conversation;
mod draw;
mod fleet;
mod judge;
mod ledger;
mod model;
mod probe;
mod roster;
mod scrape;
mod server;
mod session;
mod summary;
mod talk;
mod templates;
mod text;
mod vitals;
mod wire;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use clap::Args;

use self::fleet::{Fleet, Plan};
use self::ledger::Ledger;
use self::probe::Probe;
use self::roster::Roster;
use self::server::Server;
use self::summary::Summary;
use self::vitals::{Sample, Trend, descriptors};
use self::wire::Value;
use crate::clock::{Clock, Nanos, nanos};
use crate::figures::grouped;
use crate::load::seconds;
use crate::load::target::Target;

/// How long the server may take to notice that all clients are gone.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// The probe's own buffers differ by what it asked last.
const CLIENT_BYTES_SLACK: u64 = 64 * 1024;
/// Settings that forms in `templates.rs` change.
const CHANGED: &[&str] =
    &["maxmemory", "maxmemory-policy", "hz", "slowlog-log-slower-than", "latency-monitor-threshold"];
/// Samples, `SETTLE_POLL` apart, that must be equal before the first client comes.
const STEADY_SAMPLES: usize = 10;
const SETTLE_POLL: Duration = Duration::from_millis(50);
const LINE_EVERY: Duration = Duration::from_secs(30);
const SECONDS_PER_MINUTE: f64 = 60.0;

/// What to soak, and for how long.
#[derive(Args)]
pub struct Options {
    /// Server binary to start on free ports of the loopback device
    #[arg(long, value_name = "PATH", required_unless_present = "pid")]
    server: Option<PathBuf>,
    /// Process id of a server that runs already, instead of --server
    #[arg(long, conflicts_with = "server")]
    pid: Option<u32>,
    /// Host of a server that runs already
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port
    #[arg(short, long, default_value_t = 6379)]
    port: u16,
    /// Its port for memcached's text protocol; 0 leaves that out
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    memcached_port: u16,
    /// Memory limit of a server that is started
    #[arg(long, value_name = "BYTES", default_value = "256mb")]
    maxmemory: String,
    /// Minutes to run, such as 60 or 0.5
    #[arg(short, long, default_value_t = 10.0)]
    minutes: f64,
    /// Connections at a time
    #[arg(short, long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// More flags for the server that is started
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

/// Runs the soak; an error when anything was wrong.
pub fn run(options: &Options, stop: &AtomicBool) -> io::Result<()> {
    let duration = seconds(options.minutes * SECONDS_PER_MINUTE)?;
    let mut server = options.server()?;
    let summary = soak(options, &mut server, duration, stop).map_err(|e| match server.end() {
        Some(end) => io::Error::other(format!("{e}; it ended with {end}; seed {}", options.seed)),
        None => io::Error::other(format!("{e}; seed {}", options.seed)),
    })?;
    println!("{summary}");
    if let Some(path) = &options.json {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, &summary)?;
        writeln!(file)?;
        file.flush()?;
    }
    match summary.fault_count {
        0 => Ok(()),
        count => Err(io::Error::other(format!("the soak found {} errors", grouped(count)))),
    }
}

fn soak(options: &Options, server: &mut Server, duration: Duration, stop: &AtomicBool) -> io::Result<Summary> {
    let mut probe = Probe::connect(server.resp)?;
    let roster = Roster::ask(&mut probe)?;
    let wanted: Vec<String> = roster.wanted().cloned().collect();
    let maxmemory = roster.maxmemory;
    let settings = CHANGED.iter().map(|name| probe.setting(name)).collect::<io::Result<Vec<String>>>()?;
    if let Some(metrics) = server.metrics {
        // Its thread has everything open once it has answered.
        scrape::scrape(metrics, "/healthz", &[200, 503])?;
    }
    let before = Holdings::ask(server.pid, &mut probe)?;
    println!(
        "{} commands, maxmemory {maxmemory}, {} connections, seed {}",
        roster.arities.len(),
        options.connections,
        options.seed
    );
    let plan = Plan {
        resp: &Target::Tcp(server.resp),
        text: server.text.map(Target::Tcp),
        metrics: server.metrics,
        pid: server.pid,
        connections: options.connections.into(),
        seed: options.seed,
        duration,
    };
    let clock = Clock::start();
    let mut progress = Progress { next_line: 0, is_terminal: io::stderr().is_terminal() };
    let look = |now: Nanos, ledger: &Ledger, sample: &Sample| progress.look(now, ledger, sample);
    let (mut ledger, samples) = Fleet::new(&plan, roster)?.run(&clock, stop, look)?;
    let elapsed = clock.now() as f64 / nanos(Duration::from_secs(1)) as f64;
    for name in wanted.iter().filter(|name| !ledger.commands.contains_key(*name)).collect::<Vec<_>>() {
        ledger.fault(format!("{name} was never answered in this run"));
    }
    for verb in text::VERBS.iter().filter(|_| server.text.is_some()) {
        if !ledger.verbs.contains_key(*verb) {
            ledger.fault(format!("memcached's {verb} was never answered in this run"));
        }
    }
    restore(&mut probe, &settings)?;
    settle(server.pid, &mut probe, &before, &mut ledger)?;
    let trend = Trend::of(&samples, maxmemory);
    if let Err(text) = trend.check(maxmemory) {
        ledger.fault(text);
    }
    Ok(Summary::new(options.seed, elapsed, maxmemory, ledger, trend))
}

/// The descriptors once they stay as they are for a while: nothing of the start is on its way any more.
fn steady_descriptors(pid: u32) -> io::Result<Vec<String>> {
    let mut last = descriptors(pid)?;
    let mut same = 0;
    while same < STEADY_SAMPLES {
        thread::sleep(SETTLE_POLL);
        let now = descriptors(pid)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

/// Puts back the settings that the run has changed, and empties what keeps parts of requests.
fn restore(probe: &mut Probe, settings: &[String]) -> io::Result<()> {
    let is_ok = |reply: &Value<'_>| (*reply == Value::Simple(b"OK")).then_some(());
    for (name, value) in CHANGED.iter().zip(settings) {
        probe.ask(&["CONFIG", "SET", name, value], is_ok)?;
    }
    probe.ask(&["SLOWLOG", "RESET"], is_ok)
}

/// What the server holds while only the probe is there.
#[derive(Debug)]
struct Holdings {
    descriptors: Vec<String>,
    clients: u64,
    /// Buffers, queued transactions and watched keys.
    client_bytes: u64,
}

impl Holdings {
    fn ask(pid: u32, probe: &mut Probe) -> io::Result<Holdings> {
        let clients = probe.figure("clients", "connected_clients")?;
        let client_bytes = probe.figure("memory", "mem_clients_normal")?;
        Ok(Holdings { descriptors: steady_descriptors(pid)?, clients, client_bytes })
    }

    /// True if nobody has left anything behind since `before`.
    fn are_back_at(&self, before: &Holdings) -> bool {
        let is_little = self.client_bytes <= before.client_bytes + CLIENT_BYTES_SLACK;
        is_little && self.descriptors == before.descriptors && self.clients == before.clients
    }
}

/// Everybody is gone: what they held must be gone too.
fn settle(pid: u32, probe: &mut Probe, before: &Holdings, ledger: &mut Ledger) -> io::Result<()> {
    let clock = Clock::start();
    loop {
        let after = Holdings::ask(pid, probe)?;
        if after.are_back_at(before) {
            return Ok(());
        }
        if clock.now() > nanos(SETTLE_MAX) {
            let list = probe.text(&["CLIENT", "LIST"])?;
            ledger.fault(format!("after the last client: {after:?}\n  before   {before:?}\n{list}"));
            return Ok(());
        }
    }
}

/// Says how it goes: a line that is overwritten on a terminal, one every half minute elsewhere.
struct Progress {
    next_line: Nanos,
    is_terminal: bool,
}

impl Progress {
    fn look(&mut self, now: Nanos, ledger: &Ledger, sample: &Sample) {
        if now < self.next_line {
            return;
        }
        let every = if self.is_terminal { Duration::from_secs(1) } else { LINE_EVERY };
        self.next_line = now + nanos(every);
        let line = format!(
            "{:6.0} s  {} requests  {} connections ended  {} MiB resident  {} descriptors  {} errors",
            now as f64 / nanos(Duration::from_secs(1)) as f64,
            grouped(ledger.total()),
            grouped(ledger.endings.values().sum()),
            sample.resident_bytes >> 20,
            sample.descriptors,
            grouped(ledger.fault_count),
        );
        if self.is_terminal { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
    }
}

impl Options {
    fn server(&self) -> io::Result<Server> {
        let Some(path) = &self.server else {
            let text = (self.memcached_port > 0).then(|| self.address(self.memcached_port)).transpose()?;
            let pid = self.pid.ok_or_else(|| io::Error::other("--pid names the server's process"))?;
            return Ok(Server::attach(self.address(self.port)?, text, pid));
        };
        Server::start(path, &self.maxmemory, &self.flags)
    }

    fn address(&self, port: u16) -> io::Result<SocketAddr> {
        let address = (self.host.as_str(), port).to_socket_addrs()?.next();
        address.ok_or_else(|| io::Error::other(format!("{} has no address", self.host)))
    }
}
