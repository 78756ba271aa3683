//! Receiving: provided buffers and their lack, receives into own memory, cancelling, ends of streams.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use pinion_uring::{Chunk, Completion, Errno, Event, Op, Ring, Setup, Token, Wait, self_test};
use support::{Bed, pattern, small, socket, tcp_pair, token};

#[test]
fn a_long_message_arrives_in_pieces_in_order() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    let sent = pattern(100_000);
    bed.recv(token(3), socket(&near));
    far.write_all(&sent).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let (bytes, more) = bed.next_received();
        assert!(more);
        got.extend(bytes.unwrap());
    }
    assert!(got == sent);
}

#[test]
fn lack_of_buffers_ends_the_receive_and_a_new_one_delivers_the_rest() {
    let mut bed = Bed::with(small());
    let (near, mut far) = UnixStream::pair().unwrap();
    let sent = pattern(64 * 8 * 3);
    far.write_all(&sent).unwrap();
    bed.recv(token(0), socket(&near));
    let mut got = Vec::new();
    let mut starved_count = 0;
    let mut held: Vec<Chunk> = Vec::new();
    while got.len() < sent.len() {
        match bed.next().event {
            Event::Received { result: Ok(Some(chunk)), more } => {
                assert!(more);
                got.extend_from_slice(bed.ring.chunk(&chunk));
                held.push(chunk);
            }
            Event::Received { result: Err(Errno(libc::ENOBUFS)), more } => {
                assert!(!more);
                assert_eq!(held.len(), 8);
                starved_count += 1;
                held.drain(..).for_each(|chunk| bed.ring.recycle(chunk));
                bed.recv(token(0), socket(&near));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(got == sent);
    assert!(starved_count >= 2, "24 pieces do not fit 8 buffers");
}

#[test]
fn a_receive_that_is_armed_while_all_buffers_are_out_works_after_they_are_back() {
    let mut bed = Bed::with(small());
    let (near, mut far) = UnixStream::pair().unwrap();
    let (idle, mut idle_far) = UnixStream::pair().unwrap();
    far.write_all(&pattern(64 * 9)).unwrap();
    bed.recv(token(0), socket(&near));
    let mut held = Vec::new();
    loop {
        match bed.next().event {
            Event::Received { result: Ok(Some(chunk)), .. } => held.push(chunk),
            Event::Received { result, .. } => break assert_eq!(result.unwrap_err(), Errno(libc::ENOBUFS)),
            other => panic!("{other:?}"),
        }
    }
    bed.recv(token(1), socket(&idle));
    assert_eq!(bed.next_received(), (Err(Errno(libc::ENOBUFS)), false));
    held.drain(..).for_each(|chunk| bed.ring.recycle(chunk));
    bed.recv(token(1), socket(&idle));
    idle_far.write_all(b"late").unwrap();
    assert_eq!(bed.next_received(), (Ok(b"late".to_vec()), true));
}

#[test]
fn one_starved_connection_leaves_the_others_served() {
    let mut bed = Bed::with(small());
    let pairs: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
    let sent = pattern(64 * 20);
    for (slot, (near, far)) in pairs.iter().enumerate() {
        (&*far).write_all(&sent).unwrap();
        bed.recv(token(slot as u32), socket(near));
    }
    let mut got = vec![Vec::new(); pairs.len()];
    while got.iter().any(|bytes: &Vec<u8>| bytes.len() < sent.len()) {
        let Completion { token: from, event } = bed.next();
        match event {
            Event::Received { result: Ok(Some(chunk)), more } => {
                got[from.slot as usize].extend_from_slice(bed.ring.chunk(&chunk));
                bed.ring.recycle(chunk);
                assert!(more);
            }
            Event::Received { result: Err(Errno(libc::ENOBUFS)), more } => {
                assert!(!more);
                bed.recv(from, socket(&pairs[from.slot as usize].0));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(got.iter().all(|bytes| *bytes == sent));
}

/// Bytes and the end of the stream, in every order relative to the arming of the receive.
///
/// The story: with POLL_FIRST a receive on a unix socket that found both there when it was armed delivered the bytes
/// and never the end: a client that sent its commands and closed left a connection for ever.
#[test]
fn the_end_of_the_stream_follows_the_bytes_whenever_the_receive_is_armed() {
    type Step = fn(&mut Bed, &UnixStream, &UnixStream);
    let arm: Step = |bed, near, _far| {
        bed.recv(token(0), socket(near));
        bed.ring.enter(Wait::No).unwrap();
    };
    let write: Step = |_bed, _near, mut far| far.write_all(b"last words").unwrap();
    let end: Step = |_bed, _near, far| far.shutdown(Shutdown::Write).unwrap();
    for steps in [[arm, write, end], [write, arm, end], [write, end, arm]] {
        let mut bed = Bed::new();
        let (near, far) = UnixStream::pair().unwrap();
        for step in steps {
            step(&mut bed, &near, &far);
        }
        assert_eq!(bed.next_received(), (Ok(b"last words".to_vec()), true));
        assert_eq!(bed.next_received(), (Ok(Vec::new()), false));
        assert_eq!(bed.ring.in_flight(), 0);
    }
}

#[test]
fn the_end_of_the_stream_is_not_lost_to_a_lack_of_buffers() {
    for (near, mut far) in [UnixStream::pair().unwrap()] {
        let mut bed = Bed::with(small());
        let sent = pattern(64 * 8 * 2 + 1);
        far.write_all(&sent).unwrap();
        drop(far);
        bed.recv(token(0), socket(&near));
        let mut got = Vec::new();
        loop {
            match bed.next_received() {
                (Ok(bytes), true) => got.extend(bytes),
                (Ok(bytes), false) => break assert!(bytes.is_empty()),
                (Err(Errno(libc::ENOBUFS)), false) => bed.recv(token(0), socket(&near)),
                other => panic!("{other:?}"),
            }
        }
        assert!(got == sent);
    }
}

/// The story: on some kernels a multishot receive on a unix socket missed the end of the stream when the peer's last
/// send and its shutdown raced with the receive (axboe/liburing#1549). Nothing then ended the connection but a timeout.
#[test]
fn the_end_of_the_stream_is_not_lost_to_a_racing_send() {
    let mut bed = Bed::new();
    self_test(&mut bed.ring).unwrap();
    if !bed.ring.features().unix_end_of_stream {
        return println!("skipped: this kernel loses it");
    }
    std::thread::scope(|threads| {
        let (hand, taken) = std::sync::mpsc::channel::<UnixStream>();
        threads.spawn(move || {
            for mut far in taken {
                far.write_all(&[b'.'; 123]).unwrap();
                far.shutdown(Shutdown::Write).unwrap();
            }
        });
        for _round in 0..2000 {
            let (near, far) = UnixStream::pair().unwrap();
            bed.recv(token(0), socket(&near));
            bed.ring.enter(Wait::No).unwrap();
            hand.send(far).unwrap();
            assert_eq!(bed.next_received(), (Ok(vec![b'.'; 123]), true));
            assert_eq!(bed.next_received(), (Ok(Vec::new()), false));
        }
        drop(hand);
    });
}

#[test]
fn bytes_followed_by_a_reset_end_the_receive() {
    for armed_first in [false, true] {
        let mut bed = Bed::new();
        let (near, mut far) = tcp_pair();
        let arm = |bed: &mut Bed| {
            bed.recv(token(0), socket(&near));
            bed.ring.enter(Wait::No).unwrap();
        };
        if armed_first {
            arm(&mut bed);
        }
        far.write_all(b"bytes").unwrap();
        reset(far);
        if !armed_first {
            arm(&mut bed);
        }
        // A reset may discard bytes that nobody has read; what counts is that it is seen.
        let end = loop {
            let (result, more) = bed.next_received();
            if !more {
                break result;
            }
        };
        assert_eq!(end, Err(Errno(libc::ECONNRESET)));
    }
}

/// Closes with a reset instead of the end of the stream.
fn reset(stream: std::net::TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is a linger structure, and its size is told.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}

#[test]
fn a_reset_is_an_error_that_ends_the_receive() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    (&near).write_all(b"unread").unwrap();
    bed.recv(token(0), socket(&near));
    bed.ring.enter(Wait::No).unwrap();
    // Closing with unread bytes resets the connection.
    far.write_all(b"").unwrap();
    drop(far);
    assert_eq!(bed.next_received(), (Err(Errno(libc::ECONNRESET)), false));
}

#[test]
fn a_receive_into_own_memory_appends_up_to_its_capacity() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    let sent = pattern(10_000);
    far.write_all(&sent).unwrap();
    let mut into = BytesMut::with_capacity(6000);
    into.extend_from_slice(b"head:");
    let room = into.capacity() - into.len();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        bed.recv_into(token(0), socket(&near), into);
        let (mut filled, count) = bed.next_filled();
        let count = count.unwrap();
        assert!(count > 0 && count <= room);
        assert_eq!(filled.len(), 5 + count);
        assert_eq!(&filled[..5], b"head:");
        got.extend_from_slice(&filled[5..]);
        filled.truncate(5);
        into = filled;
    }
    assert!(got == sent);
    drop(far);
    bed.recv_into(token(0), socket(&near), into);
    let (filled, count) = bed.next_filled();
    assert_eq!((filled.len(), count), (5, Ok(0)), "the end of the stream adds nothing");
}

#[test]
#[should_panic(expected = "a receive needs room")]
fn a_receive_into_a_full_buffer_is_our_mistake() {
    let mut bed = Bed::new();
    bed.recv_into(token(0), pinion_uring::Socket(0), BytesMut::new());
}

#[test]
fn cancel_ends_each_kind_of_operation_and_gives_its_buffer_back() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cancelled = Errno(libc::ECANCELED);
    for submit_first in [false, true] {
        bed.ring.push(token(0), Op::Accept { listener: socket(&listener) });
        bed.recv(token(1), socket(&near));
        if submit_first {
            bed.ring.enter(Wait::No).unwrap();
        }
        bed.ring.push(token(0), Op::Cancel);
        assert_eq!(bed.next_accepted(), (Err(cancelled), false));
        bed.ring.push(token(1), Op::Cancel);
        assert_eq!(bed.next_received(), (Err(cancelled), false));
        bed.recv_into(token(1), socket(&near), BytesMut::with_capacity(100));
        if submit_first {
            bed.ring.enter(Wait::No).unwrap();
        }
        bed.ring.push(token(1), Op::Cancel);
        let (into, got) = bed.next_filled();
        assert_eq!((into.len(), into.capacity(), got), (0, 100, Err(cancelled)));
        assert_eq!(bed.ring.in_flight(), 0);
    }
    far.write_all(b"still connected").unwrap();
    bed.recv(token(1), socket(&near));
    assert_eq!(bed.next_received(), (Ok(b"still connected".to_vec()), true));
}

/// The story: a receive whose socket has data when it is armed sits in a list of work to be run, where a cancel in the
/// same submission does not find it. The cancel was answered "not found", and the receive went on for ever.
#[test]
fn a_cancel_that_comes_while_the_receive_has_work_is_not_lost() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    for round in 0..200 {
        far.write_all(b"data").unwrap();
        bed.recv(token(0), socket(&near));
        if round % 2 == 1 {
            bed.ring.enter(Wait::No).unwrap();
        }
        bed.ring.push(token(0), Op::Cancel);
        let completions = bed.settle();
        let Some(Completion { event: Event::Received { result, more: false }, .. }) = completions.last() else {
            panic!("{completions:?}")
        };
        assert!(matches!(result, Err(Errno(libc::ECANCELED)) | Ok(Some(_))), "{result:?}");
        for completion in completions {
            if let Event::Received { result: Ok(Some(chunk)), .. } = completion.event {
                bed.ring.recycle(chunk);
            }
        }
    }
}

#[test]
fn a_cancel_of_nothing_or_of_a_former_occupant_does_nothing() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    bed.ring.push(token(5), Op::Cancel);
    bed.ring.push(token(4_000_000), Op::Cancel);
    bed.recv(token(5), socket(&near));
    bed.ring.push(Token { slot: 5, generation: 0 }, Op::Cancel);
    far.write_all(b"alive").unwrap();
    assert_eq!(bed.next_received(), (Ok(b"alive".to_vec()), true));
    assert_eq!(bed.ring.in_flight(), 1);
}

