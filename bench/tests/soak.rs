//! The soak finds a server that it does not know. That it finds nothing at the real one is a test of the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

const BENCH: &str = env!("CARGO_BIN_EXE_pinion-bench");

fn soak(arguments: &[&str]) -> Output {
    Command::new(BENCH).arg("soak").args(arguments).output().unwrap()
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
