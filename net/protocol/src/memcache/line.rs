//! Line: its words, and what it says about the value behind it.
//!
//! Words are parted by spaces only; a tab or a control character is part of a word. A line that begins with a space has
//! an empty first word, and so has one without words: no command has that name.

use memchr::memchr_iter;

use super::{ITEM_OVERHEAD_BYTES, LINE_BYTES_MAX, Limits, UNAUTHENTICATED_VALUE_BYTES_MAX};
use crate::{Arg, LARGE_BULK_MIN, Request};

/// Digits of the largest size.
const SIZE_DIGITS_MAX: usize = 10;

/// The largest size, as in memcached: it adds the CRLF in an `int`.
const SIZE_MAX: u64 = i32::MAX as u64 - 2;

/// Place of the size among the words of a storage command.
const SIZE_WORD: usize = 4;

/// The line without the CR of its line end.
#[inline]
pub fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// True if a line may be longer than `LINE_BYTES_MAX`: it asks for values.
pub fn asks_for_values(line: &[u8]) -> bool {
    [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|name| line.starts_with(name))
}

/// True if a line of `len` bytes that begins with `head` is too long.
#[inline]
pub fn is_too_long(head: &[u8], len: usize, limits: &Limits) -> bool {
    len > LINE_BYTES_MAX && (len > limits.request_bytes_max || !asks_for_values(head))
}

/// Calls `each` with every word of `line`, which `trim` has seen.
#[inline]
pub fn words<'l>(line: &'l [u8], mut each: impl FnMut(&'l [u8])) {
    if matches!(line.first(), None | Some(b' ')) {
        each(&line[..0]);
    }
    let mut start = 0;
    for space in memchr_iter(b' ', line) {
        if start < space {
            each(&line[start..space]);
        }
        start = space + 1;
    }
    if start < line.len() {
        each(&line[start..]);
    }
}

/// Lays the words of `line` back to back in its own memory; `end_word` hears where each ends.
pub fn split(line: &mut Vec<u8>, end_word: &mut dyn FnMut(usize)) {
    line.truncate(trim(line).len());
    if matches!(line.first(), None | Some(b' ')) {
        end_word(0);
    }
    let (mut written, mut word_bytes) = (0, 0);
    for read in 0..line.len() {
        let byte = line[read];
        if byte != b' ' {
            line[written] = byte;
            written += 1;
            word_bytes += 1;
        } else if word_bytes > 0 {
            end_word(written);
            word_bytes = 0;
        }
    }
    if word_bytes > 0 {
        end_word(written);
    }
    line.truncate(written);
}

/// The bytes of value that follow a line with this first and fifth word; `None`: no value follows.
#[inline]
pub fn value_bytes(name: &[u8], size: Option<&[u8]>) -> Option<usize> {
    match name {
        b"set" | b"add" | b"cas" | b"append" | b"replace" | b"prepend" => decimal(size?),
        _ => None,
    }
}

/// The words of a request's line, and the value behind it if one was announced.
#[inline]
pub fn split_value<'a>(request: Request<'a>) -> (&'a [Arg<'a>], Option<Arg<'a>>) {
    let args = request.args();
    match (value_bytes(request.name(), size_word(args)), args.split_last()) {
        (Some(_), Some((value, words))) => (words, Some(*value)),
        (None, _) | (Some(_), None) => (args, None),
    }
}

/// The word that may be a size.
#[inline]
pub fn size_word<'a>(words: &[Arg<'a>]) -> Option<&'a [u8]> {
    words.get(SIZE_WORD).map(|word| word.bytes())
}

/// What becomes of an announced value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Take,
    /// It would make the item too large.
    TooLarge,
    /// It is too long for a stranger.
    AuthenticationTooLong,
}

/// Holds a value of `len` bytes under a key of `key_bytes` against the limits that do not change with what others send.
#[inline]
pub fn judge(key_bytes: usize, len: usize, limits: &Limits) -> Verdict {
    if !limits.authenticated {
        return if len > UNAUTHENTICATED_VALUE_BYTES_MAX { Verdict::AuthenticationTooLong } else { Verdict::Take };
    }
    let item_bytes = key_bytes + len + ITEM_OVERHEAD_BYTES;
    if item_bytes > limits.item_bytes_max { Verdict::TooLarge } else { Verdict::Take }
}

/// True if a value of `len` bytes is a small argument.
#[inline]
pub fn is_small(len: usize) -> bool {
    len < LARGE_BULK_MIN
}

#[inline]
fn decimal(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    usize::try_from(value).ok().filter(|_| value <= SIZE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let (mut in_place, mut text, mut ends) = (Vec::new(), line.as_bytes().to_vec(), Vec::new());
        words(trim(line.as_bytes()), |word| in_place.push(word));
        let expected: Vec<&[u8]> = expected.iter().map(|word| word.as_bytes()).collect();
        assert_eq!(in_place, expected, "{line:?}");
        split(&mut text, &mut |end| ends.push(end));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let moved: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &text[start..*end]).collect();
        assert_eq!(moved, expected, "{line:?}");
    }

    #[test]
    fn words_are_parted_by_spaces_only() {
        check("get a", &["get", "a"]);
        check("get  a   b \r", &["get", "a", "b"]);
        check("get a\tb \u{1}\r\r", &["get", "a\tb", "\u{1}\r"]);
        check(" get a", &["", "get", "a"]);
        check("", &[""]);
        check("\r", &[""]);
        check("   \r", &[""]);
    }

    #[test]
    fn a_size_is_what_memcached_takes() {
        let check = |name: &str, size: &str, expected| {
            assert_eq!(value_bytes(name.as_bytes(), Some(size.as_bytes())), expected, "{name} {size}");
        };
        check("set", "0", Some(0));
        check("set", "007", Some(7));
        check("prepend", "2147483645", Some(2_147_483_645));
        for size in ["", "-1", "+1", "1x", "2147483646", "9999999999", "00000000001"] {
            check("set", size, None);
        }
        check("get", "5", None);
        check("SET", "5", None);
        check("", "5", None);
    }
}
