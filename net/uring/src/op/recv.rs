//! Recv: one submission, a completion per piece, each in a provided buffer that the kernel chose.
//!
//! Invariants
//! - A buffer that a completion names is lent to the caller or reclaimed, whoever the completion belongs to.
//! - Any completion without `more` ends the receive, whatever its result.
//!
//! Absent on purpose
//! - IORING_RECVSEND_POLL_FIRST. With it a receive that is armed when bytes and the end of the stream are both there
//!   already delivers the bytes and never the end, on unix sockets (seen on Linux 6.18): the kernel looks at the socket
//!   once per edge, and there is no further edge. Without it the first attempt comes before the poll, which then sees
//!   the end. The price is one attempt in vain per arming, not per message.
//! - A cap on the length of one round. The kernel leaves a socket after 32 buffers (MULTISHOT_MAX_RETRY), and the cap
//!   would need Linux 6.17.
//! - Bundles and incremental buffers. The offset of a piece would have to be tracked across completions, for a saving
//!   that small requests do not see.

use io_uring::{opcode, types};

use super::{Code, Outcome, Prepared};
use crate::buffers::{self, Buffers};
use crate::in_flight::{InFlight, Incoming};
use crate::ring::{Chunk, Errno, Event, Socket, Token};

#[inline]
pub(super) fn start(in_flight: &mut InFlight, token: Token, socket: Socket) -> Prepared {
    in_flight.begin_incoming(token, Incoming::Recv);
    let entry = opcode::RecvMulti::new(types::Fd(socket.0), buffers::GROUP).build();
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
                buffers.starve();
            }
            empty.map(|_| None)
        }
    }
}
