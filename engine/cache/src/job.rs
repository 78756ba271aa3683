//! Job: a command that takes more than one tick: one over the whole keyspace, run in slices so that other clients are
//! served in between, or one that waits.
//!
//! Invariants
//! - A slice visits at most `SLICE_KEYS` keys and what SCAN visits beside them.
//! - Nothing of the reply is written before the job is done, since an array begins with its length.
//!
//! What other clients change meanwhile may be seen or not, as with SCAN; keys that exist from beginning to end are
//! found.

use item::Keyspace;
use protocol::{Reply, Request, Version};

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome, Prepared};
use crate::clients::{ClientIndex, Unblocking, Waiting};
use crate::glob::{self, Case};
use crate::owned::OwnedRequest;
use crate::slowlog::Asked;
use crate::table::Command;

/// Keys that one slice visits: some tens of microseconds.
pub(crate) const SLICE_KEYS: usize = 1000;

/// Whether a job has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its reply is written.
    Done,
    /// Its reply is written; after it the connection closes.
    Close,
    /// Call `Cache::run_job` again.
    More,
    /// Call `Cache::run_job` again once `Cache::wakes` has changed.
    Parked,
}

/// A command under way. The default one lists keys, has no pattern and finds nothing.
#[derive(Debug, Default)]
pub struct Job {
    kind: Kind,
    /// Its client wants no reply to it.
    pub(crate) is_silent: bool,
    /// What its slices took so far.
    pub(crate) spent_ns: u64,
    /// Whose command it is, for the statistics; `None` before it has begun.
    pub(crate) asked: Option<(Command, Asked)>,
}

#[derive(Debug)]
enum Kind {
    /// KEYS.
    Keys(Listing),
    /// Any command that a pause holds back.
    Postponed(Prepared, OwnedRequest),
    /// WAIT.
    Wait {
        /// When it gives up, in monotonic microseconds; `None`: never.
        until_us: Option<u64>,
    },
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Keys(Listing::default())
    }
}

#[derive(Debug, Default)]
struct Listing {
    keyspace: Keyspace,
    pattern: Vec<u8>,
    cursor: u64,
    /// Encoded elements of the reply.
    found: Vec<u8>,
    found_count: usize,
}

impl From<Kind> for Job {
    fn from(kind: Kind) -> Job {
        Job { kind, ..Job::default() }
    }
}

impl Job {
    /// Lists the keys of `keyspace` that match `pattern`.
    pub(crate) fn keys(keyspace: Keyspace, pattern: &[u8]) -> Job {
        Kind::Keys(Listing { keyspace, pattern: pattern.to_vec(), ..Listing::default() }).into()
    }

    /// Runs `request` once no pause holds it back.
    pub(crate) fn postponed(prepared: Prepared, request: Request<'_>) -> Job {
        Kind::Postponed(prepared, OwnedRequest::new(request)).into()
    }

    /// Waits for replicas that do not exist, until `until_us`.
    pub(crate) fn wait(until_us: Option<u64>) -> Job {
        Kind::Wait { until_us }.into()
    }

    /// True if a pause holds it back.
    pub(crate) fn is_postponed(&self) -> bool {
        matches!(self.kind, Kind::Postponed(..))
    }

    /// The request that a pause holds back, if one does.
    pub fn held_back(&self) -> Option<Prepared> {
        match &self.kind {
            Kind::Postponed(prepared, _) => Some(*prepared),
            Kind::Keys(_) | Kind::Wait { .. } => None,
        }
    }

    /// Ends a wait: when it runs next its time is up.
    pub(crate) fn wait_no_longer(&mut self) {
        if let Kind::Wait { until_us } = &mut self.kind {
            *until_us = Some(0);
        }
    }

    /// Bytes of its reply so far, for output limits.
    pub fn reply_bytes(&self) -> usize {
        match &self.kind {
            Kind::Keys(listing) => listing.found.len(),
            Kind::Postponed(..) | Kind::Wait { .. } => 0,
        }
    }

    /// Bytes that it holds, for accounting.
    pub fn held_bytes(&self) -> usize {
        match &self.kind {
            Kind::Keys(listing) => listing.found.capacity() + listing.pattern.capacity(),
            Kind::Postponed(_, request) => request.held_bytes(),
            Kind::Wait { .. } => 0,
        }
    }

    /// Goes on for a bounded time.
    pub(crate) fn run(&mut self, cache: &mut Cache, client: ClientIndex, reply: &mut Reply<'_>) -> JobState {
        let (start, is_silent) = (reply.mark(), self.is_silent);
        let state = self.advance(cache, client, reply);
        if is_silent {
            reply.rewind(start);
        }
        state
    }

    fn advance(&mut self, cache: &mut Cache, client: ClientIndex, reply: &mut Reply<'_>) -> JobState {
        match &mut self.kind {
            Kind::Keys(listing) => listing.run(cache, reply),
            Kind::Postponed(prepared, request) => {
                let outcome = request.with(|request| cache.try_again(client, prepared, request, reply));
                match outcome {
                    None => JobState::Parked,
                    Some(Outcome::Done) => JobState::Done,
                    Some(Outcome::Close) => JobState::Close,
                    Some(Outcome::Job(job)) => {
                        *self = *job;
                        JobState::More
                    }
                }
            }
            Kind::Wait { until_us } => wait(cache, client, *until_us, reply),
        }
    }
}

impl Listing {
    /// Visits the next slice.
    fn run(&mut self, cache: &Cache, reply: &mut Reply<'_>) -> JobState {
        // Keys are bulk strings, which are the same in both dialects.
        let mut splices = Vec::new();
        let mut found = Reply::new(&mut self.found, &mut splices, Version::Resp2);
        let matches_all = glob::matches_all(&self.pattern);
        self.cursor = cache.shards.scan(self.keyspace, self.cursor, SLICE_KEYS, cache.now.unix_ms, |key| {
            if matches_all || glob::matches(&self.pattern, key, Case::Sensitive) {
                found.bulk(key);
                self.found_count += 1;
            }
        });
        if self.cursor != 0 {
            return JobState::More;
        }
        reply.array(self.found_count);
        reply.raw(&self.found);
        JobState::Done
    }
}

/// There are no replicas, so only time or another client ends it.
fn wait(cache: &mut Cache, client: ClientIndex, until_us: Option<u64>, reply: &mut Reply<'_>) -> JobState {
    const NO_REPLICAS: i64 = 0;
    let now_us = cache.now.mono_us;
    let session = cache.clients.get_mut(client);
    let unblocked = session.was_unblocked();
    if unblocked.is_none() && until_us.is_none_or(|until_us| now_us < until_us) {
        session.set_waiting(Some(Waiting::Replicas));
        if let Some(until_us) = until_us {
            cache.wake_at(until_us);
        }
        return JobState::Parked;
    }
    session.set_waiting(None);
    match unblocked {
        Some(Unblocking::Error) => {
            cache.refuse(&Refusal::text("UNBLOCKED client unblocked via CLIENT UNBLOCK"), reply);
        }
        Some(Unblocking::Timeout) | None => reply.integer(NO_REPLICAS),
    }
    JobState::Done
}
