//! Cache: everything that one core knows, and how a request becomes a reply.
//!
//! ```text
//! prepare ---> prefetch_slot ---> prefetch_bucket ---> prefetch_record ---> execute ---> reply
//! what, where   where the line is  index line           record               Outcome
//! ```
//!
//! A batch goes through the stages together, so that its cache misses overlap. `prepare` and the prefetches change
//! nothing; whatever earlier requests of the batch may change (the database, authentication) is read by `execute`.
//!
//! Absent on purpose: sockets, threads, clocks. Time comes with `begin_tick`, facts about the process with `facts_mut`.

use std::io;

use item::{KEY_BYTES_MAX, Key, Keyspace, Place};
use l1::{Item, MemoryOptions, Prefault, Usage};
use protocol::{Reply, Request};

use crate::answer::Refusal;
use crate::call::Call;
use crate::clients::{ClientIndex, ClientOrigin, Clients, Session, Waiting, mode};
use crate::config::{Config, InForce};
use crate::effect::{Effect, Effects};
use crate::facts::Facts;
use crate::fault::Fault;
use crate::job::{Job, JobState};
use crate::latency::{Event, LatencyMonitor};
use crate::memcache;
use crate::monitor::Monitors;
use crate::owned::OwnedRequest;
use crate::pause::Pause;
use crate::rates::Rates;
use crate::shard::Change;
use crate::shards::Shards;
use crate::slowlog::SlowLog;
use crate::spec::flag;
use crate::statistics::Statistics;
use crate::table::Command;
use crate::time::Now;
use crate::timing::{Stopwatch, Timing};

/// What a cache is made of.
pub struct CacheOptions {
    /// Seed of the key hash; belongs to the data, so it stays the same as long as the data lives.
    pub seed: u64,
    /// Shards of this core; see `shard_count`.
    pub shard_count: usize,
    /// Memory of the host, in bytes: `maxmemory` may be raised up to it.
    pub host_memory_bytes: u64,
    /// All settings of the process; `maxmemory` and `maxmemory-policy` among them.
    pub config: Box<dyn Config>,
    /// Times commands.
    pub stopwatch: Stopwatch,
}

/// Shards of a process with `cores` cores, unless its data says otherwise.
pub fn shard_count(cores: usize) -> usize {
    const PER_CORE: usize = 4;
    const MIN: usize = 8;
    (cores * PER_CORE).max(MIN)
}

/// A request that was looked up and routed.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    verdict: Verdict,
    has_key: bool,
    is_barrier: bool,
    /// It has a time of its own.
    is_timed: bool,
    keyspace: Keyspace,
    place: Place,
}

impl Prepared {
    /// A request of memcached's protocol.
    #[inline]
    pub(crate) fn memcache(
        verb: memcache::Verb,
        keyspace: Keyspace,
        place: Option<Place>,
        is_barrier: bool,
    ) -> Prepared {
        let has_key = place.is_some();
        let place = place.unwrap_or(Place { slot: 0, hash: 0 });
        Prepared { verdict: Verdict::Memcache(verb), has_key, is_barrier, is_timed: false, keyspace, place }
    }

    /// True if its reply may take several ticks, or if later requests depend on it in other ways: the client's later
    /// requests wait until it has run.
    #[inline]
    pub fn is_barrier(&self) -> bool {
        self.is_barrier
    }

    /// What the server must bring up to date before `session` runs it. Only barriers show anything: ordinary commands
    /// pay one test for all.
    pub fn shows(&self, session: &Session) -> Shown {
        match self.verdict {
            Verdict::Run(Command::Exec) => session.shows_at_exec(),
            Verdict::Run(command) => Shown::by(command),
            Verdict::Memcache(_) | Verdict::Refuse(_) => Shown::default(),
        }
    }
}

/// What a request shows that the server knows better than the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// `Session::wire` of all connections.
    pub wires: bool,
    /// The counters of `Cache::facts_mut`, or it resets them.
    pub counters: bool,
}

impl Shown {
    /// What a command shows by itself.
    pub(crate) fn by(command: Command) -> Shown {
        Shown {
            wires: matches!(command, Command::ClientList | Command::ClientInfo),
            counters: matches!(command, Command::Info | Command::ConfigResetstat),
        }
    }

