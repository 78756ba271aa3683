//! Rig: a cache without a server, driven by text.
//!
//! A command is words, in single quotes if they are empty or hold spaces. A reply is rendered as `+OK`, `-ERR ...`,
//! `:1`, `'bulk'`, `nil` (RESP2) or `null` (RESP3), `[array]`, `{map}`, `<set>`. Time stands still unless `advance_ms`
//! moves it.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::{Arg, Reply, Request, Spliced};

use crate::{Cache, CacheOptions, ClientIndex, ClientOrigin, Config, Job, JobState, Now, Outcome};

/// The time at which every rig starts.
pub const START_MS: u64 = 1_700_000_000_000;

/// A cache with one client.
pub struct Rig {
    pub cache: Cache,
    client: ClientIndex,
    now: Now,
    connections: u64,
}

/// Runs commands on a new cache and compares the replies; the expectation `...` allows any.
pub fn check(exchanges: &[(&str, &str)]) {
    Rig::new().check(exchanges);
}

impl Default for Rig {
    fn default() -> Self {
        Rig::new()
    }
}

impl Rig {
    /// A rig with the default settings.
    pub fn new() -> Rig {
        Rig::with(&[])
    }

    /// A rig whose settings differ from the defaults by `settings`.
    pub fn with(settings: &[(&str, &str)]) -> Rig {
        let config = Settings::new(settings);
        let options =
            CacheOptions { seed: 7, shard_count: 8, host_memory_bytes: 1 << 30, config: Box::new(config), stopwatch };
        NS_PER_READING.set(0);
        let mut cache = Cache::new(options).expect("the host has memory");
        let now = Now { unix_ms: START_MS, mono_us: 1_000_000 };
        cache.begin_tick(now);
        let client = cache.connect(origin(1), now);
        Rig { cache, client, now, connections: 1 }
    }

    /// Runs commands and compares the replies; the expectation `...` allows any.
    #[track_caller]
    pub fn check(&mut self, exchanges: &[(&str, &str)]) {
        for (i, (command, expected)) in exchanges.iter().enumerate() {
            let found = self.run(command);
            if *expected != "..." {
                assert_eq!(&found, expected, "reply {i}, to {command:.100}");
            }
        }
    }

    /// Runs one command to its end and renders its reply.
    pub fn run(&mut self, command: &str) -> String {
        self.run_as_job(command).1
    }

    /// Runs one command; how many slices it took as a job (0 if it was none), and its reply.
    pub fn run_as_job(&mut self, command: &str) -> (usize, String) {
        let words = words(command);
        let args: Vec<Bytes> = words.into_iter().map(Bytes::from).collect();
        let mut slices = 0;
        let (bytes, splices) = self.exchange(&args, &mut slices);
        (slices, render(&on_the_wire(&bytes, &splices)))
    }

    /// The large values that the reply to `command` refers to.
    pub fn splices(&mut self, command: &str) -> Vec<Bytes> {
        let args: Vec<Bytes> = words(command).into_iter().map(Bytes::from).collect();
        self.exchange(&args, &mut 0).1.into_iter().map(|spliced| spliced.value).collect()
    }

    /// Sets a large value as the connection would hand it over.
    pub fn set_large(&mut self, key: &str, value: &Bytes) {
        let args = [Bytes::from_static(b"SET"), Bytes::copy_from_slice(key.as_bytes()), value.clone()];
        assert_eq!(self.exchange(&args, &mut 0).0, b"+OK\r\n");
    }

    /// Moves the clocks forward.
    pub fn advance_ms(&mut self, ms: u64) {
        self.now.unix_ms += ms;
        self.now.mono_us += ms * 1000;
        self.cache.begin_tick(self.now);
    }

    /// From now on each reading of the stopwatch is `ns` after the last one.
    pub fn use_stopwatch(&mut self, ns: u64) {
        NS_PER_READING.set(ns);
    }

    /// Lets time pass on the stopwatch.
    pub fn advance_stopwatch(&mut self, ns: u64) {
        READING_NS.set(READING_NS.get() + ns);
    }

    /// Runs commands as one batch.
    pub fn batch(&mut self, commands: &[&str]) {
        self.cache.begin_batch();
        for command in commands {
            self.run(command);
        }
        self.cache.end_batch();
    }

    /// Upkeep until nothing is left to do.
    pub fn maintain(&mut self) {
        const CALLS_MAX: usize = 1_000_000;
        for _ in 0..CALLS_MAX {
            if !self.cache.maintain() {
                return;
            }
        }
        panic!("upkeep never ends");
    }

