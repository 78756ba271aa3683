//! New connections: whom we serve, whom we refuse and how.
//!
//! A refused client gets one line that says why and how to mend it, then the connection is closed.

use std::net::SocketAddr;

use cache::ClientOrigin;
use protocol::Protocol;
use uring::{Peer, Ring, Socket};

use crate::connection::State;
use crate::node::Node;
use crate::reactor::Listener;

/// Refused connections that are told why at the same time; beyond it they are closed without a word.
const REFUSALS_MAX: usize = 64;

/// Why a connection is refused.
#[derive(Clone, Copy)]
enum Refusal {
    TooMany,
    Protected,
}

impl Refusal {
    /// What the client is told: the code of its protocol, then the reason.
    fn line(self, protocol: Protocol) -> [&'static [u8]; 2] {
        match (self, protocol) {
            (Refusal::TooMany, Protocol::Resp) => [b"-ERR ", b"max number of clients reached\r\n"],
            // memcached's words.
            (Refusal::TooMany, Protocol::Memcache) => [b"ERROR ", b"Too many open connections\r\n"],
            (Refusal::Protected, Protocol::Resp) => [b"-DENIED ", PROTECTED],
            (Refusal::Protected, Protocol::Memcache) => [b"SERVER_ERROR ", PROTECTED],
        }
    }
}

const PROTECTED: &[u8] =
    b"Pinion is running in protected mode because protected mode is enabled and no password is set. \
    In this mode connections are only accepted from the loopback interface. To connect from other hosts, set a \
    password with requirepass, or, if only trusted hosts can reach this port, start the server with \
    --protected-mode no.\r\n";

/// Takes a new connection in. Returns its slot, or `None` if it was closed at once.
pub fn admit<R: Ring>(node: &mut Node, ring: &mut R, socket: Socket, listener: &Listener) -> Option<u32> {
    let Some(peer) = ring.peer(socket) else {
        ring.close(socket);
        return None;
    };
    let refusal = refusal(node, &peer);
    if refusal.is_some() && node.connections.len() >= node.limits.clients_max + REFUSALS_MAX {
        node.counters.connections_refused += 1;
        ring.close(socket);
        return None;
    }
    let now = node.now;
    if let Some(refusal) = refusal {
        node.counters.connections_refused += 1;
        let index = node.connections.insert(socket, listener.protocol, None, now.mono_us);
        let connection = node.connections.at(index).expect("just inserted");
        connection.state = State::Draining;
        let line = refusal.line(listener.protocol).concat();
        connection.replies.tail().bytes.extend_from_slice(&line);
        node.mark_dirty(index);
        return Some(index);
    }
    node.counters.connections_accepted += 1;
    let origin = ClientOrigin { address: address(&peer), local_address: listener.address.clone(), fd: socket.0 };
    let client = node.cache.connect(origin, now);
    let index = node.connections.insert(socket, listener.protocol, Some(client), now.mono_us);
    node.cache.session_mut(client).connection = index;
    node.mark_dirty(index);
    Some(index)
}

fn refusal(node: &Node, peer: &Peer) -> Option<Refusal> {
    if node.connections.len() - node.lingering.len() >= node.limits.clients_max {
        return Some(Refusal::TooMany);
    }
    let open_to_peer = match peer {
        Peer::Unix => true,
        Peer::Inet(address) => is_loopback(address),
    };
    if !open_to_peer && node.limits.protected_mode && !node.limits.password_set {
        return Some(Refusal::Protected);
    }
    None
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn address(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => address.to_string(),
        // Redis prints a unix client's address as the path with port 0; the listener's path is in `laddr`.
        Peer::Unix => "/unixsocket:0".to_owned(),
    }
}
