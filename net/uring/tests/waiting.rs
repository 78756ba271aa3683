//! Entering and waiting: when the ring sleeps, when it returns, and when it makes no system call at all.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pinion_uring::{Op, Ring, Wait};
use support::{Bed, socket, token};

/// Longer than any test may take: a wait of this length that is not cut short fails by the runner's patience.
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_wait_for_nothing_ends_when_its_time_is_over() {
    let mut bed = Bed::new();
    for wait in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(2)] {
        bed.ring.enter(Wait::AtMost(wait)).unwrap();
        assert!(bed.poll().is_none());
    }
    assert_eq!(bed.ring.enter_count(), 3);
}

#[test]
fn an_idle_enter_makes_no_system_call() {
    let mut bed = Bed::new();
    let (near, _far) = UnixStream::pair().unwrap();
    bed.recv(token(0), socket(&near));
    bed.ring.enter(Wait::No).unwrap();
    let before = bed.ring.enter_count();
    for _time in 0..100 {
        bed.ring.enter(Wait::No).unwrap();
        assert!(bed.poll().is_none());
    }
    assert_eq!(bed.ring.enter_count(), before);
}

#[test]
fn arrived_bytes_make_the_ring_ready_and_one_enter_delivers_them() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    bed.recv(token(0), socket(&near));
    bed.ring.enter(Wait::No).unwrap();
    assert!(!bed.ring.is_ready());
    far.write_all(b"ping").unwrap();
    assert!(bed.ring.is_ready(), "the kernel flags deferred work");
    let before = bed.ring.enter_count();
    bed.ring.enter(Wait::No).unwrap();
    assert_eq!(bed.ring.enter_count(), before + 1);
    assert!(bed.ring.is_ready(), "the completion is there");
    assert_eq!(bed.next_received(), (Ok(b"ping".to_vec()), true));
    assert!(!bed.ring.is_ready());
}

#[test]
fn a_wait_does_not_sleep_over_completions_that_are_there() {
    let mut bed = Bed::new();
    let (near, _far) = UnixStream::pair().unwrap();
    bed.send(token(0), socket(&near), b"reply");
    bed.ring.enter(Wait::No).unwrap();
    let before = bed.ring.enter_count();
    bed.ring.enter(Wait::AtMost(HOUR)).unwrap();
    assert_eq!(bed.ring.enter_count(), before, "nothing to submit, nothing to wait for");
    bed.recv(token(1), socket(&near));
    bed.ring.enter(Wait::AtMost(HOUR)).unwrap();
    assert_eq!(bed.next_sent().1, Ok(5));
}

#[test]
fn bytes_wake_a_sleeping_ring() {
    let mut bed = Bed::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    bed.recv(token(0), socket(&near));
    bed.ring.enter(Wait::No).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| far.write_all(b"wake up").unwrap());
        bed.ring.enter(Wait::AtMost(Duration::MAX)).unwrap();
    });
    assert_eq!(bed.next_received(), (Ok(b"wake up".to_vec()), true));
}

static SIGNAL_COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_signal: libc::c_int) {
    SIGNAL_COUNT.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_signal_during_a_wait_is_no_error() {
    let handler: extern "C" fn(libc::c_int) = count_signal;
    // SAFETY: the handler only adds to an atomic, which is safe in a signal's context.
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t) };
    let mut bed = Bed::new();
    // SAFETY: pthread_self(3) always succeeds.
    let ring_thread = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: the scope ends after this loop, so the thread exists.
                unsafe { libc::pthread_kill(ring_thread, libc::SIGUSR1) };
                std::thread::yield_now();
            }
        });
        while SIGNAL_COUNT.load(Ordering::Relaxed) < 100 {
            bed.ring.enter(Wait::AtMost(HOUR)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(bed.poll().is_none());
}

#[test]
fn pushes_alone_make_no_system_call() {
    let mut bed = Bed::new();
    let (near, _far) = UnixStream::pair().unwrap();
    for slot in 0..100 {
        bed.send(token(slot), socket(&near), b"x");
    }
    bed.ring.push(token(2000), Op::Cancel);
    assert_eq!(bed.ring.enter_count(), 0);
    assert_eq!(bed.settle().len(), 100);
}
