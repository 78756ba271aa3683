//! Settings as an operator meets them: what the binary prints and checks, files that it reads and writes, its logs, and
//! what it tells the service manager.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use crate::process::{PATIENCE, Server, exchange};

/// Runs the binary to its end.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pinion")).args(args).output().expect("the binary was built with the tests")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is text")
}

#[test]
fn a_check_says_ok_or_why_not_and_never_listens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pinion.toml");
    let check = |content: &str, flags: &[&str], expected: Result<(), &str>| {
        fs::write(&file, content).unwrap();
        let output = run(&[&["--check-config", path_text(&file), "--maxmemory", "256mb"], flags].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        match expected {
            Ok(()) => {
                assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{content} {flags:?}");
                assert_eq!(out, format!("{}: settings ok\n", file.display()));
            }
            Err(part) => {
                assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{content} {flags:?}");
                assert!(err.starts_with("pinion: ") && err.lines().count() == 1 && err.contains(part), "{err}");
            }
        }
    };
    // A busy port is no fault of the settings: the server that has it may be the one that is about to restart.
    let server = Server::start(&[]);
    check(&format!("port = {}\n", server.port), &[], Ok(()));
    check("maxmemory = \"1gb\"\n", &["--maxmemory-policy", "allkeys-lru"], Ok(()));
    check("\nmaxmemroy = \"1gb\"\n", &[], Err("pinion.toml:2: maxmemroy"));
    check("port = \n", &[], Err("pinion.toml:1"));
    check("", &["--bind", "192.0.2.1"], Err("192.0.2.1"));
    check("", &["--cores", "4000"], Err("--cores"));
    check("unixsocket = \"/no/such/folder/sock\"\n", &[], Err("/no/such/folder"));
    check("requirepass-file = \"/no/such/file\"\n", &[], Err("requirepass-file"));
}

#[test]
fn version_and_sample_are_printed() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with(concat!("pinion ", env!("CARGO_PKG_VERSION"), "\n")));
    let sample = run(&["--print-config"]);
    assert_eq!(text(&sample.stdout), include_str!("../../../../packaging/pinion.toml"));
}

