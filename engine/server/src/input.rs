//! From received bytes to executed requests.
//!
//! Complete requests are parsed in place and join the tick's batch. A request that is split over receives, or that
//! carries a large value, is assembled and executed by itself, after all that came before it.
//!
//! Fairness: a connection is served `COMMANDS_PER_TICK_MAX` requests and `BYTES_PER_TICK_MAX` bytes per tick; the rest
//! waits in its backlog on the run list. A connection whose peer does not read its replies is not served at all.
//!
//! Absent on purpose: the ring. What to receive next is decided in `lifecycle`, from the state that is left here.

use protocol::resp::{FedState, Parsed};
use protocol::{Protocol, Reply};

use crate::assembler::Assembler;
use crate::batch::Batch;
use crate::connection::State;
use crate::dialect::{Dialect, Memcache, Resp};
use crate::node::Node;

/// Serves what arrived on a connection; what may not be served now goes to its backlog.
pub fn arrived<'t>(node: &mut Node, batch: &mut Batch<'t>, index: u32, input: &'t [u8]) {
    let (tick, now_us) = (node.tick, node.now.mono_us);
    let Some(connection) = node.connections.at(index) else { return };
    connection.begin_tick(tick);
    connection.active_us = now_us;
    connection.probes = false;
    connection.received_bytes += input.len() as u64;
    if connection.state != State::Open {
        return;
    }
    if !connection.backlog.is_empty() {
        connection.backlog.extend_from_slice(input);
        return;
    }
    let consumed = serve(node, batch, index, input);
    if consumed < input.len() {
        keep_for_later(node, index, &input[consumed..]);
    }
}

/// Serves a connection's backlog, as far as its share of this tick goes.
pub fn resume_backlog(node: &mut Node, index: u32) {
    let tick = node.tick;
    let Some(connection) = node.connections.at(index) else { return };
    connection.on_run_list = false;
    connection.begin_tick(tick);
    let mut backlog = std::mem::take(&mut connection.backlog);
    let mut storage = std::mem::take(&mut node.backlog_storage);
    let mut batch = storage.lend();
    let consumed = serve(node, &mut batch, index, &backlog);
    batch.run(node);
    storage.give_back(batch);
    node.backlog_storage = storage;
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state != State::Open {
        return;
    }
    backlog.drain(..consumed);
    // A drained backlog gives its memory back: it is needed again only by a client that floods us.
    connection.backlog = if backlog.is_empty() { Vec::new() } else { backlog };
    if !connection.backlog.is_empty() && !connection.paused && !connection.is_parked {
        node.run_later(index);
    }
    node.recharge(index);
}

fn keep_for_later(node: &mut Node, index: u32, rest: &[u8]) {
    let Some(connection) = node.connections.at(index) else { return };
    if connection.state != State::Open {
        return;
    }
    connection.backlog.extend_from_slice(rest);
    if !connection.paused && !connection.is_parked {
        node.run_later(index);
    }
    node.recharge(index);
}

/// Parses and executes requests at the start of `input`; returns how many bytes are done with.
#[inline]
fn serve<'t>(node: &mut Node, batch: &mut Batch<'t>, index: u32, input: &'t [u8]) -> usize {
    match node.connections.at(index).map(|connection| connection.assembler.protocol()) {
        Some(Protocol::Resp) => serve_as::<Resp>(node, batch, index, input),
        Some(Protocol::Memcache) => serve_as::<Memcache>(node, batch, index, input),
        None => 0,
    }
}

fn serve_as<'t, D: Dialect>(node: &mut Node, batch: &mut Batch<'t>, index: u32, input: &'t [u8]) -> usize {
    let mut at = 0;
    let mut limits = D::limits(node, index);
    while at < input.len() {
        let Some(connection) = node.connections.at(index) else { return at };
        if !connection.may_serve() {
            return at;
        }
        if !connection.assembler.is_idle() {
            match assemble::<D>(node, batch, index, &input[at..]) {
                Some(consumed) => at += consumed,
                None => return at,
            }
            continue;
        }
        let args_from = batch.args.len();
        match D::parse(&input[at..], &limits, &mut batch.args) {
            Parsed::Request { consumed, .. } => {
                at += consumed;
                connection.commands_left -= 1;
                connection.bytes_left = connection.bytes_left.saturating_sub(consumed as u32);
                batch.push(node, index, args_from, D::prepare);
                if batch.is_full() || !D::is_authenticated(&limits) {
                    batch.run(node);
                    node.pause_if_unread(index);
                    limits = D::limits(node, index);
                }
            }
            Parsed::Nothing { consumed } => at += consumed,
            // Split, large or broken: the assembler tells which.
            Parsed::Incomplete => match assemble::<D>(node, batch, index, &input[at..]) {
                Some(consumed) => at += consumed,
                None => return at,
            },
        }
    }
    at
}

/// Feeds the connection's assembler and executes the request that it completes. `None` after a protocol error.
fn assemble<D: Dialect>(node: &mut Node, batch: &mut Batch<'_>, index: u32, input: &[u8]) -> Option<usize> {
    let limits = D::limits(node, index);
    let connection = node.connections.at(index)?;
    let fed = match D::feed(&mut connection.assembler, input, &limits) {
        Ok(fed) => fed,
        Err(broken) => {
            refuse::<D>(node, batch, index, &broken);
            return None;
        }
    };
    connection.bytes_left = connection.bytes_left.saturating_sub(fed.consumed as u32);
    match fed.state {
        FedState::NeedMore => node.note_assembling(index),
        FedState::Nothing => D::clear(&mut connection.assembler),
        FedState::Complete => {
            connection.commands_left -= 1;
            batch.run(node);
            execute_assembled::<D>(node, index);
        }
    }
    Some(fed.consumed)
}

fn execute_assembled<D: Dialect>(node: &mut Node, index: u32) {
    let Some(connection) = node.connections.at(index) else { return };
    let (Some(client), State::Open) = (connection.client, connection.state) else { return };
    // Out of the connection while the request borrows from it.
    let idle = Assembler::new(connection.assembler.protocol());
    let mut assembler = std::mem::replace(&mut connection.assembler, idle);
    node.hand_over(index);
    D::execute_assembled(node, index, client, &assembler);
    D::clear(&mut assembler);
    if let Some(connection) = node.connections.at(index) {
        connection.assembler = assembler;
    }
    node.recharge(index);
    node.pause_if_unread(index);
}

/// Answers broken input; the connection closes once the answer is sent.
#[cold]
fn refuse<D: Dialect>(node: &mut Node, batch: &mut Batch<'_>, index: u32, broken: &D::Broken) {
    batch.run(node);
    let Some(connection) = node.connections.at(index) else { return };
    let (Some(client), State::Open) = (connection.client, connection.state) else { return };
    let version = node.cache.session(client).version();
    let tail = connection.replies.tail();
    D::refuse(broken, &mut Reply::new(&mut tail.bytes, &mut tail.splices, version));
    connection.state = State::Draining;
    node.counters.protocol_errors += 1;
    node.mark_dirty(index);
}
