//! The glommio runtime: the same reactor, on a glommio executor instead of our own ring.
//!
//! ```text
//! accept task per listener -----.                               .--> send(2) at once; a task waits for a slow peer
//! receive task per connection ---+--> Events --> driver: tick --+
//! alarm ------------------------'                               '--> which receives go on, what is closed
//! ```
//!
//! glommio owns its rings and shows tasks and futures only, so `GlommioRing` is the seam's third implementation: its
//! operations are done by tasks, which leave completions in `Events`, and the driver ticks the reactor whenever there
//! are some. Everything above the seam (limits, backpressure, long commands, the drain) is the reactor's own.
//!
//! Invariants
//! - No borrow of shared state is held over an await: all of it happens inside of poll functions.
//! - The driver sleeps only while `Events` is empty, and never longer than the reactor allows.
//!
//! Absent on purpose: multishot operations, provided buffers, deferred task work and our adaptive spin; glommio has
//! none of them. It spins for `spin-us` before every sleep, as it was told at the start.

mod accept;
mod events;
mod link;
mod ring;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use uring::Wait;

use crate::clock::HostClock;
use crate::reactor::{Progress, Reactor};
use crate::runtime::core::{Core, CoreStart, Upkeep};
use crate::runtime::start::Listening;
use crate::settings::Settings;
use events::Events;
use ring::GlommioRing;

/// Memory for glommio's file I/O, of which there is none: its least.
const FILE_MEMORY_BYTES: usize = 64 * 1024;
/// Submissions per ring, as in our own.
const RING_DEPTH: usize = 1024;
/// glommio's own bound on running tasks between two looks at its rings, out of the way: when it has run out at the
/// moment in which glommio begins to run tasks, glommio 0.9 goes to sleep over runnable ones, and may sleep for ever.
/// The driver's own bound is `LOOK_EVERY_US`.
const PREEMPTED_AFTER: Duration = Duration::from_secs(3600);
/// The driver ticks for so long before glommio looks at its rings again: the precision of deadlines.
const LOOK_EVERY_US: u64 = 1_000;
/// A wait that is over as soon as glommio has looked at its rings. Zero would not even make it look.
const UNTIL_A_LOOK: Duration = Duration::from_micros(1);

/// Runs a core on this thread until it has drained.
///
/// # Errors
/// One line for standard error: why it did not start, or why it had to stop.
pub fn run(given: CoreStart) -> Result<(), String> {
    let place = given.take_place()?;
    let executor = executor(&given.loaded.settings)?;
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let core = Core::new(given, place, &kernel)?;
    core.announce(&format_args!("glommio's io_uring on Linux {kernel}: ring depth {RING_DEPTH}"));
    executor.run(async move {
        let Core { node, clock, listening: Listening { listeners, sockets, unix }, mut upkeep, .. } = core;
        let events = Rc::new(Events::default());
        let ring = GlommioRing::new(Rc::clone(&events), sockets)?;
        let mut reactor = Reactor::new(ring, clock, node, listeners);
        let ended = serve(&mut reactor, &events, &mut upkeep).await;
        drop(unix);
        ended
    })
}

/// Says whether this host lets glommio start.
///
/// # Errors
/// One line: what it lacks or refuses.
pub fn check(settings: &Settings) -> Result<(), String> {
    executor(settings).map(drop)
}

fn executor(settings: &Settings) -> Result<LocalExecutor, String> {
    LocalExecutorBuilder::new(Placement::Unbound)
        .spin_before_park(Duration::from_micros(settings.spin_us.into()))
        .io_memory(FILE_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPTED_AFTER)
        .make()
        .map_err(|error| {
            let mend =
                "allow 512 KiB of locked memory (ulimit -l, LimitMEMLOCK=) and io_uring, or set runtime to uring";
            format!("glommio does not start: {error}; {mend}")
        })
}

/// Ticks until the drain is complete.
async fn serve(
    reactor: &mut Reactor<GlommioRing, HostClock>,
    events: &Events,
    upkeep: &mut Upkeep,
) -> Result<(), String> {
    let mut alarm = Alarm::default();
    let mut looked_us = 0;
    loop {
        let progress = reactor.tick(Wait::No).map_err(|error| format!("the ring failed: {error}"))?;
        let now_us = reactor.node().now.mono_us;
        let is_turn_wanted = events.is_turn_wanted();
        match progress {
            Progress::Idle(longest) if events.is_empty() && !is_turn_wanted => {
                alarm.set(now_us, longest);
                reactor.node().ticks.slept();
                rest(events, &mut alarm).await;
                looked_us = now_us;
            }
            Progress::Idle(_) if !is_turn_wanted && now_us - looked_us < LOOK_EVERY_US => {}
            // What clients sent meanwhile is seen between two ticks, as on our own ring.
            Progress::Idle(_) | Progress::Busy => {
                Timer::new(UNTIL_A_LOOK).await;
                looked_us = now_us;
                events.begin_turn();
            }
            Progress::Drained => return Ok(()),
        }
        if upkeep.is_stopping(reactor.node()) {
            reactor.begin_drain();
        }
        upkeep.take_settings(reactor.node());
        upkeep.housekeep(reactor.node());
    }
}

/// Sleeps until something happens or the alarm goes off.
async fn rest(events: &Events, alarm: &mut Alarm) {
    let mut has_slept = false;
    poll_fn(|cx| {
        if has_slept || alarm.is_over(cx) {
            return Poll::Ready(());
        }
        has_slept = true;
        events.wake_for_next(cx.waker());
        Poll::Pending
    })
    .await;
}

/// The longest that the driver may sleep. It stays set over many short sleeps: going off early costs one tick, setting
/// it anew for every sleep would cost more.
#[derive(Default)]
struct Alarm {
    timer: Option<Timer>,
    /// When it goes off.
    at_us: u64,
    /// The timer knows whom to wake.
    is_watched: bool,
}

impl Alarm {
    /// Goes off `longest` after `now_us` or before.
    fn set(&mut self, now_us: u64, longest: Duration) {
        let until_us = now_us + u64::try_from(longest.as_micros()).unwrap_or(u64::MAX / 2);
        // One whose time has come may have gone off unheard.
        if now_us < self.at_us && self.at_us <= until_us {
            return;
        }
        self.timer = Some(Timer::new(longest));
        self.at_us = until_us;
        self.is_watched = false;
    }

    /// True if it went off before anybody watched it; otherwise it wakes the task of `cx`.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_watched {
            return false;
        }
        self.is_watched = true;
        let Some(timer) = &mut self.timer else { return false };
        Pin::new(timer).poll(cx).is_ready()
    }
}
