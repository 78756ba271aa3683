//! `pinion-bench load`: puts requests on a server, checks what comes back, and says what it took.

pub mod client;
pub mod report;
pub mod target;
pub mod workload;

mod answer;
mod connection;
pub mod keys;
mod memcache;
pub mod pace;
pub mod protocol;
mod resp;
pub mod tally;
pub mod values;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use client::{Load, Outcome, Pacing, Until, drive};
use keys::Popularity;
use pace::Arrivals;
use protocol::Protocol;
use report::LoadReport;
use target::Target;
use values::Sizes;
use workload::{Lifetimes, Order, Ratio, Workload};

use crate::figures::grouped;
use crate::host;
use crate::progress::Progress;

/// Filling goes over this many connections, so deeply pipelined that the server is the limit.
pub const FILL_CONNECTIONS: usize = 4;
/// See [`FILL_CONNECTIONS`].
pub const FILL_PIPELINE: u32 = 64;
const DEFAULT_SECONDS: f64 = 10.0;
/// Keys per read at most: a request of some 150 KB, which every server of the comparison takes.
const KEYS_PER_GET_MAX: u32 = 10_000;

/// Flags of `pinion-bench load`.
#[derive(clap::Args)]
pub struct Options {
    /// Server's host
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Server's port
    #[arg(long, short, default_value_t = 6379)]
    port: u16,
    /// Server's unix socket, instead of host and port
    #[arg(long, conflicts_with_all = ["host", "port"])]
    unix: Option<PathBuf>,
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Protocol::Resp)]
    protocol: Protocol,
    /// Client connections
    #[arg(long, short, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Requests under way per connection; with --rate: requests that leave together on one connection
    #[arg(long, short = 'P', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pipeline: u32,
    #[command(flatten)]
    requests: RequestOptions,
    /// End after so many requests
    #[arg(long, short = 'n', conflicts_with = "seconds")]
    requests_total: Option<u64>,
    /// End after so many seconds [default: 10]
    #[arg(long, short)]
    seconds: Option<f64>,
    /// Open loop: requests per second, sent on time whether or not earlier ones are answered
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Open loop: how the requests are spread over time
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson, requires = "rate")]
    arrivals: Arrivals,
    /// Write every key once before the run
    #[arg(long)]
    populate: bool,
    /// Compare every value with what was written
    #[arg(long)]
    verify: bool,
    /// Server's process: measure its CPU time per request
    #[arg(long)]
    pid: Option<u32>,
    /// Core for the load
    #[arg(long)]
    core: Option<usize>,
    /// Write the latency distribution here (HdrHistogram percentile text, microseconds)
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// Write the report here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Flags that say what the requests are about.
#[derive(clap::Args)]
pub struct RequestOptions {
    /// SETs to GETs
    #[arg(long, default_value = "1:10", value_name = "SETS:GETS")]
    pub ratio: Ratio,
    /// Bytes per value: N, MIN-MAX, or MIN-MAX:log; k and m are understood
    #[arg(long, short = 'd', default_value = "64", value_name = "BYTES")]
    pub value_bytes: Sizes,
    /// Number of keys
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub keys: u64,
    /// Keys that every read asks for, with MGET or memcached's get of many keys; figures count requests
    #[arg(long, visible_alias = "multi-key-get", default_value_t = 1, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_PER_GET_MAX)))]
    pub keys_per_get: u32,
    /// Popularity of keys: uniform or zipf:ALPHA
    #[arg(long, default_value = "uniform")]
    pub distribution: Popularity,
    /// Bytes before the number in every key
    #[arg(long, default_value = "key:")]
    pub key_prefix: String,
    /// Seconds that written keys live: N or MIN-MAX [default: for ever]
    #[arg(long, value_name = "SECONDS")]
    pub expire: Option<Lifetimes>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl RequestOptions {
    /// The requests as flags describe them.
    pub fn workload(&self) -> Workload {
        Workload {
            key_prefix: self.key_prefix.clone(),
            key_count: self.keys,
            popularity: self.distribution,
            keys_per_get: self.keys_per_get,
            ratio: self.ratio,
            sizes: self.value_bytes,
            lifetimes: self.expire,
            seed: self.seed,
        }
    }
}

/// What tables and headings add where a read asks for several keys.
pub fn per_get(keys: u32) -> String {
    if keys == 1 { String::new() } else { format!(", {} keys per get", grouped(u64::from(keys))) }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a number of requests per second above 0".into())
}

/// Runs the load; an error when the server gave a wrong answer to anything.
pub fn run(options: &Options, stop: &AtomicBool) -> io::Result<()> {
    if let Some(core) = options.core {
        host::pin_to(core)?;
    }
    let target = options.target()?;
    let workload = options.requests.workload();
    println!("{}", options.headline(&target, &workload));
    if options.populate {
        fill(&target, options.protocol, &workload, stop)?;
    }
    let load = Load {
        target: &target,
        protocol: options.protocol,
        connections: options.connections as usize,
        pipeline: options.pipeline,
        workload: &workload,
        order: Order::Drawn,
        pacing: match options.rate {
            None => Pacing::Closed,
            Some(rate) => Pacing::Open { rate, arrivals: options.arrivals },
        },
        until: match options.requests_total {
            Some(count) => Until::Requests(count),
            None => Until::Elapsed(seconds(options.seconds.unwrap_or(DEFAULT_SECONDS))?),
        },
        verifies: options.verify,
        pid: options.pid,
    };
    let progress = Progress::new("load");
    let outcome = drive(&load, &|part| progress.set(part), stop)?;
    progress.finish();
    println!("\n{}", report::describe(&outcome));
    options.write_files(&outcome)?;
    match outcome.tally.faults() {
        0 => Ok(()),
        faults => Err(io::Error::other(format!("{} requests were answered wrongly or not at all", grouped(faults)))),
    }
}

/// Writes every key once; an error if the server refuses any.
pub fn fill(target: &Target, protocol: Protocol, workload: &Workload, stop: &AtomicBool) -> io::Result<Outcome> {
    let progress = Progress::new("fill");
    let load = Load {
        target,
        protocol,
        connections: FILL_CONNECTIONS,
        pipeline: FILL_PIPELINE,
        workload,
        order: Order::Sequential,
        pacing: Pacing::Closed,
        until: Until::Requests(workload.key_count),
        verifies: false,
        pid: None,
    };
    let outcome = drive(&load, &|part| progress.set(part), stop)?;
    progress.finish();
    match outcome.tally.errors.iter().next() {
        None => Ok(outcome),
        Some((text, count)) => Err(io::Error::other(format!("filling {target}: {} x {text}", grouped(*count)))),
    }
}

/// A positive number of seconds, or an error that says so.
pub fn seconds(number: f64) -> io::Result<Duration> {
    let duration = Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero());
    duration
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{number} is no number of seconds above 0")))
}