#[test]
fn a_late_cancel_spares_the_next_receive_of_the_same_token() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    let (second, mut second_far) = UnixStream::pair().unwrap();
    bed.recv(token(0), socket(&near));
    bed.ring.enter(Wait::No).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    bed.ring.enter(Wait::No).unwrap();
    // The first receive has ended in the kernel, unseen here: its cancel finds nothing.
    bed.ring.push(token(0), Op::Cancel);
    assert_eq!(bed.next_received(), (Ok(Vec::new()), false));
    bed.recv(token(0), socket(&second));
    second_far.write_all(b"second").unwrap();
    assert_eq!(bed.next_received(), (Ok(b"second".to_vec()), true));
    far.flush().unwrap();
}

#[test]
fn only_the_low_24_bits_of_a_generation_travel() {
    let mut bed = Bed::new();
    let (near, mut far) = tcp_pair();
    bed.recv(Token { slot: 2, generation: 0xAB00_0007 }, socket(&near));
    far.write_all(b"x").unwrap();
    assert_eq!(bed.next().token, Token { slot: 2, generation: 7 });
}

#[test]
#[should_panic(expected = "one accept or receive in flight per token")]
fn a_second_receive_of_a_token_is_our_mistake() {
    let mut bed = Bed::new();
    let (near, _far) = tcp_pair();
    bed.recv(token(0), socket(&near));
    bed.recv_into(token(0), socket(&near), BytesMut::with_capacity(10));
}

