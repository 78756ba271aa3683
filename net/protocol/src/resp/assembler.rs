//! Assembler: puts together the one request that `parse` could not take in place, from pieces of any size.
//!
//! ```text
//!          '*'          n > 0         '$'
//!   Idle -----> Count --------> Bulk -----> Length --+--> Small ---+
//!    | ^          | n <= 0       ^                   +--> Large ---+--> Trailer
//!    | +----------+ Nothing      |                   +--> Skipped -+     |   |
//!    |                           +---------------------------------------+   | none
//!    | other                           arguments lacking                     v lacking
//!    +-----> Inline ---> Complete | Nothing                               Complete
//! ```
//! `Large` is also left through `take_filling`, into `Lent`, and entered again through `put_filling`.
//!
//! Invariants
//! - Every byte is copied once and looked at a bounded number of times: a request of a million arguments in pieces of
//!   4 KiB costs linear time.
//! - The input is consumed up to the request's last byte and no further.
//! - Memory follows the bytes that have arrived. A large argument's buffer is reserved whole, so that it is received in
//!   place and becomes a `Bytes` without slack, but none of it is touched before its bytes come.
//! - Once a payload had to be skipped nothing more is stored: the request will not run.
//!
//! Absent on purpose: recovery from errors. A broken stream has no next request.

use bytes::BytesMut;
use memchr::memchr;

use super::header::{Line, Progress};
use super::inline;
use super::{Limits, ProtocolError, UNAUTHENTICATED_ARGS_MAX, UNAUTHENTICATED_BULK_BYTES_MAX};
use crate::assembly::{Fed, FedState};
use crate::parts::{Parts, SMALL_BYTES_MAX};
use crate::payload::Payload;
use crate::{Arg, ArgBuffer, LARGE_BULK_MIN, Request};

/// Builds one request from pieces. Idle and cleared it holds at most `64 KiB` in each of three vectors, so a server
/// keeps a few to share rather than one per connection.
#[derive(Debug, Default)]
pub struct Assembler {
    state: State,
    /// Arguments of which not even the header has begun.
    lacking_args: usize,
    parts: Parts,
    payload: Payload,
    oversized: bool,
}

/// See the diagram above; `Small`, `Large`, `Lent` and `Skipped` are `Payload`.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Inline,
    Count(Line),
    Bulk,
    Length(Line),
    Payload,
    /// What is still to come of CRLF.
    Trailer(&'static [u8]),
    Complete,
}

impl Assembler {
    /// An idle assembler without allocation.
    pub fn new() -> Self {
        Assembler::default()
    }

    /// True if no request has begun.
    #[inline]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes bytes up to the end of the request, or all. Not to be called on a complete request, nor while the buffer
    /// of a large argument is lent.
    ///
    /// # Errors
    /// The stream is broken: the client is told and the connection closed.
    pub fn feed(&mut self, input: &[u8], limits: &Limits) -> Result<Fed, ProtocolError> {
        assert!(!self.is_complete(), "a complete request is cleared before the next");
        let mut consumed = 0;
        while consumed < input.len() {
            consumed += self.step(&input[consumed..], limits)?;
            if self.is_complete() {
                return Ok(Fed { consumed, state: FedState::Complete });
            }
            if self.is_idle() {
                return Ok(Fed { consumed, state: FedState::Nothing });
            }
        }
        Ok(Fed { consumed, state: FedState::NeedMore })
    }

    /// While a large argument is arriving: the bytes of payload it still lacks, at least 1.
    pub fn filling(&self) -> Option<usize> {
        self.payload.filling()
    }

    /// The bytes of payload that a large argument lacks, lent or not: 0 while none arrives.
    pub fn promised(&self) -> usize {
        self.payload.promised()
    }

    /// Lends the large argument's buffer for a direct receive: its spare capacity is what `filling` said, so such a
    /// receive ends where the payload does. Only while `filling` says something.
    pub fn take_filling(&mut self) -> BytesMut {
        self.payload.take_filling()
    }

    /// Takes the buffer back, with more bytes in it or as it was.
    pub fn put_filling(&mut self, filling: BytesMut) {
        self.payload.put_filling(filling);
        self.end_payload_if_whole();
    }