    /// All keys that a SCAN with `options` meets.
    pub fn scan(&mut self, options: &str) -> Vec<String> {
        self.scan_while(options, |_| {})
    }

    /// All keys that a SCAN with `options` meets, while `each_step` happens between its steps.
    pub fn scan_while(&mut self, options: &str, mut each_step: impl FnMut(&mut Rig)) -> Vec<String> {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let reply = self.run(&format!("SCAN {cursor} {options}"));
            let mut texts = reply.split('\'').skip(1).step_by(2);
            cursor = texts.next().expect("a cursor").to_owned();
            found.extend(texts.map(str::to_owned));
            if cursor == "0" {
                return found;
            }
            each_step(self);
        }
    }

    /// Replaces the client by a new one.
    pub fn reconnect(&mut self) {
        self.cache.disconnect(self.client);
        self.client = self.connect();
    }

    /// Adds a client that does nothing.
    pub fn connect_another(&mut self) {
        self.connect();
    }

    /// Changes a setting through another, authenticated client.
    pub fn change_setting(&mut self, name: &str, value: &str) {
        let other = self.connect();
        let own = std::mem::replace(&mut self.client, other);
        self.run("AUTH secret");
        assert_eq!(self.run(&format!("CONFIG SET {name} '{value}'")), "+OK");
        self.client = own;
        self.cache.disconnect(other);
    }

    fn connect(&mut self) -> ClientIndex {
        self.connections += 1;
        self.cache.connect(origin(self.connections), self.now)
    }

    fn exchange(&mut self, args: &[Bytes], slices: &mut usize) -> (Vec<u8>, Vec<Spliced>) {
        let args: Vec<Arg<'_>> = args
            .iter()
            .map(|arg| if arg.len() < protocol::LARGE_BULK_MIN { Arg::new(arg) } else { Arg::large(arg) })
            .collect();
        let (mut bytes, mut splices) = (Vec::new(), Vec::new());
        let version = self.cache.session(self.client).version();
        let mut reply = Reply::new(&mut bytes, &mut splices, version);
        let request = Request::new(&args);
        let prepared = self.cache.prepare(self.client, request);
        self.cache.prefetch_slot(&prepared);
        self.cache.prefetch_bucket(&prepared);
        self.cache.prefetch_record(&prepared);
        if let Outcome::Job(mut job) = self.cache.execute(self.client, &prepared, request, &mut reply) {
            *slices = 1;
            while self.cache.run_job(self.client, &mut job, &mut reply) == JobState::More {
                *slices += 1;
            }
        }
        (bytes, splices)
    }

    /// Begins a command that will wait.
    pub fn begin(&mut self, command: &str) -> Box<Job> {
        let words = words(command);
        let args: Vec<Arg<'_>> = words.iter().map(|word| Arg::new(word.as_bytes())).collect();
        let (mut bytes, mut splices) = (Vec::new(), Vec::new());
        let mut reply = Reply::new(&mut bytes, &mut splices, self.cache.session(self.client).version());
        let request = Request::new(&args);
        let prepared = self.cache.prepare(self.client, request);
        match self.cache.execute(self.client, &prepared, request, &mut reply) {
            Outcome::Job(job) => job,
            other => panic!("{command} does not wait: {other:?} {bytes:?}"),
        }
    }

    /// The reply to a request that was too large to be kept.
    pub fn refuse_oversized(&mut self) -> String {
        let (mut bytes, mut splices) = (Vec::new(), Vec::new());
        let version = self.cache.session(self.client).version();
        self.cache.refuse_oversized(self.client, &mut Reply::new(&mut bytes, &mut splices, version));
        render(&on_the_wire(&bytes, &splices))
    }

    /// Looks whether a command that waits may go on; its reply when it is done.
    pub fn go_on(&mut self, job: &mut Job) -> Option<String> {
        let (mut bytes, mut splices) = (Vec::new(), Vec::new());
        let mut reply = Reply::new(&mut bytes, &mut splices, self.cache.session(self.client).version());
        match self.cache.run_job(self.client, job, &mut reply) {
            JobState::Parked => None,
            JobState::Done | JobState::Close | JobState::More => Some(render(&on_the_wire(&bytes, &splices))),
        }
    }

    /// Goes on as a new client; the one before stays connected.
    pub fn switch_client(&mut self) -> ClientIndex {
        let other = self.connect();
        self.switch_to(other)
    }

    /// Goes on as `client`; the one before stays connected.
    pub fn switch_to(&mut self, client: ClientIndex) -> ClientIndex {
        std::mem::replace(&mut self.client, client)
    }
}

