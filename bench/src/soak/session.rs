//! Session: one socket and its habits: how it sends, reads, rests and ends.
//!
//! ```text
//!  Talking --- rounds used up ---> Ending: no more requests, replies awaited ---> gone
//!     |                               |
//!     +-- reset, cut: gone at once    +-- half closed, QUIT, garbage: until the server's end
//! ```

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use rand::RngExt;
use rand::rngs::StdRng;

use super::talk::Talk;
use crate::clock::{Nanos, nanos};
use crate::load::target::Target;

const MS: Nanos = 1_000_000;
/// A request without reply for so long is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one batch of requests may have.
const BATCH_BYTES_MAX: usize = 4 << 20;
const READS_PER_TURN: usize = 8;
const ROUNDS_MAX: u32 = 120;

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Steady,
    /// Sends small pieces.
    Dribbles,
    /// Does not read for a while after each batch.
    Stalls,
    /// Rests after each batch.
    Rests,
    /// Watches all commands.
    Monitors,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    HalfClose,
    Quit,
    Garbage,
    /// A reset with requests and replies under way.
    Reset,
    /// A close in the middle of a request.
    Cut,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Close => "closed",
            Ending::HalfClose => "half-closed",
            Ending::Quit => "quit",
            Ending::Garbage => "protocol error",
            Ending::Reset => "reset",
            Ending::Cut => "cut",
        }
    }
}

