//! Oracle: is there an order of this tick's commands in which every answer is right?
//!
//! One core executes commands one after another, and the simulation sees in which tick each reply was encoded. So a
//! command's place is known to the tick, commands of one connection are in the order in which they were sent, and only
//! the order between connections within one tick is open. Linearizability is decided key by key (it composes), and what
//! several orders leave open is carried into the next tick as a set of states.
//!
//! ```text
//! states of key before the tick --explore(lane a: touches, lane b: touches)--> states after; none: a wrong answer
//! ```
//!
//! Invariants
//! - Sound: a correct server is never blamed. Counts over several keys, and walks, are checked as far as that allows.
//!
//! Absent on purpose: sockets, bytes, what a touch means (`model` says it).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use crate::command::{Command, Deadline, Key, SetIf, Touch};
use crate::model::{self, Evicts, Rules, State};
use crate::reply::Reply;
use crate::trace;
use crate::workload::TWINS;

/// A connection's place in the oracle's eyes.
pub type Lane = usize;

/// States that one key's exploration of one tick may visit: far above what a handful of connections can make.
const VISITS_MAX: usize = 1 << 20;
/// The same while nothing explains the replies: nobody is blamed for orders that were not tried.
const VISITS_BEFORE_BLAME: usize = 1 << 22;

/// How the refusal of a reply of many values begins.
pub const REPLY_TOO_LARGE: &[u8] = b"ERR reply exceeds the client-output-buffer-limit";

/// Everything that is known about the keys.
#[derive(Debug, Default)]
pub struct Oracle {
    keys: BTreeMap<Key, Record>,
    notes: Vec<Note>,
    walks: Vec<Walk>,
    /// The time of the last tick.
    then_ms: u64,
    /// The last tick before which the wall clock was set back.
    stepped_in: u64,
    /// A pause that is surely in force.
    pause: Option<Pause>,
    /// Connections that commands of this tick may have closed.
    pub kills: u64,
    /// Commands judged so far.
    pub judged: u64,
}

/// What CLIENT PAUSE has begun.
#[derive(Clone, Copy, Debug)]
struct Pause {
    from_tick: u64,
    until_us: u64,
    all: bool,
}

#[derive(Debug)]
struct Record {
    /// What it may be: never empty.
    states: Vec<State>,
    /// The last tick in which it may have been missing.
    missing_in: u64,
    /// The last tick in which it may have been changed.
    changed_in: u64,
}

/// A command that was executed in this tick.
#[derive(Debug)]
struct Note {
    lane: Lane,
    command: Command,
    /// `None`: nobody knows the answer.
    reply: Option<Reply>,
    /// False: its connection died in this tick, so it may have been executed or not.
    certain: bool,
}

/// A complete SCAN: every key that existed all the time must be among the found.
#[derive(Debug)]
struct Walk {
    db: u8,
    from_tick: u64,
    found: BTreeSet<Bytes>,
}

/// One command's part in one key's history.
#[derive(Debug)]
struct Step {
    note: usize,
    touch: Touch,
    reply: Option<Reply>,
    /// The reply is a sum over keys, of which this part is unknown.
    counts: bool,
    /// Nothing happens between the step before it and this one: both are of one transaction.
    glued: bool,
}

/// One connection's part in one key's history of a tick.
#[derive(Debug, Default)]
struct Steps {
    steps: Vec<Step>,
    /// So many of them have surely happened; the others only if all before them have.
    certain: usize,
    /// The step before the next one was left out.
    has_gap: bool,
}

/// What several keys add up to: the least and the most.
type Sums = BTreeMap<usize, (i64, i64)>;

impl Oracle {
    /// A command was answered in this tick; in each lane in the order of execution.
    pub fn answered(&mut self, lane: Lane, command: Command, reply: Reply) {
        if let (Command::Kill(_), Reply::Integer(closed)) = (&command, &reply) {
            self.kills = self.kills.saturating_add(closed.unsigned_abs());
        }
        self.notes.push(Note { lane, command, reply: Some(reply), certain: true });
    }

    /// A command whose answer nobody wanted was executed, in this tick or before; its keys are its lane's alone.
    pub fn silent(&mut self, lane: Lane, command: Command) {
        self.notes.push(Note { lane, command, reply: None, certain: true });
    }

