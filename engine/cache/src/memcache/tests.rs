//! Exchanges in memcached's protocol, byte for byte, and with RESP on the same items.

use protocol::memcache::{Assembler, FedState, Limits, Parsed, parse};
use protocol::{ArgBuffer, Reply, Version};

use crate::rig::Rig;
use crate::{ClientIndex, ClientOrigin, Now, Outcome};

/// A cache with a client of this protocol beside the rig's own.
struct Text {
    rig: Rig,
    client: ClientIndex,
    limits: Limits,
}

impl Text {
    fn new() -> Text {
        Text::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Text {
        let mut rig = Rig::with(settings);
        let client = rig.cache.connect(ClientOrigin::default(), Now::default());
        Text { rig, client, limits: Limits::default() }
    }

    /// The answer to `input`, which may hold several requests; ` CLOSED` at its end if the connection is to close.
    fn run(&mut self, input: &[u8]) -> String {
        let (mut bytes, mut splices, mut buffer) = (Vec::new(), Vec::new(), ArgBuffer::new());
        let (mut rest, mut assembler, mut closed) = (input, Assembler::new(), false);
        while !rest.is_empty() && !closed {
            let mut args = Vec::new();
            let mut reply = Reply::new(&mut bytes, &mut splices, Version::Resp2);
            let cache = &mut self.rig.cache;
            if assembler.is_idle()
                && let Parsed::Request { consumed, .. } = parse(rest, &self.limits, &mut args)
            {
                let request = protocol::Request::new(&args);
                let prepared = cache.prepare_memcache(request);
                closed = matches!(cache.execute(self.client, &prepared, request, &mut reply), Outcome::Close);
                rest = &rest[consumed..];
                continue;
            }
            let fed = assembler.feed(rest, &self.limits).expect("tests send short lines");
            rest = &rest[fed.consumed..];
            if fed.state == FedState::Complete {
                assembler.with_request(&mut buffer, |request| match assembler.fault() {
                    Some(fault) => cache.refuse_memcache(self.client, fault, request, &mut reply),
                    None => {
                        let prepared = cache.prepare_memcache(request);
                        cache.execute(self.client, &prepared, request, &mut reply);
                    }
                });
                assembler.clear();
            }
        }
        let wire = crate::rig::on_the_wire(&bytes, &splices);
        let text = String::from_utf8_lossy(&wire).replace("\r\n", "|");
        if closed { format!("{text} CLOSED") } else { text }
    }

    /// Runs the requests (`|` is CRLF) and compares the answers, written alike; `...` allows any, `RESP ` goes to the
    /// rig's own client.
    #[track_caller]
    fn check(&mut self, exchanges: &[(&str, &str)]) {
        for (request, expected) in exchanges {
            let found = match request.strip_prefix("RESP ") {
                Some(command) => self.rig.run(command),
                None => self.run(request.replace('|', "\r\n").as_bytes()),
            };
            if *expected != "..." {
                assert_eq!(&found, expected, "to {request:.100}");
            }
        }
    }
}

#[track_caller]
fn check(exchanges: &[(&str, &str)]) {
    Text::new().check(exchanges);
}

#[test]
fn values_are_stored_and_retrieved() {
    check(&[
        ("get k|", "END|"),
        ("set k 5 0 2|ab|", "STORED|"),
        ("get k|", "VALUE k 5 2|ab|END|"),
        ("get none k none k|", "VALUE k 5 2|ab|VALUE k 5 2|ab|END|"),
        ("set empty 4294967295 0 0||", "STORED|"),
        ("get empty|", "VALUE empty 4294967295 0||END|"),
        ("add k 0 0 1|x|", "NOT_STORED|"),
        ("add new 0 0 1|x|", "STORED|"),
        ("replace none 0 0 1|x|", "NOT_STORED|"),
        ("replace k 7 0 1|y|", "STORED|"),
        ("get k|", "VALUE k 7 1|y|END|"),
        ("delete k|", "DELETED|"),
        ("delete k|", "NOT_FOUND|"),
        ("delete k 0|", "NOT_FOUND|"),
    ]);
}

#[test]
fn append_and_prepend_keep_flags_and_deadline() {
    let mut text = Text::new();
    text.check(&[
        ("append k 0 0 1|x|", "NOT_STORED|"),
        ("prepend k 0 0 1|x|", "NOT_STORED|"),
        ("set k 9 10 1|b|", "STORED|"),
        ("append k 1 0 2|cd|", "STORED|"),
        ("prepend k 1 0 1|a|", "STORED|"),
        ("get k|", "VALUE k 9 4|abcd|END|"),
        ("RESP TTL k", ":10"),
    ]);
    let half = "x".repeat(9000);
    text.check(&[
        (&format!("set k 0 0 9000|{half}|"), "STORED|"),
        (&format!("append k 0 0 9000|{half}|"), "STORED|"),
        ("get k|", &format!("VALUE k 0 18000|{half}{half}|END|")),
    ]);
    let mut small = Text::new();
    small.rig.cache.in_force.item_bytes_max = 1024;
    let most = "x".repeat(1000);
    small.check(&[
        (&format!("set k 0 0 1000|{most}|"), "STORED|"),
        (&format!("append k 0 0 1000|{most}|"), "NOT_STORED|"),
    ]);
}

#[test]
fn a_cas_number_holds_until_the_next_write_of_either_protocol() {
    check(&[
        ("cas k 0 0 1 1|x|", "NOT_FOUND|"),
        ("set k 3 0 1|a|", "STORED|"),
        ("cas k 0 0 1 1|x|", "EXISTS|"),
        ("gets k|", "VALUE k 3 1 1|a|END|"),
        ("gets k|", "VALUE k 3 1 1|a|END|"),
        ("get k|", "VALUE k 3 1|a|END|"),
        ("touch k 100|", "TOUCHED|"),
        ("RESP PERSIST k", ":1"),
        ("gets k|", "VALUE k 3 1 1|a|END|"),
        ("cas k 4 0 1 2|x|", "EXISTS|"),
        ("cas k 4 0 1 1|b|", "STORED|"),
        ("cas k 4 0 1 1|c|", "EXISTS|"),
        ("gets k|", "VALUE k 4 1 2|b|END|"),
        ("RESP SET k c", "+OK"),
        ("cas k 0 0 1 2|x|", "EXISTS|"),
        ("gets k|", "VALUE k 0 1 3|c|END|"),
        ("RESP SET k c KEEPTTL", "+OK"),
        ("cas k 0 0 1 3|x|", "EXISTS|"),
        ("set n 0 0 1|1|gets n|", "STORED|VALUE n 0 1 4|1|END|"),
        ("RESP INCR n", ":2"),
        ("cas n 0 0 1 4|x|", "EXISTS|"),
        ("gats 0 n|", "VALUE n 0 1 5|2|END|"),
        ("incr n 1|", "3|"),
        ("cas n 0 0 1 5|x|", "EXISTS|"),
        ("RESP DEL n", ":1"),
        ("cas n 0 0 1 5|x|", "NOT_FOUND|"),
        ("cas k 0 0 1|y|", "CLIENT_ERROR bad command line format|"),
        ("cas k 0 0 1 x|y|", "CLIENT_ERROR bad command line format|"),
    ]);
}

#[test]
fn numbers_wrap_stop_and_keep_their_width() {
    check(&[
        ("incr n 1|", "NOT_FOUND|"),
        ("set n 5 0 2|10|", "STORED|"),
        ("decr n 1|", "9|"),
        ("get n|", "VALUE n 5 2|9 |END|"),
        ("incr n 1|", "10|"),
        ("incr n 990|", "1000|"),
        ("get n|", "VALUE n 5 4|1000|END|"),
        ("decr n 2000|", "0|"),
        ("get n|", "VALUE n 5 4|0   |END|"),
        ("incr n 18446744073709551615|", "18446744073709551615|"),
        ("incr n 3|", "2|"),
        ("get n|", "VALUE n 5 20|2                   |END|"),
        ("incr n 18446744073709551616|", "CLIENT_ERROR invalid numeric delta argument|"),
        ("incr n -1|", "CLIENT_ERROR invalid numeric delta argument|"),
        ("decr n x|", "CLIENT_ERROR invalid numeric delta argument|"),
        ("RESP INCR n", "-ERR value is not an integer or out of range"),
        ("set t 0 0 3|abc|incr t 1|", "STORED|CLIENT_ERROR cannot increment or decrement non-numeric value|"),
        ("set t 0 0 0||incr t 1|", "STORED|CLIENT_ERROR cannot increment or decrement non-numeric value|"),
        ("RESP SET r 41", "+OK"),
        ("incr r 1|", "42|"),
        ("RESP GET r", "'42'"),
    ]);
}

/// The padded result of a long value went through the cache's scratch memory, which kept the room for ever, unseen by
/// `maxmemory`.
#[test]
fn arithmetic_on_a_long_value_keeps_no_memory() {
    let mut text = Text::new();
    for length in [21, 16_384, 16_385, 1 << 20] {
        let (old, new) = (format!("5{}", " ".repeat(length - 1)), format!("6{}", " ".repeat(length - 1)));
        text.check(&[
            (&format!("RESP SET k '{old}'"), "+OK"),
            ("incr k 1|", "6|"),
            ("RESP GET k", &format!("'{new}'")),
        ]);
    }
    let scratch_bytes = text.rig.cache.scratch.capacity();
    assert!(scratch_bytes <= 2 * item::INLINE_VALUE_BYTES_MAX, "{scratch_bytes}");
}

#[test]
fn deadlines_are_relative_absolute_or_past() {
    let mut text = Text::new();
    text.check(&[
        ("set a 0 10 1|x|", "STORED|"),
        ("RESP PTTL a", ":10000"),
        ("set a 0 1700000020 1|x|", "STORED|"),
        ("RESP PTTL a", ":20000"),
        ("set a 0 -1 1|x|", "STORED|"),
        ("get a|", "END|"),
        ("RESP EXISTS a", ":0"),
        ("set a 0 2592001 1|x|get a|", "STORED|END|"),
        ("set a 0 0 1|x|touch a 30|", "STORED|TOUCHED|"),
        ("RESP PTTL a", ":30000"),
        ("gat 5 a none|", "VALUE a 0 1|x|END|"),
        ("RESP PTTL a", ":5000"),
        ("touch a 0|", "TOUCHED|"),
        ("RESP PTTL a", ":-1"),
        ("gat -1 a|get a|", "VALUE a 0 1|x|END|END|"),
        ("touch a 1|", "NOT_FOUND|"),
        ("touch a x|", "CLIENT_ERROR invalid exptime argument|"),
        ("gat x a|", "CLIENT_ERROR invalid exptime argument|"),
        ("set a 0 x 1|y|", "CLIENT_ERROR bad command line format|"),
        ("set soon 0 1 1|x|", "STORED|"),
    ]);
    text.rig.advance_ms(999);
    text.check(&[("get soon|", "VALUE soon 0 1|x|END|")]);
    text.rig.advance_ms(1);
    text.check(&[("get soon|", "END|"), ("delete soon|", "NOT_FOUND|"), ("add soon 0 0 1|y|", "STORED|")]);
}

#[test]
fn a_flush_may_be_put_off() {
    let mut text = Text::new();
    text.check(&[
        ("set k 0 0 1|x|flush_all|get k|", "STORED|OK|END|"),
        ("RESP SELECT 1", "+OK"),
        ("RESP SET other x", "+OK"),
        ("set k 0 0 1|x|flush_all 2|get k|", "STORED|OK|VALUE k 0 1|x|END|"),
    ]);
    text.rig.advance_ms(1999);
    text.check(&[("get k|", "VALUE k 0 1|x|END|")]);
    text.rig.advance_ms(1);
    text.check(&[
        ("get k|", "END|"),
        ("RESP EXISTS other", ":1"),
        ("set k 0 0 1|x|flush_all 2|flush_all -1|set k 0 0 1|y|", "STORED|OK|OK|STORED|"),
        ("flush_all x|", "CLIENT_ERROR invalid exptime argument|"),
    ]);
    text.rig.advance_ms(5000);
    text.check(&[
        ("get k|", "VALUE k 0 1|y|END|"),
        ("flush_all noreply|get k|", "END|"),
        ("set k 0 0 1|y|flush_all 0 noreply|get k|", "STORED|END|"),
    ]);
}

#[test]
fn noreply_silences_answers_and_errors_but_not_broken_lines() {
    check(&[
        ("set k 0 0 1 noreply|x|", ""),
        ("add k 0 0 1 noreply|y|", ""),
        ("cas k 0 0 1 7 noreply|y|", ""),
        ("append k 0 0 1 noreply|y|", ""),
        ("get k|", "VALUE k 0 2|xy|END|"),
        ("incr k 1 noreply|", ""),
        ("incr k x noreply|", ""),
        ("touch k 0 noreply|", ""),
        ("verbosity 1 noreply|", ""),
        ("delete k noreply|", ""),
        ("delete k 0 noreply|", ""),
        ("nonsense noreply|", ""),
        ("set k 1 0 1 noreply|xx|", "CLIENT_ERROR bad command line format|"),
        ("set k x 0 1 noreply|x|", ""),
        ("set k 0 noreply|", "CLIENT_ERROR bad command line format|"),
        ("set k 0 0 -1 noreply|", "CLIENT_ERROR bad command line format|"),
        ("set noreply 0 0 1|x|get noreply|", "STORED|VALUE noreply 0 1|x|END|"),
        ("version noreply|", "VERSION 1.5.22|"),
    ]);
}

#[test]
fn broken_lines_are_answered_as_memcached_answers() {
    let line = "CLIENT_ERROR bad command line format|";
    let long = "k".repeat(251);
    let mut text = Text::new();
    for request in ["|", "a|", "get|", "gets|", "gat 0|", "set|", "set k 0 0|", "set k 0 0 -1|", "set k 0 0 x|"] {
        text.check(&[(request, line)]);
    }
    for request in ["delete|", "incr k|", "touch k|", "set k 0 0 2147483646|", "verbosity|", "verbosity a|"] {
        text.check(&[(request, line)]);
    }
    for request in ["set k -1 0 1|x|", "set k 0x10 0 1|x|", "set k 4294967296 0 1|x|"] {
        text.check(&[(request, line)]);
    }
    text.check(&[
        (&format!("set {long} 0 0 1|x|"), line),
        (&format!("delete {long}|"), line),
        (&format!("incr {long} 1|"), line),
        (&format!("touch {long} 1|"), line),
        (&format!("set {} 0 0 1|x|", &long[1..]), "STORED|"),
        (&format!("get {} {long}|", &long[1..]), line),
        (&format!("get {long}|"), line),
        ("ab|", "ERROR|"),
        (" get k|", "ERROR|"),
        ("GET k|", "ERROR|"),
        ("mg k|", "ERROR|"),
        ("nonsense 1 2 3|", "ERROR|"),
        ("set k 0 0 3|hello|get k|", "CLIENT_ERROR bad data chunk|CLIENT_ERROR bad command line format|END|"),
        ("set k 0 0 1 1 2 3 4|x|", "STORED|"),
        ("set c\u{1}\t 0 0 1|x|get c\u{1}\t|", "STORED|VALUE c\u{1}\t 0 1|x|END|"),
        ("quit|get k|", " CLOSED"),
        ("GET / HTTP/1.0|", " CLOSED"),
    ]);
}

#[test]
fn a_value_that_is_too_large_is_swallowed_and_a_set_drops_the_old_one() {
    let mut text = Text::new();
    text.limits.item_bytes_max = 1024;
    let (most, value) = ("v".repeat(900), "v".repeat(20_000));
    let too_large = "SERVER_ERROR object too large for cache|";
    text.check(&[
        (&format!("set k 0 0 900|{most}|"), "STORED|"),
        (&format!("add k 0 0 20000|{value}|"), too_large),
        (&format!("append k 0 0 20000|{value}|get k|"), &format!("{too_large}VALUE k 0 900|{most}|END|")),
        (&format!("set k 0 0 20000 noreply|{value}|get k|"), "END|"),
        (&format!("set k 0 0 20000|{value}|version|"), &format!("{too_large}VERSION 1.5.22|")),
        (&format!("set k x 0 20000|{value}|"), "CLIENT_ERROR bad command line format|"),
    ]);
    text.limits = Limits { large_bytes_max: 17_000, ..Limits::default() };
    text.check(&[
        ("set k 0 0 1|x|", "STORED|"),
        (&format!("set k 0 0 20000|{value}|get k|"), "SERVER_ERROR out of memory storing object|END|"),
    ]);
}

#[test]
fn full_memory_refuses_to_store() {
    let mut text = Text::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "noeviction")]);
    let value = "v".repeat(10_000);
    let refused = (0..2000).find(|i| text.run(format!("set k{i} 0 0 10000\r\n{value}\r\n").as_bytes()) != "STORED|");
    let refused = refused.expect("20 MB do not go into 8");
    let no_room = "SERVER_ERROR out of memory storing object|";
    text.check(&[
        (&format!("set k{refused} 0 0 10000|{value}|"), no_room),
        (&format!("add k{refused} 0 0 10000|{value}|"), no_room),
        (&format!("append k0 0 0 10000|{value}|"), no_room),
        ("get k0|", &format!("VALUE k0 0 10000|{value}|END|")),
    ]);
}

