//! One listening socket: the task that accepts from it while an accept is wanted.
//!
//! glommio opens listeners itself and takes no open one without unsafe code, nor does it offer a plain wait for a
//! descriptor. So the wait is a receive on a duplicate of the listener: glommio waits until the descriptor is readable
//! before it receives, and then the receive fails, as a listener has no bytes. That failure is the signal.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::AsyncRead;
use glommio::net::TcpStream;
use socket2::{SockAddr, Socket};
use uring::{Errno, Event, Peer, Token};

use super::events::{Events, Happened};
use super::link::{errno, stream_of};

/// Connections that are accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// See the module.
pub(super) struct Acceptor {
    socket: Socket,
    /// Who wants connections; `None`: nobody.
    wanted: Cell<Option<Token>>,
    /// The wait for the next one.
    wait: RefCell<Option<TcpStream>>,
    /// The task, while it has nothing to do.
    task: RefCell<Option<Waker>>,
}

impl Acceptor {
    /// A listener, and the task that accepts from it.
    ///
    /// # Errors
    /// The socket cannot be made non-blocking.
    pub(super) fn open(socket: OwnedFd, events: &Rc<Events>) -> io::Result<Rc<Acceptor>> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let acceptor =
            Rc::new(Acceptor { socket, wanted: Cell::new(None), wait: RefCell::new(None), task: RefCell::new(None) });
        let (task, events) = (Rc::clone(&acceptor), Rc::clone(events));
        glommio::spawn_local(poll_fn(move |cx| task.poll(cx, &events))).detach();
        Ok(acceptor)
    }

    /// Accepts until it is cancelled or an accept fails.
    pub(super) fn accept(&self, token: Token) {
        self.wanted.set(Some(token));
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    /// Ends the accept that `token` asked for. Returns false if it asked for none here.
    pub(super) fn cancel(&self, token: Token, events: &Events) -> bool {
        if self.wanted.get() != Some(token) {
            return false;
        }
        self.end(token, Errno::CANCELED, events);
        true
    }

    fn end(&self, token: Token, error: Errno, events: &Events) {
        self.wanted.set(None);
        self.wait.borrow_mut().take();
        events.complete(token, Event::Accepted { result: Err(error), more: false });
    }

    /// Never ready: a listener lives as long as the executor.
    fn poll(&self, cx: &mut Context<'_>, events: &Events) -> Poll<()> {
        loop {
            let Some(token) = self.wanted.get() else {
                *self.task.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if self.poll_readable(cx).is_pending() {
                return Poll::Pending;
            }
            match self.accept_some(token, events) {
                // The wait starts after the last vain accept, so no connection slips in between.
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.start_wait() {
                    Ok(()) => {}
                    Err(error) => self.end(token, errno(&error), events),
                },
                Err(error) => self.end(token, errno(&error), events),
                Ok(()) => {
                    events.ask_for_turn(cx.waker());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Accepts a turn's share.
    fn accept_some(&self, token: Token, events: &Events) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.socket.accept() {
                Ok((socket, address)) => {
                    events.push(Happened::Accepted { token, socket: socket.into(), peer: peer_of(&address) });
                }
                // The peer has given up meanwhile, or a signal came.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn start_wait(&self) -> io::Result<()> {
        let duplicate = self.socket.try_clone()?;
        *self.wait.borrow_mut() = Some(stream_of(duplicate.into()));
        Ok(())
    }

    /// Ready if no wait is under way or the one that is has ended.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wait = self.wait.borrow_mut();
        let Some(duplicate) = wait.as_mut() else { return Poll::Ready(()) };
        if Pin::new(duplicate).poll_read(cx, &mut [0]).is_pending() {
            return Poll::Pending;
        }
        wait.take();
        Poll::Ready(())
    }
}

fn peer_of(address: &SockAddr) -> Peer {
    address.as_socket().map_or(Peer::Unix, Peer::Inet)
}