    /// What either shows.
    pub(crate) fn or(self, other: Shown) -> Shown {
        Shown { wires: self.wires | other.wires, counters: self.counters | other.counters }
    }
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Run(Command),
    /// A request of memcached's protocol; with a key if `has_key`.
    Memcache(memcache::Verb),
    Refuse(Fault),
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is complete.
    Done,
    /// The reply is complete; after it the connection closes.
    Close,
    /// The reply comes later, from `Cache::run_job`. It takes this request's place in the order of replies.
    Job(Box<Job>),
}

/// Everything that one core knows.
pub struct Cache {
    pub(crate) shards: Shards,
    pub(crate) clients: Clients,
    pub(crate) statistics: Statistics,
    pub(crate) timing: Timing,
    pub(crate) slowlog: SlowLog,
    pub(crate) latency: LatencyMonitor,
    pub(crate) rates: Rates,
    pub(crate) now: Now,
    pub(crate) in_force: InForce,
    pub(crate) facts: Facts,
    /// The facts at the last CONFIG RESETSTAT: counters are printed from there on.
    pub(crate) facts_at_reset: Facts,
    /// The most memory that was in use at any sample, in bytes.
    pub(crate) used_bytes_max: u64,
    pub(crate) config: Box<dyn Config>,
    pub(crate) config_changed: bool,
    pub(crate) memcache: memcache::State,
    /// Bits of `cache_mode`; 0 mostly.
    pub(crate) modes: u8,
    pub(crate) pause: Option<Pause>,
    pub(crate) wakes: u64,
    pub(crate) wake_at_us: Option<u64>,
    pub(crate) monitors: Monitors,
    pub(crate) effects: Effects,
    /// What all transactions and watches hold, in bytes.
    pub(crate) transaction_bytes: usize,
    /// The client that reads now asked that its reads leave no trace.
    is_untouching: bool,
    host_memory_bytes: u64,
    /// Values in the making; empty between commands. Kept for its allocation.
    pub(crate) scratch: Vec<u8>,
}

impl Cache {
    /// An empty cache. The error is the operating system's when it refuses the memory.
    pub fn new(options: CacheOptions) -> io::Result<Cache> {
        let in_force = InForce::read(&*options.config);
        let memory = MemoryOptions {
            limit_bytes: in_force.memory_limit(options.host_memory_bytes),
            address_bytes: options.host_memory_bytes,
            policy: in_force.policy,
            ..MemoryOptions::default()
        };
        Ok(Cache {
            shards: Shards::new(options.shard_count, options.seed, memory)?,
            clients: Clients::default(),
            statistics: Statistics::default(),
            timing: Timing::new(options.stopwatch, &in_force),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
            rates: Rates::default(),
            facts_at_reset: Facts::default(),
            used_bytes_max: 0,
            now: Now::default(),
            in_force,
            facts: Facts::default(),
            config: options.config,
            config_changed: false,
            memcache: memcache::State::default(),
            modes: 0,
            pause: None,
            wakes: 0,
            wake_at_us: None,
            monitors: Monitors::default(),
            effects: Effects::default(),
            transaction_bytes: 0,
            is_untouching: false,
            scratch: Vec::new(),
            host_memory_bytes: options.host_memory_bytes,
        })
    }

    /// For another thread: gets memory from the kernel before this core needs it. `None` where that does not pay.
    pub fn prefault(&self) -> Option<Prefault> {
        self.shards.memory().prefault()
    }

    /// Begins a tick: until the next one, this is the time.
    pub fn begin_tick(&mut self, now: Now) {
        self.now = now;
        self.flush_if_due();
        self.shards.begin_tick(now.unix_ms);
        if self.wake_at_us.is_some() {
            self.end_waits();
        }
        if self.monitors.is_muted() {
            self.unmute_monitors();
        }
    }

