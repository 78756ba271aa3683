//! How a command ends: with a reply it has written, with a refusal, or with more to do.
//!
//! Invariant: every error reply is a `Refusal`, so errors are counted in one place and a half-written reply is
//! withdrawn.

use std::borrow::Cow;

use l1::NoRoom;
use protocol::{Mark, Reply};

use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::table::Command;

/// Why a command was not done: the text of its error reply, code first.
#[derive(Debug)]
pub(crate) struct Refusal(pub Cow<'static, str>);

impl Refusal {
    pub const SYNTAX: Refusal = Refusal::text("ERR syntax error");
    pub const NOT_INTEGER: Refusal = Refusal::text("ERR value is not an integer or out of range");
    pub const NOT_INT32: Refusal =
        Refusal::text("ERR value is out of range, value must between -2147483648 and 2147483647");
    pub const TOO_LARGE: Refusal = Refusal::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const REPLY_TOO_LARGE: Refusal =
        Refusal::text("ERR reply exceeds the client-output-buffer-limit, ask for fewer keys");
    pub const NO_ROOM: Refusal = Refusal::text(OUT_OF_MEMORY);

    /// A fixed text.
    pub const fn text(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text))
    }

    /// The wrong number of arguments.
    #[cold]
    pub fn arity(command: Command) -> Refusal {
        Refusal::new(format!("ERR wrong number of arguments for '{}' command", command.name()))
    }

    /// A text made for the occasion.
    #[cold]
    pub fn new(text: String) -> Refusal {
        Refusal(Cow::Owned(text))
    }
}

/// The error reply when memory is full, or when a value is larger than memory may ever hold.
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

impl From<NoRoom> for Refusal {
    fn from(_: NoRoom) -> Refusal {
        Refusal::NO_ROOM
    }
}

/// What a command's function returns: nothing, an outcome, or either with a refusal.
pub(crate) trait Answer {
    /// Completes the reply that began at `start`.
    fn settle(self, cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>, start: Mark) -> Outcome;
}

impl Answer for () {
    #[inline]
    fn settle(self, _: &mut Cache, _: &Call<'_>, _: &mut Reply<'_>, _: Mark) -> Outcome {
        Outcome::Done
    }
}

impl Answer for Outcome {
    #[inline]
    fn settle(self, _: &mut Cache, _: &Call<'_>, _: &mut Reply<'_>, _: Mark) -> Outcome {
        self
    }
}

impl<A: Answer> Answer for Result<A, Refusal> {
    #[inline]
    fn settle(self, cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>, start: Mark) -> Outcome {
        match self {
            Ok(answer) => answer.settle(cache, call, reply, start),
            Err(refusal) => {
                reply.rewind(start);
                cache.statistics.failed(call.command);
                cache.refuse(&refusal, reply);
                Outcome::Done
            }
        }
    }
}
