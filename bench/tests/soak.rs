//! The soak against the real server: it finds nothing there, and it finds a server that lies.
//!
//! The server is built by cargo when it is not there yet, since a test of this crate knows only this crate's programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_pinion-bench");

/// The server of this checkout, as this profile builds it.
fn server() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "pinion", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "the server was not built");
    let messages = String::from_utf8(built.stdout).unwrap();
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let path = messages.lines().find_map(|line| Some(PathBuf::from(parse(line)["executable"].as_str()?)));
    path.expect("cargo names what it built")
}

fn soak(arguments: &[&str]) -> Output {
    Command::new(BENCH).arg("soak").args(arguments).output().unwrap()
}

#[test]
fn the_server_passes_a_short_soak() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("summary.json");
    let (server, json) = (server(), json.to_str().unwrap().to_owned());
    let arguments = ["--server", server.to_str().unwrap(), "--minutes", "0.03", "--maxmemory", "64mb", "--json", &json];
    let output = soak(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let summary: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(summary["fault_count"].as_u64(), Some(0));
    for (family, name) in [("commands", "get"), ("commands", "exec"), ("commands", "client|kill"), ("verbs", "cas")] {
        assert!(summary[family][name]["calls"].as_u64() > Some(0), "{name}");
    }
}

#[test]
fn a_server_that_knows_a_command_which_the_soak_does_not_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (client, _) = listener.accept().unwrap();
            let mut client = BufReader::new(client);
            for reply in [
                "*2\r\n+get\r\n+frobnicate\r\n",
                "*4\r\n+get\r\n*0\r\n+frobnicate\r\n*0\r\n",
                "*2\r\n*2\r\n+get\r\n:2\r\n*2\r\n+frobnicate\r\n:1\r\n",
            ] {
                let mut line = String::new();
                client.read_line(&mut line).unwrap();
                client.get_mut().write_all(reply.as_bytes()).unwrap();
                // The rest of the request: a length and a word for each of its arguments.
                let words: usize = line.trim()[1..].parse().unwrap();
                (0..words * 2).for_each(|_| assert!(client.read_line(&mut String::new()).unwrap() > 0));
            }
            let _ = client.read(&mut [0; 64]);
        });
        let output = soak(&["--pid", &std::process::id().to_string(), "--port", &port, "--minutes", "0.03"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("frobnicate") && !text.contains("\"get\""), "{text}");
    });
}
