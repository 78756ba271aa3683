//! The server: one core's loop over a ring, and what starts and stops it.
//!
//! Order of the data path: `accept` -> `connection` -> `input` -> `batch` -> `replies` -> `lifecycle`, called from
//! `reactor`, one tick at a time. `runtime` puts a real ring, a real clock and signals around it; the simulator puts
//! fake ones.

#![deny(unsafe_code)]

pub mod accept;
pub mod assembler;
pub mod batch;
pub mod clock;
pub mod connection;
pub mod connections;
pub mod dialect;
pub mod effects;
pub mod idle;
pub mod input;
pub mod jobs;
pub mod lifecycle;
pub mod node;
pub mod reactor;
pub mod replies;
pub mod runtime;
pub mod settings;
pub mod tick;