#[test]
fn a_password_is_the_first_request() {
    let mut text = Text::with(&[("requirepass", "secret")]);
    text.limits.authenticated = false;
    text.check(&[
        ("get k|", "CLIENT_ERROR unauthenticated|"),
        ("version|", "CLIENT_ERROR unauthenticated|"),
        ("add k 0 0 14|default secret|", "CLIENT_ERROR unauthenticated|"),
        ("set k 0 0 2|hi|", "CLIENT_ERROR bad authentication token format|"),
        ("set k 0 0 13|default wrong|", "CLIENT_ERROR authentication failure|"),
        ("set k 0 0 12|other secret|", "CLIENT_ERROR authentication failure|"),
        ("set k 0 0 3|abcdeget k|", "CLIENT_ERROR bad command line termination|CLIENT_ERROR unauthenticated|"),
        (&format!("set k 0 0 16385|{}|", "x".repeat(16385)), "CLIENT_ERROR auth token too long|"),
        ("set k 0 0 14|default secret|", "STORED|"),
        ("get k|", "END|"),
        ("set k 0 0 2|hi|get k|", "STORED|VALUE k 0 2|hi|END|"),
        ("|", "CLIENT_ERROR bad command line format|"),
    ]);
}

/// It was told to authenticate first, and left connected.
#[test]
fn a_stranger_may_leave() {
    let mut text = Text::with(&[("requirepass", "secret")]);
    text.limits.authenticated = false;
    text.check(&[("quit|", " CLOSED")]);
}

