//! What commands do to other connections and to the process, carried out after the batch in which they ran.
//!
//! Invariant: nothing that a monitor does not read piles up: above the soft bound of unsent replies its lines are
//! dropped and counted.
//!
//! Absent on purpose: the ring. A connection that is to go is marked, and closed when it is settled.

use cache::{ClientIndex, Effect};

use crate::connection::State;
use crate::node::Node;

/// Carries out what commands have asked for since the last time.
#[inline]
pub fn apply(node: &mut Node) {
    if node.cache.has_effects() {
        apply_all(node);
    }
}

#[cold]
fn apply_all(node: &mut Node) {
    for effect in node.cache.take_effects() {
        match effect {
            Effect::Close(client) => close(node, client),
            Effect::Send(client, bytes) => send(node, client, &bytes),
            Effect::Sleep(time) => (node.sleep)(time),
            Effect::Stop => node.is_stop_asked = true,
        }
    }
}

fn close(node: &mut Node, client: ClientIndex) {
    let index = node.cache.session(client).connection;
    if let Some(connection) = node.connections.at(index) {
        connection.is_doomed = true;
        if connection.state == State::Open {
            // Nothing more of it is served in this tick.
            connection.state = State::Draining;
        }
    }
    node.mark_dirty(index);
}

fn send(node: &mut Node, client: ClientIndex, bytes: &[u8]) {
    let index = node.cache.session(client).connection;
    let bytes_max = node.limits.unsent_pause_bytes;
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state != State::Open {
        // A monitor that leaves would otherwise never have been sent all.
        return;
    }
    if connection.unsent_bytes() + bytes.len() > bytes_max {
        node.counters.dropped_push_bytes += bytes.len() as u64;
        return;
    }
    connection.replies.before_waiting().bytes.extend_from_slice(bytes);
    node.mark_dirty(index);
}
