//! The one place of this crate that reads the clock. Everything else gets nanoseconds as an argument.

#![allow(clippy::disallowed_methods, reason = "a load generator measures real time; it reads the clock here only")]

use std::time::{Duration, Instant};

/// Nanoseconds since the clock was made.
pub type Nanos = u64;

/// A monotonic clock that starts at zero.
#[derive(Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads zero now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Time since the start.
    pub fn now(&self) -> Nanos {
        self.origin.elapsed().as_nanos() as Nanos
    }
}

/// `duration` in nanoseconds; 584 years fit.
pub fn nanos(duration: Duration) -> Nanos {
    duration.as_nanos() as Nanos
}
