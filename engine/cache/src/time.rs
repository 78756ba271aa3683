//! Time as an argument: the server reads its clocks once per tick.

/// The time of a tick. A millisecond of both clocks begins at once, see `unix_us`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, for everything that clients see. May jump.
    pub unix_ms: u64,
    /// Microseconds since the process started. Never goes back.
    pub mono_us: u64,
}

impl Now {
    /// Microseconds since 1970. They may be ahead of or behind the host's by half a millisecond.
    pub fn unix_us(&self) -> u64 {
        self.unix_ms * 1000 + self.mono_us % 1000
    }
}
