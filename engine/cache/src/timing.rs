//! Timing: how long commands take, without reading a clock for each.
//!
//! ```text
//! begin_batch   GET GET SET ...   KEYS                       GET ...   end_batch
//!     read      counted only      read  runs by itself  read counted      read
//!     |---------- shared ---------|---------------------|--- shared ------|
//! ```
//!
//! Commands whose cost does not depend on their data share the time of the span in which they ran, evenly. Any other
//! one (`Shape::timed_from`) has two readings of its own, and a job has the sum of its slices.
//!
//! Every command is timed by itself while `slowlog-log-slower-than` is below `PRECISE_BELOW_US`, and for a second
//! after a span that was slower than what is watched for, so that a culprit that comes back is named. The latter not
//! more often than twice a minute: on a host that takes the processor away now and then it would go on all the time.
//!
//! Invariants
//! - The clock is read at most twice per batch, and per command that is timed by itself once, or twice if
//!   something that is not has run before it.
//! - Counting a command that shares its time allocates nothing but its command's histogram, once.

use std::time::Duration;

use protocol::Reply;

use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::clients::ClientIndex;
use crate::config::InForce;
use crate::job::{Job, JobState};
use crate::latency::Event;
use crate::slowlog::Asked;
use crate::spec::flag;
use crate::table::{self, COMMAND_COUNT, Command};

/// A monotonic clock in nanoseconds. Zero may be anywhere.
pub type Stopwatch = fn() -> u64;

/// A threshold of the slow log below this, in microseconds, asks for every command's own time.
const PRECISE_BELOW_US: i64 = 1000;
/// How long every command is timed by itself after a slow span.
const PRECISE_FOR_US: u64 = 1_000_000;
/// How long from one slow span to the next one that has this effect.
const PRECISE_EVERY_US: u64 = 30_000_000;

/// What is being timed.
pub(crate) struct Timing {
    stopwatch: Stopwatch,
    /// Sleeps ordered so far: the clock that commands see is ahead by them.
    ordered_ns: u64,
    /// When the current span began.
    since_ns: u64,
    /// Something that is not timed has run since: the next command did not begin at `since_ns`.
    has_gap: bool,
    /// Commands of the current span, by command.
    counts: [u32; COMMAND_COUNT],
    /// Those that are not 0 in `counts`: the first `seen_count` of it.
    seen: [Command; COMMAND_COUNT],
    seen_count: usize,
    /// Requests of the current span that are counted elsewhere: memcached's.
    others: u32,
    /// Every command is timed by itself.
    is_precise: bool,
    /// Until then it is after a slow span, in monotonic microseconds.
    precise_until_us: u64,
    /// Before then a slow span has no such effect, in monotonic microseconds.
    precise_again_us: u64,
    /// Spans and commands from here on are looked at: the smaller of the thresholds in force.
    slow_ns: u64,
}

impl Timing {
    /// Nothing timed yet.
    pub fn new(stopwatch: Stopwatch, in_force: &InForce) -> Timing {
        let mut timing = Timing {
            stopwatch,
            ordered_ns: 0,
            since_ns: 0,
            has_gap: false,
            counts: [0; COMMAND_COUNT],
            seen: [Command::Get; COMMAND_COUNT],
            seen_count: 0,
            others: 0,
            is_precise: false,
            precise_until_us: 0,
            precise_again_us: 0,
            slow_ns: u64::MAX,
        };
        timing.obey(in_force);
        timing
    }

    /// Takes the thresholds over.
    pub fn obey(&mut self, in_force: &InForce) {
        let slowlog_ns = u64::try_from(in_force.slowlog_slower_than_us).map_or(u64::MAX, |us| us.saturating_mul(1000));
        let monitor_ns = match in_force.latency_threshold_ms {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        self.slow_ns = slowlog_ns.min(monitor_ns);
        self.is_precise = is_precise(in_force) || self.precise_until_us > 0;
    }

    /// Reads the clock, in nanoseconds.
    pub fn read(&self) -> u64 {
        (self.stopwatch)() + self.ordered_ns
    }

    /// Counts a sleep as time of the command that orders it: the server sleeps when the command has run.
    pub fn order_sleep(&mut self, time: Duration) {
        self.ordered_ns += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2 - self.ordered_ns);
    }