#[test]
fn a_redis_conf_becomes_a_file_that_loads() {
    let folder = tempfile::tempdir().unwrap();
    let (conf, toml) = (folder.path().join("redis.conf"), folder.path().join("pinion.toml"));
    let content = "# Redis\nbind 127.0.0.1\nport 7001\nmaxmemory 300mb\nmaxmemory-policy volatile-lru\n\
                   requirepass \"a b\"\nsave 3600 1\nrename-command FLUSHALL \"\"\nmaxclients 100\n";
    fs::write(&conf, content).unwrap();
    let output = run(&["--import-redis-conf", path_text(&conf)]);
    assert_eq!(output.status.code(), Some(0));
    let remarks = text(&output.stderr);
    assert_eq!(remarks.lines().count(), 2, "{remarks}");
    assert!(
        remarks.contains("redis.conf:7: save: ") && remarks.contains("redis.conf:8: rename-command: "),
        "{remarks}"
    );
    fs::write(&toml, &output.stdout).unwrap();
    let check = run(&["--check-config", path_text(&toml)]);
    assert_eq!((check.status.code(), text(&check.stderr).as_str()), (Some(0), ""));
    let server = Server::start(&["--config", path_text(&toml)]);
    let mut stream = server.connect();
    exchange(&mut stream, b"AUTH \"a b\"\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG GET maxclients\r\n", b"*2\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n");

    fs::write(&conf, "port 0\n").unwrap();
    let output = run(&["--import-redis-conf", path_text(&conf)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("would not start with it"), "{}", text(&output.stderr));
    fs::write(&conf, "requirepass \"open\n").unwrap();
    let output = run(&["--import-redis-conf", path_text(&conf)]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn config_rewrite_keeps_the_files_comments_and_mode_and_the_next_start_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pinion.toml");
    fs::write(&file, "# ours\nmaxmemory = \"64mb\" # small\ntimeout = 0\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let flags = ["--config", path_text(&file), "--maxmemory", "64mb"];
    let server = Server::start(&flags);
    let mut stream = server.connect();
    exchange(&mut stream, b"CONFIG SET timeout 77 requirepass pass\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG REWRITE\r\n", b"+OK\r\n");
    let content = fs::read_to_string(&file).unwrap();
    assert!(content.starts_with("# ours\nmaxmemory = \"64mb\" # small\ntimeout = 77\n"), "{content}");
    assert!(content.contains("\nrequirepass = \"pass\"\n"), "{content}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let port = server.port;
    drop(server);
    let again = Server::start(&flags);
    let mut stream = again.connect();
    exchange(&mut stream, b"AUTH pass\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG GET TimeOut\r\n", b"*2\r\n$7\r\nTimeOut\r\n$2\r\n77\r\n");
    // Flags are in force too, so the first start's port was written down.
    assert!(content.contains(&format!("\nport = {port}\n")), "{content}");
    fs::remove_file(&file).unwrap();
    let expected = b"-ERR Rewriting config file: No such file or directory (os error 2)\r\n";
    exchange(&mut stream, b"CONFIG REWRITE\r\n", expected);
}

#[test]
fn a_running_server_takes_any_limit_and_comes_back_from_it() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"SET k v\r\nCONFIG SET maxmemory 1\r\n", b"+OK\r\n+OK\r\n");
    // A lower limit is reached by steps, a few per tick.
    let mut client = server.client();
    let refused = (0..10_000).find_map(|n| redis::cmd("SET").arg(n).arg("w").query::<()>(&mut client).err());
    assert!(refused.as_ref().is_some_and(|error| error.code() == Some("OOM")), "{refused:?}");
    exchange(&mut stream, b"GET k\r\n", b"$1\r\nv\r\n");
    exchange(&mut stream, b"CONFIG SET maxmemory 256mb\r\nSET new w\r\n", b"+OK\r\n+OK\r\n");
}

#[test]
fn what_the_tools_of_redis_ask_for_is_there() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let get = |name: &str, value: &str| format!("*2\r\n${}\r\n{name}\r\n${}\r\n{value}\r\n", name.len(), value.len());
    let both = [get("save", ""), get("appendonly", "no")].concat();
    exchange(&mut stream, b"CONFIG GET save\r\nCONFIG GET appendonly\r\n", both.as_bytes());
    // Encodings tune nothing here; what a tool sets it gets back, by both names.
    exchange(&mut stream, b"CONFIG SET hash-max-ziplist-entries 7 hz 100\r\n", b"+OK\r\n");
    let expected = get("hash-max-listpack-entries", "7");
    exchange(&mut stream, b"CONFIG GET hash-max-listpack-entries\r\n", expected.as_bytes());
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - \
                   only '' is supported\r\n";
    exchange(&mut stream, b"CONFIG SET notify-keyspace-events KEA\r\n", refused.as_bytes());
    let twice = "-ERR CONFIG SET failed (possibly related to argument 'primaryuser') - duplicate parameter\r\n";
    exchange(&mut stream, b"CONFIG SET masteruser '' primaryuser ''\r\n", twice.as_bytes());
}

#[test]
fn without_a_file_there_is_nothing_to_rewrite() {
    let server = Server::start(&[]);
    let expected = b"-ERR The server is running without a config file\r\n";
    exchange(&mut server.connect(), b"CONFIG REWRITE\r\n", expected);
}

#[test]
fn a_password_from_a_file_protects_and_is_written_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, file) = (folder.path().join("secret"), folder.path().join("pinion.toml"));
    fs::write(&secret, "open-sesame\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, format!("requirepass-file = \"{}\"\nloglevel = \"debug\"\n", secret.display())).unwrap();
    let server = Server::start(&["--config", path_text(&file)]);
    let mut stream = server.connect();
    exchange(&mut stream, b"PING\r\n", b"-NOAUTH Authentication required.\r\n");
    exchange(&mut stream, b"AUTH open-sesame\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG GET requirepass\r\n", b"*2\r\n$11\r\nrequirepass\r\n$11\r\nopen-sesame\r\n");
    exchange(&mut stream, b"CONFIG REWRITE\r\n", b"+OK\r\n");
    let content = fs::read_to_string(&file).unwrap();
    assert!(content.starts_with("requirepass-file = ") && !content.contains("open-sesame"), "{content}");
    server.signal("-TERM");
    let (_, out, err) = server.wait();
    assert!(err.contains("open to every user") && err.contains("mode 644"), "{err}");
    assert!(!err.contains("open-sesame") && !out.contains("open-sesame"), "{out}{err}");
    let both = run(&["--requirepass-file", path_text(&secret), "--requirepass", "x"]);
    let expected = "pinion: --requirepass-file: requirepass gives a password too; leave out one of the two\n";
    assert_eq!((both.status.code(), text(&both.stderr).as_str()), (Some(1), expected));
}

#[test]
fn logs_are_json_on_demand_and_their_level_changes_while_it_runs() {
    let server = Server::start(&["--log-format", "json", "--loglevel", "nothing"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"CONFIG SET maxmemory-policy allkeys-lru\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG SET loglevel notice\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG SET maxmemory-policy volatile-ttl\r\n", b"+OK\r\n");
    exchange(&mut stream, b"CONFIG SET maxmemory-policy allkeys-lfu\r\n", b"+OK\r\n");
    server.signal("-TERM");
    let (_, _, err) = server.wait();
    assert!(err.contains("allkeys-lfu") && !err.contains("allkeys-lru"), "{err}");
    let is_object = |line: &str| {
        line.starts_with("{\"timestamp\":\"") && line.contains("\"level\":\"INFO\"") && line.ends_with('}')
    };
    assert!(err.lines().all(is_object), "{err}");
}

#[test]
fn systemd_hears_of_start_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = Server::start_with(&[], &[("NOTIFY_SOCKET", path_text(&path))]);
    let hear = || {
        let mut message = [0; 64];
        let count = listener.recv(&mut message).expect("the server tells");
        text(&message[..count])
    };
    assert_eq!(hear(), "READY=1");
    exchange(&mut server.connect(), b"PING\r\n", b"+PONG\r\n");
    server.signal("-TERM");
    assert_eq!(hear(), "STOPPING=1");
    let (status, _, _) = server.wait();
    assert_eq!(status.code(), Some(0));
}
