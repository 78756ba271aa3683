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

/// Runs a verified load on a fresh floor and expects every request answered and every value right.
fn check(requests: u64, flags: &[&str]) {
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
fn values_larger_than_any_buffer_come_back_whole() {
    check(400, &["--keys", "20", "--connections", "4", "--pipeline", "3", "--value-bytes", "0-600k", "--ratio", "1:2"]);
}

#[test]
fn a_server_that_lies_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, _) = listener.accept().unwrap();
            // Three lies: a foreign value, a write that answers a read, and a refusal.
            for reply in [b"$3\r\nabc\r\n".as_slice(), b"+OK\r\n", b"-OOM no\r\n"] {
                let _ = client.read(&mut [0; 1024]).unwrap();
                client.write_all(reply).unwrap();
            }
            let _ = client.read(&mut [0; 1024]);
        });
        let output = load(&port, &["--verify", "-n", "3", "--connections", "1", "--ratio", "0:1"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("2 wrong, 1 refused, 0 lost") && text.contains("1 x OOM no"), "{text}");
    });
}

#[test]
fn a_port_where_nobody_listens_is_one_clear_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let output = load(&port, &["-n", "1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("pinion-bench: cannot connect to 127.0.0.1:") && text.lines().count() == 1, "{text}");
}
