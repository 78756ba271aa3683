//! Runtimes: what puts a real ring, a real clock and signals around the reactor.

pub mod control;
pub mod listen;
pub mod start;
pub mod uring;
