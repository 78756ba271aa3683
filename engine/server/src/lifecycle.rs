//! What the ring does for a connection: accept, the next receive, the next send, the close.
//!
//! `settle` is the one place that decides: given a connection's state it starts the send and the receive that are due,
//! or closes the socket once nothing is in flight. It is called for every connection that was touched in a tick.
//!
//! Invariants
//! - A receive is cancelled before another kind of receive starts: bytes never arrive in two places at once.
//! - `close` is called only with nothing in flight.

use uring::{Op, Ring};

use crate::connection::{Connection, Receiving, State};
use crate::node::Node;

/// A large value that lacks at least this much is received straight into its own memory.
///
/// Below it, what the stream receive brings anyway is cheaper to copy than the receive is to change: a cancel and
/// another operation, about 2 us, against 16 KiB of memcpy in less than 1 us.
pub const DIRECT_RECEIVE_MIN: usize = 32 * 1024;

/// A paused client that has read nothing for so long is let go on, as long as all clients together hold little.
pub const STALL_US: u64 = 500_000;

/// How long a connection whose replies are out waits for its peer to end.
const LINGER_US: u64 = 500_000;
/// Connections that linger at the same time: they hold descriptors beyond `maxclients`.
const LINGERING_MAX: usize = 16;

/// Starts what is due on a connection, or closes it. Returns true if it is gone.
pub fn settle<R: Ring>(node: &mut Node, ring: &mut R, index: u32) -> bool {
    enforce_output_limits(node, ring, index);
    let Some(connection) = node.connections.at(index) else { return true };
    connection.dirty = false;
    // What waits for something that its client will not see ends with the client.
    if connection.is_doomed || connection.is_parked && connection.peer_ended {
        begin_close(ring, connection);
    }
    if matches!(connection.state, State::Open | State::Draining) {
        start_send(ring, connection);
        if connection.state == State::Open && connection.peer_ended && is_served(connection) {
            connection.state = State::Draining;
        }
        if connection.state == State::Draining && is_flushed(connection) {
            linger(node, ring, index);
        }
    }
    let Some(connection) = node.connections.at(index) else { return true };
    if connection.state == State::Closing {
        // The peer may know already that it is gone; what is in flight on its socket is not the session's.
        if let Some(client) = connection.client.take() {
            node.cache.disconnect(client);
        }
        return finish_close(node, ring, index);
    }
    start_receive(ring, connection);
    false
}

/// Ends our direction, and waits a bounded time for the peer to end its own.
fn linger<R: Ring>(node: &mut Node, ring: &mut R, index: u32) {
    let until_us = node.now.mono_us + LINGER_US;
    let has_place = node.stopping || node.lingering.len() < LINGERING_MAX;
    let Some(connection) = node.connections.at(index) else { return };
    if connection.peer_ended || !has_place || !ring.finish_writing(connection.socket) {
        begin_close(ring, connection);
        return;
    }
    connection.state = State::Lingering;
    connection.linger_until_us = until_us;
    node.lingering.push(connection.token);
}

/// Closes lingering connections whose peer has ended or whose time is up.
pub fn end_lingering<R: Ring>(node: &mut Node, ring: &mut R) {
    let now_us = node.now.mono_us;
    let mut lingering = std::mem::take(&mut node.lingering);
    lingering.retain(|&token| {
        let Some(connection) = node.connections.of(token) else { return false };
        if connection.state == State::Lingering && !connection.peer_ended && now_us < connection.linger_until_us {
            return true;
        }
        begin_close(ring, connection);
        node.mark_dirty(token.slot);
        false
    });
    lingering.append(&mut node.lingering);
    node.lingering = lingering;
}

/// True if no request of the connection waits for anything.
fn is_served(connection: &Connection) -> bool {
    connection.backlog.is_empty() && !connection.replies.is_waiting()
}

/// True if every reply has gone out.
fn is_flushed(connection: &Connection) -> bool {
    connection.sending.is_none() && !connection.replies.is_ready() && !connection.replies.is_waiting()
}

#[inline]
fn start_send<R: Ring>(ring: &mut R, connection: &mut Connection) {
    if connection.sending.is_some() || !connection.replies.is_ready() {
        return;
    }
    let out = connection.replies.take();
    connection.sending = Some(out.len());
    connection.sending_held_bytes = out.bytes.capacity();
    ring.push(connection.token, Op::Send { socket: connection.socket, out });
}

/// Starts, keeps or cancels the receive, as the connection's state asks.
#[inline]
fn start_receive<R: Ring>(ring: &mut R, connection: &mut Connection) {
    let wanted = wanted_receive(connection);
    match (connection.receiving, wanted) {
        (Receiving::Off, Receiving::Stream) => {
            ring.push(connection.token, Op::Recv { socket: connection.socket });
            connection.receiving = Receiving::Stream;
        }
        (Receiving::Off, Receiving::Direct) => {
            let into = connection.assembler.take_filling();
            ring.push(connection.token, Op::RecvInto { socket: connection.socket, into });
            connection.receiving = Receiving::Direct;
        }
        (Receiving::Stream, Receiving::Off | Receiving::Direct) => {
            ring.push(connection.token, Op::Cancel);
            connection.receiving = Receiving::Cancelling;
        }
        // A direct receive is bounded by the value that it fills: it ends by itself.
        (Receiving::Direct | Receiving::Cancelling, _)
        | (Receiving::Stream, Receiving::Stream | Receiving::Cancelling)
        | (Receiving::Off, Receiving::Off | Receiving::Cancelling) => {}
    }
}

