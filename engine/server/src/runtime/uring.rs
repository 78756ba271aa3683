//! The io_uring runtime: the reactor over the kernel's ring, ticking until the drain is complete.
//!
//! It spins before it sleeps as long as that pays (`idle`), and gives the core up for good when it is told to stop.

use std::time::Duration;

use uring::{Features, KernelRing, Setup, Wait};

use crate::clock::{Clock, HostClock};
use crate::idle::Spinner;
use crate::reactor::{Progress, Reactor};
use crate::runtime::core::{Core, CoreStart, Upkeep};
use crate::runtime::start::Listening;
use crate::settings::Settings;

/// Runs a core on this thread until it has drained.
///
/// # Errors
/// One line for standard error: why it did not start, or why it had to stop.
pub fn run(given: CoreStart) -> Result<(), String> {
    let place = given.take_place()?;
    let ring = tested_ring()?;
    let core = Core::new(given, place, &ring.features().kernel)?;
    core.announce(ring.features());
    warn_of_kernel(ring.features(), &core.upkeep.settings());
    let Core { node, clock, listening: Listening { listeners, sockets, unix }, upkeep, .. } = core;
    let mut reactor = Reactor::new(ring, clock, node, listeners);
    let ended = serve(&mut reactor, upkeep);
    drop((sockets, unix));
    ended
}

/// Says whether this host has a ring for us.
///
/// # Errors
/// One line: what the kernel lacks or refuses.
pub fn check() -> Result<(), String> {
    tested_ring().map(drop)
}

fn tested_ring() -> Result<KernelRing, String> {
    let mut ring = KernelRing::new(Setup::default()).map_err(|error| error.to_string())?;
    uring::self_test(&mut ring).map_err(|error| error.to_string())?;
    Ok(ring)
}

fn warn_of_kernel(features: &Features, settings: &Settings) {
    let has_unix = settings.unixsocket.is_some() || settings.memcached_unixsocket.is_some();
    if !features.unix_end_of_stream && has_unix && settings.timeout.is_zero() {
        tracing::warn!("this kernel may miss that a unix socket's client has gone; set timeout, or use a newer kernel");
    }
}

/// Ticks until the drain is complete.
fn serve(reactor: &mut Reactor<KernelRing, HostClock>, mut upkeep: Upkeep) -> Result<(), String> {
    let mut spinner = Spinner::new(upkeep.settings().spin_us);
    let mut wait = Wait::No;
    loop {
        let progress = reactor.tick(wait).map_err(|error| format!("the kernel's ring failed: {error}"))?;
        wait = match progress {
            Progress::Busy => Wait::No,
            Progress::Idle(longest) => spin(reactor, &mut spinner, longest),
            Progress::Drained => return Ok(()),
        };
        if upkeep.is_stopping(reactor.node()) {
            reactor.begin_drain();
        }
        if upkeep.take_settings(reactor.node()) {
            spinner.set_max(upkeep.settings().spin_us);
        }
        if upkeep.housekeep(reactor.node()) {
            spinner.preempted();
        }
    }
}

/// Looks for work for as long as it pays; says how to wait then.
#[inline]
fn spin(reactor: &mut Reactor<KernelRing, HostClock>, spinner: &mut Spinner, longest: Duration) -> Wait {
    let spin_us = spinner.next_us();
    if spin_us == 0 {
        reactor.node().ticks.slept();
        return Wait::AtMost(longest);
    }
    if reactor.has_submissions() {
        return Wait::No;
    }
    let until_us = reactor.ended_us() + u64::from(spin_us);
    loop {
        for _ in 0..16 {
            if reactor.is_ready() {
                spinner.found_work(true);
                reactor.node().ticks.spun(true);
                return Wait::No;
            }
            std::hint::spin_loop();
        }
        if reactor.clock().now().mono_us >= until_us {
            spinner.found_work(false);
            reactor.node().ticks.spun(false);
            reactor.node().ticks.slept();
            return Wait::AtMost(longest);
        }
    }
}
