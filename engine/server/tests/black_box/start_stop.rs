//! Start and stop: the block that is printed, one line per failure, and a drain that loses no reply.

use std::io::Write;
use std::net::TcpListener;

use crate::process::{Server, exchange, free_port, read_to_close};

#[test]
fn the_start_block_says_what_runs() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    for part in ["Pinion ", "io_uring", "core", "100.0 MiB", "allkeys-s3fifo", "127.0.0.1"] {
        assert!(server.banner.contains(part), "no {part:?} in {}", server.banner);
    }
}

#[test]
fn what_cannot_start_says_so_in_one_line_and_exits_with_1() {
    let busy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let busy_port = busy.local_addr().unwrap().port();
    let table: &[(u16, &[&str], &str)] = &[
        (busy_port, &[], "in use"),
        (free_port(), &["--maxmemory", "1mb"], "--maxmemory"),
        (free_port(), &["--maxmemory", "5parsecs"], "--maxmemory"),
        (free_port(), &["--no-such-setting", "1"], "--no-such-setting"),
        (free_port(), &["--maxmemory-policy", "none"], "--maxmemory-policy"),
        (free_port(), &["--bind", "192.0.2.1"], "--bind"),
        (free_port(), &["--cores", "4000"], "--cores"),
        (free_port(), &["--config", "/no/such/file.toml"], "/no/such/file.toml"),
    ];
    for (port, flags, expected) in table {
        let Err(refused) = Server::try_start(*port, flags) else { panic!("{flags:?} started") };
        assert_eq!(refused.status.code(), Some(1), "{flags:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{flags:?}: {}", refused.stderr);
        assert!(refused.stderr.starts_with("pinion: "), "{flags:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{flags:?}: {}", refused.stderr);
    }
}

#[test]
fn too_few_descriptors_are_named() {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --port 0 --unixsocket \"$1\" --maxclients 10000"])
        .arg(env!("CARGO_BIN_EXE_pinion"))
        .arg(tempfile::tempdir().unwrap().path().join("sock"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ulimit -n") && stderr.lines().count() == 1, "{stderr}");
}

#[cfg(not(feature = "glommio"))]
#[test]
fn a_runtime_that_is_not_built_in_says_how_to_build_it() {
    let Err(refused) = Server::try_start(free_port(), &["--runtime", "glommio"]) else { panic!("it started") };
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("cargo build --release --features glommio"), "{}", refused.stderr);
}

#[cfg(feature = "glommio")]
#[test]
fn too_little_locked_memory_for_glommio_is_named() {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -l 100; exec \"$0\" --runtime glommio --port 0 --unixsocket \"$1\" --metrics-bind ''"])
        .arg(env!("CARGO_BIN_EXE_pinion"))
        .arg(tempfile::tempdir().unwrap().path().join("sock"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ulimit -l") && stderr.lines().count() == 1, "{stderr}");
}

#[cfg(feature = "glommio")]
#[test]
fn our_own_ring_is_in_the_same_binary() {
    let server = Server::start(&["--runtime", "uring"]);
    assert!(!server.banner.contains("glommio"), "{}", server.banner);
    exchange(&mut server.connect(), b"PING\r\n", b"+PONG\r\n");
    let server = Server::start(&["--runtime", "glommio"]);
    assert!(server.banner.contains("glommio"), "{}", server.banner);
}

#[test]
fn signals_drain_replies_and_exit_with_0() {
    for signal in ["-TERM", "-INT"] {
        let server = Server::start(&[]);
        let mut idle = server.connect();
        let mut busy = server.connect();
        exchange(&mut idle, b"PING\r\n", b"+PONG\r\n");
        exchange(&mut busy, b"SET k v\r\n", b"+OK\r\n");
        let path = server.unix_path();
        server.signal(signal);
        assert_eq!(read_to_close(&mut idle), b"");
        assert_eq!(read_to_close(&mut busy), b"");
        let (status, _, stderr) = server.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(!path.exists(), "the unix socket's file is left behind");
    }
}

#[test]
fn a_server_killed_and_started_again_gets_its_port() {
    let server = Server::start(&[]);
    let port = server.port;
    let mut stream = server.connect();
    exchange(&mut stream, b"PING\r\n", b"+PONG\r\n");
    server.signal("-KILL");
    let (status, _, _) = server.wait();
    assert_eq!(status.code(), None);
    let again = match Server::try_start(port, &[]) {
        Ok(server) => server,
        Err(refused) => panic!("{}", refused.stderr),
    };
    exchange(&mut again.connect(), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_file_gives_settings_and_flags_beat_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pinion.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    writeln!(file, "maxmemory = \"77mb\"\nmaxmemory-policy = \"volatile-ttl\"").unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap(), "--maxmemory", "99mb"]);
    let mut stream = server.connect();
    let expected = "*2\r\n$16\r\nmaxmemory-policy\r\n$12\r\nvolatile-ttl\r\n";
    exchange(&mut stream, b"CONFIG GET maxmemory-policy\r\n", expected.as_bytes());
    let expected = format!("*2\r\n$9\r\nmaxmemory\r\n$9\r\n{}\r\n", 99 << 20);
    exchange(&mut stream, b"CONFIG GET maxmemory\r\n", expected.as_bytes());
    exchange(&mut stream, b"CONFIG SET maxmemory 50mb\r\n", b"+OK\r\n");
    let refused = b"-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n";
    exchange(&mut stream, b"CONFIG SET port 1\r\n", refused);
}
