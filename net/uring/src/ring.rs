//! The seam between the reactor and whatever performs its I/O.
//!
//! `Ring` speaks operations and completions of ours, never submission queue entries, so the kernel's io_uring, the
//! simulator's ring and glommio's tasks sit behind it.
//!
//! Invariants
//! - A buffer that is handed over with an operation belongs to the ring until the completion hands it back.
//! - At most one `Send` and one of `Recv`/`RecvInto` are in flight per token.
//! - A `Chunk` that was reaped is recycled before the next `enter`.
//! - After `close(socket)` no completion for its token arrives: the caller closes only what has nothing in flight.
//!
//! Absent on purpose: protocols, connections, clocks.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// A socket as the ring names it: a file descriptor for the kernel, any number for a fake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket(pub i32);

/// Who asked for an operation: a slot of the caller's table and the generation of its occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Index in the caller's table.
    pub slot: u32,
    /// Generation of the slot; only the low 24 bits travel through the ring.
    pub generation: u32,
}

/// An error number of the operating system, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// EINTR.
    pub const INTERRUPTED: Errno = Errno(libc::EINTR);
    /// EAGAIN.
    pub const AGAIN: Errno = Errno(libc::EAGAIN);
    /// ENOBUFS: the provided buffers ran out.
    pub const NO_BUFFERS: Errno = Errno(libc::ENOBUFS);
    /// ECANCELED: the operation was ended by `Op::Cancel`.
    pub const CANCELED: Errno = Errno(libc::ECANCELED);
    /// ECONNRESET.
    pub const CONNECTION_RESET: Errno = Errno(libc::ECONNRESET);
    /// EPIPE.
    pub const BROKEN_PIPE: Errno = Errno(libc::EPIPE);
}

/// Replies on their way out: `bytes`, with refcounted values spliced in.
///
/// The wire order is `bytes[..splices[0].at]`, `splices[0].value`, `bytes[splices[0].at..splices[1].at]`, and so on,
/// then the rest of `bytes`. Splices are ordered by `at`.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Encoded replies without the spliced values.
    pub bytes: Vec<u8>,
    /// Large values by reference.
    pub splices: Vec<Splice>,
    /// Bytes of the whole (in wire order) that are sent already.
    pub sent: usize,
}

/// One large value inside an `Outgoing`.
#[derive(Debug, Clone)]
pub struct Splice {
    /// Offset in `Outgoing::bytes` before which the value goes out.
    pub at: usize,
    /// The value.
    pub value: Bytes,
}

impl Outgoing {
    /// Length on the wire, sent part included, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.splices.iter().map(|s| s.value.len()).sum::<usize>()
    }

    /// True if there is nothing to send at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.splices.is_empty()
    }

    /// Forgets the content and keeps the allocations.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.splices.clear();
        self.sent = 0;
    }
}

/// An operation to start.
#[derive(Debug)]
pub enum Op {
    /// Accepts connections until cancelled; each one is an `Event::Accepted`.
    Accept {
        /// A listening socket.
        listener: Socket,
    },
    /// Receives into provided buffers until cancelled, end of stream, error, or lack of buffers.
    Recv {
        /// A connected socket.
        socket: Socket,
    },
    /// Receives once into the spare capacity of `into` (which must not be empty) and appends there.
    RecvInto {
        /// A connected socket.
        socket: Socket,
        /// Where the bytes go: `into.capacity() - into.len()` is the most that is received.
        into: BytesMut,
    },
    /// Sends `out[out.sent..]`, all of it if the peer takes it.
    Send {
        /// A connected socket.
        socket: Socket,
        /// What to send.
        out: Outgoing,
    },
    /// Ends the `Accept`, `Recv` or `RecvInto` of the same token; that operation's last completion says so.
    Cancel,
}

/// A received piece in a provided buffer of the ring. Not `Clone`: it is given back exactly once.
#[derive(Debug)]
pub struct Chunk {
    /// The buffer's number.
    pub buffer: u16,
    /// Bytes received, at least 1.
    pub len: u32,
}

/// How an operation went.
#[derive(Debug)]
pub enum Event {
    /// A new connection, or why there is none. Without `more` the accept has ended and must be started again.
    Accepted {
        /// The connection.
        result: Result<Socket, Errno>,
        /// Further completions of this operation will come.
        more: bool,
    },
    /// Bytes (`Some`), end of stream (`None`), or an error: `ENOBUFS` when provided buffers ran out, `ECANCELED` after
    /// `Cancel`. Without `more` the receive has ended.
    Received {
        /// What came.
        result: Result<Option<Chunk>, Errno>,
        /// Further completions of this operation will come.
        more: bool,
    },
    /// A `RecvInto` ended: `got` bytes were appended to `into`; 0 is the end of the stream.
    Filled {
        /// The buffer, back.
        into: BytesMut,
        /// Bytes appended.
        got: Result<usize, Errno>,
    },
    /// A `Send` ended; `out.sent` counts what has gone. It may be short.
    Sent {
        /// The buffers, back.
        out: Outgoing,
        /// Bytes sent by this operation.
        result: Result<usize, Errno>,
    },
}

/// One completion.
#[derive(Debug)]
pub struct Completion {
    /// Who had asked; `generation` has 24 bits.
    pub token: Token,
    /// How it went.
    pub event: Event,
}

/// How long `enter` may sleep when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until one completion is there, or for this long.
    AtMost(Duration),
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP.
    Inet(SocketAddr),
    /// A unix socket.
    Unix,
}

/// What a ring has done since it was made, and how large it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingUsage {
    /// System calls.
    pub enters: u64,
    /// Provided buffers.
    pub buffers: u64,
}

/// Performs I/O for one core. See the module's invariants.
pub trait Ring {
    /// Queues an operation; the next `enter` submits it. Never fails: a full submission queue is submitted and reused.
    fn push(&mut self, token: Token, op: Op);

    /// Submits what is queued and makes completions available. Sleeps only as `wait` allows and only if none is ready.
    ///
    /// # Errors
    /// Only errors that no retry mends. Interruptions and a full completion queue are handled inside.
    fn enter(&mut self, wait: Wait) -> io::Result<()>;

    /// Appends at most `limit` completions that are available now, in the order in which they happened.
    fn reap(&mut self, completions: &mut Vec<Completion>, limit: usize);

    /// True if `enter(Wait::No)` or `reap` would yield something. Reads user memory only.
    fn is_ready(&self) -> bool;

    /// What it has done so far; all 0 where nobody counts.
    fn usage(&self) -> RingUsage {
        RingUsage::default()
    }

    /// The bytes of a received piece.
    fn chunk(&self, chunk: &Chunk) -> &[u8];

    /// Gives a provided buffer back.
    fn recycle(&mut self, chunk: Chunk);

    /// The other end of an accepted connection; `None` if it is gone already.
    fn peer(&self, socket: Socket) -> Option<Peer>;

    /// Ends both directions of a connection now; operations in flight complete soon after.
    fn shutdown(&mut self, socket: Socket);

    /// Ends our direction only: the peer reads what was sent and then the end of the stream, and we still receive.
    /// Returns false if the ring does not model it; then the caller closes at once.
    fn finish_writing(&mut self, _socket: Socket) -> bool {
        false
    }

    /// Closes a socket that has nothing in flight.
    fn close(&mut self, socket: Socket);
}
