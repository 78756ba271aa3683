//! Replies of RESP2 and RESP3, read strictly: what the protocol does not allow is broken, not ignored.
//!
//! Invariant: a RESP2 connection gets no type of RESP3, and the other way round only RESP3's null.
//!
//! Absent on purpose: the code of `net/protocol`. A checker that shares the parser shares its faults.

/// Nesting that a reply of ours reaches at most, with room.
const DEPTH_MAX: usize = 16;
/// Longest header line.
const LINE_BYTES_MAX: usize = 64;

/// Which types a connection may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RESP2.
    Two,
    /// RESP3.
    Three,
    /// The reply of HELLO, which is in the version that it asks for.
    Either,
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Simple string.
    Simple(&'a [u8]),
    /// Error, code first.
    Error(&'a [u8]),
    /// Integer.
    Integer(i64),
    /// Bulk string, a verbatim one without its format, or a big number.
    Bulk(&'a [u8]),
    /// Null of either version.
    Null,
    /// Array, set or push.
    Array(Vec<Value<'a>>),
    /// Map, as keys and values in turn.
    Map(Vec<Value<'a>>),
    /// Double.
    Double(f64),
    /// Boolean.
    Boolean(bool),
}

/// What a prefix of the stream is.
#[derive(Debug, PartialEq)]
pub enum Parsed<'a> {
    /// A reply of so many bytes.
    Whole(Value<'a>, usize),
    /// More is needed.
    Partial,
    /// No reply begins like this.
    Broken(&'static str),
}

enum Stop {
    Partial,
    Broken(&'static str),
}

/// Reads one reply from the front of `input`.
pub fn parse(input: &[u8], version: Version) -> Parsed<'_> {
    let mut reader = Reader { input, at: 0, version };
    match reader.value(DEPTH_MAX) {
        Ok(value) => Parsed::Whole(value, reader.at),
        Err(Stop::Partial) => Parsed::Partial,
        Err(Stop::Broken(why)) => Parsed::Broken(why),
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    version: Version,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        if depth == 0 {
            return Err(Stop::Broken("nested too deeply"));
        }
        let kind = *self.input.get(self.at).ok_or(Stop::Partial)?;
        self.at += 1;
        if !b"+-:$*".contains(&kind) && self.version == Version::Two {
            return Err(Stop::Broken("a type that RESP2 lacks"));
        }
        match kind {
            b'+' => Ok(Value::Simple(self.text()?)),
            b'-' => Ok(Value::Error(self.text()?)),
            b':' => Ok(Value::Integer(self.number()?)),
            b'$' => self.bulk(),
            b'=' => match self.bulk()? {
                Value::Bulk([_, _, _, b':', text @ ..]) => Ok(Value::Bulk(text)),
                _ => Err(Stop::Broken("a verbatim string without format")),
            },
            b'*' => match self.count()? {
                None => Ok(Value::Null),
                Some(count) => Ok(Value::Array(self.values(count, depth)?)),
            },
            b'~' | b'>' => match self.count()? {
                None => Err(Stop::Broken("a set or push of negative length")),
                Some(count) => Ok(Value::Array(self.values(count, depth)?)),
            },
            b'%' => match self.count()? {
                None => Err(Stop::Broken("a map of negative length")),
                Some(count) => Ok(Value::Map(self.values(count * 2, depth)?)),
            },
            b'_' => match self.line()? {
                b"" => Ok(Value::Null),
                _ => Err(Stop::Broken("a null with a text")),
            },
            b',' => self.double(),
            b'(' => match self.line()? {
                digits if digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') => Ok(Value::Bulk(digits)),
                _ => Err(Stop::Broken("a big number that is none")),
            },
            b'#' => match self.line()? {
                b"t" => Ok(Value::Boolean(true)),
                b"f" => Ok(Value::Boolean(false)),
                _ => Err(Stop::Broken("a boolean that is neither")),
            },
            _ => Err(Stop::Broken("an unknown type")),
        }
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<Vec<Value<'a>>, Stop> {
        (0..count).map(|_| self.value(depth - 1)).collect()
    }

    fn bulk(&mut self) -> Result<Value<'a>, Stop> {
        let Some(bytes) = self.count()? else { return Ok(Value::Null) };
        let rest = &self.input[self.at..];
        if rest.len() < bytes + 2 {
            return Err(Stop::Partial);
        }
        if &rest[bytes..bytes + 2] != b"\r\n" {
            return Err(Stop::Broken("a bulk string without its end"));
        }
        self.at += bytes + 2;
        Ok(Value::Bulk(&rest[..bytes]))
    }

    fn double(&mut self) -> Result<Value<'a>, Stop> {
        let text = std::str::from_utf8(self.line()?).map_err(|_| Stop::Broken("a double that is none"))?;
        text.parse().map(Value::Double).map_err(|_| Stop::Broken("a double that is none"))
    }

    /// A length, `None` for the -1 of RESP2's nulls.
    fn count(&mut self) -> Result<Option<usize>, Stop> {
        match self.number()? {
            -1 if self.version == Version::Three => Err(Stop::Broken("RESP2's null on a RESP3 connection")),
            -1 => Ok(None),
            count => usize::try_from(count).map(Some).map_err(|_| Stop::Broken("a negative length")),
        }
    }

    fn number(&mut self) -> Result<i64, Stop> {
        let text = std::str::from_utf8(self.line()?).map_err(|_| Stop::Broken("a number that is none"))?;
        let number: i64 = text.parse().map_err(|_| Stop::Broken("a number that is none"))?;
        Some(number).filter(|number| number.to_string() == text).ok_or(Stop::Broken("a number in odd spelling"))
    }

    /// A header: short, up to CR LF.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let line = self.text()?;
        if line.len() > LINE_BYTES_MAX { Err(Stop::Broken("a header line too long")) } else { Ok(line) }
    }

    /// Bytes up to CR LF, which must be the first CR or LF.
    fn text(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.input[self.at..];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return Err(Stop::Partial) };
        match (rest[end], rest.get(end + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', None) => return Err(Stop::Partial),
            _ => return Err(Stop::Broken("a line without its end")),
        }
        self.at += end + 2;
        Ok(&rest[..end])
    }
}

/// Bytes as a reader sees them: escaped, and cut to a screenful.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 240;
    let text = bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii().to_string();
    if bytes.len() > SHOWN_MAX { format!("{text}... ({} bytes)", bytes.len()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, version: Version, expected: &str) {
        let outcome = match parse(text.as_bytes(), version) {
            Parsed::Whole(value, consumed) => {
                assert_eq!(consumed, text.len(), "{text:?}");
                format!("{value:?}")
            }
            other => format!("{other:?}"),
        };
        assert!(outcome.starts_with(expected), "{text:?}: {outcome}");
    }

    #[test]
    fn replies_of_both_versions_are_read() {
        check("+OK\r\n", Version::Two, "Simple");
        check("*2\r\n$1\r\na\r\n$-1\r\n", Version::Two, "Array([Bulk([97]), Null])");
        check("%1\r\n+a\r\n:1\r\n", Version::Three, "Map([Simple([97]), Integer(1)])");
        check("=5\r\ntxt:a\r\n", Version::Three, "Bulk([97])");
        check(",1.5\r\n", Version::Three, "Double(1.5)");
        check("_\r\n", Version::Three, "Null");
    }

    #[test]
    fn what_the_protocol_forbids_is_broken() {
        for text in ["x\r\n", ":1x\r\n", ":01\r\n", "$3\r\nabcd\r\n", "$-2\r\n", "+a\nb\r\n", "*1\r\n?\r\n"] {
            check(text, Version::Either, "Broken");
        }
        check("%1\r\n+a\r\n:1\r\n", Version::Two, "Broken");
        check("_\r\n", Version::Two, "Broken");
        check("$-1\r\n", Version::Three, "Broken");
        check(&"*1\r\n".repeat(20), Version::Two, "Broken");
    }

    #[test]
    fn every_proper_prefix_is_partial() {
        let text = b"*3\r\n$3\r\nabc\r\n:-12\r\n*1\r\n+OK\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end], Version::Two), Parsed::Partial, "{end}");
        }
    }
}
