//! The ring: how a core talks to the kernel.
//!
//! `ring` is the seam (operations and completions of ours); the other modules are its io_uring implementation.

mod buffers;
mod features;
mod in_flight;
mod kernel_ring;
mod mapping;
mod op;
mod queues;
mod ring;
mod self_test;
mod setup;
mod socket;
mod user_data;

pub use features::Features;
pub use kernel_ring::KernelRing;
pub use ring::{Chunk, Completion, Errno, Event, Op, Outgoing, Peer, Ring, Socket, Splice, Token, Wait};
pub use self_test::self_test;
pub use setup::{Setup, SetupError};
