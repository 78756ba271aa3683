//! Sending: order, splices, slow and vanishing readers, bursts beyond the submission queue.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use pinion_uring::{Errno, Event, Op, Outgoing, Ring, Setup};
use support::{Bed, outgoing, pattern, small, socket, tcp_pair, token, wire};

#[test]
fn a_big_reply_reaches_a_slow_reader_whole_in_steps_of_a_megabyte() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    let bytes = pattern((4 << 20) + 12_345);
    let mut out = Some(outgoing(&bytes, &[]));
    let mut got = Vec::new();
    let mut piece = vec![0; 10_000];
    let mut steps = Vec::new();
    while steps.iter().sum::<usize>() < bytes.len() {
        if let Some(out) = out.take() {
            bed.ring.push(token(0), Op::Send { socket: socket(&near), out });
        }
        bed.ring.enter(pinion_uring::Wait::No).unwrap();
        match bed.poll().map(|completion| completion.event) {
            Some(Event::Sent { out: back, result }) => {
                steps.push(result.expect("the reader is there"));
                assert_eq!(back.sent, steps.iter().sum::<usize>());
                out = Some(back);
            }
            Some(other) => panic!("{other:?}"),
            None => {
                let count = far.read(&mut piece).unwrap();
                got.extend_from_slice(&piece[..count]);
            }
        }
    }
    while got.len() < bytes.len() {
        let count = far.read(&mut piece).unwrap();
        got.extend_from_slice(&piece[..count]);
    }
    assert!(got == bytes);
    assert_eq!(steps, [1 << 20, 1 << 20, 1 << 20, 1 << 20, 12_345]);
}

#[test]
fn a_reader_that_leaves_makes_the_send_short_and_the_next_one_fail() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    let bytes = pattern(16 << 20);
    bed.ring.push(token(0), Op::Send { socket: socket(&near), out: outgoing(&bytes, &[]) });
    bed.ring.enter(pinion_uring::Wait::No).unwrap();
    far.read_exact(&mut vec![0; 1000]).unwrap();
    drop(far);
    let (out, result) = bed.next_sent();
    let sent = result.expect("the first part went out");
    assert!(sent >= 1000 && sent < bytes.len());
    assert_eq!(out.sent, sent);
    assert!(out.bytes == bytes, "the buffer comes back as it was");
    bed.ring.push(token(0), Op::Send { socket: socket(&near), out });
    let (out, result) = bed.next_sent();
    assert_eq!((result, out.sent), (Err(Errno(libc::EPIPE)), sent));
}

/// Sends `out`, as often as it takes, and compares what arrives with its wire order. Gives the number of sends.
fn check_arrives(mut out: Outgoing) -> usize {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    let expected = wire(&out)[out.sent..].to_vec();
    let length = out.len();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut got = vec![0; expected.len()];
            far.read_exact(&mut got).unwrap();
            assert!(got == expected);
        });
        let mut send_count = 0;
        while out.sent < length {
            let before = out.sent;
            bed.ring.push(token(0), Op::Send { socket: socket(&near), out });
            let result;
            (out, result) = bed.next_sent();
            assert_eq!(result.unwrap(), out.sent - before);
            assert!(out.sent > before);
            send_count += 1;
        }
        send_count
    })
}

#[test]
fn splices_arrive_in_wire_order_from_wherever_sending_had_stopped() {
    let value = pattern(50_000);
    for sent in [0, 1, 5, 6, 25_000, 50_005, 50_006, 100_000, 100_009] {
        let mut out = outgoing(b"abcdefghij", &[(5, &value), (5, &value), (10, b"")]);
        out.sent = sent;
        assert_eq!(check_arrives(out), 1);
    }
}

#[test]
fn more_splices_than_one_message_holds_take_several_sends() {
    let value = pattern(20_000);
    let splices: Vec<(usize, &[u8])> = (0..100).map(|at| (at, &value[at..])).collect();
    // 100 values and 100 pieces between them, 64 to a message.
    assert_eq!(check_arrives(outgoing(&pattern(100), &splices)), 4);
}

#[test]
fn a_burst_beyond_the_submission_queue_is_submitted_in_order() {
    let mut bed = Bed::with(small());
    let pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
    for (slot, (near, _far)) in pairs.iter().enumerate() {
        bed.send(token(slot as u32), socket(near), format!("reply {slot}").as_bytes());
    }
    let completions = bed.settle();
    // 200 completions went through a queue of 64: the kernel kept the rest, and none was lost or overtaken.
    let slots: Vec<u32> = completions.iter().map(|completion| completion.token.slot).collect();
    assert_eq!(slots, (0..200).collect::<Vec<u32>>());
    for (slot, (_near, far)) in pairs.iter().enumerate() {
        let mut got = [0; 64];
        let count = (&*far).read(&mut got).unwrap();
        assert_eq!(&got[..count], format!("reply {slot}").as_bytes());
    }
}

#[test]
fn completions_are_reaped_in_portions() {
    let mut bed = Bed::with(Setup { sq_entries: 64, cq_entries: 512, ..small() });
    let pairs: Vec<_> = (0..30).map(|_| UnixStream::pair().unwrap()).collect();
    for (slot, (near, _far)) in pairs.iter().enumerate() {
        bed.send(token(slot as u32), socket(near), b"x");
    }
    bed.ring.enter(pinion_uring::Wait::No).unwrap();
    let mut reaped = Vec::new();
    for round in 1..=3 {
        assert!(bed.ring.is_ready());
        bed.ring.reap(&mut reaped, 10);
        assert_eq!(reaped.len(), round * 10);
    }
    assert!(!bed.ring.is_ready());
    bed.ring.reap(&mut reaped, 10);
    assert_eq!(reaped.len(), 30);
}

#[test]
fn shutdown_ends_a_blocked_send_and_the_receive() {
    let mut bed = Bed::new();
    for (near, far) in [tcp_pair()] {
        bed.recv(token(0), socket(&near));
        bed.send(token(0), socket(&near), &pattern(64 << 20));
        bed.ring.enter(pinion_uring::Wait::No).unwrap();
        assert_eq!(bed.ring.in_flight(), 2);
        bed.ring.shutdown(socket(&near));
        let mut ended = Vec::new();
        for completion in bed.settle() {
            match completion.event {
                Event::Received { result: Ok(None), more: false } => ended.push("receive"),
                Event::Sent { out, .. } if out.sent < out.bytes.len() => ended.push("send"),
                other => panic!("{other:?}"),
            }
        }
        ended.sort_unstable();
        assert_eq!(ended, ["receive", "send"]);
        far.shutdown(Shutdown::Both).ok();
    }
}

#[test]
fn sending_to_a_connection_that_is_shut_down_is_an_error_without_a_signal() {
    let mut bed = Bed::new();
    for out in [outgoing(b"late", &[]), outgoing(b"late", &[(0, b"value")])] {
        let (near, _far) = tcp_pair();
        bed.ring.shutdown(socket(&near));
        bed.ring.push(token(0), Op::Send { socket: socket(&near), out });
        let (out, result) = bed.next_sent();
        assert_eq!((result, out.sent), (Err(Errno(libc::EPIPE)), 0));
    }
}

#[test]
#[should_panic(expected = "one send in flight per token")]
fn a_second_send_of_a_token_is_our_mistake() {
    let mut bed = Bed::new();
    let (near, _far) = tcp_pair();
    bed.send(token(0), socket(&near), b"first");
    bed.send(token(0), socket(&near), b"second");
}
