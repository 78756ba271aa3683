//! Time as an argument: the reactor reads it through `Clock`, once per tick for all that the tick does.
//!
//! Two implementations: the host's clocks here, the simulator's virtual one in the sim crate.

use std::time::{SystemTime, UNIX_EPOCH};

use cache::Now;
use rustix::time::{ClockId, clock_gettime};

/// Where the reactor's time comes from.
pub trait Clock {
    /// The time now. `mono_us` never goes back.
    fn now(&mut self) -> Now;
}

/// The host's clocks.
///
/// Wall time is the monotonic clock plus an offset that is renewed every `RESYNC_US`: one clock read per tick instead
/// of two, and a step of the wall clock is seen within that time. The offset is whole milliseconds: then a millisecond
/// of both clocks begins at once, and the microseconds of one are those of the other. Mono 0 is chosen so that this is
/// exact, for a client that reads its own clock and sends what it read must not find ours behind.
#[derive(Debug)]
pub struct HostClock {
    start_ns: u64,
    /// Wall time at mono 0.
    unix_ms_at_start: u64,
    synced_at_us: u64,
}

const RESYNC_US: u64 = 10_000;

impl HostClock {
    /// Starts at most a millisecond after mono 0.
    pub fn new() -> HostClock {
        let now_ns = monotonic_ns();
        let unix_us = unix_us();
        // A microsecond more, for the nanoseconds that either reading leaves out.
        let start_ns = now_ns - (unix_us % 1000 + 1) * 1000;
        HostClock { start_ns, unix_ms_at_start: unix_us / 1000, synced_at_us: 0 }
    }
}

impl Default for HostClock {
    fn default() -> Self {
        HostClock::new()
    }
}

impl Clock for HostClock {
    #[inline]
    fn now(&mut self) -> Now {
        let mono_us = (monotonic_ns() - self.start_ns) / 1000;
        if mono_us - self.synced_at_us >= RESYNC_US {
            self.unix_ms_at_start = rounded_ms(unix_us().saturating_sub(mono_us));
            self.synced_at_us = mono_us;
        }
        Now { unix_ms: self.unix_ms_at_start + mono_us / 1000, mono_us }
    }
}

fn rounded_ms(us: u64) -> u64 {
    us.saturating_add(500) / 1000
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the host's clocks")]
fn unix_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// The host's monotonic clock, in nanoseconds since some moment before the process began: for times of a few
/// nanoseconds up.
#[inline]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // It counts from the host's start, so neither part is negative nor the sum too large for centuries.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offset was once rounded as it came, up to half a millisecond down: a client that asked for a deadline ten
    /// seconds after its own clock was told that 10001 milliseconds remained.
    #[test]
    fn wall_time_is_not_behind_the_host() {
        for _ in 0..1000 {
            let mut clock = HostClock::new();
            let host_ms = unix_us() / 1000;
            assert!(clock.now().unix_ms >= host_ms);
        }
    }
}
