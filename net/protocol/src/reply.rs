//! Reply: encodes answers in RESP2 or RESP3 onto the end of a connection's output.
//!
//! Invariants
//! - Every call appends one complete element, or (`array`, `map`, `set`, `push`) a header that announces further ones.
//! - `splices` stays ordered by `at`; a spliced value goes out before `bytes[at]`.
//! - What lies before the start of this reply is never touched.
//!
//! The answers of memcached's protocol are written onto the same output; `memcache::reply` has them.
//!
//! Absent on purpose: sending, reply order between requests, command meaning.

mod double;

use bytes::Bytes;

/// The dialect a client has chosen with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Before HELLO 3.
    #[default]
    Resp2,
    /// After HELLO 3.
    Resp3,
}

/// A large value that goes out by reference.
#[derive(Clone, Debug)]
pub struct Spliced {
    /// Offset in the encoded bytes before which the value goes out.
    pub at: usize,
    /// The value.
    pub value: Bytes,
}

/// A place in the output to return to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    splices: usize,
}

/// Writes one client's answers. Borrows the connection's output buffers.
#[derive(Debug)]
pub struct Reply<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    pub(crate) splices: &'a mut Vec<Spliced>,
    version: Version,
    /// Wire bytes of the large values written here.
    pub(crate) spliced_bytes: usize,
    bytes_max: usize,
}

/// Longest decimal `i64`, sign included, in bytes.
const INTEGER_BYTES_MAX: usize = 20;

/// Room for a length header (type, digits, CRLF) and the CRLF after a payload, in bytes.
const FRAME_BYTES_MAX: usize = 1 + INTEGER_BYTES_MAX + 2 + 2;

impl<'a> Reply<'a> {
    /// Appends to `bytes` and `splices` in the dialect `version`.
    #[inline]
    pub fn new(bytes: &'a mut Vec<u8>, splices: &'a mut Vec<Spliced>, version: Version) -> Self {
        Reply { bytes, splices, version, spliced_bytes: 0, bytes_max: usize::MAX }
    }

    /// Tells commands of many values when to give up: see `is_over_limit`.
    #[inline]
    #[must_use]
    pub fn with_limit(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Whether this reply, with what its client is owed already, is longer than the limit.
    #[inline]
    pub fn is_over_limit(&self) -> bool {
        self.bytes.len() + self.spliced_bytes > self.bytes_max
    }

    /// The dialect of what is written next.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Changes the dialect of what is written next.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. `text` must hold neither CR nor LF: it is ours, not a client's.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.bytes().any(|b| b == b'\r' || b == b'\n'), "a simple string is one line");
        self.line(b'+', text.as_bytes());
    }

