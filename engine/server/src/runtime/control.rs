//! The control thread: reads what the host says about the process, hands it to the core through atomics, gets memory
//! from the kernel ahead of the core's growth, and serves /metrics and /healthz.
//!
//! The core never opens a file. It loads these figures once per housekeeping round (100 ms), so the shared cache line
//! costs nothing on the data path.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use cache::Prefault;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time;

use crate::runtime::metrics::{self, Pages};

/// Figures of the process, written by the control thread, read by the core.
#[derive(Debug, Default)]
pub struct HostFigures {
    /// Resident memory, bytes.
    pub resident_bytes: AtomicU64,
    /// CPU time in user mode, microseconds.
    pub user_us: AtomicU64,
    /// CPU time in the kernel, microseconds.
    pub system_us: AtomicU64,
    /// Involuntary context switches of the core's thread.
    pub preemptions: AtomicU64,
    /// The core's thread, once it runs; 0 before.
    pub core_thread: AtomicU32,
}

/// How often the figures are read.
const REFRESH_EVERY: Duration = Duration::from_millis(100);
/// How often memory is got ahead of a growing core: it takes at most a gigabyte per second this way.
const PREFAULT_EVERY: Duration = Duration::from_millis(4);

/// The control thread's work: figures of the host, memory ahead of the core's growth, /metrics and /healthz.
pub struct Control {
    runtime: Runtime,
    pages: Rc<Pages>,
    listener: Option<TcpListener>,
    handed_over: Receiver<Prefault>,
}

impl Control {
    /// Ready to run; `listener` is where the pages are asked for.
    ///
    /// # Errors
    /// One line: the process has no descriptors left.
    pub fn new(
        pages: Pages,
        listener: Option<TcpListener>,
        handed_over: Receiver<Prefault>,
    ) -> Result<Control, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            format!("cannot start the control thread's loop: {error}; raise the limit of open files (ulimit -n)")
        })?;
        Ok(Control { runtime, pages: Rc::new(pages), listener, handed_over })
    }

    /// Works until the core has ended.
    pub fn run(self, figures: &HostFigures, has_ended: impl Fn() -> bool) {
        yield_to_core();
        let Control { runtime, pages, listener, handed_over } = self;
        let tasks = LocalSet::new();
        if let Some(listener) = listener {
            tasks.spawn_local(metrics::serve(listener, Rc::clone(&pages)));
        }
        tasks.block_on(&runtime, watch(figures, &pages, &handed_over, has_ended));
    }
}

async fn watch(figures: &HostFigures, pages: &Pages, handed_over: &Receiver<Prefault>, has_ended: impl Fn() -> bool) {
    let mut reader = HostReader::open();
    let mut prefault: Option<Prefault> = None;
    let mut until_refresh = Duration::ZERO;
    while !has_ended() {
        if until_refresh.is_zero() {
            reader.refresh(figures);
            pages.observe();
            until_refresh = REFRESH_EVERY;
        }
        if let Ok(fresh) = handed_over.try_recv() {
            prefault = Some(fresh);
        }
        let is_growing = prefault.as_mut().is_some_and(Prefault::step);
        let pause = if is_growing { PREFAULT_EVERY } else { until_refresh };
        time::sleep(pause).await;
        until_refresh = until_refresh.saturating_sub(pause);
    }
}

/// Lowest priority but idle's, for this thread only: where both share a processor, clients come before memory ahead.
const NICE_LOWEST: i32 = 19;

/// A refusal costs only latency, and only where the core's processor is shared.
fn yield_to_core() {
    let _ = rustix::process::setpriority_process(None, NICE_LOWEST);
}

const PAGE_BYTES: u64 = 4096;
/// USER_HZ: the unit of the times in /proc, the same on every Linux.
const TICK_US: u64 = 10_000;

/// Reads the figures; keeps the files open, as opening costs more than reading.
pub struct HostReader {
    statm: Option<File>,
    stat: Option<File>,
    /// Both files are one short line.
    text: [u8; 1024],
}

impl HostReader {
    /// Opens this process's files in /proc. What cannot be opened is never reported.
    pub fn open() -> HostReader {
        HostReader {
            statm: File::open("/proc/self/statm").ok(),
            stat: File::open("/proc/self/stat").ok(),
            text: [0; 1024],
        }
    }

    /// Reads all figures once.
    pub fn refresh(&mut self, figures: &HostFigures) {
        if let Some(pages) = read_again(self.statm.as_ref(), &mut self.text).and_then(resident_pages) {
            figures.resident_bytes.store(pages * PAGE_BYTES, Ordering::Relaxed);
        }
        if let Some((user, system)) = read_again(self.stat.as_ref(), &mut self.text).and_then(cpu_ticks) {
            figures.user_us.store(user * TICK_US, Ordering::Relaxed);
            figures.system_us.store(system * TICK_US, Ordering::Relaxed);
        }
        let thread = figures.core_thread.load(Ordering::Relaxed);
        if thread != 0
            && let Ok(status) = fs::read_to_string(format!("/proc/self/task/{thread}/status"))
            && let Some(count) = preemptions(&status)
        {
            figures.preemptions.store(count, Ordering::Relaxed);
        }
    }
}

fn read_again<'a>(file: Option<&File>, text: &'a mut [u8]) -> Option<&'a str> {
    let count = file?.read_at(text, 0).ok()?;
    str::from_utf8(&text[..count]).ok()
}

/// Resident pages: the second field of /proc/PID/statm (proc(5)).
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// User and system time in ticks: fields 14 and 15 of /proc/PID/stat. The name in field 2 may hold anything, so fields
/// are counted from its closing parenthesis.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user = fields.nth(11)?.parse().ok()?;
    let system = fields.next()?.parse().ok()?;
    Some((user, system))
}

fn preemptions(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found() {
        assert_eq!(resident_pages("5000 1234 300 1 0 400 0\n"), Some(1234));
        let stat = "17 (a) b (c)) S 1 17 17 0 -1 4194304 100 0 0 0 250 75 0 0 20 0 2 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some((250, 75)));
        assert_eq!(preemptions("Name:\tx\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t42\n"), Some(42));
        assert_eq!(resident_pages(""), None);
        assert_eq!(cpu_ticks("17 (x) S"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = HostFigures::default();
        HostReader::open().refresh(&figures);
        assert!(figures.resident_bytes.load(Ordering::Relaxed) > 0);
    }
}