    /// Notes that something runs that is not timed: what is queued, refused or held back, and what goes to monitors.
    #[inline]
    pub fn note_gap(&mut self) {
        self.has_gap = true;
    }

    /// Commands that ran in the current span.
    pub fn pending(&self) -> u64 {
        self.seen[..self.seen_count].iter().map(|command| u64::from(self.counts[command.index()])).sum()
    }

    /// Counts a command that shares the span's time.
    #[inline]
    fn note(&mut self, command: Command) {
        let count = &mut self.counts[command.index()];
        if *count == 0 {
            // Each command is here at most once, so there is room.
            self.seen[self.seen_count] = command;
            self.seen_count += 1;
        }
        *count += 1;
    }
}

impl Timing {
    /// Counts a request of memcached's protocol: it has its share of the span's time, and statistics of its own.
    #[inline]
    pub fn note_memcache(&mut self) {
        self.others += 1;
    }
}

fn is_precise(in_force: &InForce) -> bool {
    (0..PRECISE_BELOW_US).contains(&in_force.slowlog_slower_than_us)
}

impl Cache {
    /// Begins a batch of requests.
    #[inline]
    pub fn begin_batch(&mut self) {
        if self.timing.precise_until_us > 0 && self.now.mono_us >= self.timing.precise_until_us {
            self.timing.precise_until_us = 0;
            self.timing.is_precise = is_precise(&self.in_force);
        }
        self.timing.since_ns = self.timing.read();
        self.timing.has_gap = false;
    }

    /// Ends a batch: its commands are counted, with the time that they took.
    #[inline]
    pub fn end_batch(&mut self) {
        if self.timing.seen_count > 0 || self.timing.others > 0 {
            let now_ns = self.timing.read();
            self.settle_span(now_ns);
        }
    }

    /// Counts and times a command, and runs it.
    #[inline]
    pub(crate) fn dispatch(&mut self, call: &Call<'_>, is_timed: bool, reply: &mut Reply<'_>) -> Outcome {
        if is_timed || self.timing.is_precise {
            return self.dispatch_timed(call, reply);
        }
        self.timing.note(call.command);
        table::dispatch(self, call, reply)
    }

    #[cold]
    fn dispatch_timed(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let began_ns = self.begin_timed();
        let mut outcome = table::dispatch(self, call, reply);
        self.end_timed(began_ns, call, &mut outcome);
        outcome
    }

    /// Continues a job for a bounded time. `Done`: its reply is written. Otherwise nothing is written yet.
    pub fn run_job(&mut self, client: ClientIndex, job: &mut Job, reply: &mut Reply<'_>) -> JobState {
        self.begin_batch();
        let state = self.run_slice(client, job, reply);
        self.end_batch();
        state
    }

    /// The same inside a batch.
    pub(crate) fn run_slice(&mut self, client: ClientIndex, job: &mut Job, reply: &mut Reply<'_>) -> JobState {
        if job.asked.is_none() {
            // What a pause held back is a command as any other.
            return job.run(self, client, reply);
        }
        let began_ns = self.begin_timed();
        let state = job.run(self, client, reply);
        self.timing.since_ns = self.timing.read();
        job.spent_ns += self.timing.since_ns.saturating_sub(began_ns);
        if matches!(state, JobState::Done | JobState::Close)
            && let Some((command, asked)) = job.asked.take()
        {
            self.statistics.ran(command, 1, job.spent_ns, 0, self.in_force.latency_tracking);
            if job.spent_ns >= self.timing.slow_ns {
                self.was_slow(command, job.spent_ns, asked);
            }
        }
        state
    }