    /// Bytes of memory that this request holds, as far as they have arrived; a lent buffer counts with what it had.
    pub fn held_bytes(&self) -> usize {
        self.parts.held_bytes() + self.payload.held_bytes()
    }

    /// True if a payload was skipped because of `Limits::large_bytes_max`, `Limits::request_bytes_max` or lack of
    /// memory. When complete, such a request has no arguments and is answered with an error instead of being executed.
    pub fn was_oversized(&self) -> bool {
        self.oversized
    }

    /// Pushes the complete request's arguments onto `args` and says how many, as `parse` does.
    pub fn push_args<'a>(&'a self, args: &mut Vec<Arg<'a>>) -> usize {
        assert!(self.is_complete(), "only a complete request has arguments");
        args.extend(self.parts.args());
        self.parts.len()
    }

    /// Runs `f` on the complete request, which must not be oversized; `buffer` lends the allocation for its arguments.
    pub fn with_request<R>(&self, buffer: &mut ArgBuffer, f: impl FnOnce(Request<'_>) -> R) -> R {
        assert!(!self.oversized, "an oversized request has no arguments");
        let mut args = buffer.lend();
        self.push_args(&mut args);
        let result = f(Request::new(&args));
        buffer.reclaim(args);
        result
    }

    /// Forgets the request, complete or not; keeps small allocations and frees large ones.
    pub fn clear(&mut self) {
        self.state = State::Idle;
        self.lacking_args = 0;
        self.parts.clear();
        self.payload.clear();
        self.oversized = false;
    }

    /// Takes at least one byte of `input`, which is not empty; goes no further than one state.
    fn step(&mut self, input: &[u8], limits: &Limits) -> Result<usize, ProtocolError> {
        match &mut self.state {
            State::Idle if input[0] == b'*' => {
                self.state = State::Count(Line::default());
                Ok(1)
            }
            State::Idle | State::Inline => self.inline(input, limits),
            State::Count(line) => match line.feed(input) {
                (taken, Progress::Open) => Ok(taken),
                (taken, Progress::Number(count)) => self.begin_array(count, limits).map(|()| taken),
                (_, Progress::Broken) => Err(ProtocolError::MultibulkLength),
                (_, Progress::Endless) => Err(ProtocolError::MultibulkHeader),
            },
            State::Bulk if input[0] == b'$' => {
                self.state = State::Length(Line::default());
                Ok(1)
            }
            State::Bulk => Err(ProtocolError::ExpectedBulk { got: input[0] }),
            State::Length(line) => match line.feed(input) {
                (taken, Progress::Open) => Ok(taken),
                (taken, Progress::Number(len)) => self.begin_bulk(len, limits).map(|()| taken),
                (_, Progress::Broken) => Err(ProtocolError::BulkLength),
                (_, Progress::Endless) => Err(ProtocolError::BulkHeader),
            },
            State::Payload => {
                let taken = self.payload.feed(input, &mut self.parts);
                self.end_payload_if_whole();
                Ok(taken)
            }
            State::Trailer(lacking) => match lacking.strip_prefix(&input[..1]) {
                Some([]) => {
                    self.state = if self.lacking_args == 0 { State::Complete } else { State::Bulk };
                    Ok(1)
                }
                Some(rest) => {
                    *lacking = rest;
                    Ok(1)
                }
                None => Err(ProtocolError::BulkTrailer),
            },
            State::Complete => unreachable!("feed has asserted that"),
        }
    }

    /// Takes bytes of an inline command.
    fn inline(&mut self, input: &[u8], limits: &Limits) -> Result<usize, ProtocolError> {
        self.state = State::Inline;
        let room = limits.inline_bytes_max.saturating_sub(self.parts.small_bytes());
        let searched = &input[..input.len().min(room.saturating_add(1))];
        let Some(line_bytes) = memchr(b'\n', searched) else {
            if searched.len() > room {
                return Err(ProtocolError::InlineLength);
            }
            self.parts.extend_small(searched);
            return Ok(searched.len());
        };
        self.parts.extend_small(&searched[..line_bytes]);
        self.parts.split_line(inline::split)?;
        self.state = if self.parts.len() == 0 { State::Idle } else { State::Complete };
        Ok(line_bytes + 1)
    }

    fn begin_array(&mut self, count: i64, limits: &Limits) -> Result<(), ProtocolError> {
        let Ok(count @ 1..) = usize::try_from(count) else {
            self.state = State::Idle;
            return Ok(());
        };
        if count > limits.args_max {
            return Err(ProtocolError::MultibulkLength);
        }
        if !limits.authenticated && count > UNAUTHENTICATED_ARGS_MAX {
            return Err(ProtocolError::MultibulkUnauthenticated);
        }
        self.lacking_args = count;
        self.state = State::Bulk;
        Ok(())
    }

    fn begin_bulk(&mut self, len: i64, limits: &Limits) -> Result<(), ProtocolError> {
        let len = usize::try_from(len).map_err(|_| ProtocolError::BulkLength)?;
        if len > limits.bulk_bytes_max {
            return Err(ProtocolError::BulkLength);
        }
        if !limits.authenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::BulkUnauthenticated);
        }
        self.lacking_args -= 1;
        self.place(len, limits);
        self.state = State::Payload;
        self.end_payload_if_whole();
        Ok(())
    }

    /// Decides where a payload of `len` bytes goes and makes room for it.
    fn place(&mut self, len: usize, limits: &Limits) {
        let stored = self.parts.stored_bytes().saturating_add(len);
        let fits = stored <= limits.request_bytes_max.min(SMALL_BYTES_MAX);
        if self.oversized {
            self.payload.begin_skipped(len);
        } else if len < LARGE_BULK_MIN && fits {
            self.payload.begin_small(len);
        } else if !fits || len > limits.large_bytes_max || !self.payload.begin_large(len) {
            self.oversized = true;
            self.parts.clear();
            self.payload.begin_skipped(len);
        }
    }

    fn end_payload_if_whole(&mut self) {
        if self.payload.end_if_whole(&mut self.parts) {
            self.state = State::Trailer(b"\r\n");
        }
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS_MAX: usize = 200;

    /// Feeds `input` in two pieces, cut everywhere (or, if it is long, at both ends), and expects `words`.
    fn check(input: &[u8], words: &[&[u8]]) {
        let (mut assembler, mut buffer, limits) = (Assembler::new(), ArgBuffer::new(), Limits::default());
        for cut in (0..=input.len()).filter(|cut| cut.min(&(input.len() - cut)) < &CUTS_MAX) {
            let shown = input[..input.len().min(80)].escape_ascii();
            let (head, tail) = input.split_at(cut);
            let mut fed = assembler.feed(head, &limits).unwrap();
            if cut < input.len() {
                assert_eq!(fed, Fed { consumed: cut, state: FedState::NeedMore }, "{shown} cut at {cut}");
                assert_eq!(assembler.is_idle(), cut == 0, "{shown} cut at {cut}");
                fed = assembler.feed(&[tail, b"*1\r\n"].concat(), &limits).unwrap();
            }
            assert_eq!(fed.consumed, if cut < input.len() { tail.len() } else { cut }, "{shown} cut at {cut}");
            if words.is_empty() {
                assert_eq!(fed.state, FedState::Nothing, "{shown} cut at {cut}");
            } else {
                assert_eq!(fed.state, FedState::Complete, "{shown} cut at {cut}");
                assembler.with_request(&mut buffer, |request| {
                    let got: Vec<&[u8]> = request.args().iter().map(|arg| arg.bytes()).collect();
                    assert!(got == words, "{shown} cut at {cut}");
                    assert!(
                        request
                            .args()
                            .iter()
                            .all(|arg| arg.as_large().is_some() == (arg.bytes().len() >= LARGE_BULK_MIN))
                    );
                });
            }
            assembler.clear();
            assert!(assembler.is_idle() && !assembler.was_oversized() && assembler.filling().is_none());
        }
    }

    fn check_broken(input: &[u8], limits: &Limits, expected: ProtocolError) {
        let mut whole = Assembler::new();
        assert_eq!(whole.feed(input, limits), Err(expected), "{}", input[..input.len().min(80)].escape_ascii());
        let mut bytewise = Assembler::new();
        let result = input.chunks(1).map(|byte| bytewise.feed(byte, limits)).find(Result::is_err);
        assert_eq!(result, Some(Err(expected)), "{} bytewise", input[..input.len().min(80)].escape_ascii());
    }

    #[test]
    fn a_request_is_whole_wherever_it_was_cut() {
        check(b"*1\r\n$4\r\nPING\r\n", &[b"PING"]);
        check(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", &[b"SET", b"k", b""]);
        check(b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", &[b"ECHO", b"\r\n\r\n"]);
        check(b"*0\r\n", &[]);
        check(b"*-5\r\n", &[]);
        check(b"*-9223372036854775808\r\n", &[]);
        check(b" \r\n", &[]);
        check(b"set k \"a \\x41\" 'b'\r\n", &[b"set", b"k", b"a A", b"b"]);
        let value = vec![b'v'; LARGE_BULK_MIN];
        for len in [LARGE_BULK_MIN - 1, LARGE_BULK_MIN] {
            let header = format!("*4\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n");
            let input = [header.as_bytes(), &value[..len], b"\r\n$2\r\nNX\r\n"].concat();
            check(&input, &[b"SET", b"k", &value[..len], b"NX"]);
        }
    }

    #[test]
    fn a_broken_stream_is_named() {
        use ProtocolError as E;
        let limits = Limits::default();
        let long = |head: &[u8], len: usize| [head, &vec![b'1'; len]].concat();
        for (input, error) in [
            (b"*x\r\n".to_vec(), E::MultibulkLength),
            (b"*\r\n".to_vec(), E::MultibulkLength),
            (b"*1\rx".to_vec(), E::MultibulkLength),
            (b"*1048577\r\n".to_vec(), E::MultibulkLength),
            (b"*9223372036854775808\r\n".to_vec(), E::MultibulkLength),
            (long(b"*", super::super::HEADER_BYTES_MAX), E::MultibulkHeader),
            (b"*1\r\n+".to_vec(), E::ExpectedBulk { got: b'+' }),
            (b"*1\r\n\r".to_vec(), E::ExpectedBulk { got: b'\r' }),
            (b"*1\r\n$-1\r\n".to_vec(), E::BulkLength),
            (b"*1\r\n$x\r\n".to_vec(), E::BulkLength),
            (b"*1\r\n$01\r\n".to_vec(), E::BulkLength),
            (b"*1\r\n$536870913\r\n".to_vec(), E::BulkLength),
            (b"*1\r\n$9223372036854775807\r\n".to_vec(), E::BulkLength),
            (long(b"*1\r\n$", super::super::HEADER_BYTES_MAX), E::BulkHeader),
            (b"*1\r\n$1\r\nab".to_vec(), E::BulkTrailer),
            (b"*1\r\n$1\r\na\rb".to_vec(), E::BulkTrailer),
            (b"*1\r\n$0\r\n\n".to_vec(), E::BulkTrailer),
            (long(b"", 64 * 1024 + 1), E::InlineLength),
            (b"get \"k\n".to_vec(), E::InlineQuotes),
        ] {
            check_broken(&input, &limits, error);
        }
    }

    #[test]
    fn a_client_without_authentication_is_held_short() {
        let limits = Limits { authenticated: false, ..Limits::default() };
        check_broken(b"*11\r\n", &limits, ProtocolError::MultibulkUnauthenticated);
        check_broken(b"*10\r\n$16385\r\n", &limits, ProtocolError::BulkUnauthenticated);
        let fed = Assembler::new().feed(b"*10\r\n$16384\r\n", &limits);
        assert_eq!(fed, Ok(Fed { consumed: 13, state: FedState::NeedMore }));
    }

    #[test]
    fn an_inline_command_may_be_as_long_as_the_limit() {
        let limits = Limits { inline_bytes_max: 8, ..Limits::default() };
        check_broken(b"set k 123\n", &limits, ProtocolError::InlineLength);
        let fed = Assembler::new().feed(b"set k 12\n", &limits);
        assert_eq!(fed, Ok(Fed { consumed: 9, state: FedState::Complete }));
    }

    #[test]
    fn a_large_payload_is_received_in_place() {
        let (mut assembler, mut buffer, limits) = (Assembler::new(), ArgBuffer::new(), Limits::default());
        let len = LARGE_BULK_MIN + 5;
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\nabc");
        let fed = assembler.feed(head.as_bytes(), &limits).unwrap();
        assert_eq!(fed, Fed { consumed: head.len(), state: FedState::NeedMore });
        assert_eq!(assembler.filling(), Some(len - 3));
        let mut lent = assembler.take_filling();
        assert_eq!((lent.capacity() - lent.len(), assembler.filling()), (len - 3, None));
        lent.extend_from_slice(&[b'd'; 100]);
        assembler.put_filling(lent);
        assert_eq!(assembler.filling(), Some(len - 103));
        let mut lent = assembler.take_filling();
        lent.extend_from_slice(&vec![b'e'; len - 103]);
        let at = lent.as_ptr();
        assembler.put_filling(lent);
        assert_eq!(assembler.filling(), None);
        assert_eq!(assembler.feed(b"\r\n", &limits), Ok(Fed { consumed: 2, state: FedState::Complete }));
        let kept = assembler.with_request(&mut buffer, |request| request.get(2).and_then(Arg::as_large).cloned());
        assembler.clear();
        let kept = kept.unwrap();
        assert_eq!((kept.len(), kept.as_ptr(), &kept[..4]), (len, at, &b"abcd"[..]));
        assert!(kept.is_unique(), "the assembler shares nothing after it was cleared");
    }

    #[test]
    fn announced_bytes_are_not_held_before_they_arrive() {
        let mut assembler = Assembler::new();
        assembler.feed(b"*1048576\r\n$536870912\r\n", &Limits::default()).unwrap();
        assert!(assembler.held_bytes() < 1024);
        assembler.feed(&[b'v'; 1000], &Limits::default()).unwrap();
        assert!((1000..2048).contains(&assembler.held_bytes()));
        let lacking = 536_870_912 - 1000;
        assert_eq!((assembler.filling(), assembler.promised()), (Some(lacking), lacking));
        assembler.take_filling();
        assert!((1000..2048).contains(&assembler.held_bytes()));
        assert_eq!((assembler.filling(), assembler.promised()), (None, lacking));
    }

    #[test]
    fn a_payload_beyond_the_limits_is_skipped_to_its_end() {
        let len = 3 * LARGE_BULK_MIN;
        let value = vec![b'v'; len];
        let input = [format!("*2\r\n$1\r\nk\r\n${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        for limits in [
            Limits { large_bytes_max: len - 1, ..Limits::default() },
            Limits { request_bytes_max: len, ..Limits::default() },
        ] {
            let mut assembler = Assembler::new();
            for piece in input.chunks(1000) {
                assembler.feed(piece, &limits).unwrap();
                assert!(assembler.held_bytes() < 1024);
            }
            assert!(assembler.was_oversized() && assembler.filling().is_none());
            assert_eq!(assembler.push_args(&mut Vec::new()), 0);
            assembler.clear();
            let next = assembler.feed(b"*1\r\n$4\r\nPING\r\n", &limits);
            assert_eq!(next, Ok(Fed { consumed: 14, state: FedState::Complete }));
            assert!(!assembler.was_oversized());
        }
    }

    #[test]
    fn small_arguments_of_one_request_are_bounded() {
        let limits = Limits { request_bytes_max: 1000, ..Limits::default() };
        let input = [
            &b"*1000\r\n"[..],
            &b"$100\r\n".iter().chain(&[b'v'; 100]).chain(b"\r\n").copied().collect::<Vec<_>>().repeat(10),
        ]
        .concat();
        let mut assembler = Assembler::new();
        assert_eq!(assembler.feed(&input, &limits).map(|fed| fed.state), Ok(FedState::NeedMore));
        assert!(assembler.was_oversized() && assembler.held_bytes() < 2048, "{}", assembler.held_bytes());
        let rest = b"$1\r\na\r\n".repeat(990);
        assert_eq!(assembler.feed(&rest, &limits).map(|fed| fed.state), Ok(FedState::Complete));
    }

    #[test]
    fn clearing_frees_what_a_huge_request_held() {
        let (mut assembler, count) = (Assembler::new(), 100_000);
        let input = [format!("*{count}\r\n").into_bytes(), b"$1\r\na\r\n".repeat(count)].concat();
        let pieces = input.chunks(4096).map(|piece| assembler.feed(piece, &Limits::default()).unwrap()).last();
        assert_eq!(pieces.map(|fed| fed.state), Some(FedState::Complete));
        assert_eq!(assembler.push_args(&mut Vec::new()), count);
        assert!(assembler.held_bytes() >= 5 * count);
        assembler.clear();
        assert!(assembler.held_bytes() <= 3 * crate::parts::KEPT_BYTES_MAX);
    }
}
