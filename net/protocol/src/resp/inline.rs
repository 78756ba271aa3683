//! Inline: a request typed by hand, one line of words.
//!
//! Words are parted by blanks. A word may go over into a quoted part, which ends it: in double quotes `\n`, `\r`, `\t`,
//! `\b`, `\a` and `\xHH` are single bytes and a backslash makes any other byte plain; in single quotes only `\'` does.
//!
//! Invariants
//! - Unquoting never lengthens, so `split` works in the line's own memory.
//! - A line without quotes means the same to `parse` and to `split`.
//!
//! Absent on purpose: a meaning for NUL. It is a byte like any other.

use memchr::{memchr, memchr2};

use super::{Limits, Parsed, ProtocolError};
use crate::Arg;

/// Parses the line at the start of `input` in place, if it is whole and has no quotes.
#[inline(never)]
pub fn parse<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Parsed {
    let searched = &input[..input.len().min(limits.inline_bytes_max.saturating_add(1))];
    let Some(line_bytes) = memchr(b'\n', searched) else { return Parsed::Incomplete };
    let mut rest = &input[..line_bytes];
    if memchr2(b'"', b'\'', rest).is_some() {
        return Parsed::Incomplete;
    }
    let start = args.len();
    loop {
        let blanks = rest.iter().take_while(|b| is_blank(**b)).count();
        rest = &rest[blanks..];
        let word_bytes = rest.iter().take_while(|b| !ends_word(**b)).count();
        if word_bytes == 0 {
            break;
        }
        let (word, after) = rest.split_at(word_bytes);
        args.push(Arg::new(word));
        rest = after;
    }
    let (consumed, argc) = (line_bytes + 1, args.len() - start);
    if argc == 0 { Parsed::Nothing { consumed } } else { Parsed::Request { consumed, argc } }
}

/// Splits `line` into words and unquotes them in place, one right behind the other; `end_word` hears where each ends.
///
/// # Errors
/// A quote is not closed, or the closing one is not followed by a blank.
pub fn split(line: &mut Vec<u8>, end_word: &mut dyn FnMut(usize)) -> Result<(), ProtocolError> {
    let mut splitter = Splitter { line, read: 0, written: 0 };
    splitter.run(end_word)?;
    let written = splitter.written;
    line.truncate(written);
    Ok(())
}

/// What may stand before a word.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What ends a word; vertical tab and form feed do not, for no better reason than that Redis has it so.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// A line that is read and, behind that, rewritten: `written <= read` always.
struct Splitter<'l> {
    line: &'l mut [u8],
    read: usize,
    written: usize,
}

impl Splitter<'_> {
    fn run(&mut self, end_word: &mut dyn FnMut(usize)) -> Result<(), ProtocolError> {
        loop {
            while self.peek(0).is_some_and(is_blank) {
                self.read += 1;
            }
            if self.peek(0).is_none() {
                return Ok(());
            }
            self.word()?;
            end_word(self.written);
        }
    }

    fn word(&mut self) -> Result<(), ProtocolError> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => return self.quoted(Self::double_quoted),
                b'\'' => return self.quoted(Self::single_quoted),
                byte if ends_word(byte) => break,
                byte => self.emit(byte, 1),
            }
        }
        Ok(())
    }

    /// Goes over a quoted part with `part`, which leaves `read` at the closing quote.
    fn quoted(&mut self, part: fn(&mut Self) -> Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        self.read += 1;
        part(self)?;
        self.read += 1;
        match self.peek(0) {
            Some(byte) if !is_blank(byte) => Err(ProtocolError::InlineQuotes),
            Some(_) | None => Ok(()),
        }
    }

    fn double_quoted(&mut self) -> Result<(), ProtocolError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) | (Some(b'\\'), None) => return Err(ProtocolError::InlineQuotes),
                (Some(b'"'), _) => return Ok(()),
                (Some(b'\\'), Some(escaped)) => self.escape(escaped),
                (Some(byte), _) => self.emit(byte, 1),
            }
        }
    }

    fn single_quoted(&mut self) -> Result<(), ProtocolError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return Err(ProtocolError::InlineQuotes),
                (Some(b'\''), _) => return Ok(()),
                (Some(b'\\'), Some(b'\'')) => self.emit(b'\'', 2),
                (Some(byte), _) => self.emit(byte, 1),
            }
        }
    }

    /// At a backslash that is followed by `escaped`.
    fn escape(&mut self, escaped: u8) {
        let hex = |at| self.peek(at).and_then(|byte| char::from(byte).to_digit(16));
        if let (b'x', Some(high), Some(low)) = (escaped, hex(2), hex(3)) {
            // Two hex digits make at most 255.
            return self.emit((high * 16 + low) as u8, 4);
        }
        let byte = match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'a' => 0x07,
            plain => plain,
        };
        self.emit(byte, 2);
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.read + ahead).copied()
    }

    /// Writes `byte` for the next `taken` bytes of the line.
    fn emit(&mut self, byte: u8, taken: usize) {
        self.line[self.written] = byte;
        self.written += 1;
        self.read += taken;
        debug_assert!(self.written <= self.read, "unquoting never lengthens");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], expected: Result<&[&[u8]], ProtocolError>) {
        let (mut text, mut ends) = (line.to_vec(), Vec::new());
        let result = split(&mut text, &mut |end| ends.push(end));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let words: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &text[start..*end]).collect();
        assert_eq!(result.map(|()| &words[..]), expected, "{}", line.escape_ascii());
        if !line.iter().any(|b| matches!(b, b'"' | b'\'' | b'\n')) {
            let (input, mut args) = ([line, b"\n"].concat(), Vec::new());
            parse(&input, &Limits::default(), &mut args);
            let in_place: Vec<&[u8]> = args.iter().map(|arg| arg.bytes()).collect();
            assert_eq!(expected, Ok(&in_place[..]), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn words_are_split_and_unquoted() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"   \t\r ", &[]),
            (b"PING", &[b"PING"]),
            (b" set  k\tv \r", &[b"set", b"k", b"v"]),
            (b"a\rb", &[b"a", b"b"]),
            (b"a\x0bb \x0c c", &[b"a\x0bb", b"c"]),
            (b"a\\nb c\\", &[b"a\\nb", b"c\\"]),
            (b"nul\0byte", &[b"nul\0byte"]),
            (b"set k \"a b\"", &[b"set", b"k", b"a b"]),
            (b"\"\" ''", &[b"", b""]),
            (b"pre\"fix ed\" 'x'", &[b"prefix ed", b"x"]),
            (b"\"\\n\\r\\t\\b\\a\\q\\\\\\\"\"", &[b"\n\r\t\x08\x07q\\\""]),
            (b"\"\\x00\\xfF\\xg0\\x1\"", &[b"\x00\xffxg0x1"]),
            (b"'a\\'b\\n\"'", &[b"a'b\\n\""]),
            (b"\"'\" '\"'", &[b"'", b"\""]),
            (b"\"a\"\tb", &[b"a", b"b"]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
        ];
        for (line, words) in cases {
            check(line, Ok(words));
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        let cases: [&[u8]; 9] =
            [b"\"", b"'", b"set k \"v", b"set k 'v", b"\"a\"b", b"'a'b", b"\"a\"\"b\"", b"\"a\\\"", b"\"a\\"];
        for line in cases {
            check(line, Err(ProtocolError::InlineQuotes));
        }
    }
}