    /// A command may have been executed in this tick, behind the lane's others; nobody will know.
    pub fn unanswered(&mut self, lane: Lane, command: Command) {
        if matches!(command, Command::Kill(_)) {
            self.kills = u64::MAX;
        }
        self.notes.push(Note { lane, command, reply: None, certain: false });
    }

    /// A command whose answer nobody wants may have been executed in this tick, or before or later.
    pub fn perhaps(&mut self, command: Command) {
        // A lane of its own: it may stand anywhere among the connection's others.
        let lane = Lane::MAX - self.notes.len();
        self.notes.push(Note { lane, command, reply: None, certain: false });
    }

    /// A walk that began in `from_tick` ended in this tick.
    pub fn walked(&mut self, db: u8, from_tick: u64, found: BTreeSet<Bytes>) {
        self.walks.push(Walk { db, from_tick, found });
    }

    /// Names of the keys of a database that were ever touched.
    pub fn names(&self, db: u8) -> Vec<Bytes> {
        self.of_db(db).map(|(key, _)| key.name.clone()).collect()
    }

    /// Judges the tick's commands.
    pub fn end_tick(&mut self, tick: u64, rules: Rules) -> Result<(), String> {
        let notes = std::mem::take(&mut self.notes);
        self.judged += notes.len() as u64;
        self.kills = 0;
        self.check_pause(&notes, tick, rules)?;
        self.notice_clock_step(tick, rules.now_ms);
        for note in &notes {
            self.know_keys_of(note);
        }
        let mut histories: BTreeMap<Key, BTreeMap<Lane, Steps>> = BTreeMap::new();
        for (index, note) in notes.iter().enumerate() {
            for (key, step) in self.steps_of(index, note, rules)? {
                if step.touch.writes()
                    && let Some(record) = self.keys.get_mut(&key)
                {
                    record.changed_in = tick;
                }
                let steps = histories.entry(key).or_default().entry(note.lane).or_default();
                steps.add(step, note.reply.is_some());
                if note.certain {
                    steps.certain = steps.steps.len();
                }
            }
        }
        let mut sums = Sums::new();
        for (key, lanes) in histories {
            let record = self.keys.get_mut(&key).expect("every touched key is known");
            let lanes: Vec<Steps> = lanes.into_values().collect();
            let explored = explore(&record.states, &lanes, rules, &mut sums);
            if explored.finals.is_empty() {
                return Err(blame(&key, record, &lanes, rules));
            }
            if explored.missing {
                record.missing_in = tick;
            }
            record.states = explored.finals;
        }
        check_sums(&notes, &sums)?;
        for note in &notes {
            if let Command::NotRun(keys, since) = &note.command {
                self.check_refusal(keys, *since, rules)?;
            }
        }
        for walk in std::mem::take(&mut self.walks) {
            self.check_walk(&walk, rules)?;
        }
        Ok(())
    }

    /// The wall clock may have been set back: what had expired is alive again, unless it was removed meanwhile.
    fn notice_clock_step(&mut self, tick: u64, now_ms: u64) {
        let then_ms = std::mem::replace(&mut self.then_ms, now_ms);
        if now_ms >= then_ms {
            return;
        }
        self.stepped_in = tick;
        for record in self.keys.values_mut() {
            let had_expired = |state: &State| !state.is_alive(then_ms) && *state != State::Missing;
            if record.states.iter().any(had_expired) && !record.states.contains(&State::Missing) {
                record.states.push(State::Missing);
                record.missing_in = tick;
            }
        }
    }

