//! Trace: what happened last, for the one who reads a failure.
//!
//! The last `LINES_MAX` lines are kept per thread, which is the one ambient state of the simulator: a panic anywhere,
//! in the reactor too, must still print its seed and the lines before it, and in a build that aborts on panic the hook
//! is
//! the only code that runs then.
//!
//! Absent on purpose: files, levels, filters.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;

/// Lines that are kept; about ten busy ticks.
const LINES_MAX: usize = 160;

/// Bytes of a value that a line shows.
const SHOWN_BYTES_MAX: usize = 48;

#[derive(Default)]
struct Trace {
    seed: u64,
    verbose: bool,
    lines: VecDeque<String>,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::new(Trace::default());
}

/// Starts the trace of a seed on this thread; `verbose` also prints every line as it comes.
pub fn begin(seed: u64, verbose: bool) {
    TRACE.with_borrow_mut(|trace| *trace = Trace { seed, verbose, lines: VecDeque::with_capacity(LINES_MAX) });
}

/// Adds a line.
pub fn line(line: impl FnOnce() -> String) {
    TRACE.with_borrow_mut(|trace| {
        if trace.lines.len() == LINES_MAX {
            trace.lines.pop_front();
        }
        let line = line();
        if trace.verbose {
            // A closed pipe (`| head`) is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        trace.lines.push_back(line);
    });
}

/// The kept lines, and how to see the rest.
pub fn tail() -> String {
    TRACE.with_borrow(|trace| {
        let mut text = String::new();
        for line in &trace.lines {
            let _ = writeln!(text, "  {line}");
        }
        let seed = trace.seed;
        let _ = writeln!(text, "seed {seed}; again with: cargo run --release -p pinion-sim -- --seed {seed} -v");
        text
    })
}

/// Makes every panic print the trace of its thread first.
pub fn install_panic_hook() {
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // `try_borrow` is not offered here: a panic inside `line`'s closure would find the trace borrowed.
        let _ = writeln!(std::io::stderr(), "{}", tail_or_nothing());
        next(info);
    }));
}

fn tail_or_nothing() -> String {
    let free = TRACE.with(|trace| trace.try_borrow().is_ok());
    if free { tail() } else { String::new() }
}

/// Bytes for a line: escaped, cut, with their length.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string();
    if bytes.len() > SHOWN_BYTES_MAX {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
