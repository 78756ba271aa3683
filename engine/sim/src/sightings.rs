//! Sightings: how often the rare things happened.
//!
//! A simulator that never starves its server of buffers proves nothing about buffers, so the tests ask for every line
//! of this table to be above zero over the seeds that they run.

use cache::Usage;
use server::node::Counters;

use crate::command::Command;
use crate::oracle::REPLY_TOO_LARGE;
use crate::reply::Reply;

macro_rules! sightings {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// How often each thing was seen.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Sightings { $($(#[doc = $doc])+ pub $name: u64,)* }

        impl Sightings {
            /// The table.
            pub fn table(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }

        impl std::ops::AddAssign for Sightings {
            fn add_assign(&mut self, other: Sightings) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

sightings! {
    /// Receives that found no buffer.
    buffer_shortages,
    /// Multishot receives that ended without an error.
    receives_ended,
    /// Receives that were interrupted.
    receives_interrupted,
    /// Receives straight into a large value.
    direct_receives,
    /// Of these, those that filled only a part.
    partial_fills,
    /// Receives that were cancelled.
    receives_cancelled,
    /// Bytes that arrived although the receive was being cancelled.
    bytes_beat_cancel,
    /// Sends that ended short.
    short_sends,
    /// Sends that found no room with the peer.
    stalled_sends,
    /// Sends that failed.
    failed_sends,
    /// Resets that a receive reported.
    resets_received,
    /// Clients that ended their direction.
    half_closes,
    /// Accepts that failed.
    failed_accepts,
    /// Multishot accepts that ended without an error.
    accepts_ended,
    /// Accepted clients that were gone already.
    peers_gone,
    /// Stale completions.
    stale_completions,
    /// Closes that gave the client time to end its direction.
    lingering_closes,
    /// Sends of at least as many large values as one system call takes.
    sends_of_many_values,
    /// Steps of the wall clock.
    clock_steps,
    /// Closes that left the client's bytes unread.
    closes_with_unread_bytes,
    /// Clients that were refused.
    refusals,
    /// Protocol errors.
    protocol_errors,
    /// Clients that were closed because they did not read.
    output_limit_closes,
    /// Clients that were paused because they did not read.
    output_pauses,
    /// Clients that were let go on although they had stopped reading.
    output_patience,
    /// Clients that were silent for too long.
    idle_closes,
    /// Commands whose connection died with them, executed or not.
    unanswered_commands,
    /// Items that had to go because memory is small.
    items_evicted,
    /// Items that upkeep removed at their deadline.
    items_expired,
    /// Items that were moved to win their segment back.
    items_compacted,
    /// Writes that were refused for want of memory.
    writes_refused,
    /// Replies of many values that were refused because nobody may be owed that much.
    replies_refused,
    /// Values that were too large to be stored.
    values_too_large,
    /// Commands that took several ticks.
    long_commands,
    /// Drains while clients were busy.
    busy_drains,
    /// EXECs that ran.
    transactions_run,
    /// EXECs that ran although keys were watched.
    transactions_run_watched,
    /// EXECs that did not run because a watched key had changed.
    transactions_refused,
    /// EXECs that were refused because a command could not be queued.
    transactions_aborted,
    /// Clients that left between MULTI and EXEC.
    transactions_cut,
    /// Clients that left while they watched keys.
    watchers_gone,
    /// Ticks in which a pause held a command back.
    held_ticks,
    /// Clients that left while a pause held a command of theirs back.
    held_clients_gone,
    /// WAITs that ended by time.
    waits_ended,
    /// WAITs that another client ended.
    waits_unblocked,
    /// Clients that left while they waited.
    waiting_clients_gone,
    /// Clients that another one closed.
    clients_killed,
    /// Commands without a reply that ran.
    silent_commands,
    /// Ticks in which a pause held one of them back.
    silent_held_ticks,
    /// Clients that left with replies switched off.
    silent_clients_gone,
    /// Answers to memcached's clients.
    memcached_answers,
    /// Their requests with noreply.
    memcached_silent,
    /// Their values that were larger than an item may be.
    memcached_oversized,
    /// cas with the item's number.
    cas_stored,
    /// cas with another number.
    cas_refused,
    /// Lines that monitors got.
    monitor_lines,
    /// Clients that left while they monitored.
    monitors_gone,
}

impl Sightings {
    /// Adds what the server has counted.
    pub fn add_counters(&mut self, counters: &Counters) {
        self.refusals += counters.connections_refused;
        self.protocol_errors += counters.protocol_errors;
        self.output_limit_closes += counters.output_limit_closes;
        self.output_pauses += counters.output_pauses;
        self.output_patience += counters.output_patience;
        self.idle_closes += counters.idle_closes;
    }

    /// Adds what the memory tier has counted.
    pub fn add_usage(&mut self, usage: &Usage) {
        self.items_evicted += usage.statistics.evicted_items;
        self.items_expired += usage.statistics.expired_items;
        self.items_compacted += usage.statistics.compacted_items;
    }

    /// Notes an answer.
    pub fn note(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Kill(_), Reply::Integer(closed)) => self.clients_killed += closed.unsigned_abs(),
            (Command::Wait(_), Reply::Integer(_)) => self.waits_ended += 1,
            (Command::Wait(_), Reply::Error(_)) => self.waits_unblocked += 1,
            (Command::Exec, Reply::Array(_)) => self.transactions_run += 1,
            (Command::Exec, Reply::Null2 | Reply::Null3) => self.transactions_refused += 1,
            (Command::Exec, Reply::Error(_)) => self.transactions_aborted += 1,
            _ => {}
        }
        let Reply::Error(text) = reply else { return };
        self.replies_refused += u64::from(text.starts_with(REPLY_TOO_LARGE));
        if !text.starts_with(b"OOM ") {
            return;
        }
        match command {
            Command::Wrong(..) => self.values_too_large += 1,
            _ => self.writes_refused += 1,
        }
    }
}