thread_local! {
    // Per thread, as tests run beside each other.
    static NS_PER_READING: Cell<u64> = const { Cell::new(0) };
    static READING_NS: Cell<u64> = const { Cell::new(0) };
}

fn stopwatch() -> u64 {
    READING_NS.set(READING_NS.get() + NS_PER_READING.get());
    READING_NS.get()
}

fn origin(number: u64) -> ClientOrigin {
    ClientOrigin {
        address: format!("127.0.0.1:{}", 50_000 + number),
        local_address: "127.0.0.1:6379".to_owned(),
        fd: 7 + number as i32,
    }
}

/// The words of a command line.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// A reply with its large values in place.
pub fn on_the_wire(bytes: &[u8], splices: &[Spliced]) -> Vec<u8> {
    let (mut wire, mut from) = (Vec::new(), 0);
    for spliced in splices {
        wire.extend_from_slice(&bytes[from..spliced.at]);
        wire.extend_from_slice(&spliced.value);
        from = spliced.at;
    }
    wire.extend_from_slice(&bytes[from..]);
    wire
}

/// Renders a reply that must be exactly one element, or nothing.
pub fn render(wire: &[u8]) -> String {
    let mut text = String::new();
    if wire.is_empty() {
        return text;
    }
    let rest = render_one(wire, &mut text);
    assert!(rest.is_empty(), "{:?} after {text}", String::from_utf8_lossy(rest));
    text
}

fn render_one<'a>(wire: &'a [u8], text: &mut String) -> &'a [u8] {
    let end = wire.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let (line, rest) = (std::str::from_utf8(&wire[..end]).expect("text"), &wire[end + 2..]);
    let (kind, value) = line.split_at(1);
    match kind {
        "+" | "-" | ":" | "," | "#" => text.push_str(line),
        "_" => text.push_str("null"),
        "$" | "*" if value == "-1" => text.push_str("nil"),
        "$" | "=" => return render_bulk(value, rest, text),
        "*" | ">" => return render_many(value, 1, ["[", "]"], rest, text),
        "%" => return render_many(value, 2, ["{", "}"], rest, text),
        "~" => return render_many(value, 1, ["<", ">"], rest, text),
        _ => panic!("unknown reply type {line}"),
    }
    rest
}

fn render_bulk<'a>(length: &str, rest: &'a [u8], text: &mut String) -> &'a [u8] {
    let length: usize = length.parse().expect("a length");
    assert_eq!(&rest[length..length + 2], b"\r\n");
    text.push('\'');
    text.push_str(&String::from_utf8_lossy(&rest[..length]));
    text.push('\'');
    &rest[length + 2..]
}

fn render_many<'a>(
    count: &str,
    elements_each: usize,
    [open, close]: [&str; 2],
    mut rest: &'a [u8],
    text: &mut String,
) -> &'a [u8] {
    text.push_str(open);
    for i in 0..count.parse::<usize>().expect("a count") * elements_each {
        if i > 0 {
            text.push(' ');
        }
        rest = render_one(rest, text);
    }
    text.push_str(close);
    rest
}

/// A few settings, kept as text.
struct Settings(BTreeMap<&'static str, String>);

const SETTINGS: &[(&str, &str)] = &[
    ("enable-debug-command", "no"),
    ("maxmemory", "67108864"),
    ("maxmemory-policy", "allkeys-s3fifo"),
    ("proto-max-bulk-len", "536870912"),
    ("requirepass", ""),
    ("slowlog-log-slower-than", "10000"),
    ("slowlog-max-len", "128"),
    ("latency-tracking", "yes"),
    ("latency-tracking-info-percentiles", "50 99 99.9"),
    ("latency-monitor-threshold", "0"),
];
const NAMES: &[&str] = &[
    "enable-debug-command",
    "maxmemory",
    "maxmemory-policy",
    "proto-max-bulk-len",
    "requirepass",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "latency-tracking",
    "latency-tracking-info-percentiles",
    "latency-monitor-threshold",
];

impl Settings {
    fn new(changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings(SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        settings.set(changes).expect("valid settings");
        settings
    }
}

impl Config for Settings {
    fn names(&self) -> &[&'static str] {
        NAMES
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn set(&mut self, pairs: &[(&str, &str)]) -> Result<(), String> {
        for (name, value) in pairs {
            let is_number = matches!(*name, "maxmemory" | "proto-max-bulk-len");
            if is_number && value.parse::<u64>().is_err() {
                let reason = "argument must be a memory value";
                return Err(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"));
            }
        }
        for (name, value) in pairs {
            let known = NAMES.iter().find(|known| *known == name).expect("a known name");
            self.0.insert(known, (*value).to_owned());
        }
        Ok(())
    }
}
