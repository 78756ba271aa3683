//! What the ring's tests share: a ring, and waiting for its completions one at a time.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pinion_uring::{Completion, Errno, Event, KernelRing, Op, Outgoing, Ring, Setup, Socket, Splice, Token, Wait};

/// Longest wait for something that must come: 1000 of 10 ms.
const WAIT: Duration = Duration::from_millis(10);
const WAIT_COUNT_MAX: usize = 1000;

/// A ring under test.
pub struct Bed {
    pub ring: KernelRing,
    reaped: VecDeque<Completion>,
}

impl Bed {
    pub fn new() -> Bed {
        Bed::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Bed {
        Bed { ring: KernelRing::new(setup).unwrap(), reaped: VecDeque::new() }
    }

    pub fn recv(&mut self, token: Token, socket: Socket) {
        self.ring.push(token, Op::Recv { socket });
    }

    pub fn send(&mut self, token: Token, socket: Socket, bytes: &[u8]) {
        self.ring.push(token, Op::Send { socket, out: outgoing(bytes, &[]) });
    }

    pub fn recv_into(&mut self, token: Token, socket: Socket, into: BytesMut) {
        self.ring.push(token, Op::RecvInto { socket, into });
    }

    /// The next completion, which must come.
    pub fn next(&mut self) -> Completion {
        for _wait in 0..WAIT_COUNT_MAX {
            if let Some(completion) = self.poll() {
                return completion;
            }
            self.ring.enter(Wait::AtMost(WAIT)).unwrap();
        }
        panic!("no completion came");
    }

    /// A completion if one is there.
    pub fn poll(&mut self) -> Option<Completion> {
        if self.reaped.is_empty() {
            let mut reaped = Vec::new();
            self.ring.reap(&mut reaped, usize::MAX);
            self.reaped.extend(reaped);
        }
        self.reaped.pop_front()
    }

    /// The next completion, which must be a receive's: its bytes (recycled; empty at the end), and `more`.
    pub fn next_received(&mut self) -> (Result<Vec<u8>, Errno>, bool) {
        match self.next().event {
            Event::Received { result, more } => {
                let bytes = result.map(|chunk| match chunk {
                    Some(chunk) => {
                        let bytes = self.ring.chunk(&chunk).to_vec();
                        self.ring.recycle(chunk);
                        bytes
                    }
                    None => Vec::new(),
                });
                (bytes, more)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next completion, which must be a send's.
    pub fn next_sent(&mut self) -> (Outgoing, Result<usize, Errno>) {
        match self.next().event {
            Event::Sent { out, result } => (out, result),
            other => panic!("{other:?}"),
        }
    }

    /// The next completion, which must be an accept's.
    pub fn next_accepted(&mut self) -> (Result<Socket, Errno>, bool) {
        match self.next().event {
            Event::Accepted { result, more } => (result, more),
            other => panic!("{other:?}"),
        }
    }

    /// The next completion, which must be a filled buffer.
    pub fn next_filled(&mut self) -> (BytesMut, Result<usize, Errno>) {
        match self.next().event {
            Event::Filled { into, got } => (into, got),
            other => panic!("{other:?}"),
        }
    }

    /// Runs the ring until nothing is in flight, and gives the completions that came meanwhile.
    pub fn settle(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        for _wait in 0..WAIT_COUNT_MAX {
            while let Some(completion) = self.poll() {
                all.push(completion);
            }
            if self.ring.in_flight() == 0 {
                return all;
            }
            self.ring.enter(Wait::AtMost(WAIT)).unwrap();
        }
        panic!("operations stay in flight");
    }
}

/// A token with generation 1.
pub fn token(slot: u32) -> Token {
    Token { slot, generation: 1 }
}

/// The descriptor as the ring names it.
pub fn socket(of: &impl AsRawFd) -> Socket {
    Socket(of.as_raw_fd())
}

/// A small ring: 8 submissions, 64 completions, 8 buffers of 64 bytes.
pub fn small() -> Setup {
    Setup { sq_entries: 8, cq_entries: 64, buffer_count: 8, buffer_bytes: 64 }
}

/// Replies with values spliced in.
pub fn outgoing(bytes: &[u8], splices: &[(usize, &[u8])]) -> Outgoing {
    let splices = splices.iter().map(|&(at, value)| Splice { at, value: Bytes::copy_from_slice(value) }).collect();
    Outgoing { bytes: bytes.to_vec(), splices, sent: 0 }
}

/// What `out` is on the wire.
pub fn wire(out: &Outgoing) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut from = 0;
    for splice in &out.splices {
        wire.extend_from_slice(&out.bytes[from..splice.at]);
        wire.extend_from_slice(&splice.value);
        from = splice.at;
    }
    wire.extend_from_slice(&out.bytes[from..]);
    wire
}

/// Bytes of which no two neighbouring blocks are equal.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

/// Two ends of a TCP connection over loopback.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _address) = listener.accept().unwrap();
    (near, far)
}
