//! Job: a command over the whole keyspace, run in slices so that other clients are served in between.
//!
//! Invariants
//! - A slice visits at most `SLICE_KEYS` keys and what SCAN visits beside them.
//! - Nothing of the reply is written before the job is done, since an array begins with its length.
//!
//! What other clients change meanwhile may be seen or not, as with SCAN; keys that exist from beginning to end are
//! found.

use item::Keyspace;
use protocol::{Reply, Version};

use crate::cache::Cache;
use crate::glob::{self, Case};

/// Keys that one slice visits: some tens of microseconds.
pub(crate) const SLICE_KEYS: usize = 1000;

/// Whether a job has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its reply is written.
    Done,
    /// Call `Cache::run_job` again.
    More,
}

/// KEYS under way. The default one has no pattern and finds nothing.
#[derive(Debug, Default)]
pub struct Job {
    keyspace: Keyspace,
    pattern: Vec<u8>,
    cursor: u64,
    /// Encoded elements of the reply.
    found: Vec<u8>,
    found_count: usize,
}

impl Job {
    /// Lists the keys of `keyspace` that match `pattern`.
    pub(crate) fn keys(keyspace: Keyspace, pattern: &[u8]) -> Job {
        Job { keyspace, pattern: pattern.to_vec(), cursor: 0, found: Vec::new(), found_count: 0 }
    }

    /// Bytes that it holds, for accounting and for output limits.
    pub fn held_bytes(&self) -> usize {
        self.found.capacity() + self.pattern.capacity()
    }

    /// Visits the next slice.
    pub(crate) fn run(&mut self, cache: &Cache, reply: &mut Reply<'_>) -> JobState {
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