    /// What a pause holds back must not be answered before its end.
    fn check_pause(&mut self, notes: &[Note], tick: u64, rules: Rules) -> Result<(), String> {
        let (mut begins, mut ends) = (Vec::new(), false);
        for note in notes {
            let commands = match &note.command {
                Command::Ran(commands, ..) => &commands[..],
                command => std::slice::from_ref(command),
            };
            for command in commands {
                ends |= *command == Command::Unpause;
                if let (Command::Pause(ms, all), true) = (command, note.certain) {
                    begins.push(Pause { from_tick: tick, until_us: rules.now_us + u64::from(*ms) * 1000, all: *all });
                }
            }
        }
        self.pause = self.pause.filter(|pause| rules.now_us < pause.until_us && !ends);
        if let Some(pause) = self.pause.filter(|pause| pause.from_tick < tick)
            && let Some(note) = notes.iter().find(|note| note.reply.is_some() && must_be_held(&note.command, pause))
        {
            return Err(format!("it ran during a pause: {note:?}"));
        }
        for new in begins.into_iter().filter(|_| !ends) {
            let old = self.pause.unwrap_or(new);
            // The older one goes on; that it is longer or stricter from now on counts only from now on.
            let is_more = new.until_us > old.until_us || new.all && !old.all;
            let from_tick = if is_more { tick } else { old.from_tick };
            let (until_us, all) = (old.until_us.max(new.until_us), old.all || new.all);
            self.pause = Some(Pause { from_tick, until_us, all });
        }
        Ok(())
    }

    /// An EXEC ran nothing: one of the keys watched must have had a chance to change.
    fn check_refusal(&self, keys: &[Key], since: u64, rules: Rules) -> Result<(), String> {
        let may_have_changed = |key: &Key| {
            let record = &self.keys[key];
            let is_gone = |state: &State| *state != State::Missing && !state.is_alive(rules.now_ms);
            record.changed_in >= since
                || record.missing_in >= since && rules.evicts != Evicts::Nothing
                || record.states.iter().any(|state| is_gone(state) || state.may_be_evicted(rules))
        };
        if self.stepped_in >= since || keys.iter().any(may_have_changed) {
            return Ok(());
        }
        Err(format!("EXEC ran nothing, and none of the keys watched since tick {since} can have changed: {keys:?}"))
    }

    fn know_keys_of(&mut self, note: &Note) {
        let unknown = || Record { states: vec![State::Missing], missing_in: 0, changed_in: 0 };
        match &note.command {
            Command::Ran(commands, read, _) => {
                for (key, _) in read {
                    self.keys.entry(key.clone()).or_insert_with(unknown);
                }
                for command in commands {
                    self.know_keys_of(&Note { lane: note.lane, command: command.clone(), reply: None, certain: false });
                }
            }
            Command::One(key, _) => drop(self.keys.entry(key.clone()).or_insert_with(unknown)),
            Command::Mget(keys) | Command::Delete(keys, _) | Command::Exists(keys) | Command::NotRun(keys, _) => {
                for key in keys {
                    self.keys.entry(key.clone()).or_insert_with(unknown);
                }
            }
            Command::Mset(pairs) => {
                for (key, _) in pairs {
                    self.keys.entry(key.clone()).or_insert_with(unknown);
                }
            }
            Command::Keys(db) | Command::Scan(db, ..) => {
                for name in listed(note).into_iter().flatten() {
                    self.keys.entry(Key { db: *db, name }).or_insert_with(unknown);
                }
            }
            Command::Flush(_) | Command::Size(_) => {}
            Command::Select(_) | Command::Ping(_) | Command::Echo(_) | Command::Hello(_) | Command::ClientId => {}
            Command::SetName(_) | Command::GetName | Command::Quit | Command::Reset => {}
            Command::Multi | Command::Queued(_) | Command::Exec | Command::Discard | Command::Watch(_) => {}
            Command::Unwatch | Command::Pause(..) | Command::Unpause | Command::Kill(_) | Command::Wait(_) => {}
            Command::Unblock(_) | Command::Monitor | Command::Hush(_) | Command::Loud | Command::Silent(_) => {}
            Command::Wrong(..) | Command::Any(_) | Command::Broken(_) | Command::Memcache(_) => {}
        }
    }

    /// The touches of a transaction, and before them those that say that what was watched was still as it was read.
    fn steps_of_transaction(
        &self,
        index: usize,
        note: &Note,
        (commands, read, since): (&[Command], &[(Key, Reply)], u64),
        rules: Rules,
    ) -> Result<Vec<(Key, Step)>, String> {
        let parts = match &note.reply {
            Some(Reply::Array(parts)) => &parts[..],
            Some(_) | None => &[],
        };
        let mut steps = Vec::new();
        if self.stepped_in < since {
            let unchanged = |reply: &Reply| Step::new(index, Touch::Get, Some(reply.clone()));
            steps.extend(read.iter().map(|(key, reply)| (key.clone(), unchanged(reply))));
        }
        for (number, command) in commands.iter().enumerate() {
            let part = parts.get(number).cloned();
            let note = Note { lane: note.lane, command: command.clone(), reply: part, certain: note.certain };
            steps.extend(self.steps_of(index, &note, rules)?);
        }
        let mut keys = BTreeSet::new();
        for (key, step) in &mut steps {
            // Sums are looked at for commands outside of transactions.
            step.counts = false;
            step.glued = !keys.insert(key.clone());
        }
        Ok(steps)
    }

