//! State: what a core remembers between requests of memcached's clients, beside the items.

use super::detail::Detail;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Counted since start or `stats reset`.
    pub(super) counters: Counters,
    /// When a delayed `flush_all` is due, in Unix milliseconds.
    pub(super) flush_at_ms: Option<u64>,
    /// What `verbosity` has asked for.
    pub(super) verbosity: u64,
    /// Counters by prefix, and whether `stats detail` is on.
    pub(super) detail: Detail,
    pub(super) is_detailed: bool,
    /// The CAS number that was given out last.
    last_cas: u64,
}

impl State {
    /// Keys that get and gets found, and those that they did not find.
    pub fn reads(&self) -> (u64, u64) {
        (self.counters.get_hits, self.counters.get_commands - self.counters.get_hits)
    }

    /// A CAS number that no item of this core had before.
    pub(super) fn next_cas(&mut self) -> u64 {
        self.last_cas += 1;
        self.last_cas
    }
}

/// Events, by the names that `stats` has for them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    /// Keys asked for by get and gets.
    pub get_commands: u64,
    /// Those that were found.
    pub get_hits: u64,
    /// Values that storage commands brought.
    pub set_commands: u64,
    /// Items that were stored.
    pub items_stored: u64,
    /// flush_all.
    pub flush_commands: u64,
    /// Keys touched by touch, gat and gats.
    pub touch_commands: u64,
    /// Those that were found.
    pub touch_hits: u64,
    pub delete_hits: u64,
    pub delete_misses: u64,
    pub incr_hits: u64,
    pub incr_misses: u64,
    pub decr_hits: u64,
    pub decr_misses: u64,
    pub cas_hits: u64,
    pub cas_misses: u64,
    /// Numbers that were not the item's.
    pub cas_bad_values: u64,
    /// Values above `memcached-item-size-max`.
    pub stores_too_large: u64,
    /// Values that memory had no room for.
    pub stores_without_room: u64,
    pub auth_commands: u64,
    pub auth_errors: u64,
}
