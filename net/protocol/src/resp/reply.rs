//! Reply: reads answers, for whoever plays the client: tests, the simulator, the load generator.
//!
//! Invariants
//! - Depth and line lengths are bounded, and memory follows the bytes that are there, not the numbers announced.
//! - Where `parse_reply` finds the end of a reply, `skip_reply` finds it too.
//!
//! Absent on purpose: resuming. A reply that is cut is read again from its start when more of it has come, so a client
//! that expects long arrays should read in large pieces. Streamed strings and arrays, which no server sends.

use std::fmt;

use bytes::Bytes;
use memchr::memchr;

use super::{HEADER_BYTES_MAX, header};

/// Deepest nesting of a reply that is parsed.
pub const DEPTH_MAX: usize = 64;

/// Longest string in a reply, in bytes.
pub const BULK_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A reply. Text is whatever bytes the server sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`, one line.
    Simple(Bytes),
    /// `-` or `!`: the text with its code.
    Error(Bytes),
    /// `:`.
    Integer(i64),
    /// `$`.
    Bulk(Bytes),
    /// `_`, `$-1` or `*-1`.
    Null,
    /// `*`.
    Array(Vec<Value>),
    /// `,`.
    Double(f64),
    /// `#`.
    Boolean(bool),
    /// `(`: its digits.
    BigNumber(Bytes),
    /// `=`.
    Verbatim {
        /// What kind of text.
        format: [u8; 3],
        /// The text.
        text: Bytes,
    },
    /// `%`.
    Map(Vec<(Value, Value)>),
    /// `~`.
    Set(Vec<Value>),
    /// `>`: no answer to any request.
    Push(Vec<Value>),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// No element starts with this byte.
    Kind(u8),
    /// A length, integer, double, or boolean that is none.
    Number,
    /// A string is longer than `BULK_BYTES_MAX`, or an array longer than can be counted.
    Length,
    /// CRLF is missing, or a line is longer than `HEADER_BYTES_MAX`.
    Line,
    /// A verbatim string without its format.
    Format,
    /// Nested deeper than `DEPTH_MAX`.
    Depth,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::Kind(byte) => write!(f, "no reply starts with byte {byte:#04x}"),
            ReplyError::Number => f.write_str("a number of the reply is broken"),
            ReplyError::Length => f.write_str("a length of the reply is out of bounds"),
            ReplyError::Line => f.write_str("a line of the reply does not end"),
            ReplyError::Format => f.write_str("a verbatim string has no format"),
            ReplyError::Depth => write!(f, "a reply is nested deeper than {DEPTH_MAX}"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Parses the reply at the start of `input`: its value and its length in bytes, or `None` if it is not whole yet.
/// Attributes are read and dropped.
///
/// # Errors
/// `input` does not start with a reply.
pub fn parse_reply(input: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
    let mut reader = Reader { input, at: 0 };
    match reader.value(0) {
        Ok(value) => Ok(Some((value, reader.at))),
        Err(Stop::Cut) => Ok(None),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// The length in bytes of the reply at the start of `input`, or `None` if it is not whole yet. Builds nothing and looks
/// only at what it needs to find the end.
///
/// # Errors
/// `input` does not start with a reply.
#[inline]
pub fn skip_reply(input: &[u8]) -> Result<Option<usize>, ReplyError> {
    // Nearly all replies under load: one short string.
    if let Some((len, header_bytes)) = header::short(input, b'$') {
        let whole = header_bytes + len + 2;
        return match input.get(whole - 2..whole) {
            Some(b"\r\n") => Ok(Some(whole)),
            Some(_) => Err(ReplyError::Line),
            None => Ok(None),
        };
    }
    let mut reader = Reader { input, at: 0 };
    match reader.skip() {
        Ok(()) => Ok(Some(reader.at)),
        Err(Stop::Cut) => Ok(None),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Why reading stopped before the end of a reply.
enum Stop {
    Cut,
    Broken(ReplyError),
}

impl From<ReplyError> for Stop {
    fn from(error: ReplyError) -> Self {
        Stop::Broken(error)
    }
}

struct Reader<'i> {
    input: &'i [u8],
    at: usize,
}

impl<'i> Reader<'i> {
    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > DEPTH_MAX {
            return Err(ReplyError::Depth.into());
        }
        let kind = self.kind()?;
        Ok(match kind {
            b'+' => Value::Simple(copy(self.line()?)),
            b'-' => Value::Error(copy(self.line()?)),
            b':' => Value::Integer(self.number()?),
            b'(' => Value::BigNumber(copy(self.line()?)),
            b',' => Value::Double(double(self.line()?)?),
            b'#' => Value::Boolean(boolean(self.line()?)?),
            b'_' => {
                self.line()?;
                Value::Null
            }
            b'$' => self.bulk()?.map_or(Value::Null, |text| Value::Bulk(copy(text))),
            b'!' => self.bulk()?.map_or(Value::Null, |text| Value::Error(copy(text))),
            b'=' => match self.bulk()? {
                Some(text) => verbatim(text)?,
                None => Value::Null,
            },
            b'*' => match self.count()? {
                Some(count) => Value::Array(self.values(count, depth)?),
                None => Value::Null,
            },
            b'~' => match self.count()? {
                Some(count) => Value::Set(self.values(count, depth)?),
                None => Value::Null,
            },
            b'>' => match self.count()? {
                Some(count) => Value::Push(self.values(count, depth)?),
                None => Value::Null,
            },
            b'%' => match self.count()? {
                Some(count) => Value::Map(self.pairs(count, depth)?),
                None => Value::Null,
            },
            b'|' => {
                let count = self.count()?.unwrap_or(0);
                self.pairs(count, depth)?;
                self.value(depth + 1)?
            }
            other => return Err(ReplyError::Kind(other).into()),
        })
    }

    fn values(&mut self, count: u64, depth: usize) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn pairs(&mut self, count: u64, depth: usize) -> Result<Vec<(Value, Value)>, Stop> {
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(pairs)
    }

    /// Goes over one reply, counting the elements that are still owed instead of descending.
    fn skip(&mut self) -> Result<(), Stop> {
        let mut owed = 1u64;
        // Each turn takes at least one byte, so the input's length bounds the turns.
        while owed > 0 {
            let announced = match self.kind()? {
                b'+' | b'-' | b':' | b'(' | b',' | b'#' | b'_' => {
                    self.line()?;
                    Some(0)
                }
                b'$' | b'!' | b'=' => {
                    self.bulk()?;
                    Some(0)
                }
                b'*' | b'~' | b'>' => Some(self.count()?.unwrap_or(0)),
                b'%' => self.count()?.unwrap_or(0).checked_mul(2),
                b'|' => self.count()?.unwrap_or(0).checked_mul(2).and_then(|count| count.checked_add(1)),
                other => return Err(ReplyError::Kind(other).into()),
            };
            owed = announced.and_then(|count| (owed - 1).checked_add(count)).ok_or(ReplyError::Length)?;
        }
        Ok(())
    }

    fn kind(&mut self) -> Result<u8, Stop> {
        let kind = *self.input.get(self.at).ok_or(Stop::Cut)?;
        self.at += 1;
        Ok(kind)
    }

    /// The text up to CRLF.
    fn line(&mut self) -> Result<&'i [u8], Stop> {
        let rest = &self.input[self.at..];
        let searched = &rest[..rest.len().min(HEADER_BYTES_MAX)];
        let Some(len) = memchr(b'\r', searched) else {
            return Err(if searched.len() == HEADER_BYTES_MAX { ReplyError::Line.into() } else { Stop::Cut });
        };
        match rest.get(len + 1) {
            Some(b'\n') => {
                self.at += len + 2;
                Ok(&rest[..len])
            }
            Some(_) => Err(ReplyError::Line.into()),
            None => Err(Stop::Cut),
        }
    }

    fn number(&mut self) -> Result<i64, Stop> {
        Ok(header::decimal(self.line()?).ok_or(ReplyError::Number)?)
    }

    /// A number of elements; `None` stands for null.
    fn count(&mut self) -> Result<Option<u64>, Stop> {
        match self.number()? {
            -1 => Ok(None),
            count => Ok(Some(u64::try_from(count).map_err(|_| ReplyError::Number)?)),
        }
    }

    /// A length and so many bytes; `None` stands for null.
    fn bulk(&mut self) -> Result<Option<&'i [u8]>, Stop> {
        let Some(len) = self.count()? else { return Ok(None) };
        let len = usize::try_from(len).ok().filter(|len| *len <= BULK_BYTES_MAX).ok_or(ReplyError::Length)?;
        let rest = &self.input[self.at..];
        let (text, trailer) = rest.split_at_checked(len).ok_or(Stop::Cut)?;
        match trailer.first_chunk() {
            Some(b"\r\n") => {
                self.at += len + 2;
                Ok(Some(text))
            }
            Some(_) => Err(ReplyError::Line.into()),
            None => Err(Stop::Cut),
        }
    }
}

fn copy(text: &[u8]) -> Bytes {
    Bytes::copy_from_slice(text)
}

fn double(text: &[u8]) -> Result<f64, ReplyError> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(ReplyError::Number)
}

