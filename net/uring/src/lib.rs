//! The ring: how a core talks to the kernel.
//!
//! `ring` is the seam (operations and completions of ours); the other modules are its io_uring implementation.

mod ring;

pub use ring::{Chunk, Completion, Errno, Event, Op, Outgoing, Peer, Ring, Socket, Splice, Token, Wait};
