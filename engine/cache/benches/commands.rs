//! What a command costs in a warm cache, in nanoseconds.
//!
//! `cargo bench -p pinion-cache --bench commands -- [million keys] [command]`
//!
//! Requests are parsed already and go through the stages in batches of 32, as the server does it. The keys are random,
//! so with more of them than the CPU caches hold, the misses that prefetching hides are in the figures.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use cache::{Cache, CacheOptions, ClientIndex, ClientOrigin, Config, Now, Prepared};
use protocol::{Arg, Reply, Request, Version};

const BATCH: usize = 32;
const REQUESTS: usize = 200_000;
/// The quickest of so many rounds counts: the others were disturbed.
const ROUNDS: usize = 50;
const VALUE: &[u8] = &[b'v'; 64];

struct Limits;

impl Config for Limits {
    fn names(&self) -> &[&'static str] {
        &["maxmemory"]
    }

    fn get(&self, name: &str) -> Option<String> {
        (name == "maxmemory").then(|| (4u64 << 30).to_string())
    }

    fn set(&mut self, _: &[(&str, &str)]) -> Result<(), String> {
        Err("ERR these settings are fixed".to_owned())
    }
}

fn main() {
    let millions = std::env::args().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.1);
    let key_count = (millions * 1e6) as u64;
    let options =
        CacheOptions { seed: 1, shard_count: 8, host_memory_bytes: 4 << 30, config: Box::new(Limits), stopwatch: || 0 };
    let mut cache = Cache::new(options).expect("memory");
    cache.begin_tick(Now { unix_ms: 1_700_000_000_000, mono_us: 0 });
    let client = cache.connect(ClientOrigin::default(), Now::default());
    let key = |number: u64| format!("memtier-{:07}", number).into_bytes();
    let keys: Vec<Vec<u8>> = (0..key_count).map(key).collect();
    let (mut numbers, mut misses) = (Vec::new(), Vec::new());
    for (i, key) in keys.iter().enumerate() {
        run(&mut cache, client, &[&[b"SET", key, VALUE]]);
        if i % 10 == 0 {
            numbers.push([b"n".as_slice(), key].concat());
            misses.push([b"m".as_slice(), key].concat());
        }
    }
    println!("{key_count} keys of 15 B with 64 B, batches of {BATCH}; ns per command, quickest of {ROUNDS} rounds");
    measure("GET hit", &mut cache, client, &keys, |key| vec![b"GET", key]);
    measure("GET miss", &mut cache, client, &misses, |key| vec![b"GET", key]);
    measure("SET", &mut cache, client, &keys, |key| vec![b"SET", key, VALUE]);
    measure("INCR", &mut cache, client, &numbers, |key| vec![b"INCR", key]);
    measure("PING", &mut cache, client, &keys, |_| vec![b"PING"]);
}

/// Times random requests. They lie one after the other in memory, as they do in a receive buffer.
fn measure(
    name: &str,
    cache: &mut Cache,
    client: ClientIndex,
    keys: &[Vec<u8>],
    command: impl for<'k> Fn(&'k [u8]) -> Vec<&'k [u8]>,
) {
    if std::env::args().nth(2).is_some_and(|wanted| wanted != name) {
        return;
    }
    let mut state = 88172645463325252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut input: Vec<u8> = Vec::new();
    let mut words: Vec<Range<usize>> = Vec::new();
    for _ in 0..REQUESTS {
        for word in command(&keys[random() % keys.len()]) {
            words.push(input.len()..input.len() + word.len());
            input.extend_from_slice(word);
        }
    }
    let width = words.len() / REQUESTS;
    let args: Vec<Arg<'_>> = words.into_iter().map(|word| Arg::new(&input[word])).collect();
    let (mut bytes, mut splices) = (Vec::with_capacity(1 << 20), Vec::new());
    let mut prepared: Vec<Prepared> = Vec::with_capacity(BATCH);
    let mut best_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for batch in args.chunks(BATCH * width) {
            bytes.clear();
            prepared.clear();
            for args in batch.chunks_exact(width) {
                let one = cache.prepare(client, Request::new(args));
                cache.prefetch_slot(&one);
                prepared.push(one);
            }
            prepared.iter().for_each(|one| cache.prefetch_bucket(one));
            prepared.iter().for_each(|one| cache.prefetch_record(one));
            let mut reply = Reply::new(&mut bytes, &mut splices, Version::Resp2);
            for (one, args) in prepared.iter().zip(batch.chunks_exact(width)) {
                black_box(cache.execute(client, one, Request::new(args), &mut reply));
            }
            black_box(&bytes);
        }
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / REQUESTS as f64);
    }
    println!("{name:<9} {best_ns:6.1}");
}

fn run(cache: &mut Cache, client: ClientIndex, commands: &[&[&[u8]]]) {
    let (mut bytes, mut splices) = (Vec::new(), Vec::new());
    for words in commands {
        let args: Vec<Arg<'_>> = words.iter().map(|word| Arg::new(word)).collect();
        let request = Request::new(&args);
        let mut reply = Reply::new(&mut bytes, &mut splices, Version::Resp2);
        let prepared = cache.prepare(client, request);
        cache.execute(client, &prepared, request, &mut reply);
    }
}
