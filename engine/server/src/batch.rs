//! Requests of one tick, executed in batches: parse all, prefetch all, execute in order.
//!
//! A request borrows from the receive buffers. While it waits in the batch its index line is on its way from memory;
//! before the first one executes, the records of all are. So the cache misses of a batch overlap.
//!
//! Invariants
//! - Requests execute in the order in which they were pushed.
//! - The batch is empty whenever something else executes for one of its connections.

use cache::{Cache, ClientIndex, Outcome, Prepared};
use protocol::{Arg, ArgBuffer, Reply, Request};

use crate::connection::{Connection, State};
use crate::effects;
use crate::node::Node;

/// Requests that are prefetched together. More would evict each other's lines from L1d (32 KiB = 512 lines; a request
/// touches about three) before they execute.
pub const BATCH_MAX: usize = 32;

/// The allocations of a batch between two ticks.
#[derive(Default)]
pub struct BatchStorage {
    args: ArgBuffer,
    entries: Vec<Entry>,
}

/// Requests that wait to be executed together.
pub struct Batch<'t> {
    /// Arguments of all requests; the parsers append here.
    pub args: Vec<Arg<'t>>,
    entries: Vec<Entry>,
    /// The last entry is a long command: nothing may be parsed behind it before it runs.
    ends_with_barrier: bool,
}

struct Entry {
    connection: u32,
    args_from: u32,
    args_to: u32,
    prepared: Prepared,
}

impl BatchStorage {
    /// An empty batch in this storage.
    pub fn lend<'t>(&mut self) -> Batch<'t> {
        Batch { args: self.args.lend(), entries: std::mem::take(&mut self.entries), ends_with_barrier: false }
    }

    /// Takes the allocations back.
    pub fn give_back(&mut self, batch: Batch<'_>) {
        assert!(batch.is_empty(), "a batch is executed before its buffers go");
        self.args.reclaim(batch.args);
        self.entries = batch.entries;
    }
}

impl Batch<'_> {
    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the request whose arguments were just appended to `args`, as its protocol prepares it, and starts fetching
    /// what says where its index line is.
    #[inline]
    pub fn push(
        &mut self,
        node: &mut Node,
        connection: u32,
        args_from: usize,
        prepare: impl FnOnce(&Cache, ClientIndex, Request<'_>) -> Prepared,
    ) {
        let args_to = self.args.len();
        let request = Request::new(&self.args[args_from..args_to]);
        let Some(client) = node.client(connection) else { return };
        let prepared = prepare(&node.cache, client, request);
        node.cache.prefetch_slot(&prepared);
        self.ends_with_barrier = prepared.is_barrier();
        // Argument counts are limited to 2^20 per request and BATCH_MAX requests.
        self.entries.push(Entry { connection, args_from: args_from as u32, args_to: args_to as u32, prepared });
    }

    /// True if the batch should be executed now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_MAX || self.ends_with_barrier
    }

    /// Executes what waits, in order.
    pub fn run(&mut self, node: &mut Node) {
        if self.entries.is_empty() {
            return;
        }
        if self.entries.len() > 1 {
            for entry in &self.entries {
                node.cache.prefetch_bucket(&entry.prepared);
            }
            for entry in &self.entries {
                node.cache.prefetch_record(&entry.prepared);
            }
        }
        node.ticks.batched(self.entries.len());
        node.cache.begin_batch();
        for entry in &self.entries {
            let request = Request::new(&self.args[entry.args_from as usize..entry.args_to as usize]);
            execute(node, entry.connection, &entry.prepared, request);
        }
        node.cache.end_batch();
        self.entries.clear();
        self.args.clear();
        self.ends_with_barrier = false;
        effects::apply(node);
    }
}

/// Executes a request that waits in no batch, to its end; see `execute`.
pub fn execute_alone(node: &mut Node, index: u32, prepared: &Prepared, request: Request<'_>) {
    node.cache.begin_batch();
    execute(node, index, prepared, request);
    node.cache.end_batch();
    effects::apply(node);
}

/// Executes one request of a connection that may still be served; its reply takes its place in the order.
#[inline]
fn execute(node: &mut Node, index: u32, prepared: &Prepared, request: Request<'_>) {
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state != State::Open {
        return;
    }
    if prepared.is_barrier() {
        bring_up_to_date(node, index, prepared);
    }
    let Some(connection) = node.connections.at(index) else { return };
    let unsent_bytes_max = node.limits.unsent_hard_bytes.unwrap_or(usize::MAX);
    let outcome = execute_on(&mut node.cache, connection, unsent_bytes_max, prepared, request);
    match outcome {
        Outcome::Done => {}
        Outcome::Close => connection.state = State::Draining,
        Outcome::Job(job) => {
            connection.replies.wait_for(job);
            node.jobs.push(index);
        }
    }
    node.mark_dirty(index);
}

/// Hands the cache what the request shows and the cache does not know.
#[cold]
pub fn bring_up_to_date(node: &mut Node, index: u32, prepared: &Prepared) {
    let Some(client) = node.client(index) else { return };
    let shown = prepared.shows(node.cache.session(client));
    if shown.wires {
        node.observe_all();
    }
    if shown.counters {
        node.publish_counters();
    }
}

#[inline]
fn execute_on(
    cache: &mut Cache,
    connection: &mut Connection,
    unsent_bytes_max: usize,
    prepared: &Prepared,
    request: Request<'_>,
) -> Outcome {
    let client = connection.client.expect("only connections with a session are served");
    let version = cache.session(client).version();
    let tail = connection.replies.tail();
    let mut reply = Reply::new(&mut tail.bytes, &mut tail.splices, version).with_limit(unsent_bytes_max);
    cache.execute(client, prepared, request, &mut reply)
}