    /// Takes what commands want done outside of the cache, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.take()
    }

    /// True if `take_effects` has something to give.
    #[inline]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// A session for a new connection.
    pub fn connect(&mut self, origin: ClientOrigin, now: Now) -> ClientIndex {
        self.clients.connect(origin, self.in_force.password.is_none(), now)
    }

    /// Ends a session. Its index may be given out again.
    pub fn disconnect(&mut self, client: ClientIndex) {
        self.unwatch(client);
        self.take_transaction(client);
        self.end_monitor(client);
        self.effects.forget(client);
        self.clients.disconnect(client);
    }

    /// Clients that are connected.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// The session of a connected client.
    #[inline]
    pub fn session(&self, client: ClientIndex) -> &Session {
        self.clients.get(client)
    }

    /// The session of a connected client, to update what the server knows about it.
    #[inline]
    pub fn session_mut(&mut self, client: ClientIndex) -> &mut Session {
        self.clients.get_mut(client)
    }

    /// Looks a request up and routes it. Changes nothing.
    #[inline]
    pub fn prepare(&self, client: ClientIndex, request: Request<'_>) -> Prepared {
        let mut prepared = Prepared {
            verdict: Verdict::Refuse(Fault::UnknownCommand),
            has_key: false,
            is_barrier: self.is_paused(),
            is_timed: false,
            keyspace: Keyspace(0),
            place: Place { slot: 0, hash: 0 },
        };
        let Some(mut command) = Command::find(request.name()) else { return prepared };
        if command.shape().is_container {
            match in_container(command, request) {
                Ok(found) => command = found,
                Err(fault) => {
                    prepared.verdict = Verdict::Refuse(fault);
                    return prepared;
                }
            }
        }
        let shape = command.shape();
        if !shape.takes(request.len()) {
            prepared.verdict = Verdict::Refuse(Fault::Arity(command));
            return prepared;
        }
        prepared.verdict = Verdict::Run(command);
        prepared.is_barrier |= shape.is_barrier;
        prepared.is_timed = shape.is_timed(request.len());
        if shape.first_key > 0
            && let Some(key) = request.get(usize::from(shape.first_key))
        {
            let key = key.bytes();
            if key.len() > KEY_BYTES_MAX {
                prepared.verdict = Verdict::Refuse(Fault::KeyTooLong(command));
                return prepared;
            }
            prepared.has_key = true;
            prepared.keyspace = self.keyspace_of(client);
            prepared.place = self.shards.place(key);
        }
        prepared
    }

    /// Starts to fetch what says where the index line of the first key is.
    #[inline]
    pub fn prefetch_slot(&self, prepared: &Prepared) {
        if prepared.has_key {
            self.shards.prefetch_slot(prepared.keyspace, prepared.place);
        }
    }

    /// Starts to fetch the index line of the first key, some time after its slot.
    #[inline]
    pub fn prefetch_bucket(&self, prepared: &Prepared) {
        if prepared.has_key {
            self.shards.prefetch_bucket(prepared.keyspace, prepared.place);
        }
    }

    /// Starts to fetch the record of the first key, some time after its index line.
    #[inline]
    pub fn prefetch_record(&self, prepared: &Prepared) {
        if prepared.has_key {
            self.shards.prefetch_record(prepared.keyspace, prepared.place);
        }
    }

    /// Runs a request that `prepare` has seen, and appends its reply.
    #[inline]
    pub fn execute(
        &mut self,
        client: ClientIndex,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        if self.clients.get(client).modes() | self.modes != 0 {
            return self.execute_specially(client, prepared, request, reply);
        }
        match prepared.verdict {
            Verdict::Run(command) => self.run(client, command, prepared, request, reply),
            Verdict::Memcache(verb) => self.run_memcache(client, verb, prepared, request, reply),
            Verdict::Refuse(fault) => self.reject(client, fault, request, reply),
        }
    }

    /// Apart from `execute`, which is to be small: RESP's commands run through it, too.
    #[inline(never)]
    fn run_memcache(
        &mut self,
        client: ClientIndex,
        verb: memcache::Verb,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        self.timing.note_memcache();
        let place = prepared.has_key.then_some(prepared.place);
        memcache::execute(self, client, verb, place, request, reply)
    }

    #[inline]
    fn run(
        &mut self,
        client: ClientIndex,
        command: Command,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let session = self.clients.get_mut(client);
        session.begin(command, self.now.mono_us);
        let keyspace = self.shards.keyspace(session.database());
        let call = Call { client, command, keyspace, place: prepared.place, request };
        self.dispatch(&call, prepared.is_timed, reply)
    }

    /// Runs a request of a client that is not served as others are, or while none is.
    #[cold]
    fn execute_specially(
        &mut self,
        client: ClientIndex,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let start = reply.mark();
        let session = self.clients.get_mut(client);
        let is_skipped = session.modes() & mode::SKIP_NEXT != 0;
        session.set_mode(mode::SKIP_NEXT, false);
        session.set_mode(mode::SKIPPED, is_skipped);
        let mut outcome = self.execute_or_hold(client, prepared, request, reply);
        let session = self.clients.get_mut(client);
        let is_silent = session.modes() & (mode::SILENT | mode::SKIPPED) != 0;
        session.set_mode(mode::SKIPPED, false);
        match &mut outcome {
            // It comes here again when it is no longer held back.
            Outcome::Job(job) if job.is_postponed() => session.set_mode(mode::SKIP_NEXT, is_skipped),
            Outcome::Job(job) => job.is_silent = is_silent,
            Outcome::Done | Outcome::Close if is_silent => reply.rewind(start),
            Outcome::Done | Outcome::Close => {}
        }
        outcome
    }

    fn execute_or_hold(
        &mut self,
        client: ClientIndex,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let command = match prepared.verdict {
            Verdict::Run(command) => command,
            Verdict::Memcache(verb) if self.pause.is_some_and(|pause| pause.holds_memcache(verb)) => {
                return self.hold(client, prepared, request);
            }
            Verdict::Memcache(verb) => return self.run_memcache(client, verb, prepared, request, reply),
            Verdict::Refuse(fault) => {
                self.abort_transaction(client);
                return self.reject(client, fault, request, reply);
            }
        };
        let session = self.clients.get(client);
        let modes = session.modes();
        if modes & mode::STRANGER != 0 && !self.may_run_unauthenticated(command) {
            self.abort_transaction(client);
            return self.reject_unauthenticated(command, reply);
        }
        if self.is_held(session, command) {
            return self.hold(client, prepared, request);
        }
        if modes & mode::TRANSACTION != 0 && !ends_transaction(command) {
            return self.queue(client, command, request, reply);
        }
        self.run_watched(client, command, prepared, request, reply)
    }

    fn hold(&mut self, client: ClientIndex, prepared: &Prepared, request: Request<'_>) -> Outcome {
        self.timing.note_gap();
        self.clients.get_mut(client).set_waiting(Some(Waiting::Held));
        Outcome::Job(Box::new(Job::postponed(*prepared, request)))
    }

    /// Runs a command with what monitors and CLIENT NO-TOUCH want.
    fn run_watched(
        &mut self,
        client: ClientIndex,
        command: Command,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let is_shown = self.modes & cache_mode::MONITORED != 0;
        // What EXEC runs stands before it, as in Redis.
        let is_shown_last = is_shown && command == Command::Exec;
        if is_shown && !is_shown_last {
            self.show_to_monitors(client, command, request);
        }
        self.is_untouching = self.clients.get(client).modes() & mode::NO_TOUCH != 0 && command != Command::Touch;
        let outcome = self.run(client, command, prepared, request, reply);
        self.is_untouching = false;
        if is_shown_last {
            self.show_to_monitors(client, command, request);
        }
        outcome
    }

    /// Runs a command that a pause has held back; `None` if one still does.
    pub(crate) fn try_again(
        &mut self,
        client: ClientIndex,
        prepared: &Prepared,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Option<Outcome> {
        let is_held = match prepared.verdict {
            Verdict::Run(command) => self.is_held(self.clients.get(client), command),
            Verdict::Memcache(verb) => self.pause.is_some_and(|pause| pause.holds_memcache(verb)),
            Verdict::Refuse(_) => false,
        };
        if is_held {
            return None;
        }
        self.clients.get_mut(client).set_waiting(None);
        Some(self.execute(client, prepared, request, reply))
    }

    /// Queues a command of a client between MULTI and EXEC.
    fn queue(&mut self, client: ClientIndex, command: Command, request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
        self.timing.note_gap();
        let refusal = if command.spec().flags & flag::NO_MULTI != 0 {
            Refusal::text("ERR Command not allowed inside a transaction")
        } else {
            let request = OwnedRequest::new(request);
            let bytes_max = self.shards.memory().value_bytes_max();
            if (self.transaction_bytes + request.held_bytes()) as u64 <= bytes_max {
                self.transaction_bytes += request.held_bytes();
                self.clients.get_mut(client).queue(request, command);
                reply.simple("QUEUED");
                return Outcome::Done;
            }
            Refusal::NO_ROOM
        };
        self.statistics.rejected[command.index()] += 1;
        self.abort_transaction(client);
        self.refuse(&refusal, reply);
        Outcome::Done
    }

    fn abort_transaction(&mut self, client: ClientIndex) {
        if let Some(transaction) = self.clients.get_mut(client).transaction() {
            transaction.aborted = true;
        }
    }

    /// Answers a request that was not kept because its value is longer than there is room for.
    #[cold]
    pub fn refuse_oversized(&mut self, client: ClientIndex, reply: &mut Reply<'_>) {
        let start = reply.mark();
        self.abort_transaction(client);
        self.refuse(&Refusal::NO_ROOM, reply);
        let session = self.clients.get_mut(client);
        if session.modes() & (mode::SILENT | mode::SKIP_NEXT) != 0 {
            session.set_mode(mode::SKIP_NEXT, false);
            reply.rewind(start);
        }
    }

    /// Runs a command that was queued, to its end.
    pub(crate) fn execute_queued(
        &mut self,
        client: ClientIndex,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let prepared = self.prepare(client, request);
        let outcome = match prepared.verdict {
            Verdict::Run(command) => self.run_watched(client, command, &prepared, request, reply),
            Verdict::Memcache(_) => unreachable!("only RESP has transactions"),
            Verdict::Refuse(fault) => self.reject(client, fault, request, reply),
        };
        self.finish(client, outcome, reply)
    }

    /// Runs what a command has left to do, at once: inside a transaction nothing waits.
    fn finish(&mut self, client: ClientIndex, outcome: Outcome, reply: &mut Reply<'_>) -> Outcome {
        let Outcome::Job(mut job) = outcome else { return outcome };
        job.wait_no_longer();
        loop {
            match self.run_slice(client, &mut job, reply) {
                JobState::Done => return Outcome::Done,
                JobState::Close => return Outcome::Close,
                JobState::More => {}
                JobState::Parked => unreachable!("a wait whose time is up is done"),
            }
        }
    }

    /// Upkeep: expiry, reclaim, lazy frees, a bounded amount. True if there is more to do right now.
    pub fn maintain(&mut self) -> bool {
        if self.pause.is_some() {
            return false;
        }
        match self.in_force.latency_threshold_ms {
            0 => {
                let more = self.shards.expire(self.now.unix_ms, &mut self.statistics);
                self.shards.make_room_ahead(&mut self.statistics) || more
            }
            _ => self.maintain_watched(),
        }
    }

    /// The same under the eyes of the latency monitor.
    #[cold]
    fn maintain_watched(&mut self) -> bool {
        let began_ns = self.timing.read();
        let more = self.shards.expire(self.now.unix_ms, &mut self.statistics);
        let expired_ns = self.timing.read();
        let more = self.shards.make_room_ahead(&mut self.statistics) || more;
        let ended_ns = self.timing.read();
        self.note_latency(Event::ExpireCycle, expired_ns.saturating_sub(began_ns));
        self.note_latency(Event::EvictionCycle, ended_ns.saturating_sub(expired_ns));
        more
    }

    /// When `maintain` wants to be called next, in Unix milliseconds; `None`: whenever something has changed.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.pause.is_some() {
            return None;
        }
        self.shards.next_deadline_ms()
    }

    /// Charges memory that is used beside the items, as an absolute figure in bytes: connection buffers above all.
    pub fn charge(&mut self, other_bytes: u64) {
        let own_bytes = self.transaction_bytes + self.slowlog.held_bytes();
        self.shards.memory_mut().charge(other_bytes + own_bytes as u64);
    }

    /// Tells the resident set size, in bytes; to be called every 100 ms.
    pub fn feedback(&mut self, rss_bytes: u64) {
        self.facts.rss_bytes = rss_bytes;
        self.shards.memory_mut().feedback(rss_bytes);
    }

    /// Samples how fast counters grow; to be called every 100 ms, when the facts are new.
    pub fn sample(&mut self) {
        let facts = &self.facts;
        let (input_bytes, output_bytes) = (facts.net_input_bytes, facts.net_output_bytes);
        self.rates.sample(self.now.mono_us, self.statistics.commands_processed(), input_bytes, output_bytes);
        self.used_bytes_max = self.used_bytes_max.max(self.shards.memory().accounted_bytes());
    }

    /// How the memory is used.
    pub fn usage(&self) -> Usage {
        self.shards.memory().usage()
    }

    /// The longest value that memory may ever hold, in bytes. The answer to a longer one is `OUT_OF_MEMORY`.
    pub fn value_bytes_max(&self) -> usize {
        usize::try_from(self.shards.memory().value_bytes_max()).unwrap_or(usize::MAX)
    }

    /// `proto-max-bulk-len`, in bytes.
    pub fn string_bytes_max(&self) -> usize {
        self.in_force.string_bytes_max
    }

    /// True if new clients must authenticate.
    pub fn needs_password(&self) -> bool {
        self.in_force.password.is_some()
    }

    /// What INFO prints about the process.
    pub fn facts_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// When the server started, in Unix seconds.
    pub(crate) fn started_unix_seconds(&self) -> u64 {
        let uptime_ms = self.now.mono_us.saturating_sub(self.facts.started_us) / 1000;
        self.now.unix_ms.saturating_sub(uptime_ms) / 1000
    }

    /// All settings.
    pub fn config(&self) -> &dyn Config {
        &*self.config
    }

    /// True if CONFIG SET has changed settings since the last call. The cache obeys its own already.
    pub fn take_config_change(&mut self) -> bool {
        std::mem::take(&mut self.config_changed)
    }

    /// Applies a change to an item.
    #[inline]
    pub(crate) fn commit(&mut self, change: Change<'_>) -> Result<bool, Refusal> {
        Ok(self.shards.commit(change, &mut self.statistics)?)
    }

    /// Reads the settings that the cache itself obeys.
    pub(crate) fn obey_settings(&mut self) {
        self.in_force = InForce::read(&*self.config);
        self.timing.obey(&self.in_force);
        self.slowlog.trim(self.in_force.slowlog_count_max);
        let memory = self.shards.memory_mut();
        memory.set_limit(self.in_force.memory_limit(self.host_memory_bytes));
        memory.set_policy(self.in_force.policy);
    }

    /// The item of `key` for a command that reads it: counted as a use, and as a hit or miss.
    #[inline]
    pub(crate) fn read(&mut self, key: &Key<'_>) -> Option<Item<'_>> {
        if self.is_untouching || self.shards.is_expiry_stopped() {
            return self.read_specially(key);
        }
        let item = self.shards.get(key, self.now.unix_ms);
        match item {
            Some(_) => self.statistics.keyspace_hits += 1,
            None => self.statistics.keyspace_misses += 1,
        }
        item
    }

    /// A read of a client that leaves no trace, or while reads remove what has expired.
    #[cold]
    fn read_specially(&mut self, key: &Key<'_>) -> Option<Item<'_>> {
        if self.is_untouching {
            return self.peek(key);
        }
        self.shards.expire_key(key, self.now.unix_ms, &mut self.statistics);
        let item = self.shards.get(key, self.now.unix_ms);
        match item {
            Some(_) => self.statistics.keyspace_hits += 1,
            None => self.statistics.keyspace_misses += 1,
        }
        item
    }

    /// The item of `key` for a command that asks about it: counted as a hit or miss, but not as a use.
    pub(crate) fn peek(&mut self, key: &Key<'_>) -> Option<Item<'_>> {
        if self.shards.is_expiry_stopped() {
            self.shards.expire_key(key, self.now.unix_ms, &mut self.statistics);
        }
        let item = self.shards.peek(key, self.now.unix_ms);
        match item {
            Some(_) => self.statistics.keyspace_hits += 1,
            None => self.statistics.keyspace_misses += 1,
        }
        item
    }

    /// Writes and counts an error reply.
    #[cold]
    pub(crate) fn refuse(&mut self, refusal: &Refusal, reply: &mut Reply<'_>) {
        self.timing.note_gap();
        self.statistics.error(&refusal.0);
        reply.error(&refusal.0);
    }

    #[inline]
    fn keyspace_of(&self, client: ClientIndex) -> Keyspace {
        self.shards.keyspace(self.clients.get(client).database())
    }

    /// Clients that connected when a password was needed may go on without one if none is needed any more.
    #[cold]
    fn may_run_unauthenticated(&self, command: Command) -> bool {
        self.in_force.password.is_none() || command.spec().flags & flag::NO_AUTH != 0
    }

    #[cold]
    fn reject_unauthenticated(&mut self, command: Command, reply: &mut Reply<'_>) -> Outcome {
        self.statistics.rejected[command.index()] += 1;
        self.refuse(&Refusal::text("NOAUTH Authentication required."), reply);
        Outcome::Done
    }
}

/// What makes every client's commands special: bits of one byte.
pub(crate) mod cache_mode {
    /// CLIENT PAUSE.
    pub const PAUSED: u8 = 1;
    /// Some client monitors.
    pub const MONITORED: u8 = 1 << 1;
}

/// Commands that run between MULTI and EXEC instead of being queued.
fn ends_transaction(command: Command) -> bool {
    matches!(command, Command::Exec | Command::Discard | Command::Quit | Command::Reset)
}

#[cold]
fn in_container(container: Command, request: Request<'_>) -> Result<Command, Fault> {
    match request.get(1) {
        None => Ok(container),
        Some(name) => container.subcommand(name.bytes()).ok_or(Fault::UnknownSubcommand),
    }
}
