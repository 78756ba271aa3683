//! memcached's text protocol: a client library, raw exchanges, limits and bad days, beside RESP on the same items.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::process::{PATIENCE, Server, exchange, free_port, read_to_close};

/// A server that listens for memcached's clients on a TCP port, too.
fn start_on_tcp(flags: &[&str]) -> (Server, u16) {
    for _ in 0..20 {
        let (port, own) = (free_port(), free_port().to_string());
        match Server::try_start(port, &[flags, &["--memcached-port", &own]].concat()) {
            Ok(server) => return (server, own.parse().expect("it was a number")),
            Err(refused) if refused.stderr.contains("in use") => {}
            Err(refused) => panic!("the server did not start: {}", refused.stderr),
        }
    }
    panic!("no free port after 20 attempts");
}

#[test]
fn a_client_library_reads_what_it_wrote() {
    let (server, port) = start_on_tcp(&[]);
    let unix = format!("memcache://{}", server.memcached_path().display());
    for address in [format!("memcache://127.0.0.1:{port}?protocol=ascii"), format!("{unix}?protocol=ascii")] {
        let client = memcache::connect(address.as_str()).unwrap();
        client.flush().unwrap();
        client.set("greeting", "hello", 0).unwrap();
        assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("hello"));
        assert_eq!(client.get::<String>("nothing").unwrap(), None);
        // This library takes NOT_STORED for success.
        client.add("greeting", "other", 0).unwrap();
        assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("hello"));
        client.replace("greeting", "again", 0).unwrap();
        client.append("greeting", "!").unwrap();
        client.prepend("greeting", "<").unwrap();
        assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("<again!"));
        client.set("count", "40", 0).unwrap();
        assert_eq!(client.increment("count", 2).unwrap(), 42);
        assert_eq!(client.decrement("count", 50).unwrap(), 0);
        assert!(client.touch("count", 100).unwrap());
        assert!(client.delete("count").unwrap());
        assert!(!client.delete("count").unwrap());
        let names = ["greeting", "nothing"];
        let found = client.gets::<(Vec<u8>, u32, Option<u64>)>(&names).unwrap();
        let (value, _, number) = &found["greeting"];
        assert_eq!((found.len(), &value[..]), (1, &b"<again!"[..]));
        assert!(client.cas("greeting", "swapped", 0, number.unwrap()).unwrap());
        assert!(!client.cas("greeting", "too late", 0, number.unwrap()).unwrap());
        let large = "L".repeat(700_000);
        client.set("large", large.as_str(), 0).unwrap();
        assert!(client.get::<String>("large").unwrap() == Some(large));
        assert!(client.version().unwrap()[0].1.starts_with('1'));
    }
}

#[test]
fn both_protocols_see_the_same_items() {
    let server = Server::start(&[]);
    let (mut text, mut resp) = (server.connect_memcached(), server.connect());
    exchange(&mut text, b"set k 77 100 5\r\nhello\r\n", b"STORED\r\n");
    exchange(&mut resp, b"GET k\r\nAPPEND k !\r\nEXISTS k\r\n", b"$5\r\nhello\r\n:6\r\n:1\r\n");
    exchange(&mut text, b"gets k\r\n", b"VALUE k 77 6 1\r\nhello!\r\nEND\r\n");
    exchange(&mut resp, b"SET k mine\r\n", b"+OK\r\n");
    exchange(&mut text, b"cas k 0 0 1 1\r\nx\r\nget k\r\n", b"EXISTS\r\nVALUE k 0 4\r\nmine\r\nEND\r\n");
    exchange(&mut resp, b"DEL k\r\n", b":1\r\n");
    exchange(&mut text, b"cas k 0 0 1 1\r\nx\r\nset n 0 0 1\r\n9\r\n", b"NOT_FOUND\r\nSTORED\r\n");
    exchange(&mut resp, b"INCR n\r\nSELECT 1\r\nSET n other\r\n", b":10\r\n+OK\r\n+OK\r\n");
    exchange(&mut text, b"get n\r\nflush_all\r\nget n\r\n", b"VALUE n 0 2\r\n10\r\nEND\r\nOK\r\nEND\r\n");
    exchange(&mut resp, b"GET n\r\n", b"$5\r\nother\r\n");
}

