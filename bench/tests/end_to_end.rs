//! The real programs against each other: the load finds no fault with the floor, and every fault of a server that lies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_pinion-bench");

/// A floor on a port of its own; ended when dropped.
struct Floor {
    child: Child,
    port: String,
}

impl Floor {
    fn start() -> Floor {
        let mut child = Command::new(BENCH).args(["floor", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().to_owned();
        Floor { child, port }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(port: &str, flags: &[&str]) -> Output {
    Command::new(BENCH).args(["load", "--port", port]).args(flags).output().unwrap()
}

/// Runs a verified load on a fresh floor and expects every request answered and every value right; returns its report.
fn check(requests: u64, flags: &[&str]) -> serde_json::Value {
    let floor = Floor::start();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let pid = floor.child.id().to_string();
    let total = requests.to_string();
    let common = ["--verify", "--populate", "-n", &total, "--pid", &pid, "--json", json.to_str().unwrap()];
    let output = load(&floor.port, &[&common, flags].concat());
    assert!(output.status.success(), "{flags:?}: {output:?}");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    for (field, expected) in [("requests", requests), ("wrong", 0), ("lost", 0), ("misses", 0)] {
        assert_eq!(report[field].as_u64(), Some(expected), "{flags:?}: {field}");
    }
    assert!(report["server_cpu_us_per_request"].as_f64().unwrap() > 0.0);
    report
}

/// What a verified load says about a server of RESP that answers each of its requests with the next of `replies`.
fn found_in(replies: &[&[u8]], flags: &[&str]) -> (bool, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let total = replies.len().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, _) = listener.accept().unwrap();
            for reply in replies {
                let _ = client.read(&mut [0; 1024]).unwrap();
                client.write_all(reply).unwrap();
            }
            let _ = client.read(&mut [0; 1024]);
        });
        let common = ["--verify", "-n", &total, "--connections", "1", "--ratio", "0:1"];
        let output = load(&port, &[&common, flags].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    })
}

#[test]
fn the_floor_answers_a_closed_loop_without_fault() {
    check(5_000, &["--keys", "1000", "--connections", "20"]);
    check(20_000, &["--keys", "1000", "--connections", "10", "--pipeline", "32", "--distribution", "zipf:0.99"]);
}

#[test]
fn the_floor_answers_an_open_loop_without_fault() {
    check(3_000, &["--keys", "100", "--rate", "20000"]);
    check(3_000, &["--keys", "100", "--rate", "20000", "--arrivals", "even", "--pipeline", "8"]);
}

#[test]
fn a_read_of_many_keys_is_one_request_and_every_key_is_checked() {
    for (requests, flags) in [
        (2_000, ["--keys-per-get", "100", "--keys", "1000", "--pipeline", "1", "--value-bytes", "64"]),
        (500, ["--multi-key-get", "3", "--keys", "10", "--pipeline", "8", "--value-bytes", "0-60k"]),
    ] {
        let report = check(requests, &[&flags, ["--connections", "4"].as_slice()].concat());
        let keys_per_get: u64 = flags[1].parse().unwrap();
        let [hits, stored, per_get] = ["hits", "stored", "keys_per_get"].map(|field| report[field].as_u64().unwrap());
        assert_eq!((hits, per_get), ((requests - stored) * keys_per_get, keys_per_get));
        assert!(stored > 0 && hits > 0, "{report}");
    }
}

#[test]
fn values_larger_than_any_buffer_come_back_whole() {
    check(400, &["--keys", "20", "--connections", "4", "--pipeline", "3", "--value-bytes", "0-600k", "--ratio", "1:2"]);
}

#[test]
fn a_server_that_lies_is_found_out() {
    // Three lies: a foreign value, a write that answers a read, and a refusal.
    let (is_pleased, text) = found_in(&[b"$3\r\nabc\r\n", b"+OK\r\n", b"-OOM no\r\n"], &[]);
    assert!(!is_pleased, "{text}");
    assert!(text.contains("2 wrong, 1 refused, 0 lost") && text.contains("1 x OOM no"), "{text}");
}

#[test]
fn a_server_that_lies_about_many_keys_is_found_out() {
    // One too few, one too many, a foreign value, a value instead of many, and a refusal; then the truth: two misses.
    let lies: [&[u8]; 5] =
        [b"*1\r\n$-1\r\n", b"*3\r\n_\r\n_\r\n_\r\n", b"*2\r\n_\r\n$3\r\nabc\r\n", b"$-1\r\n", b"-OOM no\r\n"];
    let truth = b"*2\r\n$-1\r\n$-1\r\n".as_slice();
    let (is_pleased, text) = found_in(&[&lies[..], &[truth]].concat(), &["--keys-per-get", "2"]);
    assert!(!is_pleased && text.contains("4 wrong, 1 refused, 0 lost"), "{text}");
    let (is_pleased, text) = found_in(&[truth, truth], &["--keys-per-get", "2"]);
    assert!(is_pleased && text.contains("0 hits, 4 misses of keys"), "{text}");
}

#[test]
fn a_server_of_memcached_text_that_lies_about_many_keys_is_found_out() {
    let flags = ["--keys-per-get", "2", "--protocol", "memcache-text", "--keys", "1", "--value-bytes", "0"];
    let item = "VALUE key:0 0 0\r\n\r\n";
    // The only key is asked for twice.
    let replies = [format!("{item}{item}END\r\n"), format!("{item}END\r\n"), "END\r\n".to_owned()];
    let (is_pleased, text) = found_in(&replies.each_ref().map(String::as_bytes), &flags);
    assert!(is_pleased && text.contains("3 hits, 3 misses of keys"), "{text}");
    // A key that nobody asked for, one too many, a value of another size, and a failure half way.
    let replies = [
        "VALUE key:1 0 0\r\n\r\nEND\r\n".to_owned(),
        format!("{item}{item}{item}END\r\n"),
        format!("{item}VALUE key:0 0 1\r\nx\r\nEND\r\n"),
        format!("{item}SERVER_ERROR out of memory\r\n"),
    ];
    let (is_pleased, text) = found_in(&replies.each_ref().map(String::as_bytes), &flags);
    assert!(!is_pleased && text.contains("3 wrong, 1 refused, 0 lost"), "{text}");
}

#[test]
fn a_port_where_nobody_listens_is_one_clear_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let output = load(&port, &["-n", "1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("pinion-bench: cannot connect to 127.0.0.1:") && text.lines().count() == 1, "{text}");
}
