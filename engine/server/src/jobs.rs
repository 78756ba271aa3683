//! Long commands: each runs a bounded slice per tick, so that other clients are served in between.
//!
//! Only the front job of a connection runs; its reply and what waits behind it are released when it is done.

use cache::JobState;
use protocol::Reply;

use crate::batch::bring_up_to_date;
use crate::connection::State;
use crate::effects;
use crate::node::Node;
use crate::replies::Encoded;

/// Runs one slice of every connection's front job; those that wait run when they are woken.
pub fn run(node: &mut Node) {
    if node.wakes_seen != node.cache.wakes() {
        node.wakes_seen = node.cache.wakes();
        node.unpark();
    }
    // A connection whose next job waits behind this one is pushed again below, and runs in the next tick.
    for index in std::mem::take(&mut node.jobs) {
        run_front(node, index);
    }
}

fn run_front(node: &mut Node, index: u32) {
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state == State::Closing || connection.is_doomed {
        return;
    }
    if let Some(prepared) = connection.replies.job().and_then(|job| job.held_back()) {
        bring_up_to_date(node, index, &prepared);
    }
    let Some(connection) = node.connections.at(index) else { return };
    let Some(client) = connection.client else { return };
    let Some(job) = connection.replies.job() else { return };
    let version = node.cache.session(client).version();
    let mut encoded = Encoded::default();
    let mut reply = Reply::new(&mut encoded.bytes, &mut encoded.splices, version);
    let state = node.cache.run_job(client, job, &mut reply);
    connection.is_parked = state == JobState::Parked;
    match state {
        JobState::More => {
            node.jobs.push(index);
            node.recharge(index);
            node.mark_dirty(index);
        }
        JobState::Parked => {
            let token = connection.token;
            node.parked.push(token);
            node.recharge(index);
            // Its peer may have ended meanwhile.
            node.mark_dirty(index);
        }
        JobState::Done | JobState::Close => {
            connection.replies.job_done(encoded);
            if state == JobState::Close {
                connection.state = State::Draining;
            }
            if connection.replies.job().is_some() {
                node.jobs.push(index);
            } else if !connection.backlog.is_empty() && !connection.paused {
                node.run_later(index);
            }
            node.mark_dirty(index);
            node.recharge(index);
        }
    }
    // What was held back may have begun now, and go on.
    effects::apply(node);
}
