//! Oracle: what a stream of requests means, written to be obviously right instead of fast or resumable.
//!
//! It sees the whole stream at once and reads each request from its start. The fuzz target shares this file.
//!
//! Absent on purpose: everything of the crate but its limits and error texts.

use pinion_protocol::LARGE_BULK_MIN;
use pinion_protocol::resp::Limits;

/// What a client would be answered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request with these arguments.
    Request(Vec<Vec<u8>>),
    /// A request with a payload that is not worth storing.
    Oversized,
    /// The stream is broken: the error's text. Nothing follows.
    Broken(String),
}

/// One element at the start of the rest of a stream, and its length.
enum Element {
    Whole(Option<Seen>, usize),
    Cut,
    Broken(String),
}

const LINE_MAX: usize = 64 * 1024;

/// Everything that `stream` asks for; a cut request at its end is not seen.
pub fn read(stream: &[u8], limits: &Limits) -> Vec<Seen> {
    let (mut seen, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        match if rest[0] == b'*' { array(rest, limits) } else { inline(rest, limits) } {
            Element::Whole(request, len) => {
                seen.extend(request);
                rest = &rest[len..];
            }
            Element::Cut => break,
            Element::Broken(text) => {
                seen.push(Seen::Broken(format!("Protocol error: {text}")));
                break;
            }
        }
    }
    seen
}

fn broken(text: &str) -> Element {
    Element::Broken(text.to_owned())
}

fn array(stream: &[u8], limits: &Limits) -> Element {
    let (count, mut at) = match number(stream, "invalid multibulk length", "too big mbulk count string") {
        Ok(Some(found)) => found,
        Ok(None) => return Element::Cut,
        Err(text) => return broken(text),
    };
    if count > limits.args_max as i64 {
        return broken("invalid multibulk length");
    }
    if count > 10 && !limits.authenticated {
        return broken("unauthenticated multibulk length");
    }
    if count <= 0 {
        return Element::Whole(None, at);
    }
    let (mut args, mut oversized) = (Vec::new(), false);
    for _ in 0..count {
        let rest = &stream[at..];
        match rest.first() {
            None => return Element::Cut,
            Some(b'$') => {}
            Some(other) => {
                let shown = if other.is_ascii_graphic() { *other as char } else { ' ' };
                return Element::Broken(format!("expected '$', got '{shown}'"));
            }
        }
        let (len, header) = match number(rest, "invalid bulk length", "too big bulk count string") {
            Ok(Some(found)) => found,
            Ok(None) => return Element::Cut,
            Err(text) => return broken(text),
        };
        if len < 0 || len > limits.bulk_bytes_max as i64 {
            return broken("invalid bulk length");
        }
        if len > 16384 && !limits.authenticated {
            return broken("unauthenticated bulk length");
        }
        let len = len as usize;
        oversized |= len >= LARGE_BULK_MIN && len > limits.large_bytes_max;
        let payload = &rest[header..];
        let trailer = payload.get(len..).unwrap_or_default();
        if trailer.iter().zip(b"\r\n").any(|(got, expected)| got != expected) {
            return broken("expected CRLF after bulk");
        }
        if trailer.len() < 2 {
            return Element::Cut;
        }
        args.push(payload[..len].to_vec());
        at += header + len + 2;
    }
    Element::Whole(Some(if oversized { Seen::Oversized } else { Seen::Request(args) }), at)
}

/// The number in the header at the start of `rest`, and the header's length.
fn number<'t>(rest: &[u8], invalid: &'t str, endless: &'t str) -> Result<Option<(i64, usize)>, &'t str> {
    let Some(end) = rest.iter().take(LINE_MAX + 1).position(|byte| *byte == b'\r') else {
        return if rest.len() > LINE_MAX { Err(endless) } else { Ok(None) };
    };
    match rest.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(invalid),
    }
    let text = String::from_utf8_lossy(&rest[1..end]);
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Ok(Some((number, end + 2))),
        _ => Err(invalid),
    }
}

fn inline(stream: &[u8], limits: &Limits) -> Element {
    let Some(end) = stream.iter().take(limits.inline_bytes_max + 1).position(|byte| *byte == b'\n') else {
        return if stream.len() > limits.inline_bytes_max { broken("too big inline request") } else { Element::Cut };
    };
    match words(&stream[..end]) {
        Some(words) if words.is_empty() => Element::Whole(None, end + 1),
        Some(words) => Element::Whole(Some(Seen::Request(words)), end + 1),
        None => broken("unbalanced quotes in request"),
    }
}

fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|byte| b" \t\r\x0b\x0c".contains(byte)).count()..];
        if rest.is_empty() {
            return Some(words);
        }
        let bare = rest.iter().take_while(|byte| !b" \t\r\"'".contains(byte)).count();
        let mut word = rest[..bare].to_vec();
        rest = &rest[bare..];
        if let Some(quote @ (b'"' | b'\'')) = rest.first() {
            let (unquoted, taken) = unquote(&rest[1..], *quote)?;
            word.extend(unquoted);
            rest = &rest[1 + taken..];
            if rest.first().is_some_and(|byte| !b" \t\r\x0b\x0c".contains(byte)) {
                return None;
            }
        }
        words.push(word);
    }
}

/// The text up to `quote`, and how much it takes with the quote.
fn unquote(text: &[u8], quote: u8) -> Option<(Vec<u8>, usize)> {
    let (mut unquoted, mut at) = (Vec::new(), 0);
    loop {
        let rest = &text[at..];
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (byte, taken) = match rest {
            [] => return None,
            [first, ..] if *first == quote => return Some((unquoted, at + 1)),
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [first, ..] if quote == b'\'' => (*first, 1),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(&[*high, *low])?, 4)
            }
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'b', ..] => (8, 2),
            [b'\\', b'a', ..] => (7, 2),
            [b'\\', other, ..] => (*other, 2),
            [first, ..] => (*first, 1),
        };
        unquoted.push(byte);
        at += taken;
    }
}
