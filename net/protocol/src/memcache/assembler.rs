//! Assembler: puts together the one request that `parse` could not take in place, from pieces of any size.
//!
//! ```text
//!           LF, a value follows               whole
//!   Idle -> Line --------------> Value ---------------> Trailer --> Complete --clear--> Idle
//!            | |                   |  ^                                ^ |
//!            | | LF, none follows  v  | put_filling                    | | a value was refused
//!            | +----------------+  Lent                                | v
//!            |                  +--------------------------------------+ Swallow ---> Idle
//!            +-- LF, the announced value is refused: Complete with a fault -'  Nothing
//! ```
//!
//! Invariants
//! - A value that is refused for its length is answered before it arrives, as memcached does, and then swallowed.
//! - The input is consumed up to the request's last byte and no further.
//! - Memory follows the bytes that have arrived.
//!
//! Absent on purpose: the check of any other word.

use bytes::BytesMut;
use memchr::memchr;

use super::line::{self, Verdict};
use super::{Fault, LINE_BYTES_MAX, Limits, LineTooLong};
use crate::assembly::{Fed, FedState};
use crate::parts::{Parts, SMALL_BYTES_MAX};
use crate::payload::Payload;
use crate::{Arg, ArgBuffer, Request};

/// Bytes behind a value.
const TRAILER: &[u8; 2] = b"\r\n";

/// Builds one request from pieces.
#[derive(Debug, Default)]
pub struct Assembler {
    state: State,
    parts: Parts,
    payload: Payload,
    fault: Option<Fault>,
    /// Bytes behind a complete request that belong to it and that nobody wants.
    swallow: usize,
}

/// See the diagram above; `Lent` is `Value`.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    Line,
    Value,
    /// Bytes of the trailer that have come.
    Trailer(usize),
    Complete,
    Swallow,
}

impl Assembler {
    /// An idle assembler without allocation.
    pub fn new() -> Self {
        Assembler::default()
    }

