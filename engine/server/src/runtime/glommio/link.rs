//! One accepted connection as the ring sees it: its stream, the receive that is wanted, a send that waits.
//!
//! One task per connection receives, as long as a receive is wanted. A send is tried at once, which nearly always does;
//! only one that finds the socket full becomes a task.
//!
//! Invariants
//! - The stream is gone once `close` was called; tasks that come late find nothing.
//! - A receive that ends says so in its last completion, and `receive` is `Off` then.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use uring::{Errno, Event, Outgoing, Peer, Token};

use super::events::{BUFFER_BYTES, Events, Happened};

/// Bytes that one turn of a send may move: a peer that reads as fast as we write must not keep the core.
const SEND_BYTES_PER_TURN: usize = 1024 * 1024;

/// The receive that is wanted.
enum Receive {
    /// None.
    Off,
    /// Into buffers of `Events`, until cancelled.
    Stream(Token),
    /// Once, into a large value.
    Direct(Token, BytesMut),
}

/// See the module.
pub(super) struct Link {
    peer: Peer,
    stream: RefCell<Option<TcpStream>>,
    receive: RefCell<Receive>,
    /// The receive task, while it has nothing to do.
    receiver: RefCell<Option<Waker>>,
}

/// glommio's stream over any connected socket: it only receives, sends and polls, so a unix socket does as well.
pub(super) fn stream_of(socket: OwnedFd) -> TcpStream {
    glommio_socket2::Socket::from(std::net::TcpStream::from(socket)).into()
}

/// The error's number, as the reactor takes it.
pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::CONNECTION_RESET, Errno)
}

impl Link {
    /// A connection, and the task that receives from it.
    pub(super) fn open(socket: OwnedFd, peer: Peer, events: &Rc<Events>) -> Rc<Link> {
        let link = Rc::new(Link {
            peer,
            stream: RefCell::new(Some(stream_of(socket))),
            receive: RefCell::new(Receive::Off),
            receiver: RefCell::new(None),
        });
        let (receiver, events) = (Rc::clone(&link), Rc::clone(events));
        glommio::spawn_local(poll_fn(move |cx| receiver.poll_receive(cx, &events))).detach();
        link
    }

    /// The other end.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Receives into buffers until it is cancelled.
    pub(super) fn receive(&self, token: Token) {
        self.want(Receive::Stream(token));
    }

    /// Receives once, into the rest of `into`.
    pub(super) fn receive_into(&self, token: Token, into: BytesMut) {
        self.want(Receive::Direct(token, into));
    }

    fn want(&self, receive: Receive) {
        *self.receive.borrow_mut() = receive;
        self.wake_receiver();
    }

    fn wake_receiver(&self) {
        if let Some(receiver) = self.receiver.borrow_mut().take() {
            receiver.wake();
        }
    }

    /// Ends the receive that `token` asked for, if there is one.
    pub(super) fn cancel(&self, token: Token, events: &Events) {
        let mut receive = self.receive.borrow_mut();
        match std::mem::replace(&mut *receive, Receive::Off) {
            Receive::Off => {}
            Receive::Stream(wanted) if wanted == token => events.complete(token, ended(Err(Errno::CANCELED))),
            Receive::Direct(wanted, into) if wanted == token => {
                events.complete(token, Event::Filled { into, got: Err(Errno::CANCELED) });
            }
            other @ (Receive::Stream(_) | Receive::Direct(..)) => *receive = other,
        }
    }

