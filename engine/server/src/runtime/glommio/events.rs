//! What has happened since the last tick: completions that tasks leave for the reactor, and the bytes of what arrived.
//!
//! Invariants
//! - At most `BUFFERS_MAX` buffers exist: a receive without one ends, and the reactor starts it again a tick later.
//! - Whoever leaves something here wakes the driver, once per sleep.
//! - No task wakes itself: one that could go on leaves something and asks for another turn, which begins after glommio
//!   has looked at its rings. Otherwise a flood on one connection would keep the others from being seen.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::task::Waker;

use uring::{Completion, Event, Peer, Token};

/// Bytes of a receive buffer: a connection's share of a tick in a quarter of it.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers of what arrived and was not served yet: 4 MiB, as many bytes as our own ring provides.
pub(super) const BUFFERS_MAX: usize = 256;
/// Most that one receive brings straight into a large value.
const DIRECT_BYTES_MAX: usize = 256 * 1024;

/// A completion on its way to the reactor.
pub(super) enum Happened {
    /// `len` bytes of `buffer` arrived.
    Arrived {
        /// Whose they are.
        token: Token,
        /// Where they lie.
        buffer: Box<[u8]>,
        /// How many.
        len: u32,
    },
    /// A connection came.
    Accepted {
        /// The listener's.
        token: Token,
        /// The connection.
        socket: OwnedFd,
        /// Its other end.
        peer: Peer,
    },
    /// Anything else, as the reactor takes it.
    Complete(Completion),
}

/// See the module.
#[derive(Default)]
pub(super) struct Events {
    queue: RefCell<VecDeque<Happened>>,
    driver: Cell<Option<Waker>>,
    /// Tasks that want another turn.
    turns: RefCell<Vec<Waker>>,
    spare: RefCell<Vec<Box<[u8]>>>,
    buffer_count: Cell<usize>,
    /// Where bytes of large values land first: glommio receives into initialised memory only.
    landing: RefCell<Vec<u8>>,
}

impl Events {
    /// Leaves something for the driver.
    pub(super) fn push(&self, happened: Happened) {
        self.queue.borrow_mut().push_back(happened);
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Leaves a completion for the driver.
    pub(super) fn complete(&self, token: Token, event: Event) {
        self.push(Happened::Complete(Completion { token, event }));
    }

    /// The oldest.
    pub(super) fn pop(&self) -> Option<Happened> {
        self.queue.borrow_mut().pop_front()
    }

    /// True if nothing has happened.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Wakes `driver` when something happens.
    pub(super) fn wake_for_next(&self, driver: &Waker) {
        self.driver.set(Some(driver.clone()));
    }

    /// Wakes `task` when the next turn begins. It must have left something in this one, so that there is a next.
    pub(super) fn ask_for_turn(&self, task: &Waker) {
        self.turns.borrow_mut().push(task.clone());
    }

    /// True if a task wants another turn.
    pub(super) fn is_turn_wanted(&self) -> bool {
        !self.turns.borrow().is_empty()
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&self) {
        self.turns.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// A receive buffer; `None` while all are out.
    pub(super) fn take_buffer(&self) -> Option<Box<[u8]>> {
        let spare = self.spare.borrow_mut().pop();
        if spare.is_some() || self.buffer_count.get() == BUFFERS_MAX {
            return spare;
        }
        self.buffer_count.set(self.buffer_count.get() + 1);
        Some(vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    /// Takes a buffer back. The one that was used last goes out first: it is in the cache.
    pub(super) fn give_back(&self, buffer: Box<[u8]>) {
        self.spare.borrow_mut().push(buffer);
    }

    /// Lends memory for up to `len` bytes of a large value.
    pub(super) fn with_landing<T>(&self, len: usize, receive: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut landing = self.landing.borrow_mut();
        if landing.is_empty() {
            landing.resize(DIRECT_BYTES_MAX, 0);
        }
        receive(&mut landing[..len.min(DIRECT_BYTES_MAX)])
    }
}
