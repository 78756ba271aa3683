//! Scrape: /metrics and /healthz, asked as a monitoring system does, while everything else goes on.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked for in turn, with the statuses that may come. A host that starves the server makes it unhealthy.
pub const PATHS: &[(&str, &[u16])] = &[("/metrics", &[200]), ("/healthz", &[200, 503]), ("/nothing", &[404])];

/// Asks for `path`; an error unless the answer is whole and has one of these statuses.
pub fn scrape(address: SocketAddr, path: &str, statuses: &[u16]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    check(&answer, statuses).map_err(|why| io::Error::other(format!("{path}: {why}")))
}

fn check(answer: &[u8], statuses: &[u16]) -> Result<(), String> {
    let text = std::str::from_utf8(answer).map_err(|_| "the answer is no text")?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer has no end of its head")?;
    if !statuses.iter().any(|status| head.starts_with(&format!("HTTP/1.1 {status} "))) {
        return Err(format!("expected {statuses:?}: {}", head.lines().next().unwrap_or_default()));
    }
    let field =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length: Option<usize> = field.and_then(|field| field.trim().parse().ok());
    match length {
        Some(length) if length != body.len() => Err(format!("{} bytes of {length}", body.len())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_answer_must_be_whole_and_have_its_status() {
        assert_eq!(check(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &[200, 503]), Ok(()));
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", &[200, 503]).expect_err("a byte is missing");
        check(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", &[200]).expect_err("another status");
        check(b"HTTP/1.1 200 OK\r\nContent-Le", &[200]).expect_err("it was cut");
    }
}
