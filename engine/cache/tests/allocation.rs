//! GET hit, GET miss, an overwriting SET and INCR allocate nothing once the cache is warm.
//!
//! The counting allocator is the one piece of unsafe code here: it forwards to the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cache::{Cache, CacheOptions, ClientIndex, ClientOrigin, Config, Now};
use protocol::{Arg, Reply, Request, Spliced, Version};

struct Counting;

thread_local! {
    // Per thread: the test harness allocates on its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded unchanged to the system's allocator, which upholds the contract; counting touches
// only a thread-local integer without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A cache with one client and an output that is large enough.
struct Warm {
    cache: Cache,
    client: ClientIndex,
    bytes: Vec<u8>,
    splices: Vec<Spliced>,
}

impl Warm {
    fn new() -> Warm {
        let options = CacheOptions {
            seed: 1,
            shard_count: 8,
            host_memory_bytes: 1 << 30,
            config: Box::new(Defaults),
            stopwatch: || 0,
        };
        let mut cache = Cache::new(options).expect("the host has memory");
        let now = Now { unix_ms: 1_700_000_000_000, mono_us: 0 };
        cache.begin_tick(now);
        let client = cache.connect(ClientOrigin::default(), now);
        Warm { cache, client, bytes: Vec::with_capacity(4096), splices: Vec::new() }
    }

    fn run(&mut self, words: &[&[u8]], expected: &[u8]) {
        const WORDS_MAX: usize = 4;
        let mut args = [Arg::new(b""); WORDS_MAX];
        for (arg, word) in args.iter_mut().zip(words) {
            *arg = Arg::new(word);
        }
        let request = Request::new(&args[..words.len()]);
        self.bytes.clear();
        let mut reply = Reply::new(&mut self.bytes, &mut self.splices, Version::Resp2);
        let prepared = self.cache.prepare(self.client, request);
        self.cache.prefetch_slot(&prepared);
        self.cache.prefetch_bucket(&prepared);
        self.cache.prefetch_record(&prepared);
        self.cache.execute(self.client, &prepared, request, &mut reply);
        assert_eq!(self.bytes, expected);
    }
}

struct Defaults;

impl Config for Defaults {
    fn names(&self) -> &[&'static str] {
        &["maxmemory"]
    }

    fn get(&self, name: &str) -> Option<String> {
        (name == "maxmemory").then(|| (64 << 20).to_string())
    }

    fn set(&mut self, _: &[(&str, &str)]) -> Result<(), String> {
        Err("ERR these settings are fixed".to_owned())
    }
}

#[track_caller]
fn allocates_nothing(mut act: impl FnMut()) {
    let before = ALLOCATIONS.get();
    for _ in 0..1000 {
        act();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn get_hit_allocates_nothing() {
    let mut warm = Warm::new();
    warm.run(&[b"SET", b"key", b"value"], b"+OK\r\n");
    allocates_nothing(|| warm.run(&[b"GET", b"key"], b"$5\r\nvalue\r\n"));
}

#[test]
fn get_miss_allocates_nothing() {
    let mut warm = Warm::new();
    allocates_nothing(|| warm.run(&[b"GET", b"key"], b"$-1\r\n"));
}

#[test]
fn overwriting_set_allocates_nothing() {
    let mut warm = Warm::new();
    warm.run(&[b"SET", b"key", b"value"], b"+OK\r\n");
    allocates_nothing(|| warm.run(&[b"SET", b"key", b"other"], b"+OK\r\n"));
    warm.run(&[b"GET", b"key"], b"$5\r\nother\r\n");
}

#[test]
fn incr_allocates_nothing() {
    let mut warm = Warm::new();
    warm.run(&[b"SET", b"number", b"100000"], b"+OK\r\n");
    let mut number = 100_000;
    allocates_nothing(|| {
        number += 1;
        // ":" and six digits fit without formatting that allocates.
        let mut expected = *b":000000\r\n";
        let mut rest = number;
        for digit in expected[1..7].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        warm.run(&[b"INCR", b"number"], &expected);
    });
}