    /// Splits a command into its touches.
    fn steps_of(&self, index: usize, note: &Note, rules: Rules) -> Result<Vec<(Key, Step)>, String> {
        let step = |touch: Touch, reply: Option<Reply>| Step::new(index, touch, reply);
        let counted = |touch: Touch| Step { counts: note.reply.is_some(), ..Step::new(index, touch, None) };
        let of_keys = |keys: &[Key], touch: Touch| -> Vec<(Key, Step)> {
            match keys {
                [key] => vec![(key.clone(), step(touch, note.reply.clone()))],
                _ => keys.iter().map(|key| (key.clone(), counted(touch.clone()))).collect(),
            }
        };
        if let (Command::Mset(_), Some(Reply::Error(text)), false) = (&note.command, &note.reply, rules.refuses) {
            return Err(format!("MSET was refused: {}", trace::shown(text)));
        }
        let wrong = || Err(format!("a wrong kind of reply: {note:?}"));
        if rules.evicts == Evicts::Nothing && !rules.refuses && !are_twins_equal(note) {
            return Err(format!("something ran in the middle of a transaction: {note:?}"));
        }
        Ok(match &note.command {
            Command::Ran(commands, read, since) => {
                return self.steps_of_transaction(index, note, (commands, read, *since), rules);
            }
            Command::One(key, touch) => vec![(key.clone(), step(touch.clone(), note.reply.clone()))],
            Command::Delete(keys, _) => of_keys(keys, Touch::Delete),
            Command::Exists(keys) => of_keys(keys, Touch::Exists),
            Command::Mget(keys) => match &note.reply {
                Some(Reply::Array(parts)) if parts.len() == keys.len() => {
                    let parts = parts.iter().cloned().map(Some);
                    keys.iter().cloned().zip(parts.map(|part| step(Touch::Get, part))).collect()
                }
                Some(Reply::Error(text)) if rules.limits_replies && text.starts_with(REPLY_TOO_LARGE) => Vec::new(),
                None => Vec::new(),
                Some(_) => return wrong(),
            },
            Command::Mset(pairs) => steps_of_pairs(index, note, pairs),
            Command::Flush(db) => {
                self.of_db(*db).map(|(key, _)| (key.clone(), step(Touch::Flush, note.reply.clone()))).collect()
            }
            Command::Size(db) => self.of_db(*db).map(|(key, _)| (key.clone(), counted(Touch::Counted))).collect(),
            Command::Keys(db) => {
                let Some(names) = listed(note) else {
                    return if note.reply.is_none() { Ok(Vec::new()) } else { wrong() };
                };
                let found: BTreeSet<Bytes> = names.into_iter().collect();
                let part = |key: &Key| Reply::Integer(i64::from(found.contains(&key.name)));
                self.of_db(*db).map(|(key, _)| (key.clone(), step(Touch::Listed, Some(part(key))))).collect()
            }
            Command::Scan(db, ..) => {
                let Some(names) = listed(note) else {
                    return if note.reply.is_none() { Ok(Vec::new()) } else { wrong() };
                };
                let found: BTreeSet<Bytes> = names.into_iter().collect();
                let listed = || step(Touch::Listed, Some(Reply::Integer(1)));
                found.into_iter().map(|name| (Key { db: *db, name }, listed())).collect()
            }
            Command::Select(_) | Command::Ping(_) | Command::Echo(_) | Command::Hello(_) | Command::ClientId => {
                Vec::new()
            }
            Command::SetName(_) | Command::GetName | Command::Quit | Command::Reset => Vec::new(),
            Command::Multi | Command::Queued(_) | Command::Exec | Command::Discard | Command::Watch(_) => Vec::new(),
            Command::Unwatch | Command::Pause(..) | Command::Unpause | Command::Kill(_) => Vec::new(),
            Command::Wait(_) | Command::Unblock(_) | Command::Monitor | Command::Hush(_) => Vec::new(),
            Command::Loud | Command::Silent(_) | Command::NotRun(..) => Vec::new(),
            Command::Wrong(..) | Command::Any(_) | Command::Broken(_) | Command::Memcache(_) => Vec::new(),
        })
    }

