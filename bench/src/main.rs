//! `pinion-bench`: the load generator, the yardstick and the comparisons.
//!
//! `floor` is the least a server can cost, `load` puts requests on a server and counts what came back, `compare` runs
//! both against every server at hand, `plot` draws what they wrote.

mod floor;
mod host;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

#[global_allocator]
static HEAP: MiMalloc = MiMalloc;

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
}

fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Floor(options) => floor::run(&options),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pinion-bench: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
