//! Operations in flight: who asked for what, and the buffers that are the kernel's meanwhile.
//!
//! Invariants
//! - A buffer whose address the kernel knows is owned by this table from `push` until the operation's last completion.
//!   Only that completion gives it back; dropping the caller's connection, or its token, frees nothing.
//! - Per slot at most one incoming operation (accept or receive) and one send. A second one trips an assertion before
//!   it is submitted, because it would free the first one's buffer.
//! - `count` is the number of operations whose last completion has not been seen.
//!
//! The table grows to the highest slot that was ever used and stays: as many slots as the caller's table has. Slots
//! from
//! `SECOND_TABLE` up are a table of their own, for callers that number listeners apart from connections.

use bytes::BytesMut;

use crate::op::send::Scatter;
use crate::ring::{Outgoing, Token};
use crate::user_data::GENERATION_MASK;

/// The first slot of the second table.
const SECOND_TABLE: u32 = 1 << 31;

/// Most slots of a table: far above what one core serves, low enough that a wild token is noticed.
const SLOT_COUNT_MAX: usize = 1 << 20;

/// Scatter lists that are kept for reuse.
const SCATTER_POOL_MAX: usize = 256;

/// What a slot is waiting to get from the kernel.
#[derive(Debug, Default)]
pub(crate) enum Incoming {
    #[default]
    Nothing,
    Accept,
    Recv,
    RecvInto(BytesMut),
}

/// What a slot is sending.
pub(crate) struct Sending {
    pub(crate) out: Outgoing,
    pub(crate) scatter: Option<Scatter>,
}

#[derive(Default)]
struct Slot {
    incoming: Incoming,
    incoming_generation: u32,
    cancelled: bool,
    sending_generation: u32,
    sending: Option<Sending>,
}

/// The table.
#[derive(Default)]
pub(crate) struct InFlight {
    tables: [Vec<Slot>; 2],
    scatters: Vec<Scatter>,
    count: usize,
}

impl InFlight {
    /// Operations whose last completion is still to come.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Notes that an accept or receive starts.
    #[inline]
    pub(crate) fn begin_incoming(&mut self, token: Token, incoming: Incoming) {
        let slot = self.slot_for(token);
        assert!(matches!(slot.incoming, Incoming::Nothing), "one accept or receive in flight per token");
        slot.incoming = incoming;
        slot.incoming_generation = token.generation & GENERATION_MASK;
        slot.cancelled = false;
        self.count += 1;
    }

    /// What the token waits for; `Nothing` if the token is not the slot's any more.
    #[inline]
    pub(crate) fn incoming(&self, token: Token) -> &Incoming {
        let (table, index) = place(token);
        match self.tables[table].get(index) {
            Some(slot) if slot.incoming_generation == token.generation & GENERATION_MASK => &slot.incoming,
            Some(_) | None => &Incoming::Nothing,
        }
    }

    /// Ends what `incoming` showed, and gives it back.
    #[inline]
    pub(crate) fn end_incoming(&mut self, token: Token) -> Incoming {
        assert!(!matches!(self.incoming(token), Incoming::Nothing), "only what has begun ends");
        self.count -= 1;
        let (table, index) = place(token);
        std::mem::take(&mut self.tables[table][index].incoming)
    }

    /// Notes that the token's accept or receive is to end.
    pub(crate) fn mark_cancelled(&mut self, token: Token) {
        assert!(!matches!(self.incoming(token), Incoming::Nothing), "only what has begun is cancelled");
        let (table, index) = place(token);
        self.tables[table][index].cancelled = true;
    }

    /// True if the token's accept or receive should have ended and has not.
    pub(crate) fn is_cancelled(&self, token: Token) -> bool {
        let (table, index) = place(token);
        !matches!(self.incoming(token), Incoming::Nothing) && self.tables[table][index].cancelled
    }

    /// Notes that a send starts.
    #[inline]
    pub(crate) fn begin_send(&mut self, token: Token, sending: Sending) {
        let slot = self.slot_for(token);
        assert!(slot.sending.is_none(), "one send in flight per token");
        slot.sending = Some(sending);
        slot.sending_generation = token.generation & GENERATION_MASK;
        self.count += 1;
    }

    /// Ends the token's send and gives its buffers back; `None` if there is none.
    #[inline]
    pub(crate) fn end_send(&mut self, token: Token) -> Option<Outgoing> {
        let (table, index) = place(token);
        let slot = self.tables[table].get_mut(index)?;
        if slot.sending_generation != token.generation & GENERATION_MASK {
            return None;
        }
        let sending = slot.sending.take()?;
        self.count -= 1;
        if let Some(scatter) = sending.scatter
            && self.scatters.len() < SCATTER_POOL_MAX
        {
            self.scatters.push(scatter);
        }
        Some(sending.out)
    }

    /// A scatter list, used or new.
    pub(crate) fn scatter(&mut self) -> Scatter {
        self.scatters.pop().unwrap_or_else(Scatter::new)
    }

    #[inline]
    fn slot_for(&mut self, token: Token) -> &mut Slot {
        let (table, index) = place(token);
        let table = &mut self.tables[table];
        if index >= table.len() {
            grow(table, index);
        }
        &mut table[index]
    }
}

/// The table of a token's slot, and the index there.
#[inline]
fn place(token: Token) -> (usize, usize) {
    (usize::from(token.slot >= SECOND_TABLE), (token.slot & !SECOND_TABLE) as usize)
}

#[cold]
fn grow(table: &mut Vec<Slot>, index: usize) {
    assert!(index < SLOT_COUNT_MAX, "a slot is an index in a table of at most {SLOT_COUNT_MAX}");
    table.resize_with((index + 1).next_power_of_two(), Slot::default);
}
