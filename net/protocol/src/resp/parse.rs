//! Parse: one whole request at the start of a buffer, in place.
//!
//! Invariants
//! - On `Incomplete` nothing has changed, `args` included.
//! - What is parsed here is exactly what the `Assembler` would make of the same bytes.
//!
//! Absent on purpose: errors. A broken request is `Incomplete` here and the `Assembler` names what is wrong with it.
//! Empty arrays, too: nobody sends them often enough to pay for a branch.

use super::{Limits, UNAUTHENTICATED_ARGS_MAX, header, inline};
use crate::assembly::Parsed;
use crate::{Arg, LARGE_BULK_MIN};

/// Parses one request at the start of `input` in place and pushes its arguments onto `args`. `benches/parse.rs` has its
/// cost.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Parsed {
    match input.first() {
        Some(b'*') => {
            let start = args.len();
            match array(input, limits, args) {
                Some(consumed) => Parsed::Request { consumed, argc: args.len() - start },
                None => {
                    args.truncate(start);
                    Parsed::Incomplete
                }
            }
        }
        Some(_) => inline::parse(input, limits, args),
        None => Parsed::Incomplete,
    }
}

/// Pushes the elements of the array at the start of `input` and returns the bytes it takes; on `None` some may be
/// pushed already.
#[inline]
fn array<'a>(input: &'a [u8], limits: &Limits, args: &mut Vec<Arg<'a>>) -> Option<usize> {
    let (argc, header_bytes) = header::short(input, b'*')?;
    let args_max = if limits.authenticated { limits.args_max } else { UNAUTHENTICATED_ARGS_MAX };
    if argc == 0 || argc > args_max {
        return None;
    }
    // Below `LARGE_BULK_MIN` no further bound holds for clients that have not authenticated.
    let bulk_bytes_max = limits.bulk_bytes_max.min(LARGE_BULK_MIN - 1);
    let mut rest = &input[header_bytes..];
    for _ in 0..argc {
        let (len, header_bytes) = header::short(rest, b'$')?;
        if len > bulk_bytes_max {
            return None;
        }
        let (bulk, after) = rest.split_at_checked(header_bytes + len)?;
        let (trailer, after) = after.split_first_chunk()?;
        if trailer != b"\r\n" {
            return None;
        }
        args.push(Arg::new(&bulk[header_bytes..]));
        rest = after;
    }
    Some(input.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], limits: &Limits, expected: Option<(usize, &[&[u8]])>) {
        let mut args = vec![Arg::new(b"before")];
        let parsed = parse(input, limits, &mut args);
        assert_eq!(args[0].bytes(), b"before");
        let got: Vec<&[u8]> = args[1..].iter().map(|arg| arg.bytes()).collect();
        let shown = input.escape_ascii();
        match expected {
            Some((consumed, [])) => assert_eq!(parsed, Parsed::Nothing { consumed }, "{shown}"),
            Some((consumed, words)) => {
                assert_eq!(parsed, Parsed::Request { consumed, argc: words.len() }, "{shown}");
                assert_eq!(got, words, "{shown}");
            }
            None => {
                assert_eq!(parsed, Parsed::Incomplete, "{shown}");
                assert!(got.is_empty(), "{shown}");
            }
        }
    }

    #[test]
    fn a_whole_request_is_parsed_in_place() {
        let limits = Limits::default();
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"*1\r\n$4\r\nPING\r\n", &[b"PING"]),
            (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &[b"GET", b"k"]),
            (b"*3\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$0\r\n\r\n", &[b"SET", b"0123456789", b""]),
            (b"*1\r\n$0\r\n\r\n", &[b""]),
            (b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", &[b"ECHO", b"\r\n\r\n"]),
            (b"PING\r\n", &[b"PING"]),
            (b"  get \t key \n", &[b"get", b"key"]),
            (b"\r\n", &[]),
            (b"\n", &[]),
        ];
        for (input, words) in cases {
            check(input, &limits, Some((input.len(), words)));
            check(&[input, &b"*1\r\n"[..]].concat(), &limits, Some((input.len(), words)));
            for cut in 0..input.len() {
                check(&input[..cut], &limits, None);
            }
        }
    }

    #[test]
    fn long_arguments_stay_in_place_up_to_the_large_ones() {
        for len in [99, 100, 999, 1000, 9999, 10_000, LARGE_BULK_MIN - 1, LARGE_BULK_MIN] {
            let value = vec![b'v'; len];
            let input = [format!("*2\r\n$4\r\nECHO\r\n${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
            let words: &[&[u8]] = &[b"ECHO", &value];
            check(&input, &Limits::default(), (len < LARGE_BULK_MIN).then_some((input.len(), words)));
        }
    }

    #[test]
    fn what_is_broken_or_beyond_a_limit_is_left_to_the_assembler() {
        let small = Limits { bulk_bytes_max: 4, args_max: 2, inline_bytes_max: 4, ..Limits::default() };
        let stranger = Limits { authenticated: false, ..Limits::default() };
        let cases: &[(&[u8], &Limits)] = &[
            (b"*0\r\n*1\r\n$4\r\nPING\r\n", &small),
            (b"*-5\r\n*1\r\n$4\r\nPING\r\n", &small),
            (b"*1\r\n$5\r\n12345\r\n", &small),
            (b"*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n", &small),
            (b"*01\r\n$4\r\nPING\r\n", &small),
            (b"*1\r\n$04\r\nPING\r\n", &small),
            (b"*1\r\n$4\r\nPING\n\r\n\r\n", &small),
            (b"*1\r\n:4\r\nPING\r\n", &small),
            (b"*1\r\n$4\r\nPING..", &small),
            (b"12345\n", &small),
            (b"\"1\"\n", &small),
            (b"*11\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n", &stranger),
        ];
        for (input, limits) in cases {
            check(input, limits, None);
        }
    }
}
