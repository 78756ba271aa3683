//! Nanoseconds per request and per reply of the protocol alone: `cargo bench -p pinion-protocol`.
//!
//! Each row is the fastest of several rounds over a buffer that stays in the first-level cache, so it is the cost of
//! our instructions, without the machine's.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use pinion_protocol::resp::{Assembler, FedState, Limits, Parsed, parse, reply::skip_reply};
use pinion_protocol::{ArgBuffer, Reply, Request, Version};

/// Requests of one receive.
const PIPELINE: usize = 16;

/// Turns of one round.
const TURNS: u32 = 50_000;

/// Rounds of which the fastest counts.
const ROUNDS: usize = 9;

fn main() {
    let value = "v".repeat(64);
    let get = pipeline(|i| command(&["GET", &format!("memtier-{:07}", i * 7919)]));
    let set = pipeline(|i| command(&["SET", &format!("memtier-{:07}", i * 7919), &value]));
    let mixed = pipeline(|i| if i % 11 == 0 { command(&["SET", "k", &value]) } else { command(&["GET", "key:12"]) });
    let mget = command(&std::iter::once("MGET").chain(std::iter::repeat_n("memtier-1234567", 999)).collect::<Vec<_>>());
    let inline = pipeline(|_| b"PING\r\n".to_vec());
    row("parse GET, key of 15 bytes", PIPELINE, || parse_all(&get));
    row("parse SET, key of 15, value of 64 bytes", PIPELINE, || parse_all(&set));
    row("parse mixed lengths", PIPELINE, || parse_all(&mixed));
    row("parse MGET of 999 keys, per key", 1000, || parse_all(&mget));
    row("parse inline PING", PIPELINE, || parse_all(&inline));
    assembled("assemble SET in two pieces", &command(&["SET", "memtier-1234567", &value]), 1, 40);
    assembled("assemble MGET of 999 keys in 4 KiB, per key", &mget, 1000, 4096);
    let (large, short) = (command(&["SET", "k", &"v".repeat(1 << 20)]), "v".repeat(64));
    assembled("assemble SET of 1 MiB in 64 KiB, per KiB", &large, 1024, 65536);
    replies(short.as_bytes());
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn pipeline(mut request: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    (0..PIPELINE).flat_map(&mut request).collect()
}

/// The loop of a server: all requests of a buffer, each looked at once.
fn parse_all(input: &[u8]) -> usize {
    thread_local!(static BUFFER: std::cell::RefCell<ArgBuffer> = const { std::cell::RefCell::new(ArgBuffer::new()) });
    BUFFER.with_borrow_mut(|buffer| {
        let mut args = buffer.lend();
        let limits = Limits::default();
        let (mut at, mut seen) = (0, 0);
        while let Parsed::Request { consumed, argc } = parse(&input[at..], black_box(&limits), &mut args) {
            at += consumed;
            let request = Request::new(&args[args.len() - argc..]);
            seen += request.name().len() + request.get(1).map_or(0, |arg| arg.bytes().len());
        }
        assert_eq!(at, input.len());
        buffer.reclaim(args);
        seen
    })
}

fn assembled(name: &str, input: &[u8], units: usize, piece: usize) {
    let (mut assembler, mut buffer, limits) = (Assembler::new(), ArgBuffer::new(), Limits::default());
    row(name, units, || {
        let mut state = FedState::NeedMore;
        for piece in input.chunks(piece) {
            state = assembler.feed(piece, &limits).expect("well-formed").state;
        }
        assert_eq!(state, FedState::Complete);
        let argc = assembler.with_request(&mut buffer, |request| request.len());
        assembler.clear();
        argc
    });
}

fn replies(value: &[u8]) {
    let (mut bytes, mut splices) = (Vec::with_capacity(1 << 16), Vec::new());
    let large = Bytes::from(vec![b'v'; 1 << 20]);
    let mut encode = |name: &str, write: &dyn Fn(&mut Reply<'_>)| {
        row(name, PIPELINE, || {
            bytes.clear();
            splices.clear();
            write(&mut Reply::new(&mut bytes, &mut splices, Version::Resp2));
            bytes.len()
        });
    };
    encode("encode bulk of 64 bytes", &|reply| (0..PIPELINE).for_each(|_| reply.bulk(black_box(value))));
    encode("encode OK", &|reply| (0..PIPELINE).for_each(|_| reply.ok()));
    encode("encode null", &|reply| (0..PIPELINE).for_each(|_| reply.null()));
    encode("encode integer 7", &|reply| (0..PIPELINE).for_each(|_| reply.integer(black_box(7))));
    encode("encode integer 1234567", &|reply| (0..PIPELINE).for_each(|_| reply.integer(black_box(1_234_567))));
    encode("encode double", &|reply| (0..PIPELINE).for_each(|_| reply.double(black_box(3.25))));
    encode("encode large by reference", &|reply| (0..PIPELINE).for_each(|_| reply.large(&large)));
    let bulk = [b"$64\r\n", value, b"\r\n"].concat().repeat(PIPELINE);
    row("skip reply of 64 bytes", PIPELINE, || skip_all(&bulk));
    let ok = b"+OK\r\n".repeat(PIPELINE);
    row("skip reply OK", PIPELINE, || skip_all(&ok));
}

fn skip_all(input: &[u8]) -> usize {
    let mut at = 0;
    while let Ok(Some(len)) = skip_reply(&input[at..]) {
        at += len;
    }
    at
}

/// Measures `turn`, which handles `units`.
fn row(name: &str, units: usize, mut turn: impl FnMut() -> usize) {
    let turns = (TURNS * PIPELINE as u32 / units as u32).max(100);
    let fastest = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..turns {
                black_box(turn());
            }
            start.elapsed()
        })
        .min()
        .expect("at least one round");
    println!("{name:<45} {:>9.2} ns", fastest.as_nanos() as f64 / f64::from(turns) / units as f64);
}