    /// True if no request has begun and none is being swallowed.
    #[inline]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes bytes up to the end of the request, or all. Not to be called on a complete request, nor while the buffer
    /// of a large value is lent.
    ///
    /// # Errors
    /// The line does not end: the connection is closed.
    pub fn feed(&mut self, input: &[u8], limits: &Limits) -> Result<Fed, LineTooLong> {
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

    /// While a large value is arriving: the bytes it still lacks, at least 1.
    pub fn filling(&self) -> Option<usize> {
        self.payload.filling()
    }

    /// The bytes that a large value lacks, lent or not: 0 while none arrives.
    pub fn promised(&self) -> usize {
        self.payload.promised()
    }

    /// Lends the large value's buffer for a direct receive; see `resp::Assembler::take_filling`.
    pub fn take_filling(&mut self) -> BytesMut {
        self.payload.take_filling()
    }

    /// Takes the buffer back, with more bytes in it or as it was.
    pub fn put_filling(&mut self, filling: BytesMut) {
        self.payload.put_filling(filling);
        self.end_value_if_whole();
    }

    /// Bytes of memory that this request holds, as far as they have arrived; a lent buffer counts with what it had.
    pub fn held_bytes(&self) -> usize {
        self.parts.held_bytes() + self.payload.held_bytes()
    }

    /// Why the complete request cannot run; then it has only the words of its line.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Runs `f` on the complete request; `buffer` lends the allocation for its arguments.
    pub fn with_request<R>(&self, buffer: &mut ArgBuffer, f: impl FnOnce(Request<'_>) -> R) -> R {
        assert!(self.is_complete(), "only a complete request has arguments");
        let mut args = buffer.lend();
        args.extend(self.parts.args());
        let result = f(Request::new(&args));
        buffer.reclaim(args);
        result
    }

    /// Forgets the request, complete or not; keeps small allocations and frees large ones. A refused value is still
    /// swallowed.
    pub fn clear(&mut self) {
        self.state = if self.is_complete() && self.swallow > 0 { State::Swallow } else { State::Idle };
        self.parts.clear();
        self.payload.clear();
        self.fault = None;
    }

    /// Takes at least one byte of `input`, which is not empty; goes no further than one state.
    fn step(&mut self, input: &[u8], limits: &Limits) -> Result<usize, LineTooLong> {
        match self.state {
            State::Idle | State::Line => self.line(input, limits),
            State::Value => {
                let taken = self.payload.feed(input, &mut self.parts);
                self.end_value_if_whole();
                Ok(taken)
            }
            State::Trailer(seen) => {
                self.trailer(seen, input[0]);
                Ok(1)
            }
            State::Swallow => {
                let taken = input.len().min(self.swallow);
                self.swallow -= taken;
                if self.swallow == 0 {
                    self.state = State::Idle;
                }
                Ok(taken)
            }
            State::Complete => unreachable!("feed has asserted that"),
        }
    }

    /// Takes bytes of the line.
    fn line(&mut self, input: &[u8], limits: &Limits) -> Result<usize, LineTooLong> {
        self.state = State::Line;
        let before = self.parts.small_bytes();
        // One byte more than a line may have decides that it is too long.
        let most = limits.request_bytes_max.clamp(LINE_BYTES_MAX, SMALL_BYTES_MAX - 1);
        let room = most.saturating_sub(before);
        let searched = &input[..input.len().min(room + 1)];
        let end = memchr(b'\n', searched);
        let text = &searched[..end.unwrap_or(searched.len())];
        self.parts.extend_small(text);
        let line = self.parts.small();
        if line::is_too_long(line, line.len(), limits) {
            return Err(if line::asks_for_values(line) { LineTooLong::Keys } else { LineTooLong::Command });
        }
        if end.is_none() {
            return Ok(text.len());
        }
        self.parts.split_line(line::split);
        if self.parts.len() > limits.words_max {
            return Err(LineTooLong::Keys);
        }
        self.end_line(limits);
        Ok(text.len() + 1)
    }

    /// Decides what follows the line.
    fn end_line(&mut self, limits: &Limits) {
        let Some((key_bytes, len)) = announced(&self.parts) else {
            self.state = State::Complete;
            return;
        };
        match line::judge(key_bytes, len, limits) {
            Verdict::TooLarge => self.refuse(Fault::TooLarge, len),
            Verdict::AuthenticationTooLong => self.refuse(Fault::AuthenticationTooLong, len),
            Verdict::Take => self.begin_value(len, limits),
        }
    }

    fn begin_value(&mut self, len: usize, limits: &Limits) {
        let fits = self.parts.stored_bytes() + len <= limits.request_bytes_max;
        let is_placed = if line::is_small(len) {
            // A small value always has room: so it may be parsed in place, too.
            self.payload.begin_small(len);
            true
        } else {
            fits && len <= limits.large_bytes_max && self.payload.begin_large(len)
        };
        if !is_placed {
            return self.refuse(Fault::NoRoom, len);
        }
        self.state = State::Value;
        self.end_value_if_whole();
    }

    fn refuse(&mut self, fault: Fault, len: usize) {
        self.fault = Some(fault);
        self.swallow = len + TRAILER.len();
        self.state = State::Complete;
    }

    fn end_value_if_whole(&mut self) {
        if self.payload.end_if_whole(&mut self.parts) {
            self.state = State::Trailer(0);
        }
    }

    /// Takes a byte behind the value. A wrong one makes the request faulty; the trailer has two bytes anyway.
    fn trailer(&mut self, seen: usize, byte: u8) {
        if byte != TRAILER[seen] && self.fault.is_none() {
            self.fault = Some(Fault::BadChunk);
            self.parts.pop();
        }
        self.state = if seen + 1 == TRAILER.len() { State::Complete } else { State::Trailer(seen + 1) };
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}

/// The bytes of the key and of the value that a line announces.
fn announced(line: &Parts) -> Option<(usize, usize)> {
    let mut words = line.args().map(Arg::bytes);
    let (name, key, size) = (words.next()?, words.next()?, words.nth(2));
    line::value_bytes(name, size).map(|len| (key.len(), len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LARGE_BULK_MIN;

    const CUTS_MAX: usize = 200;

    /// What a request is: its arguments and its fault.
    type Seen = (Vec<Vec<u8>>, Option<Fault>);

    /// Feeds `input` in two pieces, cut everywhere (or, if it is long, at both ends), and expects `requests`.
    fn check(input: &[u8], limits: &Limits, expected: &[(&[&[u8]], Option<Fault>)]) {
        let expected: Vec<Seen> =
            expected.iter().map(|(words, fault)| (words.iter().map(|word| word.to_vec()).collect(), *fault)).collect();
        for cut in (0..=input.len()).filter(|cut| cut.min(&(input.len() - cut)) < &CUTS_MAX) {
            let (mut assembler, mut buffer, mut seen) = (Assembler::new(), ArgBuffer::new(), Vec::new());
            let (head, tail) = input.split_at(cut);
            for mut piece in [head, tail] {
                while !piece.is_empty() {
                    let fed = assembler.feed(piece, limits).unwrap();
                    piece = &piece[fed.consumed..];
                    if fed.state == FedState::Complete {
                        let args = assembler.with_request(&mut buffer, |request| {
                            request.args().iter().map(|arg| arg.bytes().to_vec()).collect()
                        });
                        seen.push((args, assembler.fault()));
                        assembler.clear();
                    }
                }
            }
            assert!(
                seen == expected,
                "{} cut at {cut}: {} requests",
                input[..input.len().min(80)].escape_ascii(),
                seen.len()
            );
            assert!(assembler.is_idle());
        }
    }

    #[test]
    fn a_request_is_whole_wherever_it_was_cut() {
        let limits = Limits::default();
        check(b"get k\r\n", &limits, &[(&[b"get", b"k"], None)]);
        check(b"get a  b \n\r\n", &limits, &[(&[b"get", b"a", b"b"], None), (&[b""], None)]);
        check(
            b"set k 0 0 2\r\n\r\n\r\nquit\n",
            &limits,
            &[(&[b"set", b"k", b"0", b"0", b"2", b"\r\n"], None), (&[b"quit"], None)],
        );
        let value = vec![b'v'; LARGE_BULK_MIN];
        for len in [0, LARGE_BULK_MIN - 1, LARGE_BULK_MIN] {
            let size = len.to_string();
            let input = [format!("set k 1 2 {len} noreply\r\n").as_bytes(), &value[..len], b"\r\nversion\r\n"].concat();
            let words: &[&[u8]] = &[b"set", b"k", b"1", b"2", size.as_bytes(), b"noreply", &value[..len]];
            check(&input, &limits, &[(words, None), (&[b"version"], None)]);
        }
    }

    #[test]
    fn a_bad_chunk_costs_the_announced_bytes_and_no_more() {
        let limits = Limits::default();
        let words: &[&[u8]] = &[b"set", b"k", b"0", b"0", b"3"];
        for (input, rest) in [
            (&b"set k 0 0 3\r\nhello\r\n"[..], &b""[..]),
            (b"set k 0 0 3\r\nabc\rxget\r\n", b"get"),
            (b"set k 0 0 3\r\nabcx\nget\r\n", b"get"),
        ] {
            check(input, &limits, &[(words, Some(Fault::BadChunk)), (&[rest], None)]);
        }
        let large = vec![b'v'; LARGE_BULK_MIN];
        let input = [format!("set k 0 0 {LARGE_BULK_MIN}\r\n").as_bytes(), &large, b"xyget\r\n"].concat();
        let size = LARGE_BULK_MIN.to_string();
        check(
            &input,
            &limits,
            &[(&[b"set", b"k", b"0", b"0", size.as_bytes()], Some(Fault::BadChunk)), (&[b"get"], None)],
        );
    }

    #[test]
    fn a_refused_value_is_answered_at_once_and_swallowed() {
        let small = Limits { item_bytes_max: 100, ..Limits::default() };
        let poor = Limits { large_bytes_max: 100, ..Limits::default() };
        let stranger = Limits { authenticated: false, ..Limits::default() };
        for (limits, fault) in
            [(small, Fault::TooLarge), (poor, Fault::NoRoom), (stranger, Fault::AuthenticationTooLong)]
        {
            let len = 2 * LARGE_BULK_MIN;
            let size = len.to_string();
            let head = format!("set k 0 0 {len}\r\n");
            let input = [head.as_bytes(), &vec![b'\n'; len], b"\r\nget k\r\n"].concat();
            let words: &[&[u8]] = &[b"set", b"k", b"0", b"0", size.as_bytes()];
            check(&input, &limits, &[(words, Some(fault)), (&[b"get", b"k"], None)]);
            let fed = Assembler::new().feed(head.as_bytes(), &limits);
            assert_eq!(fed, Ok(Fed { consumed: head.len(), state: FedState::Complete }));
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let limits = Limits { request_bytes_max: 100_000, words_max: 100, ..Limits::default() };
        let long = |head: &[u8], len: usize| [head, &vec![b'k'; len - head.len()]].concat();
        let check = |line: &[u8], expected: Result<FedState, LineTooLong>| {
            let mut assembler = Assembler::new();
            let whole = assembler.feed(line, &limits).map(|fed| fed.state);
            assert_eq!(whole, expected, "{}", line[..20].escape_ascii());
            let mut assembler = Assembler::new();
            let pieces = line.chunks(7).map(|piece| assembler.feed(piece, &limits).map(|fed| fed.state));
            let last = pieces.collect::<Result<Vec<_>, _>>().map(|states| states[states.len() - 1]);
            assert_eq!(last, expected, "{} in pieces", line[..20].escape_ascii());
        };
        check(&long(b"delete ", LINE_BYTES_MAX), Ok(FedState::NeedMore));
        check(&long(b"delete ", LINE_BYTES_MAX + 1), Err(LineTooLong::Command));
        check(&long(b"gets ", LINE_BYTES_MAX + 1), Ok(FedState::NeedMore));
        check(&long(b"gats ", 100_000), Ok(FedState::NeedMore));
        check(&long(b"get ", 100_001), Err(LineTooLong::Keys));
        check(&[&b"get"[..], &b" k".repeat(100), b"\n"].concat(), Err(LineTooLong::Keys));
        check(&[&b"get"[..], &b" k".repeat(99), b"\n"].concat(), Ok(FedState::Complete));
    }

    #[test]
    fn a_large_value_is_received_in_place() {
        let (mut assembler, mut buffer, limits) = (Assembler::new(), ArgBuffer::new(), Limits::default());
        let len = LARGE_BULK_MIN + 5;
        let head = format!("set k 0 0 {len}\r\nabc");
        assembler.feed(head.as_bytes(), &limits).unwrap();
        assert_eq!((assembler.filling(), assembler.promised()), (Some(len - 3), len - 3));
        let mut lent = assembler.take_filling();
        assert_eq!((lent.capacity() - lent.len(), assembler.filling()), (len - 3, None));
        lent.extend_from_slice(&vec![b'd'; len - 3]);
        let at = lent.as_ptr();
        assembler.put_filling(lent);
        assert_eq!(assembler.feed(b"\r\n", &limits), Ok(Fed { consumed: 2, state: FedState::Complete }));
        let kept = assembler.with_request(&mut buffer, |request| request.get(5).and_then(Arg::as_large).cloned());
        assembler.clear();
        let kept = kept.unwrap();
        assert_eq!((kept.len(), kept.as_ptr()), (len, at));
        assert!(kept.is_unique(), "the assembler shares nothing after it was cleared");
    }
}