    fn check_walk(&self, walk: &Walk, rules: Rules) -> Result<(), String> {
        for (key, record) in self.of_db(walk.db) {
            let may_be_gone = |state: &State| !state.is_alive(rules.now_ms) || state.may_be_evicted(rules);
            let maybe_missing = record.missing_in >= walk.from_tick || record.states.iter().any(may_be_gone);
            if !maybe_missing && !walk.found.contains(&key.name) {
                let name = trace::shown(&key.name);
                return Err(format!("a walk over database {} since tick {} missed {name}", walk.db, walk.from_tick));
            }
        }
        Ok(())
    }

    fn of_db(&self, db: u8) -> impl Iterator<Item = (&Key, &Record)> {
        self.keys.range(Key { db, name: Bytes::new() }..).take_while(move |(key, _)| key.db == db)
    }
}

impl Steps {
    /// Adds a step, but for a question whose answer nobody saw: it tells nothing.
    fn add(&mut self, mut step: Step, is_answered: bool) {
        if !is_answered && !step.touch.writes() && !step.glued {
            self.has_gap = true;
            return;
        }
        // What it was glued to may be the one that was left out.
        step.glued &= !std::mem::take(&mut self.has_gap);
        self.steps.push(step);
    }
}

impl Step {
    fn new(note: usize, touch: Touch, reply: Option<Reply>) -> Step {
        Step { note, touch, reply, counts: false, glued: false }
    }
}

/// The touches of MSET.
fn steps_of_pairs(index: usize, note: &Note, pairs: &[(Key, Bytes)]) -> Vec<(Key, Step)> {
    let step = |(key, value): &(Key, Bytes)| {
        let (condition, deadline) = (SetIf::Always, Deadline::Never);
        let set = Touch::Set { value: value.clone(), condition, deadline, answer_old: false };
        // Refused for want of memory, it may have stopped half-way.
        let reply = note.reply.clone().filter(|reply| !matches!(reply, Reply::Error(_)));
        (key.clone(), Step::new(index, set, reply))
    };
    pairs.iter().map(step).collect()
}

/// True if a pause holds a command back. What began before it may end during it.
fn must_be_held(command: &Command, pause: Pause) -> bool {
    match command {
        Command::Wrong(..) | Command::Broken(_) | Command::Unpause | Command::Keys(_) | Command::Wait(_) => false,
        Command::Queued(queued) if matches!(**queued, Command::Wrong(..)) => false,
        command => pause.all || command.writes(),
    }
}

/// True unless a note has read the twins and found them to differ.
fn are_twins_equal(note: &Note) -> bool {
    let Some(Reply::Array(parts)) = &note.reply else { return true };
    let is_read =
        |command: &Command, twin: &str| matches!(command, Command::One(key, Touch::Get) if key.name == twin.as_bytes());
    let [first, second] = match &note.command {
        Command::Mget(keys) => TWINS.map(|twin| keys.iter().position(|key| key.name == twin.as_bytes())),
        Command::Ran(commands, ..) => TWINS.map(|twin| commands.iter().position(|command| is_read(command, twin))),
        _ => return true,
    };
    let (Some(first), Some(second)) = (first, second) else { return true };
    parts.get(first) == parts.get(second)
}

/// The names in a reply to KEYS or SCAN.
fn listed(note: &Note) -> Option<Vec<Bytes>> {
    let elements = match (&note.command, &note.reply) {
        (Command::Keys(_), Some(Reply::Array(elements))) => elements,
        (Command::Scan(..), Some(Reply::Array(parts))) => match &parts[..] {
            [Reply::Bulk(_), Reply::Array(elements)] => elements,
            _ => return None,
        },
        _ => return None,
    };
    let name = |element: &Reply| if let Reply::Bulk(name) = element { Some(name.clone()) } else { None };
    elements.iter().map(name).collect()
}

