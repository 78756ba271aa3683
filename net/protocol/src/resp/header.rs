//! Header: the decimal number between a type byte and CRLF.
//!
//! Invariants
//! - One number has one spelling: no leading zero, no `+`, no `-0`, no blank. `short` and `decimal` agree on that.
//!
//! Absent on purpose: bounds on the number. Each caller has its own.

use super::HEADER_BYTES_MAX;

/// Bytes of the shortest element that follows or is announced by a header: `$0`, CRLF, CRLF.
const ELEMENT_BYTES_MIN: usize = 6;

/// Bytes of the longest number, `i64::MIN`.
const DECIMAL_BYTES_MAX: usize = 20;

/// Most digits that `short` reads.
const SHORT_DIGITS_MAX: usize = 9;

/// Reads `<kind><number>CRLF` at the start of `input` if the number is short and not negative: the number, and the
/// bytes of the header. `None` says nothing about what is wrong: too short, too long, or broken.
#[inline(always)]
pub fn short(input: &[u8], kind: u8) -> Option<(usize, usize)> {
    // Whatever is whole has that many bytes, so one length check covers all headers of up to three digits.
    let window: &[u8; ELEMENT_BYTES_MIN] = input.first_chunk()?;
    if window[0] != kind {
        return None;
    }
    let first = digit(window[1])?;
    if [window[2], window[3]] == *b"\r\n" {
        return Some((first, 4));
    }
    if first == 0 {
        return None;
    }
    let two = first * 10 + digit(window[2])?;
    if [window[3], window[4]] == *b"\r\n" {
        return Some((two, 5));
    }
    let three = two * 10 + digit(window[3])?;
    if [window[4], window[5]] == *b"\r\n" {
        return Some((three, 6));
    }
    more_digits(input, three)
}

#[inline(always)]
fn digit(byte: u8) -> Option<usize> {
    let value = byte.wrapping_sub(b'0');
    if value <= 9 { Some(usize::from(value)) } else { None }
}

/// Goes on after three digits.
#[cold]
fn more_digits(input: &[u8], mut value: usize) -> Option<(usize, usize)> {
    for at in 4..=SHORT_DIGITS_MAX {
        value = value * 10 + digit(*input.get(at)?)?;
        if input.get(at + 1..at + 3)? == b"\r\n" {
            return Some((value, at + 3));
        }
    }
    None
}

/// A header that arrives in pieces, without its type byte.
#[derive(Debug, Default)]
pub struct Line {
    /// The first bytes of the text; a longer text spells no number, so the rest is only counted.
    text: [u8; DECIMAL_BYTES_MAX],
    len: usize,
    returned: bool,
}

/// Where a `Line` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input was taken and the line goes on.
    Open,
    /// The line has ended and spells this number.
    Number(i64),
    /// The line has ended and spells none, or its CR is not followed by LF.
    Broken,
    /// There is no CR within `HEADER_BYTES_MAX`.
    Endless,
}

impl Line {
    /// Takes bytes up to the LF, or all: how many, and where the line stands.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Progress) {
        for (at, &byte) in input.iter().enumerate() {
            let progress = self.take(byte);
            if progress != Progress::Open {
                return (at + 1, progress);
            }
        }
        (input.len(), Progress::Open)
    }

    fn take(&mut self, byte: u8) -> Progress {
        if self.returned {
            let text = self.text.get(..self.len).filter(|_| byte == b'\n');
            return text.and_then(decimal).map_or(Progress::Broken, Progress::Number);
        }
        if byte == b'\r' {
            self.returned = true;
            return Progress::Open;
        }
        // The type byte counts.
        if self.len + 1 >= HEADER_BYTES_MAX {
            return Progress::Endless;
        }
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
        Progress::Open
    }
}

/// The number that `text` spells, if it is one.
pub fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    // Summed up below zero, where one more number lies than above.
    let mut value = 0i64;
    for &byte in digits {
        value = value.checked_mul(10)?.checked_sub(digit(byte)? as i64)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(decimal(text.as_bytes()), expected, "{text:?}");
        let line = format!("${text}\r\n");
        let short_expected = expected.filter(|n| *n >= 0 && text.len() <= SHORT_DIGITS_MAX);
        let padded = format!("{line}..");
        assert_eq!(short(padded.as_bytes(), b'$'), short_expected.map(|n| (n as usize, line.len())), "{text:?}");
        assert_eq!(short(padded.as_bytes(), b'*'), None, "{text:?}");
        let ended = expected.map_or(Progress::Broken, Progress::Number);
        for cut in 0..line.len() {
            let (mut pieces, (head, tail)) = (Line::default(), line.as_bytes().split_at(cut));
            assert_eq!(pieces.feed(head.get(1..).unwrap_or_default()).1, Progress::Open, "{text:?} cut at {cut}");
            let tail = if cut == 0 { &tail[1..] } else { tail };
            assert_eq!(pieces.feed(&[tail, b"more"].concat()), (tail.len(), ended), "{text:?} cut at {cut}");
            assert_eq!(short(&line.as_bytes()[..cut], b'$'), None, "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("999", Some(999)),
            ("1000", Some(1000)),
            ("16383", Some(16383)),
            ("123456789", Some(123_456_789)),
            ("1234567890", Some(1_234_567_890)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("99999999999999999999999999", None),
            ("-1", Some(-1)),
            ("-5", Some(-5)),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("007", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("a", None),
            ("12:", None),
            ("1/2", None),
            ("0x10", None),
            ("1\n2", None),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        for (len, expected) in [
            (HEADER_BYTES_MAX - 1, (HEADER_BYTES_MAX - 1, Progress::Open)),
            (HEADER_BYTES_MAX, (HEADER_BYTES_MAX, Progress::Endless)),
            (HEADER_BYTES_MAX + 7, (HEADER_BYTES_MAX, Progress::Endless)),
        ] {
            assert_eq!(Line::default().feed(&vec![b'1'; len]), expected);
        }
    }

    #[test]
    fn a_carriage_return_alone_breaks_the_line() {
        assert_eq!(Line::default().feed(b"12\r34\r\n"), (4, Progress::Broken));
        assert_eq!(Line::default().feed(b"12\r\r\n"), (4, Progress::Broken));
    }
}
