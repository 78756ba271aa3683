//! Memcache: requests and answers of memcached's text protocol, and what they mean to the oracle.
//!
//! The oracle knows keys, not protocols: an answer is translated into the touches that it stands for.
//!
//! Absent on purpose: flags, which no other client can see.

use bytes::Bytes;

use crate::command::{Command, Deadline, ExpireIf, Key, SetIf, Touch};
use crate::reply::{Malformed, Reply};

/// Largest item of a simulated server, in bytes.
pub const ITEM_BYTES_MAX: usize = 60_000;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// get, of different keys.
    Get(Vec<Key>),
    /// gets.
    Gets(Key),
    /// set: value and seconds, 0 for ever.
    Set(Key, Bytes, u32),
    /// add.
    Add(Key, Bytes),
    /// cas.
    Cas(Key, Bytes, Numbered),
    /// delete.
    Delete(Key),
    /// touch: seconds, not 0.
    Touch(Key, u32),
    /// incr, or decr.
    Change(Key, Touch),
    /// set of so many bytes, which are too many.
    Oversized(Key, usize),
    /// A set whose first request authenticates.
    Auth(&'static str),
    /// version.
    Version,
    /// quit, which has no answer.
    Quit,
    /// set or delete with noreply.
    NoReply(Box<Ask>),
}

/// What a gets has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Whose number it is.
    pub key: Key,
    /// The number.
    pub number: u64,
    /// The value.
    pub read: Bytes,
    /// In which tick.
    pub tick: u64,
}

/// What an answer says about the keys.
pub enum Meaning {
    /// A command of the other protocol and its reply.
    Did(Command, Reply),
    /// The key is gone, whether it was there or not.
    Removed(Key),
    /// Nothing.
    Nothing,
    /// It is no answer to that request.
    Wrong,
}