/// What a client sends, and what it gets; the connection goes on.
const EXCHANGES: &[(&str, &str)] = &[
    ("set k 0 0 3\r\nhello\r\n", "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0 -1\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0 2147483646\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0 x noreply\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0 1 noreply\r\nx\r\nget k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"),
    ("incr k 1 noreply\r\nincr k 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    ("get\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("boguscommand slkdsldkfjsd\r\n", "ERROR\r\n"),
    ("set c\u{1}\t\u{7f} 0 0 0\r\n\r\nget c\u{1}\t\u{7f}\r\n", "STORED\r\nVALUE c\u{1}\t\u{7f} 0 0\r\n\r\nEND\r\n"),
];

#[test]
fn broken_requests_cost_nothing_but_themselves() {
    let server = Server::start(&[]);
    let mut text = server.connect_memcached();
    for (request, expected) in EXCHANGES {
        exchange(&mut text, request.as_bytes(), expected.as_bytes());
    }
    let long = "k".repeat(251);
    let refusal = "CLIENT_ERROR bad command line format\r\n";
    exchange(&mut text, format!("set {long} 0 0 1\r\nx\r\nget {long}\r\n").as_bytes(), refusal.repeat(2).as_bytes());
    let mut slow = server.connect_memcached();
    for byte in b"set slow 1 0 4\r\nabcd\r\nget slow\r\n" {
        slow.write_all(&[*byte]).unwrap();
    }
    exchange(&mut slow, b"", b"STORED\r\nVALUE slow 1 4\r\nabcd\r\nEND\r\n");
}

#[test]
fn a_value_over_the_item_size_is_swallowed_and_the_connection_goes_on() {
    let server = Server::start(&["--memcached-item-size-max", "100kb"]);
    let mut text = server.connect_memcached();
    exchange(&mut text, b"set k 0 0 3\r\nold\r\n", b"STORED\r\n");
    for size in [100 << 10, 3 << 20, 40 << 20] {
        let mut request = format!("set k 0 0 {size}\r\n").into_bytes();
        request.resize(request.len() + size, b'x');
        request.extend_from_slice(b"\r\nget k\r\nset k 0 0 3\r\nnew\r\n");
        exchange(&mut text, &request, b"SERVER_ERROR object too large for cache\r\nEND\r\nSTORED\r\n");
    }
    let most = vec![b'x'; 102_000];
    let request = [b"set k 0 0 102000\r\n", &most[..], b"\r\n"].concat();
    exchange(&mut text, &request, b"STORED\r\n");
    exchange(&mut text, b"get k\r\n", &[b"VALUE k 0 102000\r\n", &most[..], b"\r\nEND\r\n"].concat());
}

#[test]
fn a_line_without_end_closes_its_connection_only() {
    let server = Server::start(&[]);
    let mut other = server.connect_memcached();
    let mut text = server.connect_memcached();
    // The server may close before all is written.
    let _ = text.write_all(&vec![b'x'; 3 << 20]);
    assert_eq!(read_to_close(&mut text), b"");
    let mut http = server.connect_memcached();
    http.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert_eq!(read_to_close(&mut http), b"");
    // Keys may be many: a megabyte of them.
    let keys = " some-key-that-is-not-there".repeat(40_000);
    exchange(&mut other, format!("get{keys}\r\nversion\r\n").as_bytes(), b"END\r\nVERSION 1");
}

#[test]
fn quit_closes_after_what_is_owed() {
    let server = Server::start(&[]);
    let mut text = server.connect_memcached();
    text.write_all(b"set k 0 0 1\r\nx\r\nget k\r\nquit\r\nget k\r\n").unwrap();
    assert_eq!(read_to_close(&mut text), b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn a_password_is_the_first_request() {
    let server = Server::start(&["--requirepass", "secret"]);
    let mut text = server.connect_memcached();
    exchange(&mut text, b"get k\r\n", b"CLIENT_ERROR unauthenticated\r\n");
    exchange(&mut text, b"set x 0 0 13\r\ndefault wrong\r\n", b"CLIENT_ERROR authentication failure\r\n");
    let large = "v".repeat(20_000);
    // In one piece: what follows is no longer bound by the limits of strangers.
    let request = format!("set x 0 0 14\r\ndefault secret\r\nset k 0 0 20000\r\n{large}\r\nget k\r\n");
    let answer = format!("STORED\r\nSTORED\r\nVALUE k 0 20000\r\n{large}\r\nEND\r\n");
    exchange(&mut text, request.as_bytes(), answer.as_bytes());
    exchange(&mut server.connect_memcached(), b"get k\r\n", b"CLIENT_ERROR unauthenticated\r\n");
}

#[test]
fn one_client_too_many_is_told_so_in_its_own_protocol() {
    let server = Server::start(&["--maxclients", "2"]);
    let (mut resp, mut text) = (server.connect(), server.connect_memcached());
    exchange(&mut resp, b"PING\r\n", b"+PONG\r\n");
    exchange(&mut text, b"version\r\n", b"VERSION 1");
    assert_eq!(read_to_close(&mut server.connect_memcached()), b"ERROR Too many open connections\r\n");
    assert_eq!(read_to_close(&mut server.connect()), b"-ERR max number of clients reached\r\n");
}

#[test]
fn a_busy_port_is_named_with_its_flag() {
    let busy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let Err(refused) = Server::try_start(free_port(), &["--memcached-port", &port]) else { panic!("it started") };
    assert!(refused.stderr.contains("in use") && refused.stderr.contains("--memcached-port"), "{}", refused.stderr);
    assert_eq!((refused.status.code(), refused.stderr.lines().count()), (Some(1), 1), "{}", refused.stderr);
}

#[test]
fn the_start_block_and_the_signal_know_memcacheds_clients() {
    let (server, port) = start_on_tcp(&[]);
    assert!(server.banner.contains(&format!("memcached 127.0.0.1:{port}")), "{}", server.banner);
    let mut text = TcpStream::connect(("127.0.0.1", port)).unwrap();
    text.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut text, b"set k 0 0 1\r\nx\r\n", b"STORED\r\n");
    server.signal("-TERM");
    assert_eq!(read_to_close(&mut text), b"");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_slow_reader_is_paused_and_gets_everything() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 64mb 64kb 0"]);
    let mut text = server.connect_memcached();
    let value = "v".repeat(10_000);
    exchange(&mut text, format!("set k 0 0 10000\r\n{value}\r\n").as_bytes(), b"STORED\r\n");
    let mut writer = text.try_clone().unwrap();
    writer.write_all(&b"get k\r\n".repeat(2000)).unwrap();
    let expected = format!("VALUE k 0 10000\r\n{value}\r\nEND\r\n");
    let mut reply = vec![0; expected.len()];
    for _ in 0..2000 {
        text.read_exact(&mut reply).unwrap();
        assert!(reply == expected.as_bytes());
    }
}
