//! Self-test: the behaviour that the server relies on, tried on the real ring before the first client.
//!
//! Over a socketpair: a multishot receive delivers bytes and goes on; it ends with ENOBUFS when the published buffers
//! are out, and a new one delivers the rest; a half-close ends it with the end of the stream. Then, as a feature and
//! not as
//! a condition, whether bytes and the end of the stream that arrive together are both delivered.
//!
//! Invariants
//! - The ring is left as it was found: nothing in flight, no chunk out.
//! - It ends: every wait is bounded.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::kernel_ring::KernelRing;
use crate::ring::{Chunk, Completion, Errno, Event, Op, Ring, Socket, Token, Wait};
use crate::setup::SetupError;

const TOKEN: Token = Token { slot: 0, generation: 0 };

/// Waits for a completion that must come: 50 of 20 ms each, so a second in all.
const WAIT_COUNT_MAX: usize = 50;
const WAIT: Duration = Duration::from_millis(20);

/// Bytes per write while running out of buffers.
const FILLER_BYTES: usize = 64 * 1024;

/// A completion of the receive: what came, and whether more will.
type Received = (Result<Option<Chunk>, Errno>, bool);

/// Tries the ring on a socketpair and leaves it as it was.
///
/// # Errors
/// The step at which the kernel did something else than expected.
///
/// # Panics
/// If operations are in flight: the test wants the ring to itself.
pub fn self_test(ring: &mut KernelRing) -> Result<(), SetupError> {
    assert!(ring.in_flight() == 0, "the self-test wants the ring to itself");
    Trial::on_new_pair(ring, Trial::run)?;
    let seen = Trial::on_new_pair(ring, Trial::sees_simultaneous_end)?;
    ring.features_mut().unix_end_of_stream = seen;
    Ok(())
}

struct Trial<'a> {
    ring: &'a mut KernelRing,
    socket: Socket,
    far: UnixStream,
    reaped: Vec<Completion>,
    held: Vec<Chunk>,
    written_bytes: usize,
    received_bytes: usize,
}

