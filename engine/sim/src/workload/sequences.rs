//! Sequences: what takes several commands in a row.
//!
//! Twins are two keys that are only ever written together, so whoever reads them together must find them equal: that
//! shows a command that ran in the middle of another client's transaction.
//!
//! A silent command's place in time is unknown until the next reply, so silent ones write a key that nobody else knows.

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

use super::{LIBRARY_DB_BASE, SHARED_DBS, Workload};
use crate::client::PORT_BASE;
use crate::command::{Command, Deadline, Key, SetIf, Touch};
use crate::habits::Habits;
use crate::weather::pick;

/// The names of the twins.
pub const TWINS: [&str; 2] = ["t0", "t1"];

/// WAITs and pauses, in milliseconds: short, as a server that stands still shows nothing.
const SHORT_MS: [u32; 4] = [0, 1, 2, 5];

impl Workload {
    /// Chooses a sequence.
    pub(super) fn begin_sequence(&mut self, rng: &mut StdRng, habits: &Habits, connections: usize) {
        if !SHARED_DBS.contains(&self.db) {
            self.db = pick(rng, &SHARED_DBS);
            self.script.push_back(Command::Select(self.db));
        }
        match rng.random_range(0..if self.is_rough { 28 } else { 20 }) {
            0..4 => self.transaction(rng, habits),
            4..9 => self.optimistic(rng),
            9..11 => self.write_twins(rng),
            11..14 => self.read_twins(rng),
            14..16 => self.silence(rng, habits),
            16 => self.script.push_back(Command::Wait(pick(rng, &SHORT_MS[1..]))),
            17 | 20 if self.is_rough => self.script.push_back(Command::Wait(0)),
            18 if !self.has_password && rng.random_bool(0.3) => self.monitor(rng),
            _ if self.is_rough => {
                for _ in 0..rng.random_range(1..4) {
                    let command = self.rough(rng, connections);
                    self.script.push_back(command);
                }
            }
            _ => self.write_twins(rng),
        }
    }

    /// Some commands between MULTI and EXEC.
    fn transaction(&mut self, rng: &mut StdRng, habits: &Habits) {
        self.script.push_back(Command::Multi);
        for _ in 0..rng.random_range(0..5) {
            let command = match rng.random_range(0..10) {
                0..4 => self.text_touch(rng, habits),
                4..6 => self.number_touch(rng),
                6 => self.several(rng, habits),
                7 => self.deadline_touch(rng),
                8 if rng.random_bool(0.1) => Command::Wrong(vec![Bytes::from_static(b"GET")], "ERR wrong number"),
                8 if self.is_rough => Command::Pause(pick(rng, &SHORT_MS), rng.random_bool(0.3)),
                8 => Command::Wait(pick(rng, &SHORT_MS)),
                _ => Command::Size(self.db),
            };
            self.script.push_back(Command::Queued(Box::new(command)));
        }
        self.script.push_back(match rng.random_range(0..12) {
            0 => Command::Discard,
            1 if !self.has_password => {
                self.db = 0;
                Command::Reset
            }
            _ => Command::Exec,
        });
        if rng.random_bool(0.3) {
            // What stands behind a pause that was in the transaction.
            let key = self.text_key(rng);
            let value = self.short_value(rng);
            self.script.push_back(Command::One(key.clone(), set(value)));
            self.script.push_back(Command::One(key, Touch::Get));
        }
    }

    /// Reads a key and writes it, unless somebody else has written it meanwhile.
    fn optimistic(&mut self, rng: &mut StdRng) {
        let keys: Vec<Key> = (0..rng.random_range(1..4)).map(|_| self.text_key(rng)).collect();
        let value = self.short_value(rng);
        let key = keys[0].clone();
        self.script.push_back(Command::Watch(keys.clone()));
        self.script.extend(keys.iter().map(|key| Command::One(key.clone(), Touch::Get)));
        match rng.random_range(0..15) {
            0 => self.script.push_back(Command::Unwatch),
            1 => self.script.push_back(Command::One(key.clone(), Touch::Delete)),
            _ => {}
        }
        self.script.push_back(Command::Multi);
        self.script.push_back(Command::Queued(Box::new(Command::One(key.clone(), set(value)))));
        self.script.push_back(Command::Queued(Box::new(Command::One(key, Touch::Get))));
        self.script.push_back(if rng.random_bool(0.05) { Command::Discard } else { Command::Exec });
    }

