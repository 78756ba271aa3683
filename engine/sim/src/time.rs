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

    /// The time as the server sees it.
    pub fn now(&self) -> Now {
        Now { unix_ms: UNIX_MS_AT_START + self.us() / 1000, mono_us: self.us() }
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
