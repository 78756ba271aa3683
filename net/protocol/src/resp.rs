//! RESP: requests of the Redis protocol, versions 2 and 3, and inline commands.
//!
//! ```text
//! receive buffer --parse--> Request               whole and small: in place, the hot path
//!       |
//!       +--Incomplete--> Assembler --> Request    cut between receives, large, quoted, or broken
//! ```
//!
//! Invariants
//! - `parse` takes only what is whole, small and well-formed; everything else is the `Assembler`'s, so each error has
//!   one place of birth and no byte is looked at more than twice.
//!
//! Absent on purpose: answers (see `Reply`).

mod assembler;
mod error;
mod header;
mod inline;
mod parse;
pub mod reply;

pub use crate::assembly::{Fed, FedState, Parsed};
pub use assembler::Assembler;
pub use error::ProtocolError;
pub use parse::parse;

/// Longest line before its CR or LF when it is a header, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Arguments that a client may send before it has authenticated.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;

/// Longest argument that a client may send before it has authenticated, in bytes.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

/// Bounds on one client's requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, in bytes; a longer one is a protocol error. The setting `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// Longest large argument that is worth storing, in bytes; the payload of a longer one is skipped.
    pub large_bytes_max: usize,
    /// Bytes that the `Assembler` may store of one request, at most 2 GiB; beyond, small arguments are a protocol error
    /// and large ones are skipped. Not below the size of a receive buffer, in which `parse` takes whatever it finds.
    /// The setting `client-query-buffer-limit`.
    pub request_bytes_max: usize,
    /// Most arguments of one request, the name included.
    pub args_max: usize,
    /// Longest inline command, in bytes, without its LF.
    pub inline_bytes_max: usize,
    /// False holds the client to `UNAUTHENTICATED_ARGS_MAX` and `UNAUTHENTICATED_BULK_BYTES_MAX`. Since AUTH changes
    /// this, an unauthenticated client's requests are parsed one by one, each after the one before has run.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bulk_bytes_max: 512 * 1024 * 1024,
            large_bytes_max: 512 * 1024 * 1024,
            request_bytes_max: 1024 * 1024 * 1024,
            args_max: 1024 * 1024,
            inline_bytes_max: 64 * 1024,
            authenticated: true,
        }
    }
}
