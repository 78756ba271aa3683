//! What an operator sees: /metrics, /healthz, SLOWLOG, LATENCY and INFO of a running server.

use std::io::Write;
use std::net::TcpStream;

use crate::process::{PATIENCE, Server, free_port, read_to_close};

/// A server with its pages on a free port.
fn start() -> (Server, u16) {
    // The port is free now; another process may take it before the server does. Then the next one is tried.
    for _ in 0..20 {
        let port = free_port();
        let bind = format!("127.0.0.1:{port}");
        match Server::try_start(free_port(), &["--metrics-bind", &bind]) {
            Ok(server) => return (server, port),
            Err(refused) if refused.stderr.contains("in use") => {}
            Err(refused) => panic!("the server did not start: {}", refused.stderr),
        }
    }
    panic!("no free port after 20 attempts");
}

/// Sends raw bytes to the pages' port; the answer until the server closes.
fn raw(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the pages are served");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.write_all(request.as_bytes()).expect("the server reads");
    String::from_utf8(read_to_close(&mut stream)).expect("text")
}

fn get(port: u16, path: &str) -> String {
    raw(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

/// The value of the sample that begins with `name`.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

#[test]
fn a_scrape_shows_what_was_done() {
    let (server, port) = start();
    let mut client = server.client();
    for _ in 0..3 {
        redis::cmd("SET").arg("k").arg("v").exec(&mut client).unwrap();
    }
    let _: Option<String> = redis::cmd("GET").arg("none").query(&mut client).unwrap();
    let page = get(port, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    assert_eq!(value(&page, "pinion_command_calls_total{command=\"set\"}"), 3.0);
    assert_eq!(value(&page, "pinion_command_duration_seconds_count{command=\"set\"}"), 3.0);
    assert_eq!(value(&page, "pinion_keyspace_misses_total"), 1.0);
    assert_eq!(value(&page, "pinion_keys{database=\"0\"}"), 1.0);
    assert!(value(&page, "pinion_memory_used_bytes") > 0.0);
    assert!(page.contains("# TYPE pinion_command_duration_seconds histogram\n"), "{page}");
}

#[test]
fn the_pages_answer_what_they_can() {
    let (_server, port) = start();
    // Numbers come from a core that ticks.
    assert!(get(port, "/metrics").starts_with("HTTP/1.1 200"));
    let health = get(port, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok\n"), "{health}");
    assert!(get(port, "/").starts_with("HTTP/1.1 404"));
    assert!(
        raw(port, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .contains(" 405 ")
    );
    assert!(raw(port, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ends_with("\r\n\r\n"));
    assert!(raw(port, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(raw(port, &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000))).contains(" 4"));
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let (_server, port) = start();
    let silent: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("the pages are served")).collect();
    assert!(get(port, "/metrics").starts_with("HTTP/1.1 200"));
    drop(silent);
}

#[test]
fn an_address_that_was_chosen_must_be_free() {
    let (_server, port) = start();
    let bind = format!("127.0.0.1:{port}");
    let refused = Server::try_start(free_port(), &["--metrics-bind", &bind]).err().expect("the port is taken");
    assert!(refused.stderr.contains(&format!("metrics-bind: cannot listen on {bind}")), "{}", refused.stderr);
    assert_eq!(refused.stderr.trim_end().lines().count(), 1);
    let refused = Server::try_start(free_port(), &["--metrics-bind", &bind, "--log-format", "json"]).err().unwrap();
    assert!(refused.stderr.starts_with("{\"timestamp\":\"") && refused.stderr.ends_with("}\n"), "{}", refused.stderr);
    assert!(refused.stderr.contains("\"level\":\"ERROR\"") && refused.stderr.contains(&bind), "{}", refused.stderr);
    let silent = ["--metrics-bind", &bind, "--log-format", "json", "--loglevel", "nothing"];
    let refused = Server::try_start(free_port(), &silent).err().unwrap();
    assert!(refused.stderr.starts_with("pinion: metrics-bind: "), "{}", refused.stderr);
}

#[test]
fn slow_commands_are_logged_with_their_clients() {
    let server = Server::start(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.client();
    redis::cmd("CLIENT").arg("SETNAME").arg("me").exec(&mut client).unwrap();
    redis::cmd("SLOWLOG").arg("RESET").exec(&mut client).unwrap();
    redis::cmd("SET").arg("k").arg("x".repeat(200)).exec(&mut client).unwrap();
    type Entry = (i64, i64, i64, Vec<String>, String, String);
    let entries: Vec<Entry> = redis::cmd("SLOWLOG").arg("GET").query(&mut client).unwrap();
    let (_, unix_seconds, spent_us, args, address, name) = &entries[0];
    assert!(*unix_seconds > 1_700_000_000 && (0..PATIENCE.as_micros() as i64).contains(spent_us));
    assert_eq!(args[..2], ["SET", "k"]);
    assert!(args[2].ends_with("x... (72 more bytes)"), "{}", args[2]);
    assert!(address.starts_with("127.0.0.1:") && name == "me", "{address} {name}");
    assert_eq!(entries[1].3, ["SLOWLOG", "RESET"]);
}

#[test]
fn commands_have_times() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for _ in 0..100 {
        redis::cmd("GET").arg("k").exec(&mut client).unwrap();
    }
    let info: String = redis::cmd("INFO").arg("commandstats").arg("latencystats").query(&mut client).unwrap();
    assert!(info.contains("cmdstat_get:calls=100,") && info.contains("latency_percentiles_usec_get:p50="), "{info}");
    type Histogram = Vec<(String, (String, i64, String, Vec<i64>))>;
    let found: Histogram = redis::cmd("LATENCY").arg("HISTOGRAM").arg("get").query(&mut client).unwrap();
    let (name, (_, calls, _, buckets)) = &found[0];
    assert_eq!((name.as_str(), *calls, buckets.last()), ("get", 100, Some(&100)));
}

/// INFO showed the counters of up to a tenth of a second ago, and CONFIG RESETSTAT left what had come since.
#[test]
fn what_was_just_done_is_counted() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut field = |name: &str| -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut client).unwrap();
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.expect(name).parse().unwrap()
    };
    let before = field("total_connections_received");
    let others: Vec<_> = (0..5).map(|_| server.client()).collect();
    assert_eq!(field("total_connections_received"), before + 5);
    let mut other = server.client();
    redis::cmd("SET").arg("k").arg("x".repeat(100_000)).exec(&mut other).unwrap();
    assert!(field("total_net_input_bytes") > 100_000);
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut other).unwrap();
    assert!(field("total_net_input_bytes") < 1000);
    drop(others);
}

#[test]
fn every_section_of_info_is_there() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let all: String = redis::cmd("INFO").arg("everything").query(&mut client).unwrap();
    let titles: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    for title in ["Server", "Clients", "Memory", "Stats", "Keyspace", "Commandstats", "Errorstats", "CPU", "Tick"] {
        assert!(titles.contains(&title), "{title} in {titles:?}");
    }
}
