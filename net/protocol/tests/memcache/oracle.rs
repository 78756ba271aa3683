//! Oracle: memcached's text protocol read naively, the whole stream at hand.
//!
//! The fuzz target shares this file.

use pinion_protocol::memcache::{Fault, Limits, LineTooLong};

/// What a stream asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request: its arguments and why it cannot run.
    Request(Vec<Vec<u8>>, Option<Fault>),
    /// The connection ends here.
    Broken(LineTooLong),
}

/// Everything that `stream` asks for, up to its last whole request.
pub fn read(mut stream: &[u8], limits: &Limits) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        let end = stream.iter().position(|byte| *byte == b'\n');
        let line = &stream[..end.unwrap_or(stream.len())];
        if let Some(broken) = too_long(line, limits) {
            seen.push(Seen::Broken(broken));
            return seen;
        }
        let Some(end) = end else { return seen };
        let mut words = words(line.strip_suffix(b"\r").unwrap_or(line));
        stream = &stream[end + 1..];
        if words.len() > limits.words_max {
            seen.push(Seen::Broken(LineTooLong::Keys));
            return seen;
        }
        let Some(len) = announced(&words) else {
            seen.push(Seen::Request(words, None));
            continue;
        };
        if let Some(fault) = refused(words[1].len(), len, limits) {
            seen.push(Seen::Request(words, Some(fault)));
            let Some(rest) = stream.get(len + 2..) else { return seen };
            stream = rest;
            continue;
        }
        let Some(rest) = stream.get(len + 2..) else { return seen };
        let fault = (&stream[len..len + 2] != b"\r\n").then_some(Fault::BadChunk);
        if fault.is_none() {
            words.push(stream[..len].to_vec());
        }
        seen.push(Seen::Request(words, fault));
        stream = rest;
    }
}

fn too_long(line: &[u8], limits: &Limits) -> Option<LineTooLong> {
    let names = ["get ", "gets ", "gat ", "gats "];
    let asks = names.iter().any(|name| line.starts_with(name.as_bytes()));
    let most = if asks { limits.request_bytes_max.max(2048) } else { 2048 };
    (line.len() > most).then_some(if asks { LineTooLong::Keys } else { LineTooLong::Command })
}

fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> =
        line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
    if line.is_empty() || line[0] == b' ' {
        words.insert(0, Vec::new());
    }
    words
}

fn announced(words: &[Vec<u8>]) -> Option<usize> {
    let stores: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];
    let size = words.get(4).filter(|_| stores.contains(&&words[0][..]))?;
    let is_number = !size.is_empty() && size.len() <= 10 && size.iter().all(u8::is_ascii_digit);
    let size: u64 = std::str::from_utf8(size).ok().filter(|_| is_number)?.parse().ok()?;
    usize::try_from(size).ok().filter(|_| size <= 2_147_483_645)
}

/// Why a value is swallowed; room is taken for endless.
fn refused(key_bytes: usize, len: usize, limits: &Limits) -> Option<Fault> {
    if !limits.authenticated {
        return (len > 16 * 1024).then_some(Fault::AuthenticationTooLong);
    }
    if key_bytes + len + 59 > limits.item_bytes_max {
        return Some(Fault::TooLarge);
    }
    (len >= 16 * 1024 && len > limits.large_bytes_max).then_some(Fault::NoRoom)
}
