//! Connections end to end: accept, receive in pieces, answer, end of stream.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use pinion_uring::{Errno, Event, Op, Outgoing, Peer, Ring, self_test};
use support::{Bed, socket, token};

/// Accepts one connection, echoes until the end of the stream, and closes. Gives back the number of receives.
fn echo_one(bed: &mut Bed, slot: u32) -> usize {
    let (accepted, more) = bed.next_accepted();
    assert!(more, "a multishot accept goes on");
    let peer = accepted.unwrap();
    bed.recv(token(slot), peer);
    let (mut waiting, mut sending, mut ended) = (Vec::new(), false, false);
    let mut receive_count = 0;
    while !ended || sending {
        let completion = bed.next();
        assert_eq!(completion.token, token(slot));
        match completion.event {
            Event::Received { result: Ok(Some(chunk)), more: true } => {
                receive_count += 1;
                waiting.extend_from_slice(bed.ring.chunk(&chunk));
                bed.ring.recycle(chunk);
            }
            Event::Received { result: Ok(None), more: false } => ended = true,
            Event::Sent { out, result } => {
                assert_eq!(result, Ok(out.bytes.len()));
                assert_eq!(out.sent, out.bytes.len());
                sending = false;
            }
            other => panic!("{other:?}"),
        }
        if !sending && !waiting.is_empty() {
            let bytes = std::mem::take(&mut waiting);
            bed.ring.push(token(slot), Op::Send { socket: peer, out: Outgoing { bytes, ..Outgoing::default() } });
            sending = true;
        }
    }
    bed.ring.shutdown(peer);
    bed.ring.close(peer);
    receive_count
}

#[test]
fn bytes_one_at_a_time_come_back_over_tcp() {
    let mut bed = Bed::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_nodelay(true).unwrap();
            for byte in b"one at a time" {
                client.write_all(&[*byte]).unwrap();
                let mut back = [0];
                client.read_exact(&mut back).unwrap();
                assert_eq!(back, [*byte]);
            }
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        });
        assert_eq!(echo_one(&mut bed, 1), b"one at a time".len());
    });
    bed.ring.push(token(0), Op::Cancel);
    assert_eq!(bed.next_accepted(), (Err(Errno(libc::ECANCELED)), false));
}

#[test]
fn a_megabyte_comes_back_over_a_unix_socket() {
    let mut bed = Bed::new();
    let folder = std::env::temp_dir().join(format!("pinion-uring-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("echo.sock");
    let _stale = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let sent = support::pattern(1 << 20);
            let mut client = UnixStream::connect(&path).unwrap();
            let mut reader = client.try_clone().unwrap();
            let mut back = vec![0; sent.len()];
            std::thread::scope(|inner| {
                inner.spawn(|| reader.read_exact(&mut back).unwrap());
                client.write_all(&sent).unwrap();
            });
            assert!(back == sent);
            client.shutdown(Shutdown::Write).unwrap();
        });
        echo_one(&mut bed, 1);
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn peers_are_told_by_family() {
    let bed = Bed::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else {
            assert!(address.starts_with('['), "every machine has IPv4 on loopback");
            continue;
        };
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _address) = listener.accept().unwrap();
        assert_eq!(bed.ring.peer(socket(&near)), Some(Peer::Inet(client.local_addr().unwrap())));
    }
    let (near, _far) = UnixStream::pair().unwrap();
    assert_eq!(bed.ring.peer(socket(&near)), Some(Peer::Unix));
    let unconnected = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(bed.ring.peer(socket(&unconnected)), None);
}

#[test]
fn a_burst_of_connections_is_accepted_by_one_operation() {
    let mut bed = Bed::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
    let address = listener.local_addr().unwrap();
    let clients: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut peers = Vec::new();
    for _client in &clients {
        let (accepted, more) = bed.next_accepted();
        assert!(more);
        let accepted = accepted.unwrap();
        // SAFETY: fcntl(2) with F_GETFD touches no memory.
        assert_eq!(unsafe { libc::fcntl(accepted.0, libc::F_GETFD) } & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        peers.push(bed.ring.peer(accepted).unwrap());
        bed.ring.close(accepted);
    }
    peers.sort_by_key(|peer| format!("{peer:?}"));
    let mut expected: Vec<Peer> = clients.iter().map(|client| Peer::Inet(client.local_addr().unwrap())).collect();
    expected.sort_by_key(|peer| format!("{peer:?}"));
    assert_eq!(peers, expected);
}

#[test]
fn the_self_test_passes_twice_and_leaves_nothing() {
    for setup in [pinion_uring::Setup::default(), support::small()] {
        let mut bed = Bed::with(setup);
        for _time in 0..2 {
            self_test(&mut bed.ring).unwrap();
            assert_eq!(bed.ring.in_flight(), 0);
            assert!(bed.poll().is_none());
        }
    }
}
