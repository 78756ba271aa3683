//! Virtual time: it passes when the simulation says so, and nothing ever waits for it.

use std::cell::Cell;
use std::rc::Rc;

use cache::Now;
use server::clock::Clock;

/// Wall time at virtual time 0: some day in 2026, so that deadlines look like deadlines.
const UNIX_MS_AT_START: u64 = 1_780_000_000_000;

/// Time that the simulation, its ring and its clock share.
#[derive(Clone, Debug, Default)]
pub struct VirtualTime {
    us: Rc<Cell<u64>>,
    /// What was done to the wall clock, in milliseconds.
    stepped_ms: Rc<Cell<i64>>,
}

impl VirtualTime {
    /// Microseconds since the start.
    pub fn us(&self) -> u64 {
        self.us.get()
    }

    /// Lets time pass.
    pub fn pass(&self, us: u64) {
        self.us.set(self.us.get() + us);
    }

    /// Sets the wall clock forward or back, as an operator or NTP does.
    pub fn step_wall_clock(&self, ms: i64) {
        self.stepped_ms.set(self.stepped_ms.get() + ms);
    }

    /// The time as the server sees it.
    pub fn now(&self) -> Now {
        let unix_ms = (UNIX_MS_AT_START + self.us() / 1000).saturating_add_signed(self.stepped_ms.get());
        Now { unix_ms, mono_us: self.us() }
    }
}

/// The reactor's clock: reads virtual time.
#[derive(Debug)]
pub struct SimClock(pub VirtualTime);

impl Clock for SimClock {
    fn now(&mut self) -> Now {
        self.0.now()
    }
}

thread_local! {
    static READINGS: Cell<u64> = const { Cell::new(0) };
}

/// Times commands: each takes 100 ns per reading, so that the same seed gives the same statistics.
pub fn stopwatch() -> u64 {
    const NS_PER_READING: u64 = 100;
    READINGS.set(READINGS.get() + NS_PER_READING);
    READINGS.get()
}
