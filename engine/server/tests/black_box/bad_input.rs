//! Broken input gets a clear answer, then the connection closes; nobody else notices.

use std::io::Write;

use crate::process::{Server, exchange, read_to_close};

/// What a client sends, and everything it gets until the server closes.
const BROKEN: &[(&str, &str)] = &[
    ("*1048577\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
    ("*9223372036854775808\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
    ("*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
    ("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
    ("*1\r\n$9223372036854775808\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
    ("*2\r\n$3\r\nGET\r\n$1073741824\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
    ("*1\r\n:3\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"),
    ("GET \"unbalanced\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
];

#[test]
fn a_broken_request_is_answered_and_closes_only_its_own_connection() {
    let server = Server::start(&[]);
    let mut other = server.connect();
    exchange(&mut other, b"SET k v\r\n", b"+OK\r\n");
    for (request, expected) in BROKEN {
        let mut stream = server.connect();
        stream.write_all(b"PING\r\n").unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let got = read_to_close(&mut stream);
        assert_eq!(String::from_utf8_lossy(&got), format!("+PONG\r\n{expected}"), "{request:?}");
        exchange(&mut other, b"GET k\r\n", b"$1\r\nv\r\n");
    }
}

/// A web page can make a browser on this host send such a request, with commands in its body.
#[test]
fn an_http_request_is_not_served() {
    let server = Server::start(&[]);
    for request in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k 1\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\nSET k 1\r\n"] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let got = String::from_utf8_lossy(&read_to_close(&mut stream)).into_owned();
        assert!(!got.contains("+OK"), "{got}");
        exchange(&mut server.connect(), b"GET k\r\n", b"$-1\r\n");
    }
}

#[test]
fn replies_survive_what_a_client_sends_behind_its_end() {
    // Closing with unread bytes makes the kernel reset the connection and drop replies that are on their way.
    let server = Server::start(&[]);
    let mut stream = server.connect();
    exchange(&mut stream, format!("SET v {}\r\n", "x".repeat(2000)).as_bytes(), b"+OK\r\n");
    let reply = format!("$2000\r\n{}\r\n", "x".repeat(2000));
    let ends: [(&str, &str); 2] =
        [("QUIT\r\n", "+OK\r\n"), ("*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n")];
    for (end, last) in ends {
        let stream = server.connect();
        let mut request = "GET v\r\n".repeat(400);
        request.push_str(end);
        request.push_str(&"y".repeat(2 << 20));
        std::thread::scope(|threads| {
            let mut writer = stream.try_clone().unwrap();
            threads.spawn(move || {
                // The server may be gone before it has taken everything: that is not what is tested.
                let _ = writer.write_all(request.as_bytes());
            });
            let got = read_to_close(&mut &stream);
            assert_eq!(got.len(), reply.len() * 400 + last.len(), "{end:?}");
            assert!(got.ends_with(last.as_bytes()), "{end:?}");
        });
    }
}

#[test]
fn empty_requests_are_skipped() {
    let server = Server::start(&[]);
    exchange(&mut server.connect(), b"*-5\r\n*0\r\n\r\nPING\r\n", b"+PONG\r\n");
}

#[test]
fn a_missing_line_end_after_a_bulk_is_refused() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"*2\r\n$3\r\nGETxx$1\r\nk\r\n").unwrap();
    let got = read_to_close(&mut stream);
    assert!(got.starts_with(b"-ERR Protocol error"), "{}", String::from_utf8_lossy(&got));
}

#[test]
fn an_inline_line_without_end_is_refused() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    // The server may close while we still write.
    let _ = stream.write_all(&vec![b'x'; 100 * 1024]);
    let got = read_to_close(&mut stream);
    assert!(
        got.is_empty() || got.starts_with(b"-ERR Protocol error: too big inline request"),
        "{}",
        String::from_utf8_lossy(&got)
    );
    exchange(&mut server.connect(), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn wrong_use_of_a_command_keeps_the_connection() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let table: &[(&str, &str)] = &[
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"),
        ("SET k v EX abc", "-ERR value is not an integer or out of range\r\n"),
        ("SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n"),
        ("SET k v NX XX", "-ERR syntax error\r\n"),
        ("SET text abc", "+OK\r\n"),
        ("INCR text", "-ERR value is not an integer or out of range\r\n"),
        ("SELECT 16", "-ERR DB index is out of range\r\n"),
        ("SET n 9223372036854775807", "+OK\r\n"),
        ("INCR n", "-ERR increment or decrement would overflow\r\n"),
        ("GET text", "$3\r\nabc\r\n"),
    ];
    for (request, expected) in table {
        exchange(&mut stream, format!("{request}\r\n").as_bytes(), expected.as_bytes());
    }
}

#[test]
fn a_reset_in_mid_request_leaves_nothing_behind() {
    let server = Server::start(&[]);
    for cut in [1, 10, 25] {
        let mut stream = server.connect();
        let request = b"*3\r\n$3\r\nSET\r\n$5\r\nreset\r\n$100000\r\n";
        stream.write_all(&request[..cut]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(stream);
    }
    let mut stream = server.connect();
    exchange(&mut stream, b"EXISTS reset\r\n", b":0\r\n");
}
