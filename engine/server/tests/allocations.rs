//! From receive to send nothing allocates once the connection is warm: the whole reactor over the kernel's own ring.
//!
//! The counting allocator is the one piece of unsafe code here: it forwards to the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use cache::{Cache, CacheOptions};
use protocol::Protocol;
use server::clock::HostClock;
use server::node::Node;
use server::reactor::{Listener, Reactor};
use server::runtime::start;
use server::settings::{self, Facts, Live, Startup};
use uring::{KernelRing, Setup, Socket, Wait};

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

/// A reactor and its client on one thread: the test writes, ticks, and reads.
struct Warm {
    reactor: Reactor<KernelRing, HostClock>,
    client: UnixStream,
    reply: Vec<u8>,
}

impl Warm {
    fn new() -> Warm {
        Warm::speaking(Protocol::Resp)
    }

    fn speaking(protocol: Protocol) -> Warm {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).expect("a writable folder");
        let facts = Facts { memory_bytes: 1 << 30, clients_max: 100 };
        let flags = ["pinion", "--maxclients", "100", "--maxmemory", "256mb"].map(OsString::from);
        let read_file = |_: &std::path::Path| Err(ErrorKind::NotFound.into());
        let Ok(Startup::Run(loaded)) = settings::load(flags, &read_file, &facts) else { panic!("plain settings") };
        let live = Live::new(*loaded, facts);
        let options = CacheOptions {
            seed: 1,
            shard_count: 8,
            host_memory_bytes: facts.memory_bytes,
            config: Box::new(live.clone()),
            stopwatch: server::clock::monotonic_ns,
        };
        let node = Node::new(Cache::new(options).expect("memory"), start::connection_limits(&live.settings()));
        let ring = KernelRing::new(Setup::default()).expect("io_uring");
        let socket = Socket::from(std::os::fd::OwnedFd::from(listener));
        let listener = Listener { socket, address: String::new(), protocol };
        let reactor = Reactor::new(ring, HostClock::new(), node, vec![listener]);
        let client = UnixStream::connect(&path).expect("it listens");
        client.set_nonblocking(true).expect("a socket option");
        Warm { reactor, client, reply: vec![0; 64 * 1024] }
    }

    /// Sends `request`, ticks until `expected` has come back.
    fn exchange(&mut self, request: &[u8], expected: &[u8]) {
        self.client.write_all(request).expect("the socket has room");
        let mut got = 0;
        // Each tick moves something; far fewer are needed.
        for _ in 0..10_000 {
            self.reactor.tick(Wait::No).expect("the ring works");
            match self.client.read(&mut self.reply[got..]) {
                Ok(count) => got += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if got >= expected.len() {
                break;
            }
        }
        // Compared as bytes: text would allocate.
        assert!(self.reply[..got] == *expected, "got {:?}", String::from_utf8_lossy(&self.reply[..got]));
    }

    /// The same exchange again and again: the later ones may not allocate.
    fn check(&mut self, request: &[u8], expected: &[u8]) {
        for _ in 0..50 {
            self.exchange(request, expected);
        }
        let before = ALLOCATIONS.get();
        for _ in 0..50 {
            self.exchange(request, expected);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{:?} allocates", String::from_utf8_lossy(request));
    }
}

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
const MISS: &[u8] = b"*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n";

#[test]
fn a_warm_connection_is_served_without_allocation() {
    let mut warm = Warm::new();
    warm.exchange(SET, b"+OK\r\n");
    warm.check(GET, b"$5\r\nvalue\r\n");
    warm.check(MISS, b"$-1\r\n");
    warm.check(SET, b"+OK\r\n");
    warm.check(b"PING\r\n", b"+PONG\r\n");
    warm.exchange(b"SET n 999999\r\n", b"+OK\r\n");
    // A command's first call makes its histogram.
    warm.exchange(b"INCR n\r\n", b":1000000\r\n");
    let expected: Vec<String> = (1_000_001..1_000_050).map(|n| format!(":{n}\r\n")).collect();
    let before = ALLOCATIONS.get();
    for expected in &expected {
        warm.exchange(b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", expected.as_bytes());
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "INCR allocates");
}

#[test]
fn a_pipeline_over_a_warm_connection_is_served_without_allocation() {
    let mut warm = Warm::new();
    warm.exchange(SET, b"+OK\r\n");
    let request = [GET, SET, MISS, GET].concat().repeat(16);
    let expected = b"$5\r\nvalue\r\n+OK\r\n$-1\r\n$5\r\nvalue\r\n".repeat(16);
    warm.check(&request, &expected);
}

#[test]
fn a_memcached_connection_is_served_without_allocation() {
    let mut warm = Warm::speaking(Protocol::Memcache);
    warm.check(b"set k 5 0 5\r\nvalue\r\n", b"STORED\r\n");
    warm.check(b"get k\r\n", b"VALUE k 5 5\r\nvalue\r\nEND\r\n");
    warm.check(b"get none\r\n", b"END\r\n");
    warm.check(b"gets k\r\n", b"VALUE k 5 5 1\r\nvalue\r\nEND\r\n");
    warm.check(b"touch k 0\r\ncas k 0 0 1 9\r\nx\r\n", b"TOUCHED\r\nEXISTS\r\n");
    warm.check(b"set n 0 0 2\r\n10\r\ndecr n 1\r\nincr n 1\r\n", b"STORED\r\n9\r\n10\r\n");
    let keys = " k".repeat(100);
    let values = "VALUE k 5 5\r\nvalue\r\n".repeat(100);
    warm.check(format!("get{keys}\r\n").as_bytes(), format!("{values}END\r\n").as_bytes());
    let pipeline = "get k\r\n".repeat(100);
    let replies = "VALUE k 5 5\r\nvalue\r\nEND\r\n".repeat(100);
    warm.check(pipeline.as_bytes(), replies.as_bytes());
}
