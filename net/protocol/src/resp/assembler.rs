//! Assembler: joins the pieces of one request that `parse` could not take in place.

use bytes::BytesMut;

use super::{Limits, ProtocolError};
use crate::{Arg, ArgBuffer, Request};

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes of the input that belong to the request and were taken.
    pub consumed: usize,
    /// Where the request stands.
    pub state: FedState,
}

/// Where a request stands after a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FedState {
    /// All input was taken and the request goes on.
    NeedMore,
    /// The request is whole: read it, then `clear`.
    Complete,
    /// The request was empty and is forgotten: no answer is due.
    Nothing,
}

/// Builds one request from pieces. One per connection; holds no memory while idle after small requests.
#[derive(Debug, Default)]
pub struct Assembler {}

impl Assembler {
    /// An idle assembler without allocation.
    pub fn new() -> Self {
        Assembler::default()
    }

    /// True if no request has begun.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Takes bytes up to the end of the request, or all.
    ///
    /// # Errors
    /// The stream is broken; the connection must be closed.
    pub fn feed(&mut self, input: &[u8], limits: &Limits) -> Result<Fed, ProtocolError> {
        let _ = (input, limits);
        Err(ProtocolError::BulkLength)
    }

    /// While a large argument is being received: the payload bytes it still lacks.
    pub fn filling(&self) -> Option<usize> {
        None
    }

    /// Lends the large argument's buffer for a direct receive; its spare capacity is what `filling` says.
    pub fn take_filling(&mut self) -> BytesMut {
        BytesMut::new()
    }

    /// Takes the buffer back, with more bytes in it or none.
    pub fn put_filling(&mut self, filling: BytesMut) {
        let _ = filling;
    }

    /// Bytes that this request holds in memory.
    pub fn held_bytes(&self) -> usize {
        0
    }

    /// True if a payload of the complete request was skipped: it must be answered with an error, not executed.
    pub fn was_oversized(&self) -> bool {
        false
    }

    /// Pushes the complete request's arguments onto `args` and says how many, as `parse` does.
    pub fn push_args<'a>(&'a self, args: &mut Vec<Arg<'a>>) -> usize {
        let _ = args;
        0
    }

    /// Runs `f` on the complete request; `buffer` lends the allocation for its arguments.
    pub fn with_request<R>(&self, buffer: &mut ArgBuffer, f: impl FnOnce(Request<'_>) -> R) -> R {
        let mut args = buffer.lend();
        self.push_args(&mut args);
        let result = f(Request::new(&args));
        buffer.reclaim(args);
        result
    }

    /// Forgets the request; keeps small allocations and frees large ones.
    pub fn clear(&mut self) {}
}
