//! The seam's operations, done by tasks of glommio.
//!
//! Invariants
//! - Socket numbers are descriptors: one entry of `links` per open connection, one of `acceptors` per listener.
//! - A reaped piece stays in `reaped` until it is recycled, within its tick.
//!
//! Absent on purpose: sleeping. `enter` has nothing to submit, and the driver waits between two ticks.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use uring::{Chunk, Completion, Event, Op, Peer, Ring, RingUsage, Socket, Token, Wait};

use super::accept::Acceptor;
use super::events::{BUFFERS_MAX, Events, Happened};
use super::link::Link;

/// See the module.
pub(super) struct GlommioRing {
    events: Rc<Events>,
    acceptors: HashMap<Socket, Rc<Acceptor>>,
    /// By descriptor: the kernel gives the lowest free one out, so they lie close.
    links: Vec<Option<Rc<Link>>>,
    /// Which socket a connection's slot received from last: a cancel names only the slot.
    receiving: HashMap<u32, Socket>,
    reaped: Vec<Option<Box<[u8]>>>,
}

impl GlommioRing {
    /// A ring over listening sockets. Must be called inside of an executor.
    ///
    /// # Errors
    /// One line: a listener cannot be used.
    pub(super) fn new(events: Rc<Events>, listeners: Vec<OwnedFd>) -> Result<GlommioRing, String> {
        let mut acceptors = HashMap::new();
        for socket in listeners {
            let number = Socket(socket.as_raw_fd());
            let acceptor =
                Acceptor::open(socket, &events).map_err(|error| format!("cannot use a listening socket: {error}"))?;
            acceptors.insert(number, acceptor);
        }
        Ok(GlommioRing { events, acceptors, links: Vec::new(), receiving: HashMap::new(), reaped: Vec::new() })
    }

    #[inline]
    fn link(&self, socket: Socket) -> Option<&Rc<Link>> {
        self.links.get(usize::try_from(socket.0).ok()?)?.as_ref()
    }

    fn cancel(&self, token: Token) {
        if self.acceptors.values().any(|acceptor| acceptor.cancel(token, &self.events)) {
            return;
        }
        if let Some(link) = self.receiving.get(&token.slot).and_then(|socket| self.link(*socket)) {
            link.cancel(token, &self.events);
        }
    }

    fn accepted(&mut self, token: Token, socket: OwnedFd, peer: Peer) -> Completion {
        let number = socket.as_raw_fd();
        let index = usize::try_from(number).expect("an open descriptor is not negative");
        if self.links.len() <= index {
            self.links.resize(index + 1, None);
        }
        self.links[index] = Some(Link::open(socket, peer, &self.events));
        Completion { token, event: Event::Accepted { result: Ok(Socket(number)), more: true } }
    }

    fn arrived(&mut self, token: Token, buffer: Box<[u8]>, len: u32) -> Completion {
        let number = u16::try_from(self.reaped.len()).expect("there are at most 256 buffers");
        self.reaped.push(Some(buffer));
        Completion { token, event: Event::Received { result: Ok(Some(Chunk { buffer: number, len })), more: true } }
    }
}

impl Ring for GlommioRing {
    fn push(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener } => {
                if let Some(acceptor) = self.acceptors.get(&listener) {
                    acceptor.accept(token);
                }
            }
            Op::Recv { socket } => {
                self.receiving.insert(token.slot, socket);
                if let Some(link) = self.link(socket) {
                    link.receive(token);
                }
            }
            Op::RecvInto { socket, into } => {
                self.receiving.insert(token.slot, socket);
                if let Some(link) = self.link(socket) {
                    link.receive_into(token, into);
                }
            }
            Op::Send { socket, out } => {
                if let Some(link) = self.link(socket) {
                    link.send(token, out, &self.events);
                }
            }
            Op::Cancel => self.cancel(token),
        }
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        debug_assert_eq!(wait, Wait::No, "the driver sleeps, not the ring");
        debug_assert!(self.reaped.iter().all(Option::is_none), "a piece was kept over its tick");
        self.reaped.clear();
        Ok(())
    }

    fn reap(&mut self, completions: &mut Vec<Completion>, limit: usize) {
        for _ in 0..limit {
            let Some(happened) = self.events.pop() else { return };
            completions.push(match happened {
                Happened::Arrived { token, buffer, len } => self.arrived(token, buffer, len),
                Happened::Accepted { token, socket, peer } => self.accepted(token, socket, peer),
                Happened::Complete(completion) => completion,
            });
        }
    }

    fn is_ready(&self) -> bool {
        !self.events.is_empty()
    }

    /// glommio does not tell how often it calls the kernel.
    fn usage(&self) -> RingUsage {
        RingUsage { enters: 0, buffers: BUFFERS_MAX as u64 }
    }

    fn chunk(&self, chunk: &Chunk) -> &[u8] {
        let buffer = self.reaped[usize::from(chunk.buffer)].as_deref().expect("a piece is read before it is recycled");
        &buffer[..chunk.len as usize]
    }

    fn recycle(&mut self, chunk: Chunk) {
        let buffer = self.reaped[usize::from(chunk.buffer)].take().expect("a piece is recycled once");
        self.events.give_back(buffer);
    }

    fn peer(&self, socket: Socket) -> Option<Peer> {
        self.link(socket).map(|link| link.peer())
    }

    fn shutdown(&mut self, socket: Socket) {
        if let Some(link) = self.link(socket) {
            link.shutdown();
        }
    }

    fn finish_writing(&mut self, socket: Socket) -> bool {
        self.link(socket).is_some_and(|link| link.finish_writing())
    }

    fn close(&mut self, socket: Socket) {
        let index = usize::try_from(socket.0).expect("an open descriptor is not negative");
        if let Some(link) = self.links[index].take() {
            link.close();
        }
    }
}