#[inline]
fn wanted_receive(connection: &Connection) -> Receiving {
    let full = connection.backlog.len() >= crate::connection::BYTES_PER_TICK_MAX as usize && !connection.probes;
    if connection.peer_ended {
        return Receiving::Off;
    }
    match connection.state {
        State::Open if connection.paused || full => return Receiving::Off,
        State::Open => {}
        // What arrives is discarded.
        State::Draining | State::Lingering => return Receiving::Stream,
        State::Closing => return Receiving::Off,
    }
    match connection.assembler.filling() {
        Some(lacking) if lacking >= DIRECT_RECEIVE_MIN && connection.backlog.is_empty() => Receiving::Direct,
        Some(_) | None => Receiving::Stream,
    }
}

/// Closes a client that does not read, and resumes one that has read enough.
fn enforce_output_limits<R: Ring>(node: &mut Node, ring: &mut R, index: u32) {
    let (hard, pause) = (node.limits.unsent_hard_bytes, node.limits.unsent_pause_bytes);
    let is_crowded = node.is_crowded();
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state == State::Closing {
        return;
    }
    let unsent = connection.unsent_bytes();
    if hard.is_some_and(|hard| unsent > hard) {
        node.counters.output_limit_closes += 1;
        begin_close(ring, connection);
        return;
    }
    let pause = connection.pause_bytes(pause, is_crowded);
    if connection.paused && unsent <= pause / 4 {
        connection.paused = false;
        if !connection.backlog.is_empty() && !connection.is_parked {
            node.run_later(index);
        }
    } else if !connection.paused && unsent > pause {
        connection.paused = true;
        connection.progress_us = node.now.mono_us;
        node.counters.output_pauses += 1;
    }
}

/// Closes a connection that was silent for too long, or whose peer leaves too much unread for too long.
pub fn enforce_time_limits<R: Ring>(node: &mut Node, ring: &mut R, index: u32) {
    let now_us = node.now.mono_us;
    let (idle, soft) = (node.limits.idle, node.limits.unsent_soft_bytes);
    let soft_time_us = node.limits.unsent_soft_time.as_micros();
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state == State::Closing {
        return;
    }
    node.observe(index);
    let is_crowded = node.is_crowded();
    let is_monitor = node.client(index).is_some_and(|client| node.cache.session(client).is_monitor());
    let Some(connection) = node.connections.at(index) else { return };
    // Who waits for us is not idle.
    let is_owed = is_monitor || connection.is_parked;
    let silent_us = u128::from(now_us - connection.active_us.max(connection.progress_us));
    if idle.is_some_and(|idle| silent_us > idle.as_micros()) && !is_owed {
        node.counters.idle_closes += 1;
        begin_close(ring, connection);
        node.mark_dirty(index);
        return;
    }
    if connection.is_parked && connection.receiving == Receiving::Off && !is_crowded {
        connection.probes = true;
        node.counters.probes += 1;
        node.mark_dirty(index);
    }
    let Some(connection) = node.connections.at(index) else { return };
    // It may be writing all of a pipeline before it reads: then waiting for it would be for ever.
    let is_stalled = connection.paused && now_us - connection.progress_us >= STALL_US;
    if is_stalled && !is_crowded {
        connection.patience += 1;
        node.counters.output_patience += 1;
        node.mark_dirty(index);
    }
    let Some(connection) = node.connections.at(index) else { return };
    if soft.is_none_or(|soft| connection.unsent_bytes() <= soft) {
        connection.over_soft_since_us = None;
        return;
    }
    let since_us = *connection.over_soft_since_us.get_or_insert(now_us);
    if u128::from(now_us - since_us) > soft_time_us {
        node.counters.output_limit_closes += 1;
        begin_close(ring, connection);
        node.mark_dirty(index);
    }
}

/// Ends both directions; the completions in flight follow, then the socket is closed.
pub fn begin_close<R: Ring>(ring: &mut R, connection: &mut Connection) {
    if connection.state == State::Closing {
        return;
    }
    connection.state = State::Closing;
    connection.replies.clear();
    connection.backlog = Vec::new();
    // What is in flight completes because of it, the stream receive too; a plain close with a receive in flight would
    // not even send a FIN.
    if connection.in_flight() {
        ring.shutdown(connection.socket);
    }
}

/// Closes the socket if nothing is in flight on it. Returns true if the connection is gone.
fn finish_close<R: Ring>(node: &mut Node, ring: &mut R, index: u32) -> bool {
    let Some(connection) = node.connections.at(index) else { return true };
    if connection.in_flight() {
        return false;
    }
    let connection = node.connections.remove(index);
    ring.close(connection.socket);
    if connection.is_parked {
        node.forget_parked();
    }
    node.charged_bytes -= connection.charged_bytes;
    node.promised_bytes -= connection.promised_bytes;
    true
}
