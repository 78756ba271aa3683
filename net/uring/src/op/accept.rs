//! Accept: one submission, a completion per connection.
//!
//! Invariants
//! - Connections are close-on-exec, and blocking: on a non-blocking socket the kernel answers EAGAIN where it would
//!   otherwise wait for the socket.
//! - A connection nobody waits for is closed, never leaked.
//!
//! Absent on purpose: the peer's address. A multishot accept has one place for it and many connections.

use io_uring::{opcode, types};

use super::{Code, Outcome, Prepared};
use crate::in_flight::{InFlight, Incoming};
use crate::ring::{Event, Socket, Token};
use crate::socket;

pub(super) fn start(in_flight: &mut InFlight, token: Token, listener: Socket) -> Prepared {
    in_flight.begin_incoming(token, Incoming::Accept);
    let entry = opcode::AcceptMulti::new(types::Fd(listener.0)).flags(libc::SOCK_CLOEXEC).build();
    // SAFETY: the submission carries no address.
    unsafe { Prepared::new(entry, Code::Accept, token) }
}

pub(super) fn finish(in_flight: &mut InFlight, token: Token, outcome: Outcome) -> Option<Event> {
    let result = outcome.result().map(|_| Socket(outcome.result));
    if !matches!(in_flight.incoming(token), Incoming::Accept) {
        if let Ok(unwanted) = result {
            socket::close(unwanted);
        }
        return None;
    }
    if !outcome.more {
        in_flight.end_incoming(token);
    }
    Some(Event::Accepted { result, more: outcome.more })
}
