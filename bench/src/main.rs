//! `pinion-bench`: the program around the library of the same name.

#![deny(unsafe_code)]

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static HEAP: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match pinion_bench::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pinion-bench: {e}");
            ExitCode::FAILURE
        }
    }
}
