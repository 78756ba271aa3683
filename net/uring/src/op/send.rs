//! Send: replies on their way out, whole if the peer takes them.
//!
//! Without splices the bytes go out by SEND; with splices by SENDMSG over at most `PART_COUNT_MAX` parts in wire order.
//! One operation takes `SEND_BYTES_MAX` at most; the rest of a longer reply is the caller's next send: `out.sent`
//! counts.
//!
//! Invariants
//! - MSG_WAITALL: the kernel goes on after a short write, so one completion means all, an error, or a peer that left.
//! - MSG_NOSIGNAL: a peer that left is an error, not a SIGPIPE.
//! - The table owns the bytes, the refcounted values and the scatter list until the completion.
//!
//! Absent on purpose: zero copy. It costs more than it saves below about 16 KiB, and loopback copies anyway.

use std::ptr::{self, NonNull};

use io_uring::{opcode, types};

use super::{Code, Outcome, Prepared};
use crate::in_flight::{InFlight, Sending};
use crate::ring::{Event, Outgoing, Socket, Token};

/// Most parts of one SENDMSG.
const PART_COUNT_MAX: usize = 64;

/// Most bytes of one operation. A long reply goes out in steps, so that the caller sees whether its reader moves.
const SEND_BYTES_MAX: usize = 1 << 20;

const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

#[inline]
pub(super) fn start(in_flight: &mut InFlight, token: Token, socket: Socket, out: Outgoing) -> Prepared {
    if !out.splices.is_empty() {
        return start_scattered(in_flight, token, socket, out);
    }
    let rest = &out.bytes[out.sent..];
    let len = rest.len().min(SEND_BYTES_MAX) as u32;
    let entry = opcode::Send::new(types::Fd(socket.0), rest.as_ptr(), len).flags(FLAGS).build();
    in_flight.begin_send(token, Sending { out, scatter: None });
    // SAFETY: the address is `len` initialised bytes of a heap allocation that `in_flight` owns, unchanged, until the
    // completion; moving its handle leaves the allocation in place.
    unsafe { Prepared::new(entry, Code::Send, token) }
}

fn start_scattered(in_flight: &mut InFlight, token: Token, socket: Socket, out: Outgoing) -> Prepared {
    let mut scatter = in_flight.scatter();
    scatter.fill(&out);
    let entry = opcode::SendMsg::new(types::Fd(socket.0), scatter.header()).flags(FLAGS as u32).build();
    in_flight.begin_send(token, Sending { out, scatter: Some(scatter) });
    // SAFETY: the address is the header of a heap allocation that `in_flight` owns until the completion, together with
    // everything that the header's parts point to: the heap bytes of `out` and of its refcounted values.
    unsafe { Prepared::new(entry, Code::Send, token) }
}

#[inline]
pub(super) fn finish(in_flight: &mut InFlight, token: Token, outcome: Outcome) -> Option<Event> {
    let mut out = in_flight.end_send(token)?;
    let result = outcome.result().map(|sent| sent as usize);
    if let Ok(sent) = result {
        out.sent += sent;
    }
    Some(Event::Sent { out, result })
}

struct Parts {
    header: libc::msghdr,
    parts: [libc::iovec; PART_COUNT_MAX],
}

/// A message header and its parts, at an address that does not change when the handle moves.
pub(crate) struct Scatter(NonNull<Parts>);

impl Scatter {
    pub(crate) fn new() -> Scatter {
        const NO_PART: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let parts = Parts {
            // SAFETY: a message header is plain numbers and pointers, for which zero is a value.
            header: unsafe { std::mem::zeroed() },
            parts: [NO_PART; PART_COUNT_MAX],
        };
        Scatter(NonNull::from(Box::leak(Box::new(parts))))
    }

    /// Points at the unsent part of `out`, as far as `PART_COUNT_MAX` parts reach.
    ///
    /// Skips what is sent by walking there: O(splices), once per `PART_COUNT_MAX` parts.
    fn fill(&mut self, out: &Outgoing) {
        // SAFETY: the allocation is `self`'s alone: the kernel reads it only while it is lent to an operation, and then
        // `in_flight` owns `self` and fills nothing.
        let Parts { header, parts } = unsafe { self.0.as_mut() };
        let (mut count, mut room) = (0, SEND_BYTES_MAX);
        for piece in unsent(out).take(PART_COUNT_MAX) {
            let len = piece.len().min(room);
            parts[count] = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: len };
            count += 1;
            room -= len;
            if room == 0 {
                break;
            }
        }
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = count as _;
    }

    fn header(&self) -> *const libc::msghdr {
        // SAFETY: the allocation lives as long as `self`; only the field's address is taken.
        unsafe { &raw const (*self.0.as_ptr()).header }
    }
}

impl Drop for Scatter {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from `Box::leak` in `new` and is dropped once, when no operation uses it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The unsent, non-empty pieces of `out` in wire order.
fn unsent(out: &Outgoing) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    let mut skip = out.sent;
    let spliced = out.splices.iter().flat_map(move |splice| {
        let before = &out.bytes[from..splice.at];
        from = splice.at;
        [before, &splice.value[..]]
    });
    let last = out.splices.last().map_or(0, |splice| splice.at);
    spliced.chain([&out.bytes[last..]]).filter_map(move |piece| {
        let skipped = skip.min(piece.len());
        skip -= skipped;
        Some(&piece[skipped..]).filter(|rest| !rest.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ring::Splice;

    fn outgoing(bytes: &[u8], splices: &[(usize, &'static [u8])]) -> Outgoing {
        let splices = splices.iter().map(|&(at, value)| Splice { at, value: Bytes::from_static(value) }).collect();
        Outgoing { bytes: bytes.to_vec(), splices, sent: 0 }
    }

    #[test]
    fn pieces_are_in_wire_order_from_every_offset() {
        let cases = [
            (outgoing(b"abcdef", &[]), &b"abcdef"[..]),
            (outgoing(b"abcdef", &[(2, b"XX"), (2, b"Y"), (6, b"ZZZ")]), b"abXXYcdefZZZ"),
            (outgoing(b"", &[(0, b"only")]), b"only"),
            (outgoing(b"ab", &[(0, b""), (1, b""), (2, b"")]), b"ab"),
        ];
        for (mut out, wire) in cases {
            assert_eq!(out.len(), wire.len());
            for sent in 0..=wire.len() {
                out.sent = sent;
                let got: Vec<u8> = unsent(&out).flatten().copied().collect();
                assert_eq!(got, wire[sent..], "from {sent}");
            }
        }
    }

    #[test]
    fn a_scatter_list_holds_the_first_parts_of_a_long_reply() {
        let value = Bytes::from_static(b"v");
        let splices = (0..100).map(|at| Splice { at, value: value.clone() }).collect();
        let out = Outgoing { bytes: vec![b'.'; 100], splices, sent: 0 };
        let mut scatter = Scatter::new();
        scatter.fill(&out);
        // SAFETY: `fill` made the header, and nobody else uses it.
        let header = unsafe { &*scatter.header() };
        assert_eq!(header.msg_iovlen, PART_COUNT_MAX as _);
    }
}
