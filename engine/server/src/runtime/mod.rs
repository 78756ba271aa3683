//! Runtimes: what puts a real ring, a real clock and signals around the reactor.

pub mod check;
pub mod control;
pub mod core;
#[cfg(feature = "glommio")]
mod glommio;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod process;
pub mod start;
pub mod uring;
