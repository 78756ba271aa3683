//! Driver: reads a stream in pieces as a connection does, and checks what must hold on the way.
//!
//! The fuzz target shares this file.

use pinion_protocol::memcache::{Assembler, FedState, Limits, LineTooLong, Parsed, parse, split_value};
use pinion_protocol::{Arg, ArgBuffer, LARGE_BULK_MIN, Request};

use super::oracle::Seen;

/// How a connection uses the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `parse` first, the assembler for the rest; large values through the lent buffer.
    Served,
    /// The assembler only, large values through `feed`.
    Assembled,
}

/// Memory that an assembler may hold whatever arrived: kept allocations of three vectors.
const HELD_BYTES_MIN: usize = 3 * 64 * 1024;

/// Memory per arrived byte: a word takes 2 bytes and leaves 5, and vectors double.
const HELD_PER_BYTE: usize = 8;

/// Everything that the pieces, in this order, ask for.
pub fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits, way: Way) -> Vec<Seen> {
    let mut reader = Reader { assembler: Assembler::new(), buffer: ArgBuffer::new(), seen: Vec::new(), way };
    let mut arrived = 0;
    for piece in pieces {
        if let Err(broken) = reader.piece(piece, limits) {
            reader.seen.push(Seen::Broken(broken));
            break;
        }
        arrived += piece.len();
        assert!(reader.assembler.held_bytes() <= HELD_BYTES_MIN + HELD_PER_BYTE * arrived, "memory follows the bytes");
    }
    reader.seen
}

struct Reader {
    assembler: Assembler,
    buffer: ArgBuffer,
    seen: Vec<Seen>,
    way: Way,
}

impl Reader {
    fn piece(&mut self, mut rest: &[u8], limits: &Limits) -> Result<(), LineTooLong> {
        while !rest.is_empty() {
            if self.way == Way::Served {
                rest = self.parse(rest, limits);
                rest = self.fill(rest);
                if rest.is_empty() {
                    break;
                }
            }
            let fed = self.assembler.feed(rest, limits)?;
            assert!(fed.consumed > 0, "a feed takes something");
            rest = &rest[fed.consumed..];
            match fed.state {
                FedState::NeedMore => assert!(rest.is_empty(), "a feed takes all or ends the request"),
                FedState::Complete => self.complete(),
                FedState::Nothing => assert!(self.assembler.is_idle(), "a refused value is swallowed"),
            }
        }
        Ok(())
    }

    /// Takes whole requests in place.
    fn parse<'i>(&mut self, mut rest: &'i [u8], limits: &Limits) -> &'i [u8] {
        while self.assembler.is_idle() {
            let mut args = vec![Arg::new(b"before")];
            match parse(rest, limits, &mut args) {
                Parsed::Request { consumed, argc } => {
                    assert_eq!(args.len(), 1 + argc);
                    check_value(Request::new(&args[1..]), true);
                    self.seen.push(Seen::Request(args[1..].iter().map(|arg| arg.bytes().to_vec()).collect(), None));
                    rest = &rest[consumed..];
                }
                Parsed::Nothing { .. } => panic!("every line is answered"),
                Parsed::Incomplete => {
                    assert_eq!(args.len(), 1, "nothing is left behind");
                    break;
                }
            }
        }
        rest
    }

    /// Takes a value into the lent buffer, as a receive in place does.
    fn fill<'i>(&mut self, rest: &'i [u8]) -> &'i [u8] {
        let Some(lacking) = self.assembler.filling() else { return rest };
        let (head, tail) = rest.split_at(lacking.min(rest.len()));
        let mut lent = self.assembler.take_filling();
        assert_eq!(lent.capacity() - lent.len(), lacking, "a receive ends with the value");
        lent.extend_from_slice(head);
        self.assembler.put_filling(lent);
        tail
    }

    fn complete(&mut self) {
        let fault = self.assembler.fault();
        let args = self.assembler.with_request(&mut self.buffer, |request| {
            let fits = |arg: &Arg<'_>| arg.as_large().is_none() || arg.bytes().len() >= LARGE_BULK_MIN;
            assert!(request.args().iter().all(fits), "only large arguments are shared");
            check_value(request, fault.is_none());
            request.args().iter().map(|arg| arg.bytes().to_vec()).collect()
        });
        self.seen.push(Seen::Request(args, fault));
        self.assembler.clear();
    }
}

/// The value of a request is as long as its line says.
fn check_value(request: Request<'_>, has_value: bool) {
    if let (words, Some(value)) = split_value(request)
        && has_value
    {
        let size = std::str::from_utf8(words[4].bytes()).expect("digits");
        assert_eq!(size.parse(), Ok(value.bytes().len()));
        assert_eq!(words.len() + 1, request.len());
    }
}
