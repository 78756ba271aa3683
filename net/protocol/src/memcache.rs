//! Memcache: requests and answers of memcached's text protocol.
//!
//! A request is a line of words parted by spaces. The storage commands announce a value in their fifth word, which
//! follows the line and is closed by CRLF:
//!
//! ```text
//! set <key> <flags> <exptime> <bytes> [noreply] CRLF <value> CRLF
//!
//! receive buffer --parse--> Request               whole and small: in place, the hot path
//!       |
//!       +--Incomplete--> Assembler --> Request    cut between receives, large, or broken
//! ```
//!
//! Invariants
//! - The arguments of a `Request` are the words of its line; a value, if one was announced, is the last one.
//! - `parse` takes only what is whole, small and well-formed; everything else is the `Assembler`'s, so each fault has
//!   one place of birth.
//! - A line says alone how many bytes belong to its request, so a fault never costs the place of the next one.
//!
//! Absent on purpose: what commands mean and how their words are checked, and the meta commands, which are lines of an
//! unknown command here.

mod assembler;
mod line;
mod parse;
pub mod reply;

pub use crate::assembly::{Fed, FedState, Parsed};
pub use assembler::Assembler;
pub use line::split_value;
pub use parse::parse;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 250;

/// Longest line before its LF, in bytes, unless it asks for values: what is longer is garbage to memcached.
pub const LINE_BYTES_MAX: usize = 2048;

/// Longest value that a client may send before it has authenticated, in bytes: user and password.
pub const UNAUTHENTICATED_VALUE_BYTES_MAX: usize = 16 * 1024;

/// What an item takes besides key and value when it is held against `Limits::item_bytes_max`: memcached's header with a
/// CAS number, and the CRLF that it stores with the value.
const ITEM_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;

/// Bounds on one client's requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest item, in bytes: key, value and `ITEM_OVERHEAD_BYTES`. The setting `memcached-item-size-max`.
    pub item_bytes_max: usize,
    /// Longest large value that there is room for now, in bytes; the payload of a longer one is swallowed.
    pub large_bytes_max: usize,
    /// Longest line that asks for values, and most bytes that the `Assembler` stores of one request, at most 2 GiB.
    /// Not below the size of a receive buffer, in which `parse` takes whatever it finds.
    pub request_bytes_max: usize,
    /// Most words of one line.
    pub words_max: usize,
    /// False holds the client to `UNAUTHENTICATED_VALUE_BYTES_MAX`. Since authentication changes this, requests of a
    /// client that has not authenticated are parsed one by one, each after the one before has run.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            item_bytes_max: 1024 * 1024,
            large_bytes_max: 512 * 1024 * 1024,
            request_bytes_max: 1024 * 1024 * 1024,
            words_max: 1024 * 1024,
            authenticated: true,
        }
    }
}

/// Why a request that was read to its end cannot run. Its value is gone, its words are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The value is not closed by CRLF.
    BadChunk,
    /// The item would be larger than `Limits::item_bytes_max`.
    TooLarge,
    /// There is no room to receive the value now.
    NoRoom,
    /// The value is longer than what authenticates.
    AuthenticationTooLong,
}

/// A line that does not end: nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineTooLong {
    /// A line of any command; memcached closes such a connection without a word.
    Command,
    /// A line that asks for values, which may be very long.
    Keys,
}
