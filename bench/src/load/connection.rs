//! One client connection: requests out, replies in, in order.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mio::net::{TcpStream, UnixStream};

use super::answer::{Answer, Scan};
use super::protocol::Protocol;
use super::target::Target;
use super::workload::Question;
use crate::clock::Nanos;

/// A request without a reply yet.
#[derive(Clone, Copy)]
pub struct Pending {
    /// What was asked.
    pub question: Question,
    /// From when its latency counts.
    pub since: Nanos,
}

/// The server sent what is no reply, or replied to nothing.
#[derive(Debug)]
pub struct OutOfStep;

/// A non-blocking connection.
pub struct Connection {
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    tail: Vec<u8>,
    pending: VecDeque<Pending>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects, and waits for that.
    pub fn open(target: &Target) -> io::Result<Connection> {
        let stream = match target {
            Target::Tcp(address) => {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Stream::Tcp(TcpStream::from_std(stream))
            }
            Target::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Stream::Unix(UnixStream::from_std(stream))
            }
        };
        Ok(Connection { stream, out: Vec::new(), written: 0, tail: Vec::new(), pending: VecDeque::new() })
    }

    /// Reports readiness to `registry` under `token`.
    pub fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        match &mut self.stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Requests without a reply.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Adds a request that `write` appends; it leaves with the next [`Connection::flush`].
    pub fn ask(&mut self, since: Nanos, write: impl FnOnce(&mut Vec<u8>) -> Question) {
        let question = write(&mut self.out);
        self.pending.push_back(Pending { question, since });
    }

    /// Writes what the socket takes; the rest leaves when it is writable again.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            let unsent = &self.out[self.written..];
            let outcome = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(unsent),
                Stream::Unix(stream) => stream.write(unsent),
            };
            match outcome {
                Ok(bytes) => self.written += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// One read; `None` when nothing has arrived.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let outcome = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(buffer),
                Stream::Unix(stream) => stream.read(buffer),
            };
            match outcome {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Hands every reply that is complete with `bytes` to `each`, with its request.
    pub fn receive(
        &mut self,
        protocol: Protocol,
        bytes: &[u8],
        mut each: impl FnMut(Pending, Answer<'_>),
    ) -> Result<(), OutOfStep> {
        let Connection { tail, pending, .. } = self;
        let mut take = |input: &[u8]| {
            let mut at = 0;
            loop {
                match protocol.scan(&input[at..]) {
                    Scan::Reply(answer, consumed) => {
                        each(pending.pop_front().ok_or(OutOfStep)?, answer);
                        at += consumed;
                    }
                    Scan::Incomplete => return Ok(at),
                    Scan::Broken => return Err(OutOfStep),
                }
            }
        };
        if tail.is_empty() {
            let consumed = take(bytes)?;
            tail.extend_from_slice(&bytes[consumed..]);
        } else {
            tail.extend_from_slice(bytes);
            let consumed = take(tail)?;
            tail.drain(..consumed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection to nobody, with `count` GETs under way.
    fn waiting(count: u64) -> Connection {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let mut connection = Connection {
            stream: Stream::Unix(stream),
            out: vec![],
            written: 0,
            tail: vec![],
            pending: VecDeque::new(),
        };
        for key in 0..count {
            connection.ask(key, |_| Question { key, is_set: false });
        }
        connection
    }

    #[test]
    fn replies_meet_their_requests_in_order_at_any_fragmentation() {
        let stream = b"$1\r\na\r\n$-1\r\n-ERR no\r\n$3\r\nabc\r\n";
        for fragment in 1..=stream.len() {
            let mut connection = waiting(4);
            let mut seen = Vec::new();
            for bytes in stream.chunks(fragment) {
                let each = |pending: Pending, answer: Answer<'_>| seen.push((pending.since, format!("{answer:?}")));
                connection.receive(Protocol::Resp, bytes, each).unwrap();
            }
            assert_eq!((connection.pending_count(), connection.tail.len()), (0, 0));
            assert_eq!(seen.iter().map(|(since, _)| *since).collect::<Vec<_>>(), [0, 1, 2, 3]);
            assert_eq!(seen[1].1, "Miss");
        }
    }

    #[test]
    fn a_reply_to_nothing_is_out_of_step() {
        assert!(waiting(0).receive(Protocol::Resp, b"+OK\r\n", |_, _| {}).is_err());
        assert!(waiting(1).receive(Protocol::Resp, b"nonsense", |_, _| {}).is_err());
    }
}
