//! Recv: one submission, a completion per piece, each in a provided buffer that the kernel chose.
//!
//! Invariants
//! - The submission waits for the socket first (POLL_FIRST): it is made when a request was just answered or a
//!   connection just accepted, and trying at once would mostly find nothing. It also keeps an arming while the buffers
//!   are out from failing before anything was received.
//! - A buffer that a completion names is lent to the caller or reclaimed, whoever the completion belongs to.
//! - Any completion without `more` ends the receive, whatever its result.
//!
//! Absent on purpose: a cap on the length of one round. The kernel leaves a socket after 32 buffers
//! (MULTISHOT_MAX_RETRY), and the cap would need Linux 6.17. Bundles and incremental buffers: the offset of a piece would
//! have to be tracked across completions, for a saving that small requests do not see.

use io_uring::squeue::Flags;
use io_uring::{opcode, types};

use super::{Code, Outcome, Prepared};
use crate::buffers::{self, Buffers};
use crate::in_flight::{InFlight, Incoming};
use crate::ring::{Chunk, Errno, Event, Socket, Token};

// The kernel's `IORING_RECVSEND_*` flags (linux/io_uring.h), which the crate keeps to itself.
const POLL_FIRST: u16 = 1 << 0;
const MULTISHOT: u16 = 1 << 1;

#[inline]
pub(super) fn start(in_flight: &mut InFlight, token: Token, socket: Socket) -> Prepared {
    in_flight.begin_incoming(token, Incoming::Recv);
    let entry = opcode::Recv::new(types::Fd(socket.0), std::ptr::null_mut(), 0)
        .ioprio(POLL_FIRST | MULTISHOT)
        .buf_group(buffers::GROUP)
        .build()
        .flags(Flags::BUFFER_SELECT);
    // SAFETY: the submission carries no address; the buffers that the kernel chooses are owned by `Buffers`.
    unsafe { Prepared::new(entry, Code::Recv, token) }
}

#[inline]
pub(super) fn finish(in_flight: &mut InFlight, buffers: &mut Buffers, token: Token, outcome: Outcome) -> Option<Event> {
    if !matches!(in_flight.incoming(token), Incoming::Recv) {
        if let Some(buffer) = outcome.buffer {
            buffers.reclaim(buffer);
        }
        return None;
    }
    if !outcome.more {
        in_flight.end_incoming(token);
    }
    Some(Event::Received { result: received(buffers, outcome), more: outcome.more })
}

#[inline]
fn received(buffers: &mut Buffers, outcome: Outcome) -> Result<Option<Chunk>, Errno> {
    match (outcome.result(), outcome.buffer) {
        (Ok(len @ 1..), Some(buffer)) => Ok(Some(buffers.lend(buffer, len))),
        // Bytes without a buffer cannot be; should a kernel do it, they are lost, and the stream with them.
        (Ok(1..), None) => Err(Errno(libc::EIO)),
        (empty, buffer) => {
            if let Some(buffer) = buffer {
                buffers.reclaim(buffer);
            }
            if empty == Err(Errno(libc::ENOBUFS)) {
                buffers.widen();
            }
            empty.map(|_| None)
        }
    }
}