    /// An error: the whole text with its code, as in `ERR syntax error`. Line ends become spaces, since such a text may
    /// quote a client's bytes.
    #[cold]
    pub fn error(&mut self, text: &str) {
        let start = self.bytes.len() + 1;
        self.line(b'-', text.as_bytes());
        let end = self.bytes.len() - 2;
        for byte in &mut self.bytes[start..end] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A bulk string, copied.
    #[inline]
    pub fn bulk(&mut self, payload: &[u8]) {
        self.bytes.reserve(payload.len() + FRAME_BYTES_MAX);
        self.length(b'$', payload.len());
        self.bytes.extend_from_slice(payload);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A bulk string that holds a decimal integer.
    #[inline]
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string that goes out by reference.
    pub fn large(&mut self, value: &Bytes) {
        self.length(b'$', value.len());
        self.spliced_bytes += value.len();
        self.splices.push(Spliced { at: self.bytes.len(), value: value.clone() });
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Null in place of a string.
    #[inline]
    pub fn null(&mut self) {
        match self.version {
            Version::Resp2 => self.bytes.extend_from_slice(b"$-1\r\n"),
            Version::Resp3 => self.bytes.extend_from_slice(b"_\r\n"),
        }
    }

    /// Null in place of an array.
    pub fn null_array(&mut self) {
        match self.version {
            Version::Resp2 => self.bytes.extend_from_slice(b"*-1\r\n"),
            Version::Resp3 => self.bytes.extend_from_slice(b"_\r\n"),
        }
    }

    /// The header of an array of `count` elements.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.length(b'*', count);
    }

    /// The header of a map of `count` pairs: in RESP2 an array of twice as many elements.
    pub fn map(&mut self, count: usize) {
        match self.version {
            Version::Resp2 => self.length(b'*', count * 2),
            Version::Resp3 => self.length(b'%', count),
        }
    }

    /// The header of a set of `count` elements: in RESP2 an array.
    pub fn set(&mut self, count: usize) {
        match self.version {
            Version::Resp2 => self.length(b'*', count),
            Version::Resp3 => self.length(b'~', count),
        }
    }

    /// The header of a push message of `count` elements: in RESP2 an array.
    pub fn push(&mut self, count: usize) {
        match self.version {
            Version::Resp2 => self.length(b'*', count),
            Version::Resp3 => self.length(b'>', count),
        }
    }

    /// A floating-point number in the fewest digits that read back as the same number: in RESP2 a bulk string.
    pub fn double(&mut self, value: f64) {
        let text = double::Text::new(value);
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// True or false: in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match self.version {
            Version::Resp2 => self.integer(i64::from(value)),
            Version::Resp3 => self.bytes.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Text with its format, three characters such as `txt` or `mkd`: in RESP2 a bulk string without it.
    pub fn verbatim(&mut self, format: &str, text: &str) {
        assert_eq!(format.len(), 3, "a verbatim format has three characters");
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => {
                self.length(b'=', format.len() + 1 + text.len());
                self.bytes.extend_from_slice(format.as_bytes());
                self.bytes.push(b':');
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Elements that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Where the output ends now.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), splices: self.splices.len() }
    }

    /// Forgets everything that was written since `mark`, for an error that comes after half a reply.
    pub fn rewind(&mut self, mark: Mark) {
        assert!(mark.bytes <= self.bytes.len() && mark.splices <= self.splices.len(), "a mark of this output");
        self.bytes.truncate(mark.bytes);
        self.splices.truncate(mark.splices);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.reserve(text.len() + FRAME_BYTES_MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn length(&mut self, kind: u8, length: usize) {
        self.header(kind, length as i64);
    }

    /// Type, number, CRLF. Numbers up to 999 are one store of a fixed size: no formatting, no copy of unknown length.
    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        let digit = |n: i64| b'0' + (n % 10) as u8;
        match value {
            0..10 => self.bytes.extend_from_slice(&[kind, digit(value), b'\r', b'\n']),
            10..100 => self.bytes.extend_from_slice(&[kind, digit(value / 10), digit(value), b'\r', b'\n']),
            100..1000 => {
                self.bytes.extend_from_slice(&[kind, digit(value / 100), digit(value / 10), digit(value), b'\r', b'\n'])
            }
            _ => self.long_header(kind, value),
        }
    }

    #[inline(never)]
    fn long_header(&mut self, kind: u8, value: i64) {
        self.bytes.reserve(FRAME_BYTES_MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LARGE_BULK_MIN;

    /// What `write` puts on the wire in one dialect, spliced values in their places.
    fn wire(version: Version, write: &dyn Fn(&mut Reply<'_>)) -> Vec<u8> {
        let (mut bytes, mut splices) = (b"before".to_vec(), Vec::new());
        write(&mut Reply::new(&mut bytes, &mut splices, version));
        let (mut wire, mut from) = (Vec::new(), 0);
        for splice in &splices {
            wire.extend_from_slice(&bytes[from..splice.at]);
            wire.extend_from_slice(&splice.value);
            from = splice.at;
        }
        wire.extend_from_slice(&bytes[from..]);
        assert_eq!(&wire[..6], b"before");
        wire.split_off(6)
    }

    fn check(write: &dyn Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        assert_eq!(wire(Version::Resp2, write).escape_ascii().to_string(), resp2.as_bytes().escape_ascii().to_string());
        assert_eq!(wire(Version::Resp3, write).escape_ascii().to_string(), resp3.as_bytes().escape_ascii().to_string());
    }

    fn check_both(write: &dyn Fn(&mut Reply<'_>), expected: &str) {
        check(write, expected, expected);
    }

    #[test]
    fn each_dialect_has_its_own_forms() {
        check(&|r| r.null(), "$-1\r\n", "_\r\n");
        check(&|r| r.null_array(), "*-1\r\n", "_\r\n");
        check(&|r| r.map(3), "*6\r\n", "%3\r\n");
        check(&|r| r.map(0), "*0\r\n", "%0\r\n");
        check(&|r| r.set(2), "*2\r\n", "~2\r\n");
        check(&|r| r.push(3), "*3\r\n", ">3\r\n");
        check(&|r| r.boolean(true), ":1\r\n", "#t\r\n");
        check(&|r| r.boolean(false), ":0\r\n", "#f\r\n");
        check(&|r| r.double(0.5), "$3\r\n0.5\r\n", ",0.5\r\n");
        check(&|r| r.double(3.0), "$1\r\n3\r\n", ",3\r\n");
        check(&|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(&|r| r.verbatim("txt", "a\r\nb"), "$4\r\na\r\nb\r\n", "=8\r\ntxt:a\r\nb\r\n");
    }

    #[test]
    fn the_common_forms_are_the_same_in_both() {
        check_both(&|r| r.ok(), "+OK\r\n");
        check_both(&|r| r.simple("PONG"), "+PONG\r\n");
        check_both(&|r| r.error("ERR syntax error"), "-ERR syntax error\r\n");
        check_both(&|r| r.error("ERR unknown command 'a\r\nb'"), "-ERR unknown command 'a  b'\r\n");
        check_both(&|r| r.bulk(b""), "$0\r\n\r\n");
        check_both(&|r| r.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n");
        check_both(&|r| r.bulk_integer(-12), "$3\r\n-12\r\n");
        check_both(&|r| r.array(0), "*0\r\n");
        check_both(&|r| r.array(1_000_000), "*1000000\r\n");
        check_both(&|r| r.raw(b":1\r\n"), ":1\r\n");
    }

    #[test]
    fn numbers_of_every_width_are_exact() {
        let around = |n: i64| [n - 1, n, n + 1];
        for value in [1i64, 10, 100, 1000, 10_000, 123_456_789].into_iter().flat_map(around).chain([i64::MAX, i64::MIN])
        {
            check_both(&|r| r.integer(value), &format!(":{value}\r\n"));
            check_both(&|r| r.integer(-value.max(-i64::MAX)), &format!(":{}\r\n", -value.max(-i64::MAX)));
            check_both(&|r| r.bulk_integer(value), &format!("${}\r\n{value}\r\n", value.to_string().len()));
        }
        for len in [9, 10, 99, 100, 999, 1000, 20_000] {
            let text = "x".repeat(len);
            check_both(&|r| r.bulk(text.as_bytes()), &format!("${len}\r\n{text}\r\n"));
        }
    }

    #[test]
    fn large_values_go_out_by_reference_and_in_order() {
        let value = Bytes::from("y".repeat(LARGE_BULK_MIN));
        let (mut bytes, mut splices) = (Vec::new(), Vec::new());
        Reply::new(&mut bytes, &mut splices, Version::Resp2).large(&value);
        assert_eq!(splices[0].value.as_ptr(), value.as_ptr());
        check_both(
            &|r| {
                r.array(3);
                r.large(&value);
                r.integer(1);
                r.large(&Bytes::from_static(b"z"));
            },
            &format!("*3\r\n$16384\r\n{}\r\n:1\r\n$1\r\nz\r\n", "y".repeat(LARGE_BULK_MIN)),
        );
    }

    #[test]
    fn rewinding_forgets_half_a_reply() {
        let half = |r: &mut Reply<'_>| {
            r.integer(1);
            let mark = r.mark();
            r.array(2);
            r.large(&Bytes::from_static(b"gone"));
            r.rewind(mark);
            r.error("ERR no");
        };
        check_both(&half, ":1\r\n-ERR no\r\n");
    }

    #[test]
    fn the_dialect_may_change_between_replies() {
        let hello = |r: &mut Reply<'_>| {
            r.set_version(Version::Resp3);
            assert_eq!(r.version(), Version::Resp3);
            r.null();
            r.set_version(Version::Resp2);
            r.null();
        };
        check_both(&hello, "_\r\n$-1\r\n");
    }
}
