//! Protocol: bytes to `Request`, answers to bytes.
//!
//! Invariants
//! - Bytes from a client never panic and never make us allocate more than a small multiple of what has arrived.
//! - Parsing is deterministic: how a stream is cut into pieces never changes the requests or the error.
//! - A request's small arguments borrow from the receive buffer (or from the `Assembler` that joined the pieces);
//!   arguments of `LARGE_BULK_MIN` bytes and more are refcounted values and travel by reference.
//!
//! Absent on purpose: the meaning of any command, sockets, clocks, connections.

#![forbid(unsafe_code)]

mod assembly;
pub mod memcache;
mod parts;
mod payload;
mod reply;
mod request;
pub mod resp;

pub use reply::{Mark, Reply, Spliced, Version};
pub use request::{Arg, ArgBuffer, LARGE_BULK_MIN, Request};

/// What a client and we speak on a connection. The listener decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The Redis protocol, versions 2 and 3.
    #[default]
    Resp,
    /// The text protocol of memcached.
    Memcache,
}