fn boolean(text: &[u8]) -> Result<bool, ReplyError> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(ReplyError::Number),
    }
}

fn verbatim(text: &[u8]) -> Result<Value, ReplyError> {
    match text {
        [a, b, c, b':', text @ ..] => Ok(Value::Verbatim { format: [*a, *b, *c], text: copy(text) }),
        _ => Err(ReplyError::Format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(copy(text.as_bytes()))
    }

    fn check(input: &[u8], expected: Value) {
        let shown = input.escape_ascii();
        assert_eq!(parse_reply(&[input, b"+OK\r\n"].concat()), Ok(Some((expected, input.len()))), "{shown}");
        assert_eq!(skip_reply(&[input, b"+OK\r\n"].concat()), Ok(Some(input.len())), "{shown}");
        for cut in 0..input.len() {
            assert_eq!(parse_reply(&input[..cut]), Ok(None), "{shown} cut at {cut}");
            assert_eq!(skip_reply(&input[..cut]), Ok(None), "{shown} cut at {cut}");
        }
    }

    fn check_broken(input: &[u8], expected: ReplyError) {
        assert_eq!(parse_reply(input), Err(expected), "{}", input.escape_ascii());
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        check(b"+OK\r\n", Value::Simple(copy(b"OK")));
        check(b"+\r\n", Value::Simple(copy(b"")));
        check(b"-ERR no\r\n", Value::Error(copy(b"ERR no")));
        check(b"!6\r\nERR\r\n!\r\n", Value::Error(copy(b"ERR\r\n!")));
        check(b":-9223372036854775808\r\n", Value::Integer(i64::MIN));
        check(b"$0\r\n\r\n", bulk(""));
        check(b"$2\r\n\r\n\r\n", bulk("\r\n"));
        check(format!("$1234\r\n{}\r\n", "x".repeat(1234)).as_bytes(), bulk(&"x".repeat(1234)));
        check(b"$-1\r\n", Value::Null);
        check(b"*-1\r\n", Value::Null);
        check(b"_\r\n", Value::Null);
        check(b",-inf\r\n", Value::Double(f64::NEG_INFINITY));
        check(b",1e-7\r\n", Value::Double(1e-7));
        check(b"#t\r\n", Value::Boolean(true));
        check(b"#f\r\n", Value::Boolean(false));
        check(b"(3492890328409238509324850943850943825024385\r\n", {
            Value::BigNumber(copy(b"3492890328409238509324850943850943825024385"))
        });
        check(b"=8\r\ntxt:Some\r\n", Value::Verbatim { format: *b"txt", text: copy(b"Some") });
        check(b"*0\r\n", Value::Array(vec![]));
        check(b"~2\r\n:1\r\n:2\r\n", Value::Set(vec![Value::Integer(1), Value::Integer(2)]));
        check(b">1\r\n$1\r\nm\r\n", Value::Push(vec![bulk("m")]));
        check(b"*2\r\n*1\r\n$1\r\na\r\n%1\r\n+k\r\n_\r\n", {
            Value::Array(vec![
                Value::Array(vec![bulk("a")]),
                Value::Map(vec![(Value::Simple(copy(b"k")), Value::Null)]),
            ])
        });
        check(b"|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n", bulk("v"));
    }

    #[test]
    fn broken_replies_are_refused() {
        check_broken(b"?\r\n", ReplyError::Kind(b'?'));
        check_broken(b"*1\r\nx", ReplyError::Kind(b'x'));
        check_broken(b":\r\n", ReplyError::Number);
        check_broken(b":1x\r\n", ReplyError::Number);
        check_broken(b"$-2\r\n", ReplyError::Number);
        check_broken(b"*-2\r\n", ReplyError::Number);
        check_broken(b",one\r\n", ReplyError::Number);
        check_broken(b"#x\r\n", ReplyError::Number);
        check_broken(b"$1\r\nabc", ReplyError::Line);
        check_broken(b"+a\rb\r\n", ReplyError::Line);
        check_broken(&[b'+'; HEADER_BYTES_MAX + 1], ReplyError::Line);
        check_broken(b"$9223372036854775807\r\n", ReplyError::Length);
        check_broken(b"=3\r\ntxt\r\n", ReplyError::Format);
        check_broken(&b"*1\r\n".repeat(DEPTH_MAX + 2), ReplyError::Depth);
        check_broken(&b"|0\r\n".repeat(DEPTH_MAX + 2), ReplyError::Depth);
    }

    #[test]
    fn elements_owed_cannot_overflow() {
        let input = b"%9223372036854775807\r\n".repeat(3);
        assert_eq!(skip_reply(&input), Err(ReplyError::Length));
        assert_eq!(parse_reply(&input), Ok(None));
    }
}
