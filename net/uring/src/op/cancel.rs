//! Cancel: ends the accept or receive of a token.
//!
//! Invariants
//! - Once pushed, the operation's last completion comes: a cancel that the kernel answers with "not found" or "already
//!   running" while the operation is still in flight is submitted again. (Between its poll and its next attempt an
//!   operation is in neither of the places where the kernel looks.)
//! - A cancel has no event of its own; successes are not even completed (CQE_SKIP_SUCCESS).
//!
//! Absent on purpose: cancelling sends. `shutdown` ends them.

use io_uring::squeue::Flags;
use io_uring::{opcode, types};

use super::{Code, Meaning, Outcome, Prepared};
use crate::in_flight::{InFlight, Incoming};
use crate::ring::Token;
use crate::user_data;

pub(super) fn start(in_flight: &mut InFlight, token: Token) -> Option<Prepared> {
    let code = match in_flight.incoming(token) {
        Incoming::Nothing => return None,
        Incoming::Accept => Code::Accept,
        Incoming::Recv => Code::Recv,
        Incoming::RecvInto(_) => Code::RecvInto,
    };
    in_flight.mark_cancelled(token);
    let target = types::CancelBuilder::user_data(user_data::encode(code, token));
    let entry = opcode::AsyncCancel2::new(target).build().flags(Flags::SKIP_SUCCESS);
    // SAFETY: the submission carries no address; the target is a number.
    Some(unsafe { Prepared::new(entry, Code::Cancel, token) })
}

pub(super) fn finish(in_flight: &mut InFlight, token: Token, outcome: Outcome) -> Meaning {
    if outcome.result >= 0 || !in_flight.is_cancelled(token) {
        return Meaning::Nothing;
    }
    match start(in_flight, token) {
        Some(again) => Meaning::Again(again),
        None => Meaning::Nothing,
    }
}