    fn write_twins(&mut self, rng: &mut StdRng) {
        let value = self.short_value(rng);
        let [first, second] = self.twins();
        if rng.random_bool(0.3) {
            return self.script.push_back(Command::Mset(vec![(first, value.clone()), (second, value)]));
        }
        let between = Command::One(self.text_key(rng), Touch::Get);
        self.script.push_back(Command::Multi);
        for command in [Command::One(first, set(value.clone())), between, Command::One(second, set(value))] {
            self.script.push_back(Command::Queued(Box::new(command)));
        }
        self.script.push_back(Command::Exec);
    }

    fn read_twins(&mut self, rng: &mut StdRng) {
        let twins = self.twins();
        if rng.random_bool(0.5) {
            return self.script.push_back(Command::Mget(twins.to_vec()));
        }
        self.script.push_back(Command::Multi);
        for twin in twins {
            self.script.push_back(Command::Queued(Box::new(Command::One(twin, Touch::Get))));
        }
        self.script.push_back(Command::Exec);
    }

    fn twins(&self) -> [Key; 2] {
        TWINS.map(|name| Key { db: self.db, name: Bytes::from_static(name.as_bytes()) })
    }

    /// Commands without replies, and a look at what they did.
    fn silence(&mut self, rng: &mut StdRng, habits: &Habits) {
        let own_db = LIBRARY_DB_BASE + u8::try_from(self.client).expect("few clients");
        self.db = own_db;
        self.script.push_back(Command::Select(own_db));
        if self.is_rough && rng.random_bool(0.5) {
            self.script.push_back(Command::Pause(pick(rng, &SHORT_MS[1..]), false));
        }
        let key = Key { db: own_db, name: Bytes::from_static(b"quiet") };
        let silent = |workload: &mut Workload, rng: &mut StdRng| {
            let touch = match rng.random_range(0..4) {
                0 => Touch::Append(workload.short_value(rng)),
                1 if habits.large_values && rng.random_bool(0.3) => {
                    let value = workload.value_of(workload.large_bytes_max + 1);
                    let args = vec![Bytes::from_static(b"SET"), key.name.clone(), value];
                    return Command::Silent(Box::new(Command::Wrong(args, "OOM ")));
                }
                1 => Touch::Delete,
                _ => set(workload.short_value(rng)),
            };
            Command::Silent(Box::new(Command::One(key.clone(), touch)))
        };
        if rng.random_bool(0.5) {
            self.script.push_back(Command::Hush("SKIP"));
            let command = silent(self, rng);
            self.script.push_back(command);
        } else {
            self.script.push_back(Command::Hush("OFF"));
            for _ in 0..rng.random_range(1..6) {
                let command = silent(self, rng);
                self.script.push_back(command);
            }
            if rng.random_bool(0.2) {
                self.script.push_back(Command::Silent(Box::new(Command::Wait(pick(rng, &SHORT_MS[1..])))));
            }
            self.script.push_back(Command::Loud);
        }
        self.script.push_back(Command::One(key, Touch::Get));
    }

    fn monitor(&mut self, rng: &mut StdRng) {
        self.script.push_back(Command::Monitor);
        if rng.random_bool(0.8) {
            self.script.extend((0..rng.random_range(0..20)).map(|_| Command::Ping(None)));
            self.script.push_back(Command::Reset);
            self.db = 0;
        }
    }

    /// What one client does to the others.
    fn rough(&mut self, rng: &mut StdRng, connections: usize) -> Command {
        match rng.random_range(0..10) {
            0..2 => Command::Pause(pick(rng, &SHORT_MS), rng.random_bool(0.5)),
            2 => Command::Unpause,
            3..8 => {
                let last = connections as u64 + 1;
                Command::Unblock(rng.random_range(last.saturating_sub(12).max(1)..=last))
            }
            _ => {
                let other = rng.random_range(0..super::CLIENTS_MAX);
                Command::Kill(format!("127.0.0.1:{}", usize::from(PORT_BASE) + other))
            }
        }
    }
}

fn set(value: Bytes) -> Touch {
    Touch::Set { value, condition: SetIf::Always, deadline: Deadline::Never, answer_old: false }
}
