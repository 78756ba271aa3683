//! After warm-up the ring allocates nothing, counted by the allocator.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bytes::{Bytes, BytesMut};
use pinion_uring::{Completion, Event, KernelRing, Op, Outgoing, Ring, Setup, Splice, Wait};
use support::{socket, token};

struct Counting;

thread_local! {
    static ALLOCATION_COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATION_COUNT.set(ALLOCATION_COUNT.get() + 1);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`, and `pointer` comes from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTION_COUNT: usize = 20;

/// Connections that exchange a small request for a spliced reply, and then a large one into own memory.
struct Exchange {
    ring: KernelRing,
    pairs: Vec<(UnixStream, UnixStream)>,
    outs: Vec<Outgoing>,
    intos: Vec<BytesMut>,
    value: Bytes,
    completions: Vec<Completion>,
}

impl Exchange {
    fn new() -> Exchange {
        Exchange {
            ring: KernelRing::new(Setup::default()).unwrap(),
            pairs: (0..CONNECTION_COUNT).map(|_| UnixStream::pair().unwrap()).collect(),
            outs: (0..CONNECTION_COUNT).map(|_| Outgoing::default()).collect(),
            intos: (0..CONNECTION_COUNT).map(|_| BytesMut::with_capacity(100)).collect(),
            value: Bytes::from(vec![b'v'; 1000]),
            completions: Vec::new(),
        }
    }

    fn round(&mut self) {
        for slot in 0..CONNECTION_COUNT {
            let near = socket(&self.pairs[slot].0);
            self.ring.push(token(slot as u32), Op::Recv { socket: near });
            (&self.pairs[slot].1).write_all(b"request").unwrap();
        }
        self.run();
        for slot in 0..CONNECTION_COUNT {
            let near = socket(&self.pairs[slot].0);
            (&self.pairs[slot].1).write_all(b"large").unwrap();
            let into = self.intos.pop().expect("as many as connections");
            self.ring.push(token(slot as u32), Op::RecvInto { socket: near, into });
        }
        self.run();
    }

    fn run(&mut self) {
        while self.ring.in_flight() > 0 {
            self.ring.enter(Wait::AtMost(std::time::Duration::from_millis(10))).unwrap();
            let mut completions = std::mem::take(&mut self.completions);
            self.ring.reap(&mut completions, 64);
            for completion in completions.drain(..) {
                self.handle(completion);
            }
            self.completions = completions;
        }
    }

    fn handle(&mut self, Completion { token, event }: Completion) {
        let near = socket(&self.pairs[token.slot as usize].0);
        match event {
            Event::Received { result: Ok(Some(chunk)), .. } => {
                let mut out = self.outs.pop().expect("as many as connections");
                out.bytes.extend_from_slice(self.ring.chunk(&chunk));
                out.splices.push(Splice { at: 3, value: self.value.clone() });
                self.ring.recycle(chunk);
                self.ring.push(token, Op::Send { socket: near, out });
            }
            Event::Sent { mut out, result } => {
                assert_eq!(result, Ok(out.len()));
                out.clear();
                self.outs.push(out);
                let mut back = [0; 1007];
                (&self.pairs[token.slot as usize].1).read_exact(&mut back).unwrap();
                self.ring.push(token, Op::Cancel);
            }
            Event::Filled { mut into, got } => {
                assert_eq!(got, Ok(5));
                into.clear();
                self.intos.push(into);
            }
            Event::Received { .. } => {}
            Event::Accepted { .. } => panic!("nothing is accepted"),
        }
    }
}

#[test]
fn exchanges_after_the_first_allocate_nothing() {
    let mut exchange = Exchange::new();
    exchange.round();
    exchange.round();
    let before = ALLOCATION_COUNT.get();
    for _round in 0..20 {
        exchange.round();
    }
    assert_eq!(ALLOCATION_COUNT.get() - before, 0);
}
