//! Driver: reads a stream in pieces as a connection does, and checks what must hold on the way.
//!
//! The fuzz target shares this file.

use pinion_protocol::resp::{Assembler, FedState, Limits, Parsed, ProtocolError, parse};
use pinion_protocol::{Arg, ArgBuffer, LARGE_BULK_MIN};

use super::oracle::Seen;

/// How a connection uses the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `parse` first, the assembler for the rest; large payloads through the lent buffer.
    Served,
    /// The assembler only, large payloads through `feed`.
    Assembled,
}

/// Memory that an assembler may hold whatever arrived: kept allocations of three vectors.
const HELD_BYTES_MIN: usize = 3 * 64 * 1024;

/// Memory per arrived byte: an empty argument takes 6 bytes and leaves 4, and vectors double.
const HELD_PER_BYTE: usize = 4;

/// Everything that the pieces, in this order, ask for.
pub fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits, way: Way) -> Vec<Seen> {
    let mut reader = Reader { assembler: Assembler::new(), buffer: ArgBuffer::new(), seen: Vec::new(), way };
    let mut arrived = 0;
    for piece in pieces {
        if let Err(error) = reader.piece(piece, limits) {
            reader.seen.push(Seen::Broken(error.to_string()));
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
    fn piece(&mut self, mut rest: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
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
                FedState::Nothing => assert!(self.assembler.is_idle(), "an empty request is forgotten"),
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
                    self.seen.push(Seen::Request(args[1..].iter().map(|arg| arg.bytes().to_vec()).collect()));
                    rest = &rest[consumed..];
                }
                Parsed::Nothing { consumed } => rest = &rest[consumed..],
                Parsed::Incomplete => {
                    assert_eq!(args.len(), 1, "nothing is left behind");
                    break;
                }
            }
        }
        rest
    }

    /// Takes payload into the lent buffer, as a receive in place does.
    fn fill<'i>(&mut self, rest: &'i [u8]) -> &'i [u8] {
        let Some(lacking) = self.assembler.filling() else { return rest };
        let (head, tail) = rest.split_at(lacking.min(rest.len()));
        let mut lent = self.assembler.take_filling();
        assert_eq!(lent.capacity() - lent.len(), lacking, "a receive ends with the payload");
        lent.extend_from_slice(head);
        self.assembler.put_filling(lent);
        tail
    }

    fn complete(&mut self) {
        if self.assembler.was_oversized() {
            self.seen.push(Seen::Oversized);
        } else {
            let args = self.assembler.with_request(&mut self.buffer, |request| {
                // Not the other way round: the words of an inline command are never shared.
                let fits = |arg: &Arg<'_>| arg.as_large().is_none() || arg.bytes().len() >= LARGE_BULK_MIN;
                assert!(request.args().iter().all(fits), "only large arguments are shared");
                request.args().iter().map(|arg| arg.bytes().to_vec()).collect()
            });
            self.seen.push(Seen::Request(args));
        }
        self.assembler.clear();
    }
}