impl Ask {
    /// True if the server answers it.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Ask::Quit | Ask::NoReply(_))
    }

    /// The request as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Ask::Get(keys) => [&b"get"[..], &joined(keys), b"\r\n"].concat(),
            Ask::Gets(key) => [b"gets ", &key.name[..], b"\r\n"].concat(),
            Ask::Set(key, value, seconds) => store("set", key, value, &seconds.to_string(), ""),
            Ask::Add(key, value) => store("add", key, value, "0", ""),
            Ask::Cas(key, value, numbered) => store("cas", key, value, "0", &format!(" {}", numbered.number)),
            Ask::Delete(key) => [b"delete ", &key.name[..], b"\r\n"].concat(),
            Ask::Touch(key, seconds) => [b"touch ", &key.name[..], format!(" {seconds}\r\n").as_bytes()].concat(),
            Ask::Change(key, Touch::Decr(delta)) => line("decr", key, &delta.to_string()),
            Ask::Change(key, Touch::Incr(delta)) => line("incr", key, &delta.to_string()),
            Ask::Change(..) => unreachable!("only incr and decr change a number"),
            Ask::Oversized(key, len) => store("set", key, &vec![b'x'; *len], "0", ""),
            Ask::Auth(password) => {
                let value = format!("default {password}");
                format!("set auth 0 0 {}\r\n{value}\r\n", value.len()).into_bytes()
            }
            Ask::Version => b"version\r\n".to_vec(),
            Ask::Quit => b"quit\r\n".to_vec(),
            Ask::NoReply(ask) => match &**ask {
                Ask::Set(key, value, seconds) => store("set", key, value, &seconds.to_string(), " noreply"),
                Ask::Delete(key) => line("delete", key, "noreply"),
                _ => unreachable!("only set and delete are sent without a reply"),
            },
        }
    }

    /// Bytes of `wire` after which it may be answered: a value that is too large is refused before it comes.
    pub fn answerable_bytes(&self, wire: &[u8]) -> usize {
        match self {
            Ask::Oversized(..) => wire.iter().position(|&byte| byte == b'\n').map_or(wire.len(), |end| end + 1),
            _ => wire.len(),
        }
    }

    /// What it does if it is executed and nobody hears of it.
    pub fn unheard(&self) -> Option<Command> {
        let one = |key: &Key, touch: Touch| Some(Command::One(key.clone(), touch));
        match self {
            Ask::Set(key, value, seconds) => one(key, set(value, *seconds, SetIf::Always)),
            Ask::Add(key, value) => one(key, set(value, 0, SetIf::Missing)),
            // Whether the number is still the item's does not matter to one who does not know whether it ran.
            Ask::Cas(key, value, _) => one(key, set(value, 0, SetIf::Exists)),
            Ask::Delete(key) | Ask::Oversized(key, _) => one(key, Touch::Delete),
            Ask::Touch(key, seconds) => one(key, expire(*seconds)),
            Ask::Change(key, touch) => one(key, touch.clone()),
            Ask::NoReply(ask) => ask.unheard(),
            Ask::Get(_) | Ask::Gets(_) | Ask::Auth(_) | Ask::Version | Ask::Quit => None,
        }
    }

    /// What `answer` says. `may_refuse`: memory is so small that anything may be refused.
    /// `may_cut`: a long answer may be refused.
    pub fn meaning(&self, answer: &Reply, may_refuse: bool, may_cut: bool) -> Meaning {
        let is = |line: &str| matches!(answer, Reply::Simple(text) if text == line.as_bytes());
        let fails = |line: &str| matches!(answer, Reply::Error(text) if text.starts_with(line.as_bytes()));
        let did = |key: &Key, touch: Touch, reply: Reply| Meaning::Did(Command::One(key.clone(), touch), reply);
        let ok = || Reply::Simple(Bytes::from_static(b"OK"));
        if may_refuse && fails("SERVER_ERROR out of memory") {
            return match self {
                // What a set could not replace is gone.
                Ask::Set(key, ..) => Meaning::Removed(key.clone()),
                _ => Meaning::Nothing,
            };
        }
        if may_cut && fails("SERVER_ERROR out of memory writing get response") {
            return Meaning::Nothing;
        }
        match (self, answer) {
            (Ask::Get(keys), Reply::Array(_)) => Meaning::Did(Command::Mget(keys.clone()), answer.clone()),
            (Ask::Gets(key), Reply::Array(parts)) if parts.len() == 2 => did(key, Touch::Get, parts[0].clone()),
            (Ask::Gets(key), Reply::Null2) => did(key, Touch::Get, Reply::Null2),
            (Ask::Set(key, value, seconds), _) if is("STORED") => did(key, set(value, *seconds, SetIf::Always), ok()),
            (Ask::Add(key, value), _) if is("STORED") => did(key, set(value, 0, SetIf::Missing), ok()),
            (Ask::Add(key, value), _) if is("NOT_STORED") => did(key, set(value, 0, SetIf::Missing), Reply::Null2),
            (Ask::Cas(key, value, numbered), _) if is("STORED") => {
                let command = Command::One(key.clone(), set(value, 0, SetIf::Exists));
                let read = vec![(key.clone(), Reply::Bulk(numbered.read.clone()))];
                Meaning::Did(Command::Ran(vec![command], read, numbered.tick), Reply::Array(vec![ok()]))
            }
            (Ask::Cas(key, _, numbered), _) if is("EXISTS") => {
                Meaning::Did(Command::NotRun(vec![key.clone()], numbered.tick), Reply::Null2)
            }
            (Ask::Cas(key, ..), _) if is("NOT_FOUND") => did(key, Touch::Exists, Reply::Integer(0)),
            (Ask::Delete(key), _) if is("DELETED") => did(key, Touch::Delete, Reply::Integer(1)),
            (Ask::Delete(key), _) if is("NOT_FOUND") => did(key, Touch::Delete, Reply::Integer(0)),
            (Ask::Touch(key, seconds), _) if is("TOUCHED") => did(key, expire(*seconds), Reply::Integer(1)),
            (Ask::Touch(key, seconds), _) if is("NOT_FOUND") => did(key, expire(*seconds), Reply::Integer(0)),
            (Ask::Change(key, touch), _) if is("NOT_FOUND") => did(key, touch.clone(), Reply::Null2),
            (Ask::Change(key, touch), Reply::Simple(digits)) => did(key, touch.clone(), Reply::Bulk(digits.clone())),
            (Ask::Change(key, touch), Reply::Error(_)) => did(key, touch.clone(), answer.clone()),
            (Ask::Oversized(key, _), _) if fails("SERVER_ERROR object too large") => Meaning::Removed(key.clone()),
            (Ask::Auth(_), _) if is("STORED") => Meaning::Nothing,
            (Ask::Version, Reply::Simple(text)) if text.starts_with(b"VERSION ") => Meaning::Nothing,
            _ => Meaning::Wrong,
        }
    }
}

