//! `pinion-bench`: the load generator, the yardstick and the comparisons.
//!
//! `floor` is the least a server can cost, `load` puts requests on a server and counts what came back, `compare` runs
//! both against every server at hand, `plot` draws what they wrote, `soak` looks for what goes wrong in an hour.

//! A library, so that the server's tests can soak the server that they built; `main.rs` is the program.

#![deny(unsafe_code)]

mod clock;
mod compare;
mod cpu;
mod figures;
mod floor;
mod host;
mod load;
mod plot;
mod progress;
mod soak;
mod table;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

/// Load generator, yardstick and comparisons for Pinion
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the bare server that every figure is compared with
    Floor(floor::Options),
    /// Put requests on a server and check what comes back
    Load(Box<load::Options>),
    /// Compare servers: CPU per request, rate, latency, memory per item
    Compare(Box<compare::Options>),
    /// Send every command from connections that come and go, and check every reply
    Soak(Box<soak::Options>),
    /// Draw latency by percentile from what compare and load wrote
    Plot(plot::Options),
}

/// Does what the command line says, the program's name first; one that cannot be read ends the process with its usage.
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> std::io::Result<()> {
    match &Cli::parse_from(arguments).command {
        Command::Floor(options) => floor::run(options),
        Command::Compare(options) => compare::run(options, &*stop_on_signal()?),
        Command::Soak(options) => soak::run(options, &*stop_on_signal()?),
        Command::Plot(options) => plot::run(options),
        Command::Load(options) => load::run(options, &*stop_on_signal()?),
    }
}

/// A flag that SIGINT and SIGTERM set, so that runs end early and servers that we started are ended with us.
fn stop_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
