//! Network: the links between clients and the server's sockets, as far as TCP can be seen from both ends.
//!
//! ```text
//! client --write--> to_server --(SimRing: Recv)--> server
//! client <--read--- unread <----(SimRing: Send)--- stream[transferred..pushed] <-- replies not handed over yet
//! ```
//!
//! Invariants
//! - A byte arrives once and in order, or the link is reset.
//! - `read <= transferred <= pushed <= stream.len()`: `stream` is every reply byte that the server has ever encoded for
//!   this client, and what it sends is checked against it, so the client's side is a count.
//! - A socket number belongs to at most one open link; numbers of closed sockets are used again, lowest first, as a
//!   kernel does it.
//!
//! Absent on purpose: when anything happens. `SimRing` and the clients decide that.

use std::collections::{BTreeSet, VecDeque};

use uring::{Peer, Socket};

use crate::trace;

/// The first number of an accepted socket; listeners have those below.
const SOCKET_MIN: i32 = 16;

/// A link's place in the network's table; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// One connection, seen from outside.
#[derive(Debug)]
pub struct Link {
    /// Who the client says it is.
    pub peer: Peer,
    /// The server's socket, once accepted and until closed.
    pub socket: Option<Socket>,
    /// The server has been told of the socket.
    pub is_handed_out: bool,
    /// Sent by the client, not received by the server.
    pub to_server: VecDeque<u8>,
    /// Bytes that have left `to_server` in completions which the server has reaped.
    pub delivered: u64,
    /// When that was last, in microseconds of virtual time.
    pub delivered_us: u64,
    /// The client will send no more.
    pub client_ended: bool,
    /// The client is gone.
    pub client_reset: bool,
    /// The server has been told of the reset.
    pub reset_reported: bool,
    /// Reply bytes as the server has encoded them.
    pub stream: Vec<u8>,
    /// Bytes of `stream` that the server has handed to the ring.
    pub pushed: usize,
    /// Bytes of `stream` that have reached the client's socket buffer.
    pub transferred: usize,
    /// Bytes in the client's socket buffer.
    pub unread: usize,
    /// Size of the client's socket buffer.
    pub window: usize,
    /// The server will send no more.
    pub server_finished: bool,
    /// The server has ended both directions.
    pub server_ended: bool,
    /// The server has closed its socket.
    pub server_closed: bool,
    /// The server closed with bytes unread, so the client saw a reset and lost what it had not read.
    pub lost_bytes: bool,
}

impl Link {
    /// Room in the client's socket buffer.
    pub fn room(&self) -> usize {
        self.window.saturating_sub(self.unread)
    }

    /// Bytes of `stream` that the client has read.
    pub fn read(&self) -> usize {
        self.transferred - self.unread
    }

    /// True if the client sees the end of the stream: everything sent is read, and no more will come.
    pub fn is_over_for_client(&self) -> bool {
        (self.server_finished || self.server_ended || self.server_closed) && self.unread == 0
    }
}

/// All links of a run.
#[derive(Debug, Default)]
pub struct Network {
    links: Vec<Link>,
    /// Clients that wait to be accepted, per listener.
    backlogs: Vec<VecDeque<LinkId>>,
    /// Open sockets and their links.
    open: BTreeSet<(i32, LinkId)>,
    /// Changes whenever any byte moves or any end is told: the liveness check watches it.
    pub moves: u64,
}

impl Network {
    /// A network with `listener_count` listeners, whose sockets are numbered from 0.
    pub fn new(listener_count: usize) -> Network {
        Network { backlogs: vec![VecDeque::new(); listener_count], ..Network::default() }
    }

    /// All links.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// A link.
    pub fn link(&self, id: LinkId) -> &Link {
        &self.links[id.0]
    }

    /// A link, to change it.
    pub fn link_mut(&mut self, id: LinkId) -> &mut Link {
        &mut self.links[id.0]
    }

    /// The link of an open socket.
    pub fn of_socket(&self, socket: Socket) -> Option<LinkId> {
        let (_, id) = self.open.range((socket.0, LinkId(0))..).next()?;
        (self.links[id.0].socket == Some(socket)).then_some(*id)
    }

