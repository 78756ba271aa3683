//! Limits: clients, memory, unread replies, passwords.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit};

use crate::process::{Server, exchange, read_to_close};

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::start(&["--maxclients", "3"]);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        exchange(client, b"PING\r\n", b"+PONG\r\n");
    }
    assert_eq!(read_to_close(&mut server.connect()), b"-ERR max number of clients reached\r\n");
    exchange(&mut clients[0], b"QUIT\r\n", b"+OK\r\n");
    assert_eq!(read_to_close(&mut clients[0]), b"");
    exchange(&mut server.connect(), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn ten_thousand_idle_clients_are_held() {
    let server = Server::start(&["--maxclients", "10100"]);
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("up to the maximum");
    let idle: Vec<TcpStream> = (0..10_000).map(|_| server.connect()).collect();
    let mut stream = server.connect();
    exchange(&mut stream, b"SET k v\r\nGET k\r\n", b"+OK\r\n$1\r\nv\r\n");
    for mut client in idle.iter().step_by(97) {
        exchange(&mut client, b"GET k\r\n", b"$1\r\nv\r\n");
    }
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::start(&["--requirepass", "secret"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"GET k\r\n", b"-NOAUTH Authentication required.\r\n");
    exchange(&mut stream, b"AUTH wrong\r\n", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    // One piece: what follows a successful AUTH is no longer bound by the limits of strangers.
    let mset =
        b"AUTH secret\r\n*13\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n1\r\n$1\r\nc\r\n$1\r\n1\r\n\
        $1\r\nd\r\n$1\r\n1\r\n$1\r\ne\r\n$1\r\n1\r\n$1\r\nf\r\n$1\r\n1\r\n";
    exchange(&mut stream, mset, b"+OK\r\n+OK\r\n");
    let mut stranger = server.connect();
    stranger.write_all(b"*11\r\n$3\r\nDEL\r\n").unwrap();
    assert_eq!(read_to_close(&mut stranger), b"-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert!(!server.banner.contains("secret"));
}

#[test]
fn full_memory_under_noeviction_keeps_the_old_value() {
    let server = Server::start(&["--maxmemory", "32mb", "--maxmemory-policy", "noeviction"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"SET precious old\r\n", b"+OK\r\n");
    let oom = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let value = vec![b'x'; 10_000];
    let mut filled = false;
    for i in 0..10_000 {
        let mut request = format!("*3\r\n$3\r\nSET\r\n$8\r\nf{i:07}\r\n$10000\r\n").into_bytes();
        request.extend_from_slice(&value);
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).unwrap();
        let mut first = [0; 5];
        stream.read_exact(&mut first).unwrap();
        if &first == b"+OK\r\n" {
            continue;
        }
        let mut rest = vec![0; oom.len() - 5];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!([&first[..], &rest].concat(), oom);
        filled = true;
        break;
    }
    assert!(filled, "100 MB went into 32 MB");
    let mut request = b"*3\r\n$3\r\nSET\r\n$8\r\nprecious\r\n$10000\r\n".to_vec();
    request.extend_from_slice(&value);
    request.extend_from_slice(b"\r\nGET precious\r\n");
    exchange(&mut stream, &request, &[&oom[..], b"$3\r\nold\r\n"].concat());
    // What frees memory is always allowed.
    exchange(&mut stream, b"DEL f0000000\r\n", b":1\r\n");
}

#[test]
fn a_value_over_an_eighth_of_memory_is_refused_and_the_old_one_stays() {
    let server = Server::start(&["--maxmemory", "64mb"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"SET k old\r\n", b"+OK\r\n");
    let mut request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 9 << 20).into_bytes();
    request.resize(request.len() + (9 << 20), b'x');
    request.extend_from_slice(b"\r\nGET k\r\n");
    exchange(&mut stream, &request, b"-OOM command not allowed when used memory > 'maxmemory'.\r\n$3\r\nold\r\n");
}

#[test]
fn a_slow_reader_costs_bounded_memory_and_harms_nobody() {
    let server = Server::start(&["--maxmemory", "512mb"]);
    let mut stream = server.connect();
    let value = vec![b'v'; 1 << 20];
    let mut request = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", value.len()).into_bytes();
    request.extend_from_slice(&value);
    request.extend_from_slice(b"\r\n");
    exchange(&mut stream, &request, b"+OK\r\n");
    // 16 KiB values are copied into the output: 100 MiB of them must not be.
    let small = "s".repeat(16_000);
    exchange(&mut stream, format!("SET small {small}\r\n").as_bytes(), b"+OK\r\n");
    let before = resident_bytes(&server);
    let mut slow = server.connect();
    for _ in 0..100 {
        slow.write_all(b"GET big\r\n").unwrap();
    }
    let mut slow_copies = server.connect();
    for _ in 0..6_000 {
        slow_copies.write_all(b"GET small\r\n").unwrap();
    }
    for _ in 0..100 {
        exchange(&mut stream, b"PING\r\n", b"+PONG\r\n");
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes for readers that do not read");
    let mut expected = format!("${}\r\n", value.len()).into_bytes();
    expected.extend_from_slice(&value);
    expected.extend_from_slice(b"\r\n");
    for _ in 0..100 {
        exchange(&mut slow, b"", &expected);
    }
    let expected = format!("$16000\r\n{small}\r\n");
    for _ in 0..6_000 {
        exchange(&mut slow_copies, b"", expected.as_bytes());
    }
}

#[test]
fn many_readers_of_one_value_are_not_charged_for_it() {
    // The value was charged once per reader, which emptied the cache and refused every write.
    let server = Server::start(&["--maxmemory", "128mb", "--maxmemory-policy", "noeviction"]);
    let mut stream = server.connect();
    let mut request = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", 15 << 20).into_bytes();
    request.resize(request.len() + (15 << 20), b'x');
    request.extend_from_slice(b"\r\n");
    exchange(&mut stream, &request, b"+OK\r\n");
    let slow: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut slow = server.connect();
            slow.write_all(b"GET big\r\n").unwrap();
            slow
        })
        .collect();
    // Within a second every connection's buffers are charged anew, and CLIENT LIST tells that it has happened.
    let mut client = server.client();
    loop {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut client).unwrap();
        let seen = list.lines().filter(|line| line.contains("cmd=get") && !line.contains(" obl=0 ")).count();
        if seen == slow.len() {
            break;
        }
        assert!(seen < slow.len());
    }
    exchange(&mut stream, b"SET small value\r\n", b"+OK\r\n");
}

#[test]
fn a_client_over_the_hard_limit_is_closed() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 2mb 0 0"]);
    let mut stream = server.connect();
    let small = "s".repeat(16_000);
    exchange(&mut stream, format!("SET small {small}\r\n").as_bytes(), b"+OK\r\n");
    let mut slow = server.connect();
    // It never reads; it ends when the server resets it, which a full receive window can put off for a while.
    let end = loop {
        if let Err(error) = slow.write_all(b"GET small\r\n") {
            break error.kind();
        }
    };
    assert!(matches!(end, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{end:?}");
    exchange(&mut stream, b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn one_reply_over_the_hard_limit_is_refused_before_it_is_built() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 2mb 0 0"]);
    let mut stream = server.connect();
    let small = "s".repeat(16_000);
    exchange(&mut stream, format!("SET small {small}\r\n").as_bytes(), b"+OK\r\n");
    let before = resident_bytes(&server);
    let mut request = b"*20001\r\n$4\r\nMGET\r\n".to_vec();
    request.extend(b"$5\r\nsmall\r\n".repeat(20_000));
    let refusal = b"-ERR reply exceeds the client-output-buffer-limit, ask for fewer keys\r\n";
    exchange(&mut stream, &request, refusal);
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes for 320 MB that nobody gets");
    exchange(&mut stream, b"PING\r\n", b"+PONG\r\n");
}

/// Many clients write all of a pipeline before they read: what the sockets' buffers do not hold must not be for ever.
#[test]
fn a_client_that_writes_everything_before_it_reads_is_served() {
    const COUNT: usize = 12_000;
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let (key, value) = ("k".repeat(1000), "v".repeat(2000));
    exchange(&mut stream, format!("SET {key} {value}\r\n").as_bytes(), b"+OK\r\n");
    stream.write_all(format!("GET {key}\r\n").repeat(COUNT).as_bytes()).unwrap();
    exchange(&mut stream, b"", format!("$2000\r\n{value}\r\n").repeat(COUNT).as_bytes());
}

/// Each connection had a bound of its own for small arguments: eight unfinished requests took twice the memory limit.
#[test]
fn unfinished_requests_of_all_clients_share_one_bound() {
    let server = Server::start(&["--maxmemory", "64mb"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"SET k v\r\n", b"+OK\r\n");
    let before = resident_bytes(&server);
    let argument = format!("$16000\r\n{}\r\n", "a".repeat(16_000));
    let unfinished: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(b"PING\r\n*4001\r\n$4\r\nMSET\r\n").unwrap();
            client.write_all(argument.repeat(900).as_bytes()).unwrap();
            client
        })
        .collect();
    for mut client in &unfinished {
        exchange(&mut client, b"", b"+PONG\r\n");
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 40 << 20, "grew by {grown} bytes for requests that do not end");
    exchange(&mut stream, b"GET k\r\nSET other v\r\n", b"$1\r\nv\r\n+OK\r\n");
}

/// A value that was overwritten while readers still waited for it was counted by nobody.
#[test]
fn values_that_only_slow_readers_hold_count() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    let mut request = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", 12 << 20).into_bytes();
    request.resize(request.len() + (12 << 20), b'x');
    request.extend_from_slice(b"\r\n");
    let mut refused = 0;
    let mut readers = Vec::new();
    for _ in 0..30 {
        let mut reader = server.connect();
        reader.write_all(&request).unwrap();
        let mut answer = [0; 1];
        reader.read_exact(&mut answer).unwrap();
        refused += usize::from(answer == *b"-");
        reader.write_all(b"GET big\r\n").unwrap();
        readers.push(reader);
    }
    let resident = resident_bytes(&server);
    assert!(refused > 10 && resident < 140 << 20, "{refused} refused, {resident} bytes resident");
    drop(readers);
    let mut stream = server.connect();
    // Their end is noticed within some ticks.
    let mut is_stored = false;
    for _ in 0..200 {
        stream.write_all(&request).unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).unwrap();
        is_stored = answer == *b"+OK";
        if is_stored {
            break;
        }
        let mut rest = [0; 1];
        while rest != *b"\n" {
            stream.read_exact(&mut rest).unwrap();
        }
    }
    assert!(is_stored, "what the readers held is free once they are gone");
}

/// A long command's reply was looked at when it was complete.
#[test]
fn a_reply_that_grows_over_the_hard_limit_ends_there() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut stream = server.connect();
    for block in 0..400 {
        let keys: String =
            (0..1000).map(|i| format!(" a-key-of-forty-bytes-and-some-more:{block:03}{i:04} v")).collect();
        exchange(&mut stream, format!("MSET{keys}\r\n").as_bytes(), b"+OK\r\n");
    }
    let before = peak_bytes(&server);
    let mut client = server.connect();
    client.write_all(b"KEYS *\r\n").unwrap();
    assert_eq!(read_to_close(&mut client), b"");
    let grown = peak_bytes(&server) - before;
    assert!(grown < 10 << 20, "grew by {grown} bytes for a reply of 20 MB that nobody gets");
}

fn resident_bytes(server: &Server) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("it runs");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("proc(5)") * 4096
}

/// The most memory that the server ever had.
fn peak_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("proc(5)") * 1024
}