fn check_sums(notes: &[Note], sums: &Sums) -> Result<(), String> {
    for (index, note) in notes.iter().enumerate() {
        let sums_up = match &note.command {
            Command::Delete(keys, _) | Command::Exists(keys) => keys.len() > 1,
            Command::Size(_) => true,
            _ => false,
        };
        if !sums_up || note.reply.is_none() {
            continue;
        }
        let (least, most) = sums.get(&index).copied().unwrap_or_default();
        match note.reply {
            Some(Reply::Integer(sum)) if (least..=most).contains(&sum) => {}
            _ => return Err(format!("a sum between {least} and {most} was due: {note:?}")),
        }
    }
    Ok(())
}

struct Explored {
    finals: Vec<State>,
    /// The key may have been missing at some time in the tick.
    missing: bool,
}

/// Tries every order of the lanes' steps and returns all states they may end in.
fn explore(from: &[State], lanes: &[Steps], rules: Rules, sums: &mut Sums) -> Explored {
    let mut explored = Explored { finals: Vec::new(), missing: false };
    let mut moves = Moves { lanes, rules, states: Vec::new(), numbers: HashMap::new(), known: HashMap::new() };
    let mut parts: BTreeMap<(usize, usize), (i64, i64)> = BTreeMap::new();
    let twins = twins(lanes);
    let mut seen: HashSet<(Vec<u16>, StateNumber)> = HashSet::new();
    // By how many steps it takes that may not have happened: the fewest first, so that the visits are enough to find an
    // explanation where there is one.
    let mut open: BTreeMap<usize, Vec<(Vec<u16>, StateNumber)>> = BTreeMap::new();
    open.insert(0, from.iter().map(|state| (vec![0; lanes.len()], moves.number(state))).collect());
    while let Some(mut entry) = open.first_entry() {
        let unsure = *entry.key();
        let Some((at, number)) = entry.get_mut().pop() else {
            entry.remove();
            continue;
        };
        let visits_max = if explored.finals.is_empty() { VISITS_BEFORE_BLAME } else { VISITS_MAX };
        if seen.len() >= visits_max || !seen.insert((at.clone(), number)) {
            continue;
        }
        let state = &moves.states[number];
        explored.missing |= !state.is_alive(rules.now_ms) || state.may_be_evicted(rules);
        let over = |lane: usize| usize::from(at[lane]) >= lanes[lane].certain;
        if (0..lanes.len()).all(over) && !explored.finals.contains(state) {
            explored.finals.push(state.clone());
        }
        // In the middle of a transaction nobody else has a turn.
        let is_glued = |lane: usize| lanes[lane].steps.get(usize::from(at[lane])).is_some_and(|step| step.glued);
        let only = (0..lanes.len()).find(|&lane| is_glued(lane));
        let may_move = |lane: usize| {
            // Equal lanes move in order: any other order of theirs is the same.
            only.is_none_or(|only| lane == only) && twins[lane].is_none_or(|twin| at[twin] > at[lane])
        };
        for (lane, steps) in lanes.iter().enumerate().filter(|(lane, _)| may_move(*lane)) {
            let Some(step) = steps.steps.get(usize::from(at[lane])) else { continue };
            let open = open.entry(unsure + usize::from(over(lane))).or_default();
            for &(after, part) in moves.after(number, lane, at[lane]) {
                if let Some(part) = part {
                    let range = parts.entry((step.note, usize::from(at[lane]))).or_insert((part, part));
                    *range = (range.0.min(part), range.1.max(part));
                }
                let mut next = at.clone();
                next[lane] += 1;
                open.push((next, after));
            }
        }
    }
    for ((note, _), (least, most)) in parts {
        let sum = sums.entry(note).or_default();
        *sum = (sum.0 + least, sum.1 + most);
    }
    explored
}

/// A state's place in `Moves::states`.
type StateNumber = usize;

/// States that may follow, each with the part of a sum that it stands for.
type Followers = Vec<(StateNumber, Option<i64>)>;

/// What steps make of states, each of which is worked out once.
struct Moves<'a> {
    lanes: &'a [Steps],
    rules: Rules,
    states: Vec<State>,
    numbers: HashMap<State, StateNumber>,
    /// By state, lane and step.
    known: HashMap<(StateNumber, usize, u16), Followers>,
}