    /// Sockets that the server has and has not closed.
    pub fn open_count(&self) -> usize {
        self.open.iter().filter(|(_, id)| self.links[id.0].is_handed_out).count()
    }

    /// True if clients wait to be accepted.
    pub fn is_waiting(&self, listener: Socket) -> bool {
        !self.backlog_of(listener).is_empty()
    }

    /// A client connects; it may write at once, accepted or not.
    pub fn connect(&mut self, listener: Socket, peer: Peer, window: usize) -> LinkId {
        let id = LinkId(self.links.len());
        self.links.push(Link {
            peer,
            socket: None,
            is_handed_out: false,
            to_server: VecDeque::new(),
            delivered: 0,
            delivered_us: 0,
            client_ended: false,
            client_reset: false,
            reset_reported: false,
            stream: Vec::new(),
            pushed: 0,
            transferred: 0,
            unread: 0,
            window,
            server_finished: false,
            server_ended: false,
            server_closed: false,
            lost_bytes: false,
        });
        self.backlogs[listener.0 as usize].push_back(id);
        self.moves += 1;
        id
    }

    /// The next waiting client gets a socket.
    pub fn accept(&mut self, listener: Socket, now_us: u64) -> Option<(LinkId, Socket)> {
        let id = self.backlogs[listener.0 as usize].pop_front()?;
        let mut number = SOCKET_MIN;
        for (taken, _) in &self.open {
            if *taken != number {
                break;
            }
            number += 1;
        }
        self.open.insert((number, id));
        self.links[id.0].socket = Some(Socket(number));
        self.links[id.0].delivered_us = now_us;
        self.moves += 1;
        Some((id, Socket(number)))
    }

    /// The server has reaped bytes of a link.
    pub fn deliver(&mut self, id: LinkId, bytes: u64, now_us: u64) {
        let link = &mut self.links[id.0];
        link.delivered += bytes;
        link.delivered_us = now_us;
    }

    /// A client writes; returns how much its socket took.
    pub fn write(&mut self, id: LinkId, bytes: &[u8], server_window: usize) -> usize {
        let link = &mut self.links[id.0];
        if link.client_reset || link.client_ended || link.server_ended || link.server_closed {
            return 0;
        }
        let count = bytes.len().min(server_window.saturating_sub(link.to_server.len()));
        link.to_server.extend(&bytes[..count]);
        self.moves += u64::from(count > 0);
        count
    }

    /// A client reads at most `limit` bytes.
    pub fn read(&mut self, id: LinkId, limit: usize) {
        let link = &mut self.links[id.0];
        let count = link.unread.min(limit);
        link.unread -= count;
        self.moves += u64::from(count > 0);
    }

    /// Gives every client a socket buffer of this size.
    pub fn widen(&mut self, window: usize) {
        self.links.iter_mut().for_each(|link| link.window = window);
    }

    /// A client ends its direction.
    pub fn end(&mut self, id: LinkId) {
        trace::line(|| format!("link {} half-closed by client", id.0));
        self.links[id.0].client_ended = true;
        self.moves += 1;
    }

    /// A client is gone; what the server has not received may be lost.
    pub fn reset(&mut self, id: LinkId, keep_bytes: bool) {
        trace::line(|| format!("link {} reset by client, bytes kept: {keep_bytes}", id.0));
        let link = &mut self.links[id.0];
        link.client_reset = true;
        link.unread = 0;
        if !keep_bytes {
            link.to_server.clear();
        }
        self.moves += 1;
    }

    /// The server closes a socket. `lose_bytes`: if requests were left unread, the client loses what it has not read.
    pub fn close(&mut self, id: LinkId, lose_bytes: bool) {
        let link = &mut self.links[id.0];
        let socket = link.socket.take().expect("only an open link is closed");
        link.server_closed = true;
        if !link.to_server.is_empty() && lose_bytes {
            link.lost_bytes = true;
            link.unread = 0;
        }
        link.to_server = VecDeque::new();
        assert!(self.open.remove(&(socket.0, id)), "an open link is in the table");
        self.moves += 1;
    }

    fn backlog_of(&self, listener: Socket) -> &VecDeque<LinkId> {
        &self.backlogs[listener.0 as usize]
    }
}
