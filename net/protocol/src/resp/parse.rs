//! Parse: one whole request at the start of a buffer, in place.
//!
//! Invariants
//! - On `Incomplete` nothing has changed, `args` included.
//!
//! Absent on purpose: errors. A broken request is `Incomplete` here and the `Assembler` names what is wrong.

use super::Limits;
use crate::Arg;

/// What lies at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request in the input's first `consumed` bytes; its `argc` arguments are at the end of `args`.
    Request {
        /// Bytes of the request.
        consumed: usize,
        /// Arguments pushed, at least 1.
        argc: usize,
    },
    /// An empty request in the first `consumed` bytes: no answer is due.
    Nothing {
        /// Bytes of the request.
        consumed: usize,
    },
    /// Not a whole, small, plain request: the `Assembler` takes it from here.
    Incomplete,
}

/// Parses one request at the start of `input` in place and pushes its arguments onto `args`.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Parsed {
    let _ = (input, limits, args);
    Parsed::Incomplete
}
