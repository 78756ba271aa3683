//! The operations, one per file: how each becomes a submission and what its completions mean.
//!
//! A new operation is a file here, a variant of `ring::Op`, and a code.

mod accept;
mod cancel;
mod recv;
mod recv_into;
pub(crate) mod send;

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::CancelBuilder;

use crate::buffers::Buffers;
use crate::in_flight::InFlight;
use crate::ring::{Errno, Event, Op, Token};
use crate::user_data;

/// The operation in `user_data`. Neither 0 nor 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Accept = 1,
    Recv = 2,
    RecvInto = 3,
    Send = 4,
    Cancel = 5,
}

impl Code {
    #[inline]
    pub(crate) fn from_byte(byte: u8) -> Option<Code> {
        match byte {
            1 => Some(Code::Accept),
            2 => Some(Code::Recv),
            3 => Some(Code::RecvInto),
            4 => Some(Code::Send),
            5 => Some(Code::Cancel),
            0 | 6.. => None,
        }
    }
}

/// A submission whose addresses are proven: whatever it points to stays in place until its last completion.
pub(crate) struct Prepared(Entry);

impl Prepared {
    /// # Safety
    /// Every address in `entry` must stay valid, unmoved, and for receives untouched by others, until the last
    /// completion of the operation was reaped.
    #[inline]
    unsafe fn new(entry: Entry, code: Code, token: Token) -> Prepared {
        Prepared(entry.user_data(user_data::encode(code, token)))
    }

    /// Cancels every operation of the ring. Its completion means nothing: code 0 names no operation.
    pub(crate) fn cancel_all() -> Prepared {
        Prepared(opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(0))
    }

    /// # Safety
    /// As `new`; `entry` has its `user_data`.
    #[cfg(test)]
    pub(crate) unsafe fn raw(entry: Entry) -> Prepared {
        Prepared(entry)
    }

    /// The submission.
    #[inline]
    pub(crate) fn entry(&self) -> &Entry {
        &self.0
    }
}

/// A completion as the kernel tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Not negative: the operation's result; negative: minus the error number.
    pub(crate) result: i32,
    /// Further completions will come.
    pub(crate) more: bool,
    /// The provided buffer that was used.
    pub(crate) buffer: Option<u16>,
}

impl Outcome {
    #[inline]
    fn result(self) -> Result<u32, Errno> {
        u32::try_from(self.result).map_err(|_| Errno(self.result.wrapping_neg()))
    }
}

/// What a completion means.
pub(crate) enum Meaning {
    /// Something for the caller.
    Event(Event),
    /// Nothing for the caller.
    Nothing,
    /// The operation did not do its work; submit this.
    Again(Prepared),
}

/// Starts an operation. `None` if it has nothing to do.
#[inline]
pub(crate) fn start(in_flight: &mut InFlight, token: Token, op: Op) -> Option<Prepared> {
    match op {
        Op::Accept { listener } => Some(accept::start(in_flight, token, listener)),
        Op::Recv { socket } => Some(recv::start(in_flight, token, socket)),
        Op::RecvInto { socket, into } => Some(recv_into::start(in_flight, token, socket, into)),
        Op::Send { socket, out } => Some(send::start(in_flight, token, socket, out)),
        Op::Cancel => cancel::start(in_flight, token),
    }
}

/// Takes a completion of an operation.
#[inline]
pub(crate) fn finish(
    in_flight: &mut InFlight,
    buffers: &mut Buffers,
    token: Token,
    code: Code,
    outcome: Outcome,
) -> Meaning {
    let event = match code {
        Code::Recv => recv::finish(in_flight, buffers, token, outcome),
        Code::Send => send::finish(in_flight, token, outcome),
        Code::RecvInto => recv_into::finish(in_flight, token, outcome),
        Code::Accept => accept::finish(in_flight, token, outcome),
        Code::Cancel => return cancel::finish(in_flight, token, outcome),
    };
    match event {
        Some(event) => Meaning::Event(event),
        None => Meaning::Nothing,
    }
}