/// Reads the answer to `ask` at the start of `input`: it and its length in bytes, or `None` if it is not complete.
///
/// # Errors
/// No answer begins like this.
pub fn parse(input: &[u8], ask: Option<&Ask>) -> Result<Option<(Reply, usize)>, Malformed> {
    let keys = match ask {
        Some(Ask::Get(keys)) => &keys[..],
        Some(Ask::Gets(key)) => std::slice::from_ref(key),
        Some(_) | None => &[],
    };
    let Some((head, mut at)) = line_at(input, 0) else { return Ok(None) };
    if keys.is_empty() || !(head.starts_with(b"VALUE ") || head == b"END") {
        let text = Bytes::copy_from_slice(head);
        let is_error = [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"].iter().any(|word| head.starts_with(word));
        return Ok(Some((if is_error { Reply::Error(text) } else { Reply::Simple(text) }, at)));
    }
    let (mut parts, mut head, mut number) = (Vec::new(), head, None);
    while head != b"END" {
        let words: Vec<&[u8]> = head.split(|&byte| byte == b' ').collect();
        let [b"VALUE", name, b"0", size, rest @ ..] = &words[..] else {
            return Err(Malformed(format!("{:?} is no line of a value", head.escape_ascii().to_string())));
        };
        let size = digits(size).ok_or(Malformed("a size that is no number".to_owned()))?;
        number = rest.first().and_then(|text| digits(text));
        let Some(value) = input.get(at..at + size + 2) else { return Ok(None) };
        let Some(value) = value.strip_suffix(b"\r\n") else {
            return Err(Malformed("a value does not end with CRLF".to_owned()));
        };
        while keys.get(parts.len()).is_some_and(|key| key.name != *name) {
            parts.push(Reply::Null2);
        }
        parts.push(Reply::Bulk(Bytes::copy_from_slice(value)));
        let Some((next, after)) = line_at(input, at + size + 2) else { return Ok(None) };
        (head, at) = (next, after);
    }
    if parts.len() > keys.len() {
        return Err(Malformed("a value of a key that was not asked for".to_owned()));
    }
    parts.resize(keys.len(), Reply::Null2);
    let reply = match (ask, number) {
        (Some(Ask::Gets(_)), Some(number)) => Reply::Array(vec![parts.remove(0), Reply::Integer(number as i64)]),
        (Some(Ask::Gets(_)), None) if parts[0] == Reply::Null2 => Reply::Null2,
        (Some(Ask::Gets(_)), None) => return Err(Malformed("gets answers no number".to_owned())),
        _ => Reply::Array(parts),
    };
    Ok(Some((reply, at)))
}

/// The line that begins at `from`, and where the next one does.
fn line_at(input: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let rest = input.get(from..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..end], from + end + 2))
}

fn digits(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn set(value: &Bytes, seconds: u32, condition: SetIf) -> Touch {
    let deadline = if seconds == 0 { Deadline::Never } else { Deadline::Seconds(seconds) };
    Touch::Set { value: value.clone(), condition, deadline, answer_old: false }
}

fn expire(seconds: u32) -> Touch {
    Touch::ExpireSeconds(i32::try_from(seconds).expect("seconds are few"), ExpireIf::Always)
}

fn joined(keys: &[Key]) -> Vec<u8> {
    keys.iter().flat_map(|key| [b" ", &key.name[..]].concat()).collect()
}

fn line(verb: &str, key: &Key, rest: &str) -> Vec<u8> {
    [verb.as_bytes(), b" ", &key.name[..], b" ", rest.as_bytes(), b"\r\n"].concat()
}

fn store(verb: &str, key: &Key, value: &[u8], seconds: &str, rest: &str) -> Vec<u8> {
    let words = format!("0 {seconds} {}{rest}", value.len());
    [&line(verb, key, &words)[..], value, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> Key {
        Key { db: 0, name: Bytes::from_static(name.as_bytes()) }
    }

    fn bulk(text: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(text.as_bytes()))
    }

    fn check(ask: &Ask, wire: &[u8], expected: Reply) {
        for cut in 0..wire.len() {
            assert_eq!(parse(&wire[..cut], Some(ask)), Ok(None), "cut at {cut} of {}", wire.escape_ascii());
        }
        assert_eq!(parse(&[wire, b"END\r\n"].concat(), Some(ask)), Ok(Some((expected, wire.len()))));
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let get = Ask::Get(vec![key("a"), key("b"), key("c")]);
        check(&get, b"END\r\n", Reply::Array(vec![Reply::Null2; 3]));
        let wire = b"VALUE b 0 3\r\n\r\nx\r\nVALUE c 0 0\r\n\r\nEND\r\n";
        check(&get, wire, Reply::Array(vec![Reply::Null2, bulk("\r\nx"), bulk("")]));
        check(&Ask::Gets(key("a")), b"END\r\n", Reply::Null2);
        let expected = Reply::Array(vec![bulk("x"), Reply::Integer(7)]);
        check(&Ask::Gets(key("a")), b"VALUE a 0 1 7\r\nx\r\nEND\r\n", expected);
        check(&Ask::Delete(key("a")), b"DELETED\r\n", Reply::Simple(Bytes::from_static(b"DELETED")));
        check(&Ask::Delete(key("a")), b"ERROR\r\n", Reply::Error(Bytes::from_static(b"ERROR")));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let get = Ask::Get(vec![key("a")]);
        for wire in
            [&b"VALUE b 0 1\r\nx\r\nEND\r\n"[..], b"VALUE a 0 1\r\nxy\r\nEND\r\n", b"VALUE a 0 x\r\nx\r\nEND\r\n"]
        {
            assert!(parse(wire, Some(&get)).is_err(), "{}", wire.escape_ascii());
        }
        assert!(parse(b"VALUE a 0 1\r\nx\r\nEND\r\n", Some(&Ask::Gets(key("a")))).is_err());
    }
}
