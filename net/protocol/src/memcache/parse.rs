//! Parse: one request in place, when it lies whole in a receive buffer.
//!
//! Invariants
//! - On `Incomplete` nothing has changed, `args` included.
//! - What is parsed here is exactly what the `Assembler` would make of the same bytes.
//!
//! Absent on purpose: faults. A broken request is `Incomplete` here and the `Assembler` names what is wrong with it.

use memchr::memchr;

use super::line::{self, Verdict};
use super::{Limits, Parsed};
use crate::Arg;

/// Parses one request at the start of `input` in place and pushes its arguments onto `args`. `benches/parse.rs` has its
/// cost.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Parsed {
    let start = args.len();
    match request(input, limits, args) {
        Some(consumed) => Parsed::Request { consumed, argc: args.len() - start },
        None => {
            args.truncate(start);
            Parsed::Incomplete
        }
    }
}

/// Pushes the arguments of the request and returns the bytes it takes; on `None` some may be pushed already.
#[inline]
fn request<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Option<usize> {
    let start = args.len();
    let line_bytes = memchr(b'\n', input)?;
    let line = &input[..line_bytes];
    if line::is_too_long(line, line_bytes, limits) {
        return None;
    }
    line::words(line::trim(line), |word| args.push(Arg::new(word)));
    let words = &args[start..];
    if words.len() > limits.words_max {
        return None;
    }
    let rest = &input[line_bytes + 1..];
    let Some(len) = line::value_bytes(words[0].bytes(), line::size_word(words)) else { return Some(line_bytes + 1) };
    if !line::is_small(len) || line::judge(words[1].bytes().len(), len, limits) != Verdict::Take {
        return None;
    }
    let (value, after) = rest.split_at_checked(len)?;
    if after.first_chunk()? != b"\r\n" {
        return None;
    }
    args.push(Arg::new(value));
    Some(line_bytes + 1 + len + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LARGE_BULK_MIN;

    fn check(input: &[u8], limits: &Limits, expected: Option<(usize, &[&[u8]])>) {
        let mut args = vec![Arg::new(b"before")];
        let parsed = parse(input, limits, &mut args);
        let got: Vec<&[u8]> = args[1..].iter().map(|arg| arg.bytes()).collect();
        let shown = input[..input.len().min(80)].escape_ascii();
        match expected {
            Some((consumed, words)) => {
                assert_eq!(parsed, Parsed::Request { consumed, argc: words.len() }, "{shown}");
                assert!(got == words, "{shown}");
            }
            None => {
                assert_eq!(parsed, Parsed::Incomplete, "{shown}");
                assert!(got.is_empty(), "{shown}");
            }
        }
    }

    #[test]
    fn a_whole_request_is_parsed_in_place() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"get k\r\n", &[b"get", b"k"]),
            (b"get a b  c\n", &[b"get", b"a", b"b", b"c"]),
            (b"set k 0 0 5\r\nhello\r\n", &[b"set", b"k", b"0", b"0", b"5", b"hello"]),
            (b"set k 0 0 0\r\n\r\n", &[b"set", b"k", b"0", b"0", b"0", b""]),
            (b"add k 1 2 4 noreply\r\n\r\n\r\n\r\n", &[b"add", b"k", b"1", b"2", b"4", b"noreply", b"\r\n\r\n"]),
            (b"cas k 0 0 1 77\r\nx\r\n", &[b"cas", b"k", b"0", b"0", b"1", b"77", b"x"]),
            (b"set k 0 0\r\n", &[b"set", b"k", b"0", b"0"]),
            (b"set k 0 0 -1\r\n", &[b"set", b"k", b"0", b"0", b"-1"]),
            (b"\r\n", &[b""]),
            (b"quit\n", &[b"quit"]),
        ];
        for (input, words) in cases {
            check(input, &Limits::default(), Some((input.len(), words)));
            check(&[input, &b"get"[..]].concat(), &Limits::default(), Some((input.len(), words)));
            for cut in 0..input.len() {
                check(&input[..cut], &Limits::default(), None);
            }
        }
    }

    #[test]
    fn what_is_large_broken_or_beyond_a_limit_is_left_to_the_assembler() {
        let limits = Limits { item_bytes_max: 200, words_max: 7, ..Limits::default() };
        let stranger = Limits { authenticated: false, ..Limits::default() };
        let large = [format!("set k 0 0 {LARGE_BULK_MIN}\r\n").as_bytes(), &[b'v'; LARGE_BULK_MIN], b"\r\n"].concat();
        check(&large, &Limits::default(), None);
        check(&large, &stranger, None);
        check(b"set k 0 0 1\r\nxy\r\n", &limits, None);
        check(b"set k 0 0 1\r\nx\n\r", &limits, None);
        check(&[&b"set k 0 0 180\r\n"[..], &[b'v'; 180], b"\r\n"].concat(), &limits, None);
        check(b"get a b c d e f g\r\n", &limits, None);
        let long = |name: &str, len: usize| [name.as_bytes(), &vec![b'k'; len], b"\r\n"].concat();
        check(&long("delete ", super::super::LINE_BYTES_MAX), &limits, None);
        let keys = long("get ", super::super::LINE_BYTES_MAX);
        check(&keys, &limits, Some((keys.len(), &[b"get", &keys[4..keys.len() - 2]])));
    }
}