impl Options {
    fn target(&self) -> io::Result<Target> {
        if let Some(path) = &self.unix {
            return Ok(Target::Unix(path.clone()));
        }
        let address = (self.host.as_str(), self.port).to_socket_addrs()?.next();
        address.map(Target::Tcp).ok_or_else(|| io::Error::other(format!("{} has no address", self.host)))
    }

    fn headline(&self, target: &Target, workload: &Workload) -> String {
        let pacing = match self.rate {
            None => "closed loop".to_owned(),
            Some(rate) => format!("open loop at {} per second", grouped(rate as u64)),
        };
        format!(
            "{target} ({}), {} connections, pipeline {}{}, {pacing}\n{} keys {}, SET:GET {}, values {}",
            self.protocol,
            self.connections,
            self.pipeline,
            per_get(workload.keys_per_get),
            grouped(workload.key_count),
            workload.popularity,
            workload.ratio,
            workload.sizes,
        )
    }

    fn write_files(&self, outcome: &Outcome) -> io::Result<()> {
        if let Some(path) = &self.hdr {
            let mut file = BufWriter::new(File::create(path)?);
            report::write_hdr(&outcome.tally.all_ns(), &mut file)?;
            file.flush()?;
        }
        if let Some(path) = &self.json {
            let mut file = BufWriter::new(File::create(path)?);
            serde_json::to_writer_pretty(&mut file, &LoadReport::of(outcome))?;
            writeln!(file)?;
            file.flush()?;
        }
        Ok(())
    }
}
