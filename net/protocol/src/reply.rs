//! Reply: encodes answers in RESP2 or RESP3 onto the end of a connection's output.
//!
//! Invariants
//! - Every call appends one complete element, or (`array`, `map`, `set`, `push`) a header that announces further ones.
//! - `splices` stays ordered by `at`; a spliced value goes out before `bytes[at]`.
//! - What lies before the start of this reply is never touched.
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
    bytes: &'a mut Vec<u8>,
    splices: &'a mut Vec<Spliced>,
    version: Version,
}

/// Longest decimal `i64`, sign included, in bytes.
const INTEGER_BYTES_MAX: usize = 20;

/// Room for a length header (type, digits, CRLF) and the CRLF after a payload, in bytes.
const FRAME_BYTES_MAX: usize = 1 + INTEGER_BYTES_MAX + 2 + 2;

impl<'a> Reply<'a> {
    /// Appends to `bytes` and `splices` in the dialect `version`.
    #[inline]
    pub fn new(bytes: &'a mut Vec<u8>, splices: &'a mut Vec<Spliced>, version: Version) -> Self {
        Reply { bytes, splices, version }
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
