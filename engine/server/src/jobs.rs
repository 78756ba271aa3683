//! Long commands: each runs a bounded slice per tick, so that other clients are served in between.
//!
//! Only the front job of a connection runs; its reply and what waits behind it are released when it is done.

use cache::JobState;
use protocol::Reply;

use crate::connection::State;
use crate::node::Node;
use crate::replies::Encoded;

/// Runs one slice of every connection's front job.
pub fn run(node: &mut Node) {
    // A connection whose next job waits behind this one is pushed again below, and runs in the next tick.
    for index in std::mem::take(&mut node.jobs) {
        run_front(node, index);
    }
}

fn run_front(node: &mut Node, index: u32) {
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state == State::Closing {
        return;
    }
    let Some(client) = connection.client else { return };
    let Some(job) = connection.replies.job() else { return };
    let version = node.cache.session(client).version();
    let mut encoded = Encoded::default();
    let mut reply = Reply::new(&mut encoded.bytes, &mut encoded.splices, version);
    match node.cache.run_job(job, &mut reply) {
        JobState::More => {
            node.jobs.push(index);
            node.recharge(index);
            node.mark_dirty(index);
        }
        JobState::Done => {
            connection.replies.job_done(encoded);
            node.mark_dirty(index);
            node.recharge(index);
        }
    }
}
