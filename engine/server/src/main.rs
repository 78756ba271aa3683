//! The binary: settings from flags and file, then the core's loop until a signal ends it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use server::runtime::process::{self, Failure};

/// Every heap allocation of the process; the arena of L1 does not go through it.
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match process::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::Untold(line) = failure {
                eprintln!("pinion: {line}");
            }
            ExitCode::FAILURE
        }
    }
}
