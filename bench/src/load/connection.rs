//! One client connection: requests out, replies in, in order.

use std::collections::{VecDeque, vec_deque};
use std::io::{self, Read, Write};

use mio::net::{TcpStream, UnixStream};

use super::answer::{Answer, ItemSpan, Scan};
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
    /// Keys of the reads of many keys among `pending`, in order.
    keys: VecDeque<u64>,
    /// Room for the items of one reply.
    spans: Vec<ItemSpan>,
}

/// The keys of a read of many, in the order asked; none of any other request.
pub type AskedKeys<'a> = vec_deque::Iter<'a, u64>;

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
        Ok(Connection::new(stream))
    }

    fn new(stream: Stream) -> Connection {
        Connection {
            stream,
            out: Vec::new(),
            written: 0,
            tail: Vec::new(),
            pending: VecDeque::new(),
            keys: VecDeque::new(),
            spans: Vec::new(),
        }
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

    /// Adds a request that `write` appends, and its keys if they are many; it leaves with the next
    /// [`Connection::flush`].
    pub fn ask(&mut self, since: Nanos, write: impl FnOnce(&mut Vec<u8>, &mut VecDeque<u64>) -> Question) {
        let question = write(&mut self.out, &mut self.keys);
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

    /// Hands every reply that is complete with `bytes` to `each`, with its request and the keys of
    /// that.
    pub fn receive(
        &mut self,
        protocol: Protocol,
        bytes: &[u8],
        mut each: impl FnMut(Pending, AskedKeys<'_>, Answer<'_>),
    ) -> Result<(), OutOfStep> {
        let Connection { tail, pending, keys, spans, .. } = self;
        let mut take = |input: &[u8]| {
            let mut at = 0;
            loop {
                let key_count = pending.front().map_or(0, |pending| pending.question.keys_kept());
                let rest = &input[at..];
                let scan = if key_count > 0 { protocol.scan_items(rest, spans) } else { protocol.scan(rest) };
                match scan {
                    Scan::Reply(answer, consumed) => {
                        each(pending.pop_front().ok_or(OutOfStep)?, keys.range(..key_count), answer);
                        keys.drain(..key_count);
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
        let mut connection = Connection::new(Stream::Unix(stream));
        for key in 0..count {
            connection.ask(key, |_, _| Question::Get { key });
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
                let each = |pending: Pending, _: AskedKeys<'_>, answer: Answer<'_>| {
                    seen.push((pending.since, format!("{answer:?}")))
                };
                connection.receive(Protocol::Resp, bytes, each).unwrap();
            }
            assert_eq!((connection.pending_count(), connection.tail.len()), (0, 0));
            assert_eq!(seen.iter().map(|(since, _)| *since).collect::<Vec<_>>(), [0, 1, 2, 3]);
            assert_eq!(seen[1].1, "Miss");
        }
    }

    #[test]
    fn reads_of_many_keys_meet_their_keys_at_any_fragmentation() {
        let stream = b"$1\r\na\r\n*2\r\n$1\r\nb\r\n$-1\r\n$-1\r\n-ERR no\r\n*1\r\n$1\r\nc\r\n";
        for fragment in 1..=stream.len() {
            let mut connection = waiting(1);
            for (keys, is_many) in [(&[7, 8][..], true), (&[1], false), (&[9, 10, 11], true), (&[12], true)] {
                connection.ask(0, |_, kept| {
                    if !is_many {
                        return Question::Get { key: keys[0] };
                    }
                    kept.extend(keys);
                    Question::GetMany { count: keys.len() as u32 }
                });
            }
            let mut seen: Vec<(Vec<u64>, usize)> = Vec::new();
            for bytes in stream.chunks(fragment) {
                let each = |_, keys: AskedKeys<'_>, answer: Answer<'_>| {
                    let items = if let Answer::Items(items) = answer { items.len() } else { 0 };
                    seen.push((keys.copied().collect(), items));
                };
                connection.receive(Protocol::Resp, bytes, each).unwrap();
            }
            assert_eq!(seen, [(vec![], 0), (vec![7, 8], 2), (vec![], 0), (vec![9, 10, 11], 0), (vec![12], 1)]);
            assert_eq!((connection.pending_count(), connection.keys.len()), (0, 0));
        }
    }

    #[test]
    fn a_reply_to_nothing_is_out_of_step() {
        assert!(waiting(0).receive(Protocol::Resp, b"+OK\r\n", |_, _, _| {}).is_err());
        assert!(waiting(1).receive(Protocol::Resp, b"nonsense", |_, _, _| {}).is_err());
    }
}