/// A value that was never read was counted in `cmd_set`, one with a bad end was not, and what append made was no item.
#[test]
fn what_is_stored_is_counted_as_in_memcached() {
    let table: &[(&str, &str, &[&str])] = &[
        ("set k 0 0 1|x|", "STORED|", &["cmd_set 1", "total_items 1"]),
        ("add k 0 0 1|x|", "NOT_STORED|", &["cmd_set 1", "total_items 0"]),
        ("append k 0 0 1|x|", "STORED|", &["cmd_set 1", "total_items 1"]),
        ("prepend k 0 0 1|x|", "STORED|", &["cmd_set 1", "total_items 1"]),
        ("append none 0 0 1|x|", "NOT_STORED|", &["cmd_set 1", "total_items 0"]),
        ("set k 0 0 1|xyz", "CLIENT_ERROR bad data chunk|", &["cmd_set 1", "total_items 0"]),
    ];
    let value = "x".repeat(1 << 20);
    let too_large = format!("set k 0 0 {}|{value}|", value.len());
    let refused = "SERVER_ERROR object too large for cache|";
    let row = (&*too_large, refused, &["cmd_set 0", "total_items 0", "store_too_large 1"][..]);
    for (request, answer, counts) in table.iter().copied().chain([row]) {
        let mut text = Text::new();
        text.check(&[("set k 0 0 1|v|", "STORED|"), ("stats reset|", "RESET|"), (request, answer)]);
        let stats = text.run(b"stats\r\n");
        for count in counts {
            assert!(stats.contains(&format!("STAT {count}|")), "{count} after {request:.40}: {stats}");
        }
    }
}

