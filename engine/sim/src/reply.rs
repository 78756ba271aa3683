//! Replies as a client reads them: RESP2 and RESP3.
//!
//! Written from the specification and independent of the server's encoder, so that the two check each other.
//!
//! Absent on purpose: pushes, attributes and streamed types, none of which the server sends.

use bytes::Bytes;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+`
    Simple(Bytes),
    /// `-`
    Error(Bytes),
    /// `:`
    Integer(i64),
    /// `$`, and `=` without its format
    Bulk(Bytes),
    /// `$-1` and `*-1`: RESP2's nulls.
    Null2,
    /// `_`: RESP3's null.
    Null3,
    /// `*`, `~`
    Array(Vec<Reply>),
    /// `%`: keys and values in turn.
    Map(Vec<Reply>),
    /// `,` and `#`, unread.
    Scalar(Bytes),
}

/// Why bytes are not a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 8;

/// Reads the reply at the start of `input`: it and its length in bytes, or `None` if it is not complete.
///
/// # Errors
/// No reply begins like this.
pub fn parse(input: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    let mut reader = Reader { input, at: 0 };
    let reply = reader.reply(0)?;
    Ok(reply.map(|reply| (reply, reader.at)))
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed("nested too deeply".to_owned()));
        }
        let Some(&kind) = self.input.get(self.at) else { return Ok(None) };
        let Some(line) = self.line()? else { return Ok(None) };
        let reply = match kind {
            b'+' => Reply::Simple(Bytes::copy_from_slice(line)),
            b'-' => Reply::Error(Bytes::copy_from_slice(line)),
            b':' => Reply::Integer(number(line)?),
            b',' | b'#' => Reply::Scalar(Bytes::copy_from_slice(line)),
            b'_' if line.is_empty() => Reply::Null3,
            b'$' | b'*' if line == b"-1" => Reply::Null2,
            b'$' => return self.bulk(length(line)?, 0),
            b'=' => return self.bulk(length(line)?, b"txt:".len()),
            b'*' | b'~' => return Ok(self.elements(length(line)?, depth)?.map(Reply::Array)),
            b'%' => return Ok(self.elements(length(line)? * 2, depth)?.map(Reply::Map)),
            _ => return Err(Malformed(format!("a reply begins with {:?}", char::from(kind)))),
        };
        Ok(Some(reply))
    }

    /// The rest of the line behind the type byte.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.input[self.at + 1..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') else { return Ok(None) };
        match rest.get(end..end + 2) {
            None if rest[end] == b'\r' => Ok(None),
            Some(b"\r\n") => {
                self.at += 1 + end + 2;
                Ok(Some(&rest[..end]))
            }
            Some(_) | None => Err(Malformed("a line does not end with CRLF".to_owned())),
        }
    }

    fn bulk(&mut self, len: usize, skipped: usize) -> Result<Option<Reply>, Malformed> {
        let Some(payload) = self.input.get(self.at..self.at + len + 2) else { return Ok(None) };
        if !payload.ends_with(b"\r\n") {
            return Err(Malformed(format!("a bulk of {len} bytes does not end with CRLF")));
        }
        if len < skipped {
            return Err(Malformed("verbatim text without a format".to_owned()));
        }
        self.at += len + 2;
        Ok(Some(Reply::Bulk(Bytes::copy_from_slice(&payload[skipped..len]))))
    }

    fn elements(&mut self, count: usize, depth: usize) -> Result<Option<Vec<Reply>>, Malformed> {
        let mut elements = Vec::new();
        for _ in 0..count {
            match self.reply(depth + 1)? {
                Some(element) => elements.push(element),
                None => return Ok(None),
            }
        }
        Ok(Some(elements))
    }
}

fn number(digits: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Malformed(format!("{:?} is no number", digits.escape_ascii().to_string())))
}

fn length(digits: &[u8]) -> Result<usize, Malformed> {
    usize::try_from(number(digits)?).map_err(|_| Malformed("a negative length".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: &[u8], expected: Reply) {
        for cut in 0..wire.len() {
            assert_eq!(parse(&wire[..cut]), Ok(None), "cut at {cut} of {}", wire.escape_ascii());
        }
        let mut longer = wire.to_vec();
        longer.extend_from_slice(b"+next\r\n");
        assert_eq!(parse(&longer), Ok(Some((expected, wire.len()))));
    }

    fn bulk(bytes: &'static [u8]) -> Reply {
        Reply::Bulk(Bytes::from_static(bytes))
    }

    #[test]
    fn every_kind_is_read_whole_or_not_at_all() {
        check(b"+OK\r\n", Reply::Simple(Bytes::from_static(b"OK")));
        check(b"-ERR no\r\n", Reply::Error(Bytes::from_static(b"ERR no")));
        check(b":-12\r\n", Reply::Integer(-12));
        check(b"$4\r\na\r\nb\r\n", bulk(b"a\r\nb"));
        check(b"$0\r\n\r\n", bulk(b""));
        check(b"$-1\r\n", Reply::Null2);
        check(b"_\r\n", Reply::Null3);
        check(b"=6\r\ntxt:ab\r\n", bulk(b"ab"));
        check(b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Reply::Array(vec![bulk(b"a"), Reply::Array(vec![Reply::Integer(1)])]));
        check(b"%1\r\n+a\r\n:1\r\n", Reply::Map(vec![Reply::Simple(Bytes::from_static(b"a")), Reply::Integer(1)]));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for wire in [&b"OK\r\n"[..], b"+a\n", b":x\r\n", b"$1\r\nabc\r\n", b"*-2\r\n", b"$x\r\n"] {
            assert!(parse(wire).is_err(), "{}", wire.escape_ascii());
        }
    }
}