/// What a turn of a session came to.
#[derive(Debug)]
pub enum Turn {
    /// It goes on.
    On,
    /// It has ended as it should, thus.
    Gone(&'static str),
    /// Something was wrong.
    Wrong(String),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection of the soak.
pub struct Session {
    stream: Stream,
    talk: Box<dyn Talk>,
    rng: StdRng,
    habit: Habit,
    ending: Ending,
    rounds_left: u32,
    is_ending: bool,
    out: Vec<u8>,
    input: Vec<u8>,
    /// The socket may have something to read, or room; kept since readiness is told once.
    is_readable: bool,
    is_writable: bool,
    asks_at: Nanos,
    reads_at: Nanos,
    writes_at: Nanos,
    heard_at: Nanos,
}

impl Session {
    /// Connects.
    pub fn open(target: &Target, talk: Box<dyn Talk>, mut rng: StdRng, now: Nanos) -> io::Result<Session> {
        let stream = match target {
            Target::Tcp(address) => {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Stream::Tcp(TcpStream::from_std(stream))
            }
            Target::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Stream::Unix(UnixStream::from_std(stream))
            }
        };
        let habit = match rng.random_range(0..100) {
            0..60 => Habit::Steady,
            60..72 => Habit::Dribbles,
            72..82 => Habit::Stalls,
            82..97 => Habit::Rests,
            _ => Habit::Monitors,
        };
        let endings = [
            Ending::Close,
            Ending::HalfClose,
            Ending::Quit,
            Ending::Garbage,
            Ending::Reset,
            Ending::Reset,
            Ending::Cut,
        ];
        let ending = endings[rng.random_range(0..endings.len())];
        let rounds_left = rng.random_range(0..ROUNDS_MAX);
        let mut session = Session {
            stream,
            talk,
            rng,
            habit,
            ending,
            rounds_left,
            is_ending: false,
            out: Vec::new(),
            input: Vec::new(),
            is_readable: false,
            is_writable: false,
            asks_at: 0,
            reads_at: 0,
            writes_at: 0,
            heard_at: now,
        };
        session.talk.greet(&mut session.out, now);
        if habit == Habit::Monitors {
            session.talk.watch_all(&mut session.out, now);
        }
        Ok(session)
    }

    /// Reports readiness to `registry` under `token`.
    pub fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        match &mut self.stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Its socket may be read, or written.
    pub fn ready(&mut self, is_readable: bool, is_writable: bool) {
        self.is_readable |= is_readable;
        self.is_writable |= is_writable;
    }

    /// Asks no more, whatever rounds are left, and ends when the replies are there.
    pub fn wind_up(&mut self) {
        self.rounds_left = 0;
        self.asks_at = 0;
        if self.habit == Habit::Monitors && !self.is_ending {
            self.ending = Ending::Close;
        }
    }

    /// Does what there is to do now.
    pub fn turn(&mut self, now: Nanos, buffer: &mut [u8]) -> Turn {
        if self.is_readable && now >= self.reads_at {
            match self.read(now, buffer) {
                Turn::On => {}
                end => return end,
            }
        }
        if self.is_idle() && now >= self.asks_at {
            let awaits_end =
                self.is_ending && matches!(self.ending, Ending::HalfClose | Ending::Quit | Ending::Garbage);
            if self.is_ending && self.ending == Ending::Close || self.talk.is_over() && !awaits_end {
                return Turn::Gone(self.ending.name());
            }
            if !self.is_ending {
                self.next_round(now);
                if self.is_ending && matches!(self.ending, Ending::Reset | Ending::Cut) {
                    return self.break_off();
                }
            }
        }
        if self.is_writable
            && now >= self.writes_at
            && let Err(e) = self.write(now)
        {
            return self.broken(&e.to_string());
        }
        let waits = self.talk.pending_count() > 0 || self.is_ending;
        if waits && now.saturating_sub(self.heard_at.max(self.reads_at)) > nanos(PATIENCE) {
            let (habit, ending, unsent) = (self.habit, self.ending, self.out.len());
            let waiting = self.talk.waiting();
            return Turn::Wrong(format!(
                "no reply for {PATIENCE:?} ({habit:?}, {ending:?}, {unsent} unsent): {waiting}"
            ));
        }
        Turn::On
    }

    /// True if this session has something to do although its socket says nothing.
    pub fn has_work(&self, now: Nanos) -> bool {
        (self.is_readable && now >= self.reads_at) || (self.is_idle() && !self.is_ending && now >= self.asks_at)
    }

    fn is_idle(&self) -> bool {
        self.out.is_empty() && self.talk.pending_count() == 0
    }

    /// The next batch, or the end.
    fn next_round(&mut self, now: Nanos) {
        self.heard_at = now;
        if self.rounds_left == 0 {
            return self.end(now);
        }
        self.rounds_left -= 1;
        if self.habit == Habit::Monitors {
            self.asks_at = now + 20 * MS;
            return;
        }
        self.batch(now);
        match self.habit {
            Habit::Stalls => self.reads_at = now + self.rng.random_range(1..1500) * MS,
            Habit::Rests => self.asks_at = now + self.rng.random_range(1..2000) * MS,
            Habit::Steady | Habit::Dribbles | Habit::Monitors => {}
        }
    }

    fn batch(&mut self, now: Nanos) {
        self.talk.meet();
        let most = match self.rng.random_range(0..100) {
            0..40 => 1,
            40..80 => self.rng.random_range(2..17),
            80..96 => self.rng.random_range(17..101),
            _ => self.rng.random_range(101..1001),
        };
        for _ in 0..most {
            self.talk.ask(&mut self.out, now);
            if self.out.len() >= BATCH_BYTES_MAX {
                break;
            }
        }
    }

    fn end(&mut self, now: Nanos) {
        self.is_ending = true;
        match self.ending {
            Ending::Close => {}
            Ending::HalfClose | Ending::Reset | Ending::Cut if self.habit == Habit::Monitors => {}
            Ending::HalfClose | Ending::Reset | Ending::Cut => self.batch(now),
            Ending::Quit => self.talk.quit(&mut self.out, now),
            Ending::Garbage => self.talk.say_garbage(&mut self.out, now),
        }
        if self.ending == Ending::HalfClose && self.out.is_empty() {
            self.half_close();
        }
    }

    /// Sends what the socket takes, all or a part of it, and is gone.
    fn break_off(&mut self) -> Turn {
        if self.ending == Ending::Cut {
            let keep = self.rng.random_range(0..=self.out.len());
            self.out.truncate(keep);
        }
        // Whether it arrives is of no concern.
        let _ = self.push(usize::MAX);
        if self.ending == Ending::Reset
            && let Stream::Tcp(stream) = &self.stream
        {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        Turn::Gone(self.ending.name())
    }

    fn half_close(&mut self) {
        // A peer that is gone already shows at the next read.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn write(&mut self, now: Nanos) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let most = match self.habit {
            Habit::Dribbles if self.out.len() < 100_000 => {
                self.writes_at = now + self.rng.random_range(0..3) * MS;
                self.rng.random_range(1..2000)
            }
            _ => usize::MAX,
        };
        self.push(most)?;
        if self.out.is_empty() && self.is_ending && self.ending == Ending::HalfClose {
            self.half_close();
        }
        Ok(())
    }

    fn push(&mut self, most: usize) -> io::Result<()> {
        let end = self.out.len().min(most);
        let mut written = 0;
        while written < end {
            let unsent = &self.out[written..end];
            let outcome = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(unsent),
                Stream::Unix(stream) => stream.write(unsent),
            };
            match outcome {
                Ok(bytes) => written += bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.is_writable = false;
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    fn read(&mut self, now: Nanos, buffer: &mut [u8]) -> Turn {
        for _ in 0..READS_PER_TURN {
            let outcome = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(buffer),
                Stream::Unix(stream) => stream.read(buffer),
            };
            match outcome {
                Ok(0) => {
                    let heard = self.hear(now);
                    return if matches!(heard, Turn::On) { self.closed(now) } else { heard };
                }
                Ok(count) => {
                    self.heard_at = now;
                    self.input.extend_from_slice(&buffer[..count]);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    break;
                }
                Err(e) => {
                    let heard = self.hear(now);
                    return if matches!(heard, Turn::On) { self.broken(&e.to_string()) } else { heard };
                }
            }
        }
        self.hear(now)
    }

    fn hear(&mut self, now: Nanos) -> Turn {
        let mut at = 0;
        loop {
            match self.talk.take(&self.input[at..], now) {
                Ok(Some(consumed)) => at += consumed,
                Ok(None) => break,
                Err(text) => return Turn::Wrong(text),
            }
        }
        self.input.drain(..at);
        Turn::On
    }

    /// The server ended the stream.
    fn closed(&mut self, now: Nanos) -> Turn {
        self.talk.closed();
        let is_half_closed = self.is_ending && self.ending == Ending::HalfClose && self.out.is_empty();
        // A server cannot tell a client that has half-closed from one that is gone: what it waits for may end with it.
        let is_awaited = is_half_closed && (self.is_idle() || self.talk.may_wait(now));
        match is_awaited || self.talk.may_be_closed() {
            true => Turn::Gone(self.ending.name()),
            false => Turn::Wrong(format!(
                "the server closed the connection ({:?}, {:?}, {} bytes unsent): {}",
                self.habit,
                self.ending,
                self.out.len(),
                self.talk.waiting()
            )),
        }
    }

    fn broken(&mut self, why: &str) -> Turn {
        match self.talk.may_be_closed() {
            true => Turn::Gone("killed"),
            false => Turn::Wrong(format!("{why} ({:?}, {:?}): {}", self.habit, self.ending, self.talk.waiting())),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.talk.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rand::SeedableRng;

    use super::*;

    /// Says nothing and hears nothing.
    struct Silent;

    impl Talk for Silent {
        fn pending_count(&self) -> usize {
            0
        }
        fn waiting(&self) -> String {
            String::new()
        }
        fn may_be_closed(&self) -> bool {
            false
        }
        fn is_over(&self) -> bool {
            false
        }
        fn greet(&mut self, _: &mut Vec<u8>, _: Nanos) {}
        fn ask(&mut self, _: &mut Vec<u8>, _: Nanos) {}
        fn quit(&mut self, _: &mut Vec<u8>, _: Nanos) {}
        fn say_garbage(&mut self, _: &mut Vec<u8>, _: Nanos) {}
        fn watch_all(&mut self, _: &mut Vec<u8>, _: Nanos) {}
        fn meet(&mut self) {}
        fn leave(&mut self) {}
        fn may_wait(&self, _: Nanos) -> bool {
            false
        }
        fn take(&mut self, _: &[u8], _: Nanos) -> Result<Option<usize>, String> {
            Ok(None)
        }
    }

    /// The end of the run made it a session that closes by itself, and the server's end of the stream a fault.
    #[test]
    fn a_monitor_that_has_half_closed_when_the_run_ends_awaits_the_servers_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        let mut session = Session::open(&target, Box::new(Silent), StdRng::seed_from_u64(1), 0).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        (session.habit, session.ending, session.rounds_left) = (Habit::Monitors, Ending::HalfClose, 0);
        let mut buffer = [0; 16];
        assert!(matches!(session.turn(1, &mut buffer), Turn::On));
        session.wind_up();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it has half-closed");
        drop(peer);
        let end = (2..1_000_000).find_map(|now| {
            session.ready(true, true);
            Some(session.turn(now, &mut buffer)).filter(|turn| !matches!(turn, Turn::On))
        });
        assert!(matches!(end, Some(Turn::Gone("half-closed"))));
    }
}
