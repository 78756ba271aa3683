//! RecvInto: one receive straight into memory of the caller's.
//!
//! Invariants
//! - The table owns the `BytesMut` until the completion, so its spare capacity stays where the kernel writes.
//! - `into` grows by exactly what the kernel says it wrote.

use bytes::BytesMut;
use io_uring::{opcode, types};

use super::{Code, Outcome, Prepared};
use crate::in_flight::{InFlight, Incoming};
use crate::ring::{Event, Socket, Token};

/// Most bytes of one receive; a signed 32-bit result has to hold them.
const RECEIVE_BYTES_MAX: usize = 1 << 30;

pub(super) fn start(in_flight: &mut InFlight, token: Token, socket: Socket, mut into: BytesMut) -> Prepared {
    let spare = into.spare_capacity_mut();
    assert!(!spare.is_empty(), "a receive needs room");
    let len = spare.len().min(RECEIVE_BYTES_MAX) as u32;
    let entry = opcode::Recv::new(types::Fd(socket.0), spare.as_mut_ptr().cast(), len).build();
    in_flight.begin_incoming(token, Incoming::RecvInto(into));
    // SAFETY: the address is the spare capacity of a heap allocation of at least `len` bytes. `in_flight` owns the
    // handle to it from here to the last completion (moving the handle leaves the allocation in place), and nobody else
    // can
    // reach its spare capacity.
    unsafe { Prepared::new(entry, Code::RecvInto, token) }
}

pub(super) fn finish(in_flight: &mut InFlight, token: Token, outcome: Outcome) -> Option<Event> {
    if !matches!(in_flight.incoming(token), Incoming::RecvInto(_)) {
        return None;
    }
    let Incoming::RecvInto(mut into) = in_flight.end_incoming(token) else { return None };
    let got = outcome.result().map(|got| got as usize);
    if let Ok(got) = got {
        assert!(got <= into.capacity() - into.len(), "the kernel was told the room");
        // SAFETY: the kernel wrote `got` bytes right behind the initialised part, within the capacity as asserted.
        unsafe { into.set_len(into.len() + got) };
    }
    Some(Event::Filled { into, got })
}
