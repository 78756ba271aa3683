//! `pinion-sim`: runs seeds and stops at the first that shows a violation.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use pinion_sim::simulation::{self, Summary};
use pinion_sim::trace;

/// Runs the server's reactor in a simulated world, seed by seed.
#[derive(Parser)]
#[command(name = "pinion-sim", version)]
struct Args {
    /// Seeds to run: how many, or FROM..TO.
    #[arg(long, default_value = "1000", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// One seed to run.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Ticks of storm per seed.
    #[arg(long, default_value_t = simulation::STEPS_DEFAULT)]
    steps: u64,
    /// Goes on after a violation.
    #[arg(long)]
    keep_going: bool,
    /// Prints every event.
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    trace::install_panic_hook();
    let seeds = args.seed.map_or(args.seeds, |seed| seed..seed + 1);
    let (mut total, mut failed, mut seed_count) = (Summary::default(), Vec::new(), 0);
    for seed in seeds.clone() {
        progress(seed, &seeds, &total);
        seed_count += 1;
        match simulation::run(seed, args.steps, args.verbose) {
            Ok(summary) => total += summary,
            Err(violation) => {
                eprintln!("\n{}\nVIOLATION {}", trace::tail(), violation.0);
                failed.push(seed);
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    println!(
        "{}{seed_count} seeds, {} ticks, {} connections, {} commands, {} MiB of replies; digest {:016x}",
        if std::io::stdout().is_terminal() { "\r" } else { "" },
        total.ticks,
        total.connections,
        total.commands,
        total.reply_bytes >> 20,
        total.digest
    );
    for (name, count) in total.seen.table() {
        println!("  {count:>10} {}", name.replace('_', " "));
    }
    if failed.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    println!("violations in seeds {failed:?}");
    ExitCode::FAILURE
}

fn progress(seed: u64, seeds: &Range<u64>, total: &Summary) {
    let mut out = std::io::stdout();
    let is_terminal = out.is_terminal();
    let tenth = ((seeds.end - seeds.start) / 10).max(1);
    if !is_terminal && !(seed - seeds.start).is_multiple_of(tenth) {
        return;
    }
    let (start, end) = if is_terminal { ("\r", " ") } else { ("", "\n") };
    // A closed pipe is no reason to stop.
    let _ = write!(out, "{start}seed {seed} of {}..{}, {} commands{end}", seeds.start, seeds.end, total.commands);
    let _ = out.flush();
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match text.split_once("..") {
        None => Ok(0..number(text)?),
        Some((from, to)) => Ok(number(from)?..number(to)?),
    }
}
