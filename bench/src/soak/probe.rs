//! Probe: the soak's own connection. It asks what the server has before the first client and after the last one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{Parsed, Value, Version, parse, shown};

const PATIENCE: Duration = Duration::from_secs(30);

/// A blocking RESP2 connection.
pub struct Probe {
    stream: TcpStream,
}

impl Probe {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Probe> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Probe { stream })
    }

    /// Asks and reads the reply; `read` is `None` for a reply of the wrong shape.
    pub fn ask<T>(&mut self, words: &[&str], read: impl FnOnce(&Value<'_>) -> Option<T>) -> io::Result<T> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(request.as_bytes())?;
        let (mut input, mut piece) = (Vec::new(), [0; 16 * 1024]);
        loop {
            match parse(&input, Version::Two) {
                Parsed::Whole(value, _) => {
                    let wrong = || io::Error::other(format!("{} was answered with {}", words[0], shown(&input)));
                    return read(&value).ok_or_else(wrong);
                }
                Parsed::Broken(why) => return Err(io::Error::other(format!("{}: {why}", words[0]))),
                Parsed::Partial => {}
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                count => input.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// A text reply.
    pub fn text(&mut self, words: &[&str]) -> io::Result<String> {
        self.ask(words, |value| match value {
            Value::Bulk(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    }

    /// A number of INFO.
    pub fn figure(&mut self, section: &str, field: &str) -> io::Result<u64> {
        let text = self.text(&["INFO", section])?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let figure = line.and_then(|value| value.trim().parse().ok());
        figure.ok_or_else(|| io::Error::other(format!("INFO {section} has no {field}")))
    }

    /// A setting.
    pub fn setting(&mut self, name: &str) -> io::Result<String> {
        self.ask(&["CONFIG", "GET", name], |value| match value {
            Value::Array(pair) => match pair.as_slice() {
                [_, Value::Bulk(text)] => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            },
            _ => None,
        })
    }
}
