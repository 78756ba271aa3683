//! `pinion-bench compare`: the same load on every server at hand, in turns, so that whatever else the machine does hits
//! all of them alike.
//!
//! Each server has one core and the load another. The figure that counts is the server's CPU time per request; rates
//! and latencies of a closed loop say as much about the load as about the server.

mod cells;
mod memory;
mod peer;
pub mod process;
pub mod report;
mod turn;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cells::{Cell, Loop};
use memory::MemoryOptions;
use peer::{Kind, Peer};
use process::ServerProcess;
use report::CompareReport;
use turn::Turn;

use crate::host::{self, Machine};
use crate::load::client::{Load, Pacing, Until, drive};
use crate::load::pace::Arrivals;
use crate::load::workload::{Order, Workload};
use crate::load::{self, RequestOptions};
use crate::progress::Progress;

/// Before each measurement the server gets this much of the same load.
const WARM_UP: Duration = Duration::from_millis(300);

/// Flags of `pinion-bench compare`.
#[derive(clap::Args)]
pub struct Options {
    /// Servers to compare
    #[arg(long, value_delimiter = ',', default_value = "pinion,floor,redis,valkey,memcached")]
    servers: Vec<String>,
    /// Another program for a server, or a further server; the name begins with the kind, arguments may follow the path,
    /// as in `valkey-je=env LD_PRELOAD=libjemalloc.so.2 valkey-server`
    #[arg(long = "server", value_name = "NAME=PROGRAM")]
    programs: Vec<String>,
    /// Pinion on glommio besides: `pinion-glommio` in the report, if the program was built with that feature
    #[arg(long)]
    glommio: bool,
    /// Core for the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core for the load
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Client connections
    #[arg(long, short, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Requests under way per connection, one comparison each
    #[arg(long, short = 'P', value_delimiter = ',', default_value = "1,16")]
    pipeline: Vec<u32>,
    #[command(flatten)]
    requests: RequestOptions,
    /// Rounds; the servers take turns within each
    #[arg(long, short, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds per server and round
    #[arg(long, short, default_value_t = 3.0)]
    seconds: f64,
    /// Then an open loop: requests per second, or a share such as 70% of what the slowest server did in the closed loop
    #[arg(long)]
    rate: Option<Rate>,
    /// Open loop: how the requests are spread over time
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Memory that each server may use, MiB
    #[arg(long, default_value_t = 8192)]
    limit_mib: u64,
    #[command(flatten)]
    memory: MemoryOptions,
    /// Write the report here as JSON, for `plot`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    PerSecond(f64),
    /// Of the slowest server's rate in the closed loop.
    Share(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let (digits, is_share) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        match digits.parse::<f64>() {
            Ok(number) if is_share && number > 0.0 && number < 100.0 => Ok(Rate::Share(number / 100.0)),
            Ok(number) if !is_share && number > 0.0 && number.is_finite() => Ok(Rate::PerSecond(number)),
            _ => Err("expected requests per second above 0, or a share between 0% and 100%".into()),
        }
    }
}

/// Compares; an error if a server gave a wrong answer to anything.
pub fn run(options: &Options, stop: &AtomicBool) -> io::Result<()> {
    let outcome = compare(options, stop);
    // A signal to the whole process group ends the servers too; their broken connections are not the news then.
    check_stop(stop)?;
    outcome
}

fn compare(options: &Options, stop: &AtomicBool) -> io::Result<()> {
    if options.server_core == options.load_core {
        return Err(io::Error::other("server and load need a core each: --server-core and --load-core are the same"));
    }
    let _turn = Turn::take(stop)?;
    host::pin_to(options.load_core)?;
    let mut servers = options.servers.clone();
    let name = Kind::PinionGlommio.name();
    if options.glommio && !servers.iter().any(|server| server == name) {
        servers.push(name.to_owned());
    }
    let (peers, absent) = peer::find_all(&servers, &options.programs)?;
    if peers.is_empty() {
        return Err(io::Error::other("none of the servers is installed"));
    }
    let mut report =
        CompareReport::new(Machine::read(options.server_core), options.setting(), options.requests.keys_per_get);
    report.absent = absent;
    print!("{}", report.headline());
    if options.memory.is_wanted() {
        report.memory = memory::measure(&options.memory, &peers, options, stop)?;
    } else {
        compare_speed(options, peers, &mut report, stop)?;
    }
    println!("\n{}", report.describe());
    if let Some(path) = &options.json {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, &report)?;
        writeln!(file)?;
        file.flush()?;
    }
    match report.faults() {
        0 => Ok(()),
        faults => Err(io::Error::other(format!("{faults} requests were answered wrongly or not at all"))),
    }
}

