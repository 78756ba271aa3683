//! Time as an argument: the server reads its clocks once per tick.

/// The time of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, for everything that clients see. May jump.
    pub unix_ms: u64,
    /// Microseconds since the process started. Never goes back.
    pub mono_us: u64,
}
