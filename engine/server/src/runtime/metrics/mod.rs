//! Metrics: `/metrics` and `/healthz` over HTTP, on the control thread.
//!
//! ```text
//! scrape --> wants a report --> the core makes one within 100 ms --> rendered here --> answered
//! ```
//!
//! Invariants
//! - The core never renders, never waits and takes no lock: it copies numbers when asked; a full channel drops them.
//! - A scrape waits a bounded time for the core, and the core is asked at most once per `REPORT_FRESH`.

mod families;
mod http;

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use cache::Report;
use tokio::sync::Mutex;
use tokio::time::{self, Instant};

pub use families::{FAMILIES, Family};
pub use http::serve;

use crate::settings::{Setting, Settings};

/// How long a scrape waits for the core's numbers.
const REPORT_WAIT_MAX: Duration = Duration::from_secs(1);
/// Numbers as old as this serve other scrapes too.
const REPORT_FRESH: Duration = Duration::from_millis(100);
/// How often a scrape that waits looks for them.
const REPORT_POLL: Duration = Duration::from_millis(5);
/// A core that has not ticked for so long is not healthy: its longest sleep is 0.1 s.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// What the core and the control thread tell each other about metrics, without locks.
#[derive(Debug, Default)]
pub struct Signals {
    /// Grows with each housekeeping round of the core.
    pub beats: AtomicU64,
    /// A scrape wants a report.
    pub report_wanted: AtomicBool,
}

/// The core's end.
#[derive(Debug)]
pub struct Reporter {
    /// Shared with the control thread: one load and one store per housekeeping round.
    pub signals: Arc<Signals>,
    /// Holds one report; a second one is dropped.
    pub reports: SyncSender<Box<Report>>,
}

impl Reporter {
    /// Shows that the core ticks, and makes a report if a scrape wants one.
    pub fn beat(&self, report: impl FnOnce() -> Report) {
        self.signals.beats.fetch_add(1, Ordering::Relaxed);
        if self.signals.report_wanted.swap(false, Ordering::Relaxed) {
            // Full: the scrape that wanted the last one has gone. The next one takes both and asks again.
            let _ = self.reports.try_send(Box::new(report()));
        }
    }
}

/// The control thread's end: what the pages show.
pub struct Pages {
    signals: Arc<Signals>,
    stopping: Arc<AtomicBool>,
    source: Mutex<Source>,
    beats_seen: Cell<u64>,
    beat_at: Cell<Instant>,
}

struct Source {
    reports: Receiver<Box<Report>>,
    rendered: Option<(Instant, Rc<str>)>,
}

/// Why a page cannot be shown.
type Unwell = String;

impl Pages {
    /// Pages of a core that is about to start; `stopping` is set once the process is to end.
    pub fn new(signals: Arc<Signals>, stopping: Arc<AtomicBool>, reports: Receiver<Box<Report>>) -> Pages {
        let source = Mutex::new(Source { reports, rendered: None });
        Pages { signals, stopping, source, beats_seen: Cell::new(0), beat_at: Cell::new(Instant::now()) }
    }

    /// Looks whether the core has ticked; to be called every 100 ms.
    pub fn observe(&self) {
        let beats = self.signals.beats.load(Ordering::Relaxed);
        if beats != self.beats_seen.get() {
            self.beats_seen.set(beats);
            self.beat_at.set(Instant::now());
        }
    }

    /// `/healthz`: a line, or why the server should get no traffic.
    pub fn health(&self) -> Result<String, Unwell> {
        self.observe();
        let silence = self.beat_at.get().elapsed();
        if self.stopping.load(Ordering::Relaxed) {
            Err("stopping\n".to_owned())
        } else if self.beats_seen.get() == 0 {
            Err("starting: the core has not ticked yet\n".to_owned())
        } else if silence > SILENCE_MAX {
            Err(format!("stalled: the core has not ticked for {:.1} s\n", silence.as_secs_f64()))
        } else {
            Ok("ok\n".to_owned())
        }
    }