/// A chunk of `len` bytes of `buffer` that the ring never gave out.
fn forged(buffer: u16, len: u32) -> Chunk {
    Chunk { buffer, len }
}

#[test]
#[should_panic(expected = "the chunk is not out")]
fn a_forged_chunk_shows_no_buffer_of_the_kernel() {
    let bed = Bed::new();
    let _bytes = bed.ring.chunk(&forged(0, 1));
}

#[test]
#[should_panic(expected = "the chunk is not out")]
fn a_forged_chunk_frees_no_buffer_of_the_kernel() {
    let mut bed = Bed::new();
    bed.ring.recycle(forged(0, 1));
}

#[test]
fn buffers_of_every_size_keep_their_bytes_apart() {
    for buffer_bytes in [64, 100, 4096, 65536] {
        let mut bed = Bed::with(Setup { buffer_bytes, buffer_count: 16, ..Setup::default() });
        let (near, mut far) = UnixStream::pair().unwrap();
        bed.recv(token(0), socket(&near));
        let sent = pattern(buffer_bytes as usize * 4);
        let mut got = Vec::new();
        let mut held = Vec::new();
        for piece in sent.chunks(buffer_bytes as usize) {
            far.write_all(piece).unwrap();
            let wanted = got.len() + piece.len();
            while got.len() < wanted {
                let Event::Received { result: Ok(Some(chunk)), .. } = bed.next().event else { panic!("no piece") };
                got.extend_from_slice(bed.ring.chunk(&chunk));
                held.push(chunk);
            }
        }
        let together: Vec<u8> = held.iter().flat_map(|chunk| bed.ring.chunk(chunk)).copied().collect();
        assert!(together == sent, "no piece overwrote another");
    }
}
