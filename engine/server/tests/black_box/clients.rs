//! Real clients do real work: the `redis` crate over TCP and unix sockets, RESP2 and RESP3, and raw exchanges.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;

use redis::Commands;

use crate::process::{PATIENCE, Server, exchange};

#[test]
fn a_client_library_reads_what_it_wrote() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let _: () = client.set("greeting", "hello").unwrap();
    let value: String = client.get("greeting").unwrap();
    assert_eq!(value, "hello");
    let missing: Option<String> = client.get("nothing").unwrap();
    assert_eq!(missing, None);
    let count: i64 = client.incr("count", 41).unwrap();
    assert_eq!(count, 41);
    let _: () = client.mset(&[("a", 1), ("b", 2)]).unwrap();
    let both: Vec<i64> = client.mget(&["a", "b"]).unwrap();
    assert_eq!(both, [1, 2]);
    let removed: i64 = client.del(&["a", "b", "c"]).unwrap();
    assert_eq!(removed, 2);
    let _: () = redis::cmd("SET").arg("soon").arg("x").arg("EX").arg(100).query(&mut client).unwrap();
    let ttl: i64 = client.ttl("soon").unwrap();
    assert!((99..=100).contains(&ttl), "{ttl}");
}

#[test]
fn a_pipeline_of_the_client_library_answers_in_order() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut pipeline = redis::pipe();
    for i in 0..5000 {
        pipeline.cmd("SET").arg(format!("key:{i}")).arg(i).ignore();
        pipeline.cmd("GET").arg(format!("key:{i}"));
    }
    let values: Vec<i64> = pipeline.query(&mut client).unwrap();
    assert_eq!(values, (0..5000).collect::<Vec<_>>());
}

#[test]
fn scan_sees_every_key_once_it_stays() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut pipeline = redis::pipe();
    for i in 0..3000 {
        pipeline.cmd("SET").arg(format!("scan:{i}")).arg(i).ignore();
    }
    let _: () = pipeline.query(&mut client).unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let keys: Vec<String> = client.scan_match::<_, String>("scan:*").unwrap().map(|key| key.unwrap()).collect();
    for key in keys {
        *seen.entry(key).or_default() += 1;
    }
    assert_eq!(seen.len(), 3000);
    let all: Vec<String> = client.keys("scan:*").unwrap();
    assert_eq!(all.len(), 3000);
}

#[test]
fn resp3_answers_in_its_own_types() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    exchange(&mut stream, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", b"+OK\r\n");
    exchange(&mut stream, b"GET nothing\r\n", b"$-1\r\n");
    exchange(&mut stream, b"HELLO 3\r\n", b"%7\r\n");
    // The map's content has run numbers in it; a known reply behind it shows where it ends.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = server.connect();
    use std::io::Write;
    stream.write_all(b"HELLO 3\r\nGET nothing\r\nECHO the-end\r\n").unwrap();
    let mut all = Vec::new();
    while !all.ends_with(b"the-end\r\n") {
        let mut piece = [0; 1024];
        let count = std::io::Read::read(&mut stream, &mut piece).unwrap();
        assert!(count > 0);
        all.extend_from_slice(&piece[..count]);
    }
    assert!(all.ends_with(b"_\r\n$7\r\nthe-end\r\n"), "{}", String::from_utf8_lossy(&all));
}

#[test]
fn a_unix_socket_serves_the_same() {
    let server = Server::start(&[]);
    let mut stream = UnixStream::connect(server.unix_path()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, b"SET k v\r\nGET k\r\n", b"+OK\r\n$1\r\nv\r\n");
    exchange(&mut server.connect(), b"GET k\r\n", b"$1\r\nv\r\n");
}

#[test]
fn values_of_every_size_come_back_whole() {
    let server = Server::start(&[]);
    let mut client = server.client();
    // Around every border: inline, large, direct receive, and many provided buffers.
    for size in [0, 1, 4095, 4096, 16_383, 16_384, 16_385, 32_768, 65_536, 100_000, 1 << 20, 8 << 20] {
        let value: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        let _: () = client.set("sized", &value).unwrap();
        let back: Vec<u8> = client.get("sized").unwrap();
        assert!(back == value, "size {size}");
        let length: usize = client.strlen("sized").unwrap();
        assert_eq!(length, size);
    }
}

#[test]
fn large_and_small_requests_mix_in_one_pipeline() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let large = vec![b'L'; 300_000];
    let mut pipeline = redis::pipe();
    for i in 0..40 {
        pipeline.cmd("SET").arg(format!("m:{i}")).arg(if i % 3 == 0 { &large[..] } else { b"small" }).ignore();
        pipeline.cmd("GET").arg(format!("m:{i}"));
    }
    let values: Vec<Vec<u8>> = pipeline.query(&mut client).unwrap();
    for (i, value) in values.iter().enumerate() {
        assert!(*value == if i % 3 == 0 { &large[..] } else { b"small" }, "value {i}");
    }
}

#[test]
fn a_request_may_come_a_byte_at_a_time() {
    use std::io::Write;
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let request = b"*3\r\n$3\r\nSET\r\n$5\r\nbytes\r\n$4\r\nslow\r\n*2\r\n$3\r\nGET\r\n$5\r\nbytes\r\n";
    for byte in request {
        stream.write_all(&[*byte]).unwrap();
    }
    exchange(&mut stream, b"", b"+OK\r\n$4\r\nslow\r\n");
}

#[test]
fn a_half_closed_client_still_gets_its_replies() {
    use std::io::Write;
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"SET k v\r\nGET k\r\nPING\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(crate::process::read_to_close(&mut stream), b"+OK\r\n$1\r\nv\r\n+PONG\r\n");
}

#[test]
fn quit_answers_and_closes() {
    use std::io::Write;
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"PING\r\nQUIT\r\nPING\r\n").unwrap();
    assert_eq!(crate::process::read_to_close(&mut stream), b"+PONG\r\n+OK\r\n");
}

#[test]
fn info_and_client_list_tell_of_this_client() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let info: String = redis::cmd("INFO").query(&mut client).unwrap();
    for field in ["redis_version:", "process_id:", "used_memory:", "maxmemory_policy:allkeys-s3fifo", "tcp_port:"] {
        assert!(info.contains(field), "no {field} in {info}");
    }
    assert!(info.contains(&format!("process_id:{}", server.pid())));
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut client).unwrap();
    assert!(list.contains("addr=127.0.0.1:") && list.contains(&format!("laddr=127.0.0.1:{}", server.port)), "{list}");
}
