//! What the seam cannot express: completions that belong to nobody, and a kernel that does not let go.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use super::*;
use crate::buffers::GROUP;
use crate::op::Code;
use crate::ring::{Outgoing, Splice};

/// Submits `entry` with `user_data`, waits for its completion, and expects that it is nobody's.
fn check_ignored(ring: &mut KernelRing, entry: Entry, user_data: u64) {
    // SAFETY: the tests' entries carry no address.
    let prepared = unsafe { Prepared::raw(entry.user_data(user_data)) };
    let mut reaped = Vec::new();
    ring.submit(prepared);
    ring.enter(Wait::AtMost(Duration::from_secs(1))).unwrap();
    ring.reap(&mut reaped, usize::MAX);
    assert!(reaped.is_empty(), "{reaped:?}");
}

#[test]
fn a_receive_of_nobody_gives_its_buffer_back() {
    let mut ring = KernelRing::new(Setup::default()).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let former = Token { slot: 3, generation: 1 };
    let (other, _silent) = UnixStream::pair().unwrap();
    ring.push(Token { slot: 3, generation: 2 }, Op::Recv { socket: Socket(other.as_raw_fd()) });
    for user_data in [user_data::encode(Code::Recv, former), u64::MAX, 0] {
        far.write_all(b"late").unwrap();
        let entry = opcode::Recv::new(types::Fd(near.as_raw_fd()), std::ptr::null_mut(), 0)
            .buf_group(GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        let before = ring.buffers.unlent_count();
        check_ignored(&mut ring, entry, user_data);
        assert_eq!(ring.buffers.unlent_count(), before);
    }
}

#[test]
fn completions_of_former_occupants_touch_no_buffer_in_flight() {
    let mut ring = KernelRing::new(Setup::default()).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let token = Token { slot: 0, generation: 2 };
    let socket = Socket(near.as_raw_fd());
    ring.push(token, Op::RecvInto { socket, into: bytes::BytesMut::with_capacity(10) });
    for code in [Code::Accept, Code::Recv, Code::RecvInto, Code::Send, Code::Cancel] {
        for generation in [1, 3] {
            let stale = user_data::encode(code, Token { slot: 0, generation });
            check_ignored(&mut ring, opcode::Nop::new().build(), stale);
        }
        let unknown_slot = user_data::encode(code, Token { slot: u32::MAX, generation: 2 });
        check_ignored(&mut ring, opcode::Nop::new().build(), unknown_slot);
    }
    assert_eq!(ring.in_flight(), 1);
}

#[test]
fn a_connection_that_nobody_waits_for_is_closed() {
    let mut ring = KernelRing::new(Setup::default()).unwrap();
    let listener = listening();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stale = user_data::encode(Code::Accept, Token { slot: 0, generation: 1 });
    check_ignored(&mut ring, opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build(), stale);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// A value that tells when it is freed.
struct Watched(Arc<AtomicBool>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &[b'.'; 1 << 20]
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Drops a ring with a blocked send in flight, and tells whether the value being sent was freed.
fn check_freed_on_drop(break_ring: bool) -> bool {
    let freed = Arc::new(AtomicBool::new(false));
    let (near, _far) = UnixStream::pair().unwrap();
    let mut ring = KernelRing::new(Setup::default()).unwrap();
    let value = bytes::Bytes::from_owner(Watched(freed.clone()));
    let out = Outgoing { splices: vec![Splice { at: 0, value }], ..Outgoing::default() };
    ring.push(Token { slot: 0, generation: 0 }, Op::Send { socket: Socket(near.as_raw_fd()), out });
    ring.enter(Wait::No).unwrap();
    if break_ring {
        ring.queues.break_descriptor();
    }
    drop(ring);
    freed.load(Ordering::Relaxed)
}

#[test]
fn a_dropped_ring_frees_what_the_kernel_has_let_go() {
    assert!(check_freed_on_drop(false));
}

#[test]
fn a_dropped_ring_leaks_what_the_kernel_may_still_use() {
    assert!(!check_freed_on_drop(true));
}

fn listening() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}