    /// Shares the span's time among its commands, and begins the next one.
    fn settle_span(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.timing.since_ns);
        let timing = &mut self.timing;
        timing.since_ns = now_ns;
        timing.has_gap = false;
        let seen = &timing.seen[..timing.seen_count];
        let counts = seen.iter().map(|command| timing.counts[command.index()]);
        let others = u64::from(std::mem::take(&mut timing.others));
        let total = u64::from(counts.sum::<u32>()) + others;
        if total == 0 {
            return;
        }
        self.statistics.memcache_requests += others;
        self.statistics.memcache_spent_ns += others * (elapsed_ns / total);
        let mut left_ns = elapsed_ns % total;
        let mut all_fast = true;
        for &command in seen {
            let calls = u64::from(std::mem::take(&mut timing.counts[command.index()]));
            // One of them takes what the division left over, so that the sums are exact.
            let left_ns = std::mem::take(&mut left_ns);
            self.statistics.ran(command, calls, elapsed_ns / total, left_ns, self.in_force.latency_tracking);
            all_fast &= command.spec().flags & flag::FAST != 0;
        }
        timing.seen_count = 0;
        if elapsed_ns >= timing.slow_ns {
            self.span_was_slow(elapsed_ns, all_fast);
        }
    }

    #[cold]
    fn begin_timed(&mut self) -> u64 {
        if self.timing.seen_count == 0 && self.timing.others == 0 && !self.timing.has_gap {
            // It begins where the one before it has ended.
            return self.timing.since_ns;
        }
        let now_ns = self.timing.read();
        self.settle_span(now_ns);
        now_ns
    }

    #[cold]
    fn end_timed(&mut self, began_ns: u64, call: &Call<'_>, outcome: &mut Outcome) {
        let now_ns = self.timing.read();
        // What ran inside of it, as EXEC's commands do.
        self.settle_span(now_ns);
        let spent_ns = now_ns.saturating_sub(began_ns);
        if let Outcome::Job(job) = outcome {
            job.spent_ns = spent_ns;
            job.asked = Some((call.command, Asked::new(call.command, call.request, self.clients.get(call.client))));
            return;
        }
        self.statistics.ran(call.command, 1, spent_ns, 0, self.in_force.latency_tracking);
        if spent_ns >= self.timing.slow_ns {
            let asked = Asked::new(call.command, call.request, self.clients.get(call.client));
            self.was_slow(call.command, spent_ns, asked);
        }
    }

    /// Tells the slow log and the latency monitor of a command, as far as their thresholds say.
    #[cold]
    fn was_slow(&mut self, command: Command, spent_ns: u64, asked: Asked) {
        let flags = command.spec().flags;
        let unix_seconds = self.now.unix_ms / 1000;
        let spent_us = spent_ns / 1000;
        let slower_than_us = u64::try_from(self.in_force.slowlog_slower_than_us).unwrap_or(u64::MAX);
        if spent_us >= slower_than_us && flags & flag::SKIP_SLOWLOG == 0 {
            self.slowlog.add(unix_seconds, spent_us, asked, self.in_force.slowlog_count_max);
        }
        let event = if flags & flag::FAST != 0 { Event::FastCommand } else { Event::Command };
        self.note_latency(event, spent_ns);
    }

    /// Commands that share their time were slow together: which of them, the next second tells.
    #[cold]
    fn span_was_slow(&mut self, elapsed_ns: u64, all_fast: bool) {
        let now_us = self.now.mono_us;
        if now_us >= self.timing.precise_again_us {
            self.timing.is_precise = true;
            self.timing.precise_until_us = now_us + PRECISE_FOR_US;
            self.timing.precise_again_us = now_us + PRECISE_EVERY_US;
        }
        self.note_latency(if all_fast { Event::FastCommand } else { Event::Command }, elapsed_ns);
    }

    /// Tells the latency monitor of an event, if it watches for such long ones.
    pub(crate) fn note_latency(&mut self, event: Event, spent_ns: u64) {
        let (threshold_ms, ms) = (self.in_force.latency_threshold_ms, spent_ns / 1_000_000);
        if threshold_ms > 0 && ms >= threshold_ms {
            self.latency.add(event, self.now.unix_ms / 1000, ms);
        }
    }
}