#[test]
fn the_server_tells_about_itself() {
    let mut text = Text::new();
    text.check(&[
        ("version|", "VERSION 1.5.22|"),
        ("verbosity 99|", "OK|"),
        ("shutdown|", "SERVER_ERROR: shutdown not enabled|"),
        ("watch|", "CLIENT_ERROR watch commands not allowed|"),
        ("slabs|", "ERROR|"),
        ("slabs reassign 1 2|", "CLIENT_ERROR slab reassignment disabled|"),
        ("slabs automove|", "CLIENT_ERROR bad command line format|"),
        ("slabs automove x|", "CLIENT_ERROR bad command line format|"),
        ("slabs automove 0|slabs automove 1|", "OK|ERROR|"),
        ("cache_memlimit|", "ERROR|"),
        ("cache_memlimit 1|", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m|"),
        ("cache_memlimit 1000000001|", "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes|"),
        ("cache_memlimit 128|", "OK|"),
        ("RESP CONFIG GET maxmemory", "['maxmemory' '134217728']"),
        ("stats sizes|", "STAT sizes_status disabled|END|"),
        ("stats nonsense|", "ERROR|"),
        ("stats cachedump 1 1|", "CLIENT_ERROR stats cachedump not allowed|"),
        ("stats items|", "END|"),
        ("stats detail|", "CLIENT_ERROR usage: stats detail on|off|dump|"),
        ("stats detail on|", "OK|"),
        ("set a:1 0 0 1|x|get a:1 a:2 b|delete a:1|", "..."),
        ("stats detail dump|", "PREFIX a get 2 hit 1 set 1 del 1|END|"),
        ("stats detail off|get a:1|stats detail dump|", "OK|END|PREFIX a get 2 hit 1 set 1 del 1|END|"),
    ]);
    let general = text.run(b"stats\r\n");
    for line in ["STAT cmd_get 4|", "STAT get_hits 1|", "STAT get_misses 3|", "STAT cmd_set 1|", "STAT delete_hits 1|"]
    {
        assert!(general.contains(line), "no {line} in {general}");
    }
    assert!(text.run(b"stats settings\r\n").contains("STAT verbosity 3|"));
    assert!(text.run(b"stats conns\r\n").contains(":state conn_parse_cmd|"));
    assert!(text.run(b"stats slabs\r\n").contains("STAT active_slabs 1|"));
    assert_eq!(text.run(b"stats reset\r\n"), "RESET|");
    assert!(text.run(b"stats\r\n").contains("STAT cmd_get 0|"));
}

#[test]
fn many_keys_cross_groups() {
    let mut text = Text::new();
    let (mut keys, mut expected) = (String::new(), String::new());
    for i in 0..100 {
        keys.push_str(&format!(" key:{i}"));
        if i % 3 != 0 {
            text.run(format!("set key:{i} {i} 0 3\r\n{i:03}\r\n").as_bytes());
            expected.push_str(&format!("VALUE key:{i} {i} 3|{i:03}|"));
        }
    }
    text.check(&[(&format!("get{keys}|"), &format!("{expected}END|"))]);
}

#[test]
fn large_values_are_shared_not_copied() {
    let mut text = Text::new();
    let value = "v".repeat(100_000);
    text.check(&[
        (&format!("set k 1 0 100000|{value}|"), "STORED|"),
        ("gets k|", &format!("VALUE k 1 100000 1|{value}|END|")),
        ("RESP STRLEN k", ":100000"),
        ("cas k 2 0 1 1|x|", "STORED|"),
        ("get k|", "VALUE k 2 1|x|END|"),
    ]);
}

/// While every command was timed by itself no batch had a beginning: a request took the time since the last one,
/// however long its client had been silent, and the latency monitor told of it.
#[test]
fn idle_time_is_not_time_of_the_next_request() {
    let mut text = Text::with(&[("slowlog-log-slower-than", "500"), ("latency-monitor-threshold", "100")]);
    text.rig.use_stopwatch(1_000_000_000);
    text.rig.cache.timing.read();
    text.rig.use_stopwatch(1_000);
    text.rig.cache.begin_batch();
    text.check(&[("get k|", "END|")]);
    text.rig.cache.end_batch();
    text.check(&[("RESP LATENCY LATEST", "[]")]);
}

#[test]
fn requests_count_as_commands_of_the_server() {
    let mut text = Text::new();
    text.rig.use_stopwatch(1000);
    text.rig.cache.begin_batch();
    text.check(&[("set k 0 0 1|v|", "STORED|"), ("get k none|", "VALUE k 0 1|v|END|")]);
    text.rig.cache.end_batch();
    let report = text.rig.cache.report();
    assert_eq!((report.memcache_requests, report.memcache_spent_ns), (2, 1000));
    assert_eq!((report.memcache_hits, report.memcache_misses), (1, 1));
    let info = text.rig.run("INFO stats");
    assert!(info.contains("total_commands_processed:2\r"), "{info}");
    assert!(info.contains("eventloop_duration_cmd_sum:1\r"), "{info}");
}

#[test]
fn what_monitors_never_see_is_not_counted_as_left_out() {
    let mut text = Text::new();
    text.check(&[("RESP MONITOR", "+OK")]);
    for _ in 0..4001 {
        text.check(&[("RESP PING", "+PONG")]);
    }
    text.rig.cache.take_effects();
    text.rig.cache.begin_batch();
    text.check(&[("get k|", "END|"), ("get k|", "END|")]);
    text.rig.cache.end_batch();
    text.rig.advance_ms(1000);
    text.check(&[("RESP PING", "+PONG")]);
    let effects = format!("{:?}", text.rig.cache.take_effects());
    let skipped = b"\"skipped\" \"1\"".iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    assert!(effects.contains(&skipped), "{effects}");
}
