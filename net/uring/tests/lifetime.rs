//! Lifetimes: rings that end with operations in flight, rings that cannot be made, tables that grow.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use pinion_uring::{Event, KernelRing, Op, Ring, Setup, SetupError, Wait, self_test};
use support::{Bed, outgoing, pattern, socket, tcp_pair, token};

#[test]
fn a_dropped_ring_lets_go_of_everything_in_flight() {
    let (first, mut first_far) = UnixStream::pair().unwrap();
    let (second, mut second_far) = tcp_pair();
    let (third, third_far) = tcp_pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for submitted in [false, true] {
        let mut bed = Bed::new();
        bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
        bed.recv(token(1), socket(&first));
        bed.recv_into(token(2), socket(&second), BytesMut::with_capacity(1 << 20));
        let value = pattern(32 << 20);
        let out = outgoing(b"head", &[(4, &value)]);
        bed.ring.push(token(3), Op::Send { socket: socket(&third), out });
        if submitted {
            bed.ring.enter(Wait::No).unwrap();
        }
        drop(bed);
    }
    // Nobody receives or accepts any more: the bytes and the connection are there for others.
    first_far.write_all(b"one").unwrap();
    second_far.write_all(b"two").unwrap();
    let mut got = [0; 3];
    (&first).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one");
    (&second).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"two");
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.accept().unwrap();
    drop(third_far);
}

#[test]
fn a_dropped_ring_closes_connections_that_were_accepted_and_not_reaped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bed = Bed::new();
    bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    bed.ring.enter(Wait::No).unwrap();
    drop(bed);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn rings_come_and_go_on_one_thread() {
    // A thread has room for 16 registered descriptors, so rings that kept theirs would run out.
    for _ring in 0..40 {
        let mut bed = Bed::with(support::small());
        assert!(bed.ring.features().registered_descriptor);
        self_test(&mut bed.ring).unwrap();
    }
}

#[test]
fn a_receive_outlives_the_callers_interest_in_its_memory() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    for generation in 0..100 {
        let token = pinion_uring::Token { slot: 0, generation };
        bed.ring.push(token, Op::RecvInto { socket: socket(&near), into: BytesMut::with_capacity(4096) });
        bed.ring.enter(Wait::No).unwrap();
        // The caller has nothing but the token. The memory is the ring's until the completion.
        far.write_all(&[generation as u8; 100]).unwrap();
        let (into, got) = bed.next_filled();
        assert_eq!(got, Ok(100));
        assert!(into.iter().all(|byte| *byte == generation as u8));
    }
}

#[test]
fn slots_far_apart_are_served() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    for slot in [0, 1000, 7, 100_000, 1 << 31, (1 << 31) + 1] {
        bed.recv(token(slot), socket(&near));
        far.write_all(b"x").unwrap();
        let completion = bed.next();
        assert_eq!(completion.token, token(slot));
        let Event::Received { result: Ok(Some(chunk)), .. } = completion.event else { panic!("no bytes") };
        bed.ring.recycle(chunk);
        bed.ring.push(token(slot), Op::Cancel);
        bed.settle();
    }
}

#[test]
fn the_tables_of_connections_and_listeners_are_apart() {
    let mut bed = Bed::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    bed.ring.push(token(1 << 31), Op::Accept { listener: socket(&listener) });
    bed.recv(token(0), socket(&near));
    far.write_all(b"x").unwrap();
    assert_eq!(bed.next_received(), (Ok(b"x".to_vec()), true));
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _more) = bed.next_accepted();
    bed.ring.close(accepted.unwrap());
}

#[test]
#[should_panic(expected = "a slot is an index in a table")]
fn a_wild_slot_is_our_mistake() {
    let mut bed = Bed::new();
    let (near, _far) = UnixStream::pair().unwrap();
    bed.recv(token(u32::MAX), socket(&near));
}

#[test]
fn features_are_one_line() {
    let bed = Bed::new();
    let line = bed.ring.features().to_string();
    assert!(line.starts_with("io_uring on Linux "), "{line}");
    assert!(line.contains("queues 1024/8192, buffers 1024 x 4096 B"), "{line}");
    assert!(!line.contains('\n'));
}

#[test]
fn sizes_out_of_range_make_no_ring() {
    let error = KernelRing::new(Setup { sq_entries: 1000, ..Setup::default() }).err().unwrap();
    assert_eq!(
        error.to_string(),
        "ring size sq_entries = 1000 is out of range: set it to a power of two from 8 to 8192"
    );
}

#[test]
fn a_seccomp_profile_that_forbids_io_uring_is_named() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let error = std::thread::scope(|threads| {
            let made = threads.spawn(|| {
                forbid_io_uring(errno);
                KernelRing::new(Setup::default()).err()
            });
            made.join().unwrap().unwrap()
        });
        assert_eq!(error, SetupError::Forbidden { errno });
        assert!(error.to_string().contains("seccomp"), "{error}");
    }
}

/// Makes `io_uring_setup` fail in this thread from now on, as the profile of a container does.
fn forbid_io_uring(errno: i32) {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let refused = libc::SECCOMP_RET_ERRNO | errno as u32;
    let mut filter = [
        libc::sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: libc::SYS_io_uring_setup as u32 },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: refused },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: prctl(2) reads the numbers it is given.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program and its filter live during the call, which copies them.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0);
}
