//! Pause: CLIENT PAUSE holds commands back until its time is up or CLIENT UNPAUSE comes.
//!
//! Invariants
//! - A command that is held back keeps its place in its connection's order.
//! - While clients are paused nothing expires or is evicted by upkeep: who pauses wants the data to stand still.
//! - CLIENT UNPAUSE is never held back.

use crate::cache::{Cache, cache_mode};
use crate::clients::Session;
use crate::memcache::Verb;
use crate::spec::flag;
use crate::table::Command;

/// A pause in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// When it ends, in monotonic microseconds.
    pub until_us: u64,
    /// Holds reads back too.
    pub all: bool,
}

impl Pause {
    /// True if it holds `command` of the client of `session` back. Whether EXEC writes depends on what is queued.
    pub fn holds(self, command: Command, writes_at_exec: bool) -> bool {
        const CHANGES: u32 = flag::WRITE | flag::MAY_REPLICATE;
        if command == Command::ClientUnpause {
            return false;
        }
        self.all || command.spec().flags & CHANGES != 0 || command == Command::Exec && writes_at_exec
    }

    /// True if it holds a command of memcached's protocol back.
    pub fn holds_memcache(self, verb: Verb) -> bool {
        self.all || verb.writes()
    }
}

impl Cache {
    /// True while clients are paused.
    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.modes & cache_mode::PAUSED != 0
    }

    /// Begins a pause, or makes the one in force longer or stricter.
    pub(crate) fn pause(&mut self, until_us: u64, all: bool) {
        let old = self.pause.unwrap_or(Pause { until_us, all });
        self.pause = Some(Pause { until_us: until_us.max(old.until_us), all: all || old.all });
        self.modes |= cache_mode::PAUSED;
        self.wake_at(until_us);
    }

    /// Ends the pause, if there is one: those that wait look again.
    pub(crate) fn unpause(&mut self) {
        self.modes &= !cache_mode::PAUSED;
        if self.pause.take().is_some() {
            self.wakes += 1;
        }
    }

    /// True if a command of this client has to wait.
    pub(crate) fn is_held(&self, session: &Session, command: Command) -> bool {
        self.pause.is_some_and(|pause| pause.holds(command, session.writes_at_exec()))
    }

    /// Asks to be woken: those that wait look again at `us`, in monotonic microseconds, or before.
    pub(crate) fn wake_at(&mut self, us: u64) {
        self.wake_at_us = Some(self.wake_at_us.map_or(us, |old| old.min(us)));
    }

    /// Ends what has come to its end by now.
    pub(crate) fn end_waits(&mut self) {
        let now_us = self.now.mono_us;
        if self.pause.is_some_and(|pause| pause.until_us <= now_us) {
            self.unpause();
        }
        if self.wake_at_us.is_some_and(|us| us <= now_us) {
            // Whoever still waits asks again.
            self.wake_at_us = self.pause.map(|pause| pause.until_us);
            self.wakes += 1;
        }
    }

    /// Counts the moments at which those that wait should look again: see `JobState::Parked`.
    #[inline]
    pub fn wakes(&self) -> u64 {
        self.wakes
    }

    /// When those that wait should look again at the latest, in monotonic microseconds.
    #[inline]
    pub fn wake_at_us(&self) -> Option<u64> {
        self.wake_at_us
    }
}
