//! The simulator: the real reactor on one thread over a fake ring, clock, network and clients, all from one seed.
//!
//! ```text
//! workload -> client -> network -> ring -> server::reactor -> ring -> network -> client
//!                                   |                           |
//!                                weather                conversation -> oracle -> model
//! ```
//!
//! Invariants
//! - Nothing is real: no socket, thread, sleep or clock; a seed is all the input there is.
//! - What the reactor is told is only what io_uring over TCP may tell it.
//!
//! Absent on purpose: several cores, disks, crashes. They come with what they are to test.

#![forbid(unsafe_code)]

pub mod client;
pub mod command;
pub mod conversation;
pub mod habits;
pub mod memcache;
pub mod model;
pub mod network;
pub mod oracle;
pub mod pool;
pub mod reply;
pub mod ring;
pub mod sightings;
pub mod simulation;
pub mod terms;
pub mod time;
pub mod trace;
pub mod weather;
pub mod wire;
pub mod workload;