fn compare_speed(options: &Options, peers: Vec<Peer>, report: &mut CompareReport, stop: &AtomicBool) -> io::Result<()> {
    let workload = options.requests.workload();
    let mut running = Vec::new();
    for peer in peers {
        match start_filled(options, &peer, &workload, stop) {
            Ok(server) => {
                report.servers.push(peer.describe());
                running.push(server);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => report.absent.push(format!("{}: {e}", peer.name)),
        }
    }
    let closed: Vec<Loop> = options.pipeline.iter().map(|&pipeline| Loop::closed(pipeline)).collect();
    let closed_cells = options.run_rounds(&running, &closed, &workload, stop)?;
    let open: Vec<Loop> = match options.rate {
        None => Vec::new(),
        Some(rate) => options
            .pipeline
            .iter()
            .filter_map(|&pipeline| open_loop(rate, pipeline, options.arrivals, &closed_cells))
            .collect(),
    };
    let open_cells = options.run_rounds(&running, &open, &workload, stop)?;
    report.cells = closed_cells.into_iter().chain(open_cells).map(|cell| cell.into_report()).collect();
    Ok(())
}

fn start_filled(options: &Options, peer: &Peer, workload: &Workload, stop: &AtomicBool) -> io::Result<ServerProcess> {
    let server = options.start(peer)?;
    load::fill(server.target(), peer.kind.protocol(), workload, stop)?;
    check_stop(stop)?;
    Ok(server)
}

/// The open loop for one pipeline; `None` if nothing was measured to take a share of.
fn open_loop(rate: Rate, pipeline: u32, arrivals: Arrivals, closed: &[Cell]) -> Option<Loop> {
    let rate = match rate {
        Rate::PerSecond(rate) => rate,
        Rate::Share(share) => {
            let rates = closed.iter().filter(|cell| cell.setup.pipeline == pipeline).filter_map(Cell::median_rate);
            share * rates.min_by(f64::total_cmp)?
        }
    };
    Some(Loop { pipeline, open: Some((rate, arrivals)) })
}

fn check_stop(stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted; the servers are ended"));
    }
    Ok(())
}

impl Options {
    /// Starts a server on its core and goes back to the load's.
    fn start(&self, peer: &Peer) -> io::Result<ServerProcess> {
        host::pin_to(self.server_core)?;
        let started = ServerProcess::start(peer, self.server_core, self.limit_mib);
        host::pin_to(self.load_core)?;
        started
    }

    fn run_rounds(
        &self,
        servers: &[ServerProcess],
        loops: &[Loop],
        workload: &Workload,
        stop: &AtomicBool,
    ) -> io::Result<Vec<Cell>> {
        let duration = load::seconds(self.seconds)?;
        let mut cells: Vec<Cell> =
            loops.iter().flat_map(|setup| servers.iter().map(|server| Cell::new(*setup, server.name()))).collect();
        let progress = Progress::new("compare");
        let steps = (cells.len() * self.rounds as usize) as f64;
        let mut step = 0.0;
        for round in 0..self.rounds as usize {
            for setup in 0..loops.len() {
                for turn in 0..servers.len() {
                    // Another server begins each round, so that none always follows the same one.
                    let at = (turn + round) % servers.len();
                    let workload = Workload { seed: workload.seed + round as u64, ..workload.clone() };
                    let cell = &mut cells[setup * servers.len() + at];
                    progress.label(format!("{} P={} round {}", cell.server, cell.setup.pipeline, round + 1));
                    self.measure(&servers[at], cell, &workload, duration, stop)?;
                    step += 1.0;
                    progress.set(step / steps);
                }
            }
        }
        Ok(cells)
    }

    fn measure(
        &self,
        server: &ServerProcess,
        cell: &mut Cell,
        workload: &Workload,
        duration: Duration,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let load = |duration| Load {
            target: server.target(),
            protocol: server.kind().protocol(),
            connections: self.connections as usize,
            pipeline: cell.setup.pipeline,
            workload,
            order: Order::Drawn,
            pacing: match cell.setup.open {
                None => Pacing::Closed,
                Some((rate, arrivals)) => Pacing::Open { rate, arrivals },
            },
            until: Until::Elapsed(duration),
            verifies: false,
            pid: Some(server.pid()),
        };
        drive(&load(WARM_UP), &|_| {}, stop)?;
        let busy_before = crate::cpu::core_busy_ns(self.server_core);
        let outcome = drive(&load(duration), &|_| {}, stop)?;
        let busy_after = crate::cpu::core_busy_ns(self.server_core);
        check_stop(stop)?;
        cell.add(&outcome, busy_before.zip(busy_after).map(|(before, after)| after.saturating_sub(before)));
        Ok(())
    }

    fn setting(&self) -> String {
        let requests = &self.requests;
        format!(
            "{} connections{}, {} keys {}, SET:GET {}, values {}, {} rounds of {} s",
            self.connections,
            load::per_get(requests.keys_per_get),
            crate::figures::grouped(requests.keys),
            requests.distribution,
            requests.ratio,
            requests.value_bytes,
            self.rounds,
            self.seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_or_shares() {
        assert_eq!("100000".parse(), Ok(Rate::PerSecond(100_000.0)));
        assert_eq!("70%".parse(), Ok(Rate::Share(0.7)));
        for text in ["", "0", "-1", "0%", "100%", "x%", "inf"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_of_the_slowest_server_at_the_same_pipeline() {
        let cells = [("a", 1, 100.0), ("b", 1, 200.0), ("a", 16, 1000.0)].map(|(server, pipeline, rate)| {
            let mut cell = Cell::new(Loop::closed(pipeline), server);
            cell.push_rate(rate);
            cell
        });
        let rate =
            |pipeline| open_loop(Rate::Share(0.5), pipeline, Arrivals::Even, &cells).and_then(|setup| setup.open);
        assert_eq!(rate(1), Some((50.0, Arrivals::Even)));
        assert_eq!(rate(16), Some((500.0, Arrivals::Even)));
        assert_eq!(rate(2), None);
    }
}
