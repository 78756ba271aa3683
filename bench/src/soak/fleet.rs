//! Fleet: all sessions of a run in one event loop, each slot refilled when its session ends.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::conversation::Conversation;
use super::ledger::Ledger;
use super::roster::Roster;
use super::scrape::{PATHS, scrape};
use super::session::{Session, Turn};
use super::talk::Talk;
use super::text::Text;
use super::vitals::{Sample, sample};
use crate::clock::{Clock, Nanos, nanos};
use crate::load::target::Target;

const READ_BYTES: usize = 64 * 1024;
const POLL_MAX: Duration = Duration::from_millis(5);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Scrapes of /metrics and the like: one in two seconds.
const SAMPLES_PER_SCRAPE: usize = 4;
/// Sessions are waited for once the time is over; what is not done then is closed.
const WIND_UP_MAX: Duration = Duration::from_secs(90);
/// One connection in so many speaks memcached's text protocol.
const TEXT_EVERY: u64 = 4;
/// How much longer a run may take until every command was answered.
const COVER_MAX: Duration = Duration::from_secs(60);
/// Connections opened in one turn, so that the others get theirs.
const OPENED_PER_TURN: usize = 4;

/// What a fleet is and whom it visits.
pub struct Plan<'a> {
    /// Where RESP is spoken.
    pub resp: &'a Target,
    /// Where memcached's text protocol is spoken, if it is.
    pub text: Option<Target>,
    /// Where /metrics is served, if it is.
    pub metrics: Option<SocketAddr>,
    /// The server's process.
    pub pid: u32,
    /// Connections at a time.
    pub connections: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// How long.
    pub duration: Duration,
}

/// The sessions of a run.
pub struct Fleet<'a> {
    plan: &'a Plan<'a>,
    roster: Rc<Roster>,
    ledger: Rc<RefCell<Ledger>>,
    poll: Poll,
    slots: Vec<Option<Session>>,
    rng: StdRng,
    serial: u64,
    samples: Vec<Sample>,
}

impl<'a> Fleet<'a> {
    /// A fleet that has not left.
    pub fn new(plan: &'a Plan<'a>, roster: Roster) -> io::Result<Fleet<'a>> {
        let ledger = Ledger { unsent: roster.each.clone(), ..Ledger::default() };
        Ok(Fleet {
            plan,
            roster: Rc::new(roster),
            ledger: Rc::new(RefCell::new(ledger)),
            poll: Poll::new()?,
            slots: (0..plan.connections).map(|_| None).collect(),
            rng: StdRng::seed_from_u64(plan.seed),
            serial: 0,
            samples: Vec::new(),
        })
    }

    /// Runs to the end of the time, or until `stop`; `look` is told twice a second how it goes.
    pub fn run(
        mut self,
        clock: &Clock,
        stop: &AtomicBool,
        mut look: impl FnMut(Nanos, &Ledger, &Sample),
    ) -> io::Result<(Ledger, Vec<Sample>)> {
        let (mut buffer, mut events) = (vec![0; READ_BYTES], Events::with_capacity(1024));
        let (mut next_sample, mut wound_up_at) = (0, None);
        loop {
            let now = clock.now();
            if now >= next_sample {
                next_sample = now + nanos(SAMPLE_EVERY);
                let sample =
                    sample(self.plan.pid, now).map_err(|e| io::Error::other(format!("the server is gone: {e}")))?;
                self.samples.push(sample);
                self.scrape();
                look(now, &self.ledger.borrow(), &sample);
            }
            if wound_up_at.is_none() && (self.is_done(now) || stop.load(Ordering::Relaxed)) {
                wound_up_at = Some(now);
                self.slots.iter_mut().flatten().for_each(Session::wind_up);
            }
            match wound_up_at {
                None => self.open_some(now)?,
                Some(since) => {
                    let is_late = now > since + nanos(WIND_UP_MAX);
                    if is_late || self.slots.iter().all(Option::is_none) {
                        break;
                    }
                }
            }
            self.turn(&mut events, &mut buffer, clock)?;
        }
        drop(self.slots);
        let ledger = Rc::try_unwrap(self.ledger).map_err(|_| io::Error::other("a session has outlived the fleet"))?;
        Ok((ledger.into_inner(), self.samples))
    }

    /// Asks for metrics now and then; nobody else is served here meanwhile, which clients must bear with too.
    fn scrape(&self) {
        let Some(address) = self.plan.metrics else { return };
        let (turn, rest) = (self.samples.len() / SAMPLES_PER_SCRAPE, self.samples.len() % SAMPLES_PER_SCRAPE);
        let (path, statuses) = PATHS[turn % PATHS.len()];
        if rest != 0 {
            return;
        }
        let outcome = scrape(address, path, statuses);
        let mut ledger = self.ledger.borrow_mut();
        ledger.count_verb(path, None);
        if let Err(e) = outcome {
            ledger.fault(e.to_string());
        }
    }

    /// The time is over, and every command was answered, or there was more than time enough for it.
    fn is_done(&self, now: Nanos) -> bool {
        let end = nanos(self.plan.duration);
        let ledger = self.ledger.borrow();
        let is_covered = || self.roster.wanted().all(|name| ledger.commands.contains_key(name));
        now >= end && (now >= end + nanos(COVER_MAX) || is_covered())
    }

    fn open_some(&mut self, now: Nanos) -> io::Result<()> {
        let empty: Vec<usize> = (0..self.slots.len()).filter(|slot| self.slots[*slot].is_none()).collect();
        for slot in empty.into_iter().take(OPENED_PER_TURN) {
            self.serial += 1;
            let rng = StdRng::seed_from_u64(self.rng.random());
            let (target, talk) = self.talk();
            let context = |e: io::Error| io::Error::other(format!("cannot connect to {target}: {e}"));
            let mut session = Session::open(target, talk, rng, now).map_err(context)?;
            session.register(self.poll.registry(), Token(slot))?;
            self.slots[slot] = Some(session);
        }
        Ok(())
    }

    /// Whom the next session talks to, and how.
    fn talk(&mut self) -> (&'a Target, Box<dyn Talk>) {
        let ledger = Rc::clone(&self.ledger);
        match &self.plan.text {
            Some(target) if self.serial.is_multiple_of(TEXT_EVERY) => {
                (target, Box::new(Text::new(self.plan.seed, self.serial, ledger)))
            }
            _ => {
                let talk = Conversation::new(self.plan.seed, self.serial, Rc::clone(&self.roster), ledger);
                (self.plan.resp, Box::new(talk))
            }
        }
    }

    fn turn(&mut self, events: &mut Events, buffer: &mut [u8], clock: &Clock) -> io::Result<()> {
        let now = clock.now();
        let has_work = self.slots.iter().flatten().any(|session| session.has_work(now));
        let timeout = if has_work { Duration::ZERO } else { POLL_MAX };
        match self.poll.poll(events, Some(timeout)) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        for event in &*events {
            let Token(slot) = event.token();
            if let Some(session) = &mut self.slots[slot] {
                let is_over = event.is_error() || event.is_read_closed() || event.is_write_closed();
                session.ready(event.is_readable() || is_over, event.is_writable());
            }
        }
        for slot in 0..self.slots.len() {
            let Some(session) = &mut self.slots[slot] else { continue };
            match session.turn(clock.now(), buffer) {
                Turn::On => continue,
                Turn::Gone(how) => *self.ledger.borrow_mut().endings.entry(how).or_default() += 1,
                Turn::Wrong(text) => self.ledger.borrow_mut().fault(text),
            }
            self.slots[slot] = None;
        }
        Ok(())
    }
}