impl<'a> Trial<'a> {
    fn on_new_pair<T>(
        ring: &'a mut KernelRing,
        steps: fn(&mut Trial<'a>) -> Result<T, SetupError>,
    ) -> Result<T, SetupError> {
        let (near, far) = UnixStream::pair().map_err(|error| failed("socketpair", error))?;
        far.set_nonblocking(true).map_err(|error| failed("socketpair", error))?;
        let socket = Socket(near.as_raw_fd());
        let (reaped, held) = (Vec::new(), Vec::new());
        let mut trial = Trial { ring, socket, far, reaped, held, written_bytes: 0, received_bytes: 0 };
        let outcome = steps(&mut trial);
        trial.clean_up();
        outcome
    }

    fn run(&mut self) -> Result<(), SetupError> {
        self.ring.push(TOKEN, Op::Recv { socket: self.socket });
        self.receive_one("multishot receive")?;
        self.run_out_of_buffers("running out of buffers")?;
        self.recover("receiving again after ENOBUFS")?;
        self.end("half-close")
    }

    fn receive_one(&mut self, step: &'static str) -> Result<(), SetupError> {
        self.write(b"ping", step)?;
        match self.next(step)? {
            (Ok(Some(chunk)), true) => {
                let intact = self.ring.chunk(&chunk) == b"ping";
                self.hold(chunk);
                if intact { Ok(()) } else { Err(failed(step, "the bytes were others")) }
            }
            other => Err(unexpected(step, &other)),
        }
    }

    /// Sends and holds what comes until the receive ends for the lack of a buffer.
    fn run_out_of_buffers(&mut self, step: &'static str) -> Result<(), SetupError> {
        let filler = vec![b'.'; FILLER_BYTES];
        let buffer_count = usize::from(self.ring.features().buffer_count);
        while self.held.len() <= buffer_count {
            self.write(&filler, step)?;
            match self.next(step)? {
                (Ok(Some(chunk)), true) => self.hold(chunk),
                (Err(Errno(libc::ENOBUFS)), false) => return Ok(()),
                other => return Err(unexpected(step, &other)),
            }
        }
        Err(failed(step, "more pieces arrived than there are buffers"))
    }

    /// Gives the buffers back, receives again, and takes all that is still on its way.
    fn recover(&mut self, step: &'static str) -> Result<(), SetupError> {
        self.release();
        self.ring.push(TOKEN, Op::Recv { socket: self.socket });
        while self.received_bytes < self.written_bytes {
            match self.next(step)? {
                (Ok(Some(chunk)), true) => self.hold(chunk),
                (Err(Errno(libc::ENOBUFS)), false) => {
                    self.ring.push(TOKEN, Op::Recv { socket: self.socket });
                }
                other => return Err(unexpected(step, &other)),
            }
            self.release();
        }
        Ok(())
    }

    fn end(&mut self, step: &'static str) -> Result<(), SetupError> {
        self.far.shutdown(Shutdown::Write).map_err(|error| failed(step, error))?;
        match self.next(step)? {
            (Ok(None), false) => Ok(()),
            other => Err(unexpected(step, &other)),
        }
    }

    /// Both wake-ups happen before the kernel runs the receive once; one that looks only once misses the end.
    fn sees_simultaneous_end(&mut self) -> Result<bool, SetupError> {
        let step = "bytes and half-close together";
        self.ring.push(TOKEN, Op::Recv { socket: self.socket });
        self.ring.enter(Wait::No).map_err(|error| failed(step, error))?;
        self.write(b"last words", step)?;
        self.far.shutdown(Shutdown::Write).map_err(|error| failed(step, error))?;
        match self.next(step)? {
            (Ok(Some(chunk)), true) => self.hold(chunk),
            other => return Err(unexpected(step, &other)),
        }
        self.ring.enter(Wait::AtMost(WAIT)).map_err(|error| failed(step, error))?;
        Ok(self.ring.is_ready())
    }

    fn write(&mut self, bytes: &[u8], step: &'static str) -> Result<(), SetupError> {
        match self.far.write(bytes) {
            Ok(count) => self.written_bytes += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(step, error)),
        }
        Ok(())
    }

    fn hold(&mut self, chunk: Chunk) {
        self.received_bytes += chunk.len as usize;
        self.held.push(chunk);
    }

    fn release(&mut self) {
        for chunk in self.held.drain(..) {
            self.ring.recycle(chunk);
        }
    }

    fn next(&mut self, step: &'static str) -> Result<Received, SetupError> {
        for _wait in 0..WAIT_COUNT_MAX {
            self.ring.reap(&mut self.reaped, 1);
            match self.reaped.pop() {
                Some(Completion { event: Event::Received { result, more }, .. }) => return Ok((result, more)),
                Some(other) => return Err(failed(step, format_args!("{:?}", other.event))),
                None => self.ring.enter(Wait::AtMost(WAIT)).map_err(|error| failed(step, error))?,
            }
        }
        Err(failed(step, "no completion came"))
    }

    fn clean_up(&mut self) {
        self.release();
        self.ring.push(TOKEN, Op::Cancel);
        for _wait in 0..WAIT_COUNT_MAX {
            if self.ring.in_flight() == 0 {
                break;
            }
            match self.next("cancel") {
                Ok((Ok(Some(chunk)), _more)) => self.ring.recycle(chunk),
                Ok((Ok(None) | Err(_), _more)) => {}
                Err(_silent) => break,
            }
        }
        self.ring.narrow_window();
    }
}

fn unexpected(step: &'static str, (result, more): &Received) -> SetupError {
    failed(step, format_args!("{result:?}, more: {more}"))
}

fn failed(step: &'static str, outcome: impl Display) -> SetupError {
    SetupError::SelfTest { step, outcome: outcome.to_string() }
}