    fn poll_receive(&self, cx: &mut Context<'_>, events: &Events) -> Poll<()> {
        loop {
            let mut stream = self.stream.borrow_mut();
            let Some(stream) = stream.as_mut() else { return Poll::Ready(()) };
            let mut receive = self.receive.borrow_mut();
            let next = match std::mem::replace(&mut *receive, Receive::Off) {
                Receive::Off => {
                    *self.receiver.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Receive::Stream(token) => receive_piece(stream, cx, token, events),
                Receive::Direct(token, into) => receive_direct(stream, cx, token, into, events),
            };
            let Next { wanted, is_pending } = next;
            *receive = wanted;
            if is_pending {
                return Poll::Pending;
            }
        }
    }

    /// Sends `out`: at once, or by a task that waits for the peer to read.
    pub(super) fn send(self: &Rc<Self>, token: Token, out: Outgoing, events: &Rc<Events>) {
        let mut sending = Sending { token, out: Some(out), sent: 0 };
        // Nobody is woken: if the socket is full, the task below polls again and is.
        if sending.poll(self, &mut Context::from_waker(Waker::noop()), events).is_pending() {
            let (link, events) = (Rc::clone(self), Rc::clone(events));
            glommio::spawn_local(poll_fn(move |cx| sending.poll(&link, cx, &events))).detach();
        }
    }

    /// Ends both directions; a receive or send that waits ends by it.
    pub(super) fn shutdown(&self) {
        if let Some(stream) = self.stream.borrow().as_ref() {
            // A future that is ready when polled; that the peer has gone already is no error.
            let _ = pin!(stream.shutdown(Shutdown::Both)).poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Ends our direction only.
    pub(super) fn finish_writing(&self) -> bool {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return false };
        let ended = pin!(stream.shutdown(Shutdown::Write)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(ended, Poll::Ready(Ok(())))
    }

    /// Closes the socket. glommio's early poll may hold it for a moment longer, so the peer is told first.
    pub(super) fn close(&self) {
        self.shutdown();
        self.stream.borrow_mut().take();
        self.wake_receiver();
    }
}

/// How a receive goes on.
struct Next {
    /// What is wanted now.
    wanted: Receive,
    /// The task is woken when there is more.
    is_pending: bool,
}

const OVER: Next = Next { wanted: Receive::Off, is_pending: false };

fn receive_piece(stream: &mut TcpStream, cx: &mut Context<'_>, token: Token, events: &Events) -> Next {
    let Some(mut buffer) = events.take_buffer() else {
        events.complete(token, ended(Err(Errno::NO_BUFFERS)));
        return OVER;
    };
    let len = match Pin::new(stream).poll_read(cx, &mut buffer) {
        Poll::Ready(Ok(len @ 1..)) => len,
        Poll::Ready(end) => {
            events.give_back(buffer);
            events.complete(token, ended(end.map(|_| ()).map_err(|error| errno(&error))));
            return OVER;
        }
        Poll::Pending => {
            events.give_back(buffer);
            return Next { wanted: Receive::Stream(token), is_pending: true };
        }
    };
    events.push(Happened::Arrived { token, buffer, len: u32::try_from(len).expect("a buffer is far below 4 GiB") });
    // After a full buffer there may be more at once: others are first.
    let is_full = len == BUFFER_BYTES;
    if is_full {
        events.ask_for_turn(cx.waker());
    }
    Next { wanted: Receive::Stream(token), is_pending: is_full }
}

fn receive_direct(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    token: Token,
    mut into: BytesMut,
    events: &Events,
) -> Next {
    let spare = into.capacity() - into.len();
    let received = events.with_landing(spare, |landing| {
        let received = Pin::new(stream).poll_read(cx, landing);
        if let Poll::Ready(Ok(count)) = received {
            into.extend_from_slice(&landing[..count]);
        }
        received
    });
    match received {
        Poll::Pending => Next { wanted: Receive::Direct(token, into), is_pending: true },
        Poll::Ready(got) => {
            events.complete(token, Event::Filled { into, got: got.map_err(|error| errno(&error)) });
            OVER
        }
    }
}

/// The last completion of a receive.
fn ended(end: Result<(), Errno>) -> Event {
    Event::Received { result: end.map(|()| None), more: false }
}

/// A send under way.
struct Sending {
    token: Token,
    /// `None` once it has ended.
    out: Option<Outgoing>,
    /// Bytes sent so far.
    sent: usize,
}

impl Sending {
    fn poll(&mut self, link: &Link, cx: &mut Context<'_>, events: &Events) -> Poll<()> {
        let Some(mut out) = self.out.take() else { return Poll::Ready(()) };
        let mut stream = link.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return Poll::Ready(()) };
        let result = match send_some(stream, cx, &mut out, &mut self.sent) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                self.out = Some(out);
                return Poll::Pending;
            }
        };
        let result = result.map(|()| self.sent).map_err(|error| errno(&error));
        events.complete(self.token, Event::Sent { out, result });
        Poll::Ready(())
    }
}

fn send_some(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    out: &mut Outgoing,
    sent: &mut usize,
) -> Poll<io::Result<()>> {
    let until = *sent + SEND_BYTES_PER_TURN;
    while let Some(part) = unsent_part(out) {
        match Pin::new(&mut *stream).poll_write(cx, part) {
            Poll::Ready(Ok(count)) => {
                out.sent += count;
                *sent += count;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        if *sent >= until {
            // Short: the reactor sends the rest in its next tick.
            break;
        }
    }
    Poll::Ready(Ok(()))
}

/// The first bytes that are not sent yet and lie together; `None` if all are sent.
fn unsent_part(out: &Outgoing) -> Option<&[u8]> {
    let (mut left, mut from) = (out.sent, 0);
    for splice in &out.splices {
        for part in [&out.bytes[from..splice.at], &splice.value[..]] {
            if left < part.len() {
                return Some(&part[left..]);
            }
            left -= part.len();
        }
        from = splice.at;
    }
    out.bytes[from..].get(left..).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use uring::Splice;

    #[test]
    fn parts_of_a_send_are_in_wire_order_wherever_the_last_one_stopped() {
        let splice = |at, value| Splice { at, value: Bytes::from_static(value) };
        let tables: &[(&[u8], Vec<Splice>, &[u8])] = &[
            (b"", vec![], b""),
            (b"abc", vec![], b"abc"),
            (b"abc", vec![splice(1, b"XY")], b"aXYbc"),
            (b"abc", vec![splice(0, b"X"), splice(0, b"Y"), splice(3, b"Z")], b"XYabcZ"),
            (b"", vec![splice(0, b"XYZ")], b"XYZ"),
        ];
        for (bytes, splices, wire) in tables {
            for step in 1..=4 {
                let mut out = Outgoing { bytes: bytes.to_vec(), splices: splices.clone(), sent: 0 };
                let mut got = Vec::new();
                while let Some(part) = unsent_part(&out) {
                    assert!(!part.is_empty());
                    let count = part.len().min(step);
                    got.extend_from_slice(&part[..count]);
                    out.sent += count;
                }
                assert_eq!(got, *wire, "in steps of {step}");
            }
        }
    }
}
