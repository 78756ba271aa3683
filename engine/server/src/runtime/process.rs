//! The process: settings, signals and listeners, then the core's thread; this one is the control thread beside it.
//!
//! The control thread reads the host's figures every 100 ms and waits for the core to end. The core is told to stop by
//! a flag that the signal handler sets; it looks at it once per tick, and its sleep is bounded, so a signal is heard
//! within 100 ms.
//!
//! Absent on purpose: what the core runs on. The runtime that the settings name knows.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::runtime::control::{Control, HostFigures};
use crate::runtime::core::{self, CoreStart};
#[cfg(feature = "glommio")]
use crate::runtime::glommio;
use crate::runtime::logs::Logs;
use crate::runtime::metrics::{self, Pages, Reporter, Signals};
use crate::runtime::{check, start, uring};
use crate::settings::{self, Facts, FileText, Imported, Loaded, LogFormat, Runtime, Startup};

/// Descriptors that are not clients: listeners, ring, /proc files, standard streams.
const DESCRIPTORS_RESERVED: u64 = 32;

/// Why the server did not start, or had to stop.
#[derive(Debug)]
pub enum Failure {
    /// A line for standard error.
    Untold(String),
    /// The log has it.
    Logged,
}

impl From<String> for Failure {
    fn from(line: String) -> Failure {
        Failure::Untold(line)
    }
}

/// Runs the server until a signal ends it.
///
/// # Errors
/// See `Failure`.
pub fn main() -> Result<(), Failure> {
    let facts = host_facts()?;
    let loaded = match settings::load(std::env::args_os(), &read_file, &facts).map_err(|error| error.to_string())? {
        Startup::Run(loaded) => *loaded,
        Startup::Check(loaded) => return Ok(check(&loaded)?),
        Startup::Print(text) => {
            show(&text);
            return Ok(());
        }
        Startup::Imported(imported) => return Ok(tell_import(imported)?),
    };
    let logs = Logs::to_stderr(&loaded.settings);
    let is_json = loaded.settings.log_format == LogFormat::Json;
    serve(loaded, logs, facts).map_err(|line| {
        // What collects the logs wants objects; who asked for no log at all still wants to know this.
        if !is_json || !tracing::enabled!(tracing::Level::ERROR) {
            return Failure::Untold(line);
        }
        tracing::error!("{line}");
        Failure::Logged
    })
}

/// From the settings to the end of the core's thread.
fn serve(loaded: Loaded, logs: Logs, facts: Facts) -> Result<(), String> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second signal ends the process at once, whatever the drain waits for.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    let listening = start::listen(&loaded.settings)?;
    let pages_listener = metrics::listen(&loaded.settings)?;
    // Arc: shared by two threads; the core reads it once per housekeeping round, not per request.
    let figures = Arc::new(HostFigures::default());
    let (hand_over, prefault) = mpsc::channel();
    let signals = Arc::new(Signals::default());
    // One report: a scrape waits for the one that it asked for.
    let (reports, reported) = mpsc::sync_channel(1);
    let reporter = Reporter { signals: Arc::clone(&signals), reports };
    let pages = Pages::new(signals, Arc::clone(&stop), reported);
    let control = Control::new(pages, pages_listener, prefault)?;
    let run = match loaded.settings.runtime {
        Runtime::Uring => uring::run,
        #[cfg(feature = "glommio")]
        Runtime::Glommio => glommio::run,
    };
    let given = CoreStart { loaded, logs, facts, listening, figures: Arc::clone(&figures), reporter, stop, hand_over };
    #[allow(clippy::disallowed_methods, reason = "the runtime is where threads begin")]
    let core = thread::Builder::new().name("pinion-core-0".to_owned()).spawn(move || run(given)).map_err(|error| {
        format!("cannot start the core's thread: {error}; raise the limit of processes (ulimit -u)")
    })?;
    control.run(&figures, || core.is_finished());
    core.join().map_err(|_| "the core's thread panicked".to_owned())?
}

/// Says whether the server would start, without listening.
fn check(loaded: &Loaded) -> Result<(), String> {
    check::listeners(&loaded.settings)?;
    core::pin(&loaded.settings)?;
    match loaded.settings.runtime {
        Runtime::Uring => uring::check()?,
        #[cfg(feature = "glommio")]
        Runtime::Glommio => glommio::check(&loaded.settings)?,
    }
    for warning in &loaded.warnings {
        eprintln!("pinion: {warning}");
    }
    match &loaded.file {
        Some(file) => show(&format_args!("{}: settings ok\n", file.display())),
        None => show(&"settings ok\n"),
    }
    Ok(())
}

/// Prints a translated redis.conf, and what is to be said of it.
fn tell_import(Imported { toml, remarks, problem }: Imported) -> Result<(), String> {
    show(&toml);
    for remark in remarks {
        eprintln!("{remark}");
    }
    match problem {
        None => Ok(()),
        Some(problem) => Err(format!("as it stands a server would not start with it: {problem}")),
    }
}

/// Reads a settings file, or one more byte than a settings file may have: the loader refuses it then.
fn read_file(path: &Path) -> io::Result<FileText> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut text = String::new();
    file.take(settings::FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(FileText { text, mode })
}

/// Prints to standard output; that nobody reads it is no reason to stop.
pub fn show(text: &dyn std::fmt::Display) {
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