impl Moves<'_> {
    fn number(&mut self, state: &State) -> StateNumber {
        if let Some(number) = self.numbers.get(state) {
            return *number;
        }
        self.states.push(state.clone());
        self.numbers.insert(state.clone(), self.states.len() - 1);
        self.states.len() - 1
    }

    /// The states that may follow `from` when `lane` takes its step `at`.
    fn after(&mut self, from: StateNumber, lane: usize, at: u16) -> &Followers {
        if !self.known.contains_key(&(from, lane, at)) {
            let step = &self.lanes[lane].steps[usize::from(at)];
            let touch = |reply: Option<&Reply>| model::touch(&self.states[from], &step.touch, reply, self.rules);
            let after: Vec<(State, Option<i64>)> = if step.counts {
                let counted =
                    |part| touch(Some(&Reply::Integer(part))).into_iter().map(move |state| (state, Some(part)));
                [0, 1].into_iter().flat_map(counted).collect()
            } else {
                touch(step.reply.as_ref()).into_iter().map(|state| (state, None)).collect()
            };
            let numbered = after.iter().map(|(state, part)| (self.number(state), *part)).collect();
            self.known.insert((from, lane, at), numbered);
        }
        &self.known[&(from, lane, at)]
    }
}

/// For each lane the one before it that does the same, if it does one thing only.
fn twins(lanes: &[Steps]) -> Vec<Option<usize>> {
    let only_step = |lane: usize| match &lanes[lane].steps[..] {
        [step] if !step.counts && !step.glued => Some((&step.touch, &step.reply, lanes[lane].certain)),
        _ => None,
    };
    let is_twin = |lane: usize, other: usize| only_step(other).is_some() && only_step(other) == only_step(lane);
    (0..lanes.len()).map(|lane| (0..lane).rev().find(|&other| is_twin(lane, other))).collect()
}

fn blame(key: &Key, record: &Record, lanes: &[Steps], rules: Rules) -> String {
    let mut text = format!(
        "no order of this tick's commands explains the replies\n  key {} in database {} at {} ms\n  before: {}",
        trace::shown(&key.name),
        key.db,
        rules.now_ms,
        record.states.iter().map(shown_state).collect::<Vec<_>>().join(" or ")
    );
    for lane in lanes {
        text.push_str(&format!("\n  one connection, the first {} steps surely:", lane.certain));
        for step in &lane.steps {
            text.push_str(&format!("\n    {} -> {}", shown_touch(&step.touch), shown_reply(step.reply.as_ref())));
        }
    }
    text
}

fn shown_state(state: &State) -> String {
    match state {
        State::Missing => "missing".to_owned(),
        State::Present { value, expires_at_ms: None } => trace::shown(value),
        State::Present { value, expires_at_ms: Some(at_ms) } => format!("{} until {at_ms} ms", trace::shown(value)),
    }
}

/// A touch for a line of the trace.
pub fn shown_touch(touch: &Touch) -> String {
    match touch {
        Touch::Set { value, condition, deadline, answer_old } => {
            let get = if *answer_old { " GET" } else { "" };
            format!("SET {} {condition:?} {deadline:?}{get}", trace::shown(value))
        }
        Touch::Append(tail) => format!("APPEND {}", trace::shown(tail)),
        other => format!("{other:?}"),
    }
}

/// A reply for a line of the trace.
pub fn shown_reply(reply: Option<&Reply>) -> String {
    match reply {
        None => "?".to_owned(),
        Some(Reply::Bulk(bytes)) => format!("'{}'", trace::shown(bytes)),
        Some(Reply::Simple(text)) => format!("+{}", trace::shown(text)),
        Some(Reply::Error(text)) => format!("-{}", trace::shown(text)),
        Some(Reply::Array(elements) | Reply::Map(elements)) if elements.len() > 4 => {
            format!("[{} elements]", elements.len())
        }
        Some(Reply::Array(elements) | Reply::Map(elements)) => {
            let shown: Vec<String> = elements.iter().map(|element| shown_reply(Some(element))).collect();
            format!("[{}]", shown.join(" "))
        }
        Some(other) => format!("{other:?}"),
    }
}