    /// `/metrics`: all families, or why the core gave no numbers.
    pub async fn metrics(&self) -> Result<Rc<str>, Unwell> {
        let mut source = self.source.lock().await;
        if let Some((at, text)) = &source.rendered
            && at.elapsed() < REPORT_FRESH
        {
            return Ok(Rc::clone(text));
        }
        let report = time::timeout(REPORT_WAIT_MAX, self.report(&source.reports)).await;
        let report = report.map_err(|_| "the core gave no numbers within a second\n".to_owned())?;
        let text: Rc<str> = families::rendered(&report).into();
        source.rendered = Some((Instant::now(), Rc::clone(&text)));
        Ok(text)
    }

    async fn report(&self, reports: &Receiver<Box<Report>>) -> Box<Report> {
        // One that an earlier scrape did not wait for is old.
        while reports.try_recv().is_ok() {}
        self.signals.report_wanted.store(true, Ordering::Relaxed);
        loop {
            if let Ok(report) = reports.try_recv() {
                return report;
            }
            time::sleep(REPORT_POLL).await;
        }
    }
}

/// Opens the listener that `metrics-bind` asks for; `None` if it asks for none, or if the default port is taken.
///
/// # Errors
/// One line: the address cannot be had although somebody chose it.
pub fn listen(settings: &Settings) -> Result<Option<TcpListener>, String> {
    let Some(address) = settings.metrics_bind else { return Ok(None) };
    let opened = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match opened {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_default(address) => {
            tracing::warn!("no metrics: cannot listen on {address}: {error}; set metrics-bind");
            Ok(None)
        }
        Err(error) => Err(format!("metrics-bind: cannot listen on {address}: {error}; name another, or \"\" for none")),
    }
}

/// Two servers on one host both start with the defaults but for their ports.
fn is_default(address: SocketAddr) -> bool {
    Setting::find("metrics-bind").is_some_and(|setting| setting.default == address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Rig {
        pages: Pages,
        reporter: Reporter,
        stopping: Arc<AtomicBool>,
    }

    fn rig() -> Rig {
        let (signals, stopping) = (Arc::new(Signals::default()), Arc::new(AtomicBool::new(false)));
        let (sender, reports) = mpsc::sync_channel(1);
        let reporter = Reporter { signals: Arc::clone(&signals), reports: sender };
        Rig { pages: Pages::new(signals, Arc::clone(&stopping), reports), reporter, stopping }
    }

    fn no_report() -> Report {
        panic!("nobody wants a report")
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(test)
    }

    #[test]
    fn health_is_that_of_the_core() {
        run(async {
            let Rig { pages, reporter, stopping } = rig();
            assert_eq!(pages.health().unwrap_err(), "starting: the core has not ticked yet\n");
            reporter.beat(no_report);
            pages.observe();
            assert_eq!(pages.health().unwrap(), "ok\n");
            time::advance(Duration::from_millis(1900)).await;
            pages.observe();
            assert_eq!(pages.health().unwrap(), "ok\n");
            time::advance(Duration::from_millis(200)).await;
            pages.observe();
            assert_eq!(pages.health().unwrap_err(), "stalled: the core has not ticked for 2.1 s\n");
            reporter.beat(no_report);
            pages.observe();
            stopping.store(true, Ordering::Relaxed);
            assert_eq!(pages.health().unwrap_err(), "stopping\n");
        });
    }

    #[test]
    fn a_core_that_says_nothing_is_waited_for_a_second() {
        run(async {
            let Rig { pages, reporter: _reporter, .. } = rig();
            let began = Instant::now();
            assert_eq!(pages.metrics().await.unwrap_err(), "the core gave no numbers within a second\n");
            assert_eq!(began.elapsed(), REPORT_WAIT_MAX);
        });
    }
}
