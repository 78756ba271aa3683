//! Workload: which command comes next.
//!
//! `sequences` has what takes several commands: transactions, silence, waiting.
//!
//! Few keys, so that clients meet on them; values of every size class, each unlike any other, so that a wrong one is
//! noticed; deadlines short enough to pass.

mod memcached;
mod sequences;

use std::collections::VecDeque;

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

pub use self::sequences::TWINS;
use crate::command::{Command, Deadline, ExpireIf, Key, SetIf, Touch};
use crate::habits::{Habits, Work};
use crate::terms::Terms;
use crate::weather::pick;

/// Databases that clients share.
const SHARED_DBS: [u8; 2] = [0, 3];
/// Databases of the libraries, one per client, wrap-around excluded by `CLIENTS_MAX`.
const LIBRARY_DB_BASE: u8 = 4;
/// Clients of a run: as many libraries as there are databases for them.
pub const CLIENTS_MAX: usize = 12;
/// Shared keys per database that hold any string, and those that hold numbers for the most part.
const TEXT_KEYS: u32 = 12;
const NUMBER_KEYS: u32 = 6;
/// Keys in a library: KEYS runs in slices above 1000.
const LIBRARY_KEYS: u32 = 2500;
/// An appended value is replaced rather than grown when it might be longer than this, in bytes.
const APPENDED_MAX: u32 = 40;

/// What breaks the protocol, each in another way.
const BROKEN: &[&[u8]] = &[
    b"*-5x\r\n",
    b"*99999999999999999999\r\n",
    b"*1048577\r\n",
    b"*2\r\n:1\r\n",
    b"*1\r\n$-7\r\n",
    b"*1\r\n$9223372036854775808\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\nPING\r\n",
    b"GET \"unbalanced\r\n",
];

/// A line without an end that is long enough to be refused, in bytes.
const ENDLESS_LINE_BYTES: usize = 66 * 1024;

/// `maxmemory`, where it is small and changes, in bytes.
const TINY_LIMITS: &[&str] = &["2097152", "3000000", "4194304", "8388608"];

/// Chooses one client's commands.
#[derive(Debug)]
pub struct Workload {
    client: usize,
    db: u8,
    serial: u64,
    /// Bytes that values are cut from.
    filler: Bytes,
    stocked: u32,
    /// The database of the walk under way.
    walk_db: u8,
    /// Longest value that is stored; longer ones are answered with OOM.
    large_bytes_max: usize,
    /// `maxmemory` may be changed.
    changes_memory: bool,
    /// What a client may be owed is limited.
    limits_replies: bool,
    /// RESET would end what AUTH began.
    has_password: bool,
    /// Clients pause, kill and unblock each other.
    is_rough: bool,
    /// Commands of a sequence that has begun.
    script: VecDeque<Command>,
}

impl Workload {
    /// The workload of client number `client`.
    pub fn new(client: usize, filler: Bytes, terms: &Terms) -> Workload {
        assert!(client <= CLIENTS_MAX, "at most the auditor beside the clients");
        Workload {
            client,
            db: 0,
            serial: 0,
            filler,
            stocked: 0,
            walk_db: 0,
            large_bytes_max: terms.large_bytes_max,
            changes_memory: terms.refuses(),
            limits_replies: terms.unsent_hard_bytes.is_some(),
            has_password: terms.password.is_some(),
            is_rough: terms.is_rough,
            script: VecDeque::new(),
        }
    }

    /// A new connection begins in database 0.
    pub fn reconnect(&mut self) {
        self.db = 0;
        self.script.clear();
    }

    /// A long answer may be refused: what a client may be owed is limited.
    pub fn may_be_cut(&self) -> bool {
        self.limits_replies
    }

    /// Memory is so small that anything may be refused.
    pub fn may_be_refused(&self) -> bool {
        self.changes_memory
    }

    /// The next command. `cursor` is where the client's SCAN stands; `None` while requests are under way.
    /// `connections`: how many there were so far.
    pub fn next(&mut self, rng: &mut StdRng, habits: &Habits, cursor: Option<u64>, connections: usize) -> Command {
        if let Some(command) = self.script.pop_front() {
            return command;
        }
        if rng.random_bool(habits.quits) {
            return Command::Quit;
        }
        if rng.random_bool(habits.breaks) {
            if habits.large_values && rng.random_bool(0.2) {
                return Command::Broken(Bytes::from(vec![b'x'; ENDLESS_LINE_BYTES]));
            }
            return Command::Broken(Bytes::from_static(pick(rng, BROKEN)));
        }
        match habits.work {
            Work::Memcached => unreachable!("it has a workload of its own"),
            Work::Shared | Work::Idle if rng.random_bool(0.04) => {
                self.begin_sequence(rng, habits, connections);
                self.script.pop_front().unwrap_or(Command::Ping(None))
            }
            Work::Shared | Work::Idle => self.next_shared(rng, habits, cursor),
            Work::Library => self.next_in_library(rng, cursor),
        }
    }

    fn next_shared(&mut self, rng: &mut StdRng, habits: &Habits, cursor: Option<u64>) -> Command {
        if !SHARED_DBS.contains(&self.db) || rng.random_bool(0.01) {
            self.db = pick(rng, &SHARED_DBS);
            return Command::Select(self.db);
        }
        match rng.random_range(0..100) {
            0..50 => self.text_touch(rng, habits),
            50..65 => self.number_touch(rng),
            65..75 => self.several(rng, habits),
            75..85 => self.deadline_touch(rng),
            85..90 => match cursor {
                Some(cursor) => self.scan(cursor, rng.random_range(1..20)),
                None => Command::Size(self.db),
            },
            90..92 => pick(rng, &[Command::Keys as fn(u8) -> Command, Command::Size, Command::Keys])(self.db),
            92 if rng.random_bool(0.3) => Command::Flush(self.db),
            _ => self.sundry(rng),
        }
    }

    fn text_touch(&mut self, rng: &mut StdRng, habits: &Habits) -> Command {
        let key = self.text_key(rng);
        let touch = match rng.random_range(0..20) {
            0..8 => Touch::Get,
            8..15 => {
                let value = self.value(rng, habits.large_values);
                if value.len() > self.large_bytes_max {
                    return Command::Wrong(vec![Bytes::from_static(b"SET"), key.name, value], "OOM ");
                }
                let condition =
                    pick(rng, &[SetIf::Always, SetIf::Always, SetIf::Always, SetIf::Missing, SetIf::Exists]);
                Touch::Set { value, condition, deadline: self.deadline(rng), answer_old: rng.random_bool(0.1) }
            }
            15 => Touch::Append(self.short_value(rng)),
            16 => Touch::Strlen,
            17 => Touch::Delete,
            18 => Touch::Exists,
            _ => Touch::Type,
        };
        Command::One(key, touch)
    }

    fn number_touch(&mut self, rng: &mut StdRng) -> Command {
        let key = Key { db: self.db, name: Bytes::from(format!("n{}", rng.random_range(0..NUMBER_KEYS))) };
        let touch = match rng.random_range(0..20) {
            0..14 => Touch::Add(pick(rng, &[1, 1, 1, -1, 7, -4, 1 << 40])),
            14 => Touch::Append(Bytes::from_static(b"0")),
            15 => Touch::Set {
                value: Bytes::from_static(b"9223372036854775800"),
                condition: SetIf::Always,
                deadline: self.deadline(rng),
                answer_old: false,
            },
            16 => Touch::Delete,
            _ => Touch::Get,
        };
        Command::One(key, touch)
    }

    fn deadline_touch(&mut self, rng: &mut StdRng) -> Command {
        let condition = pick(
            rng,
            &[ExpireIf::Always, ExpireIf::Always, ExpireIf::None, ExpireIf::Any, ExpireIf::Later, ExpireIf::Earlier],
        );
        let touch = match rng.random_range(0..10) {
            0 => Touch::ExpireSeconds(pick(rng, &[-1, 0, 1, 2, 10]), condition),
            1..4 => Touch::ExpireMillis(pick(rng, &[0, 1, 20, 300, 5_000, 100_000]), condition),
            4..6 => Touch::TtlSeconds,
            6..9 => Touch::TtlMillis,
            _ => Touch::Persist,
        };
        Command::One(self.text_key(rng), touch)
    }

    fn several(&mut self, rng: &mut StdRng, habits: &Habits) -> Command {
        if habits.large_values && rng.random_bool(0.1) || self.limits_replies && rng.random_bool(0.3) {
            // More values in one reply than one system call takes, or than the client may be owed.
            return Command::Mget(vec![self.text_key(rng); rng.random_range(30..70)]);
        }
        let count = rng.random_range(1..6);
        let keys: Vec<Key> = (0..count).map(|_| self.text_key(rng)).collect();
        match rng.random_range(0..10) {
            0..4 => Command::Mget(keys),
            4..7 => Command::Mset(keys.into_iter().map(|key| (key, self.storable(rng, habits.large_values))).collect()),
            7..9 => Command::Delete(keys, pick(rng, &["DEL", "UNLINK"])),
            _ => Command::Exists(keys),
        }
    }

    fn sundry(&mut self, rng: &mut StdRng) -> Command {
        let words = |words: &[&'static str]| -> Vec<Bytes> {
            words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect()
        };
        match rng.random_range(0..16) {
            0 => Command::Hello(pick(rng, &[2, 3])),
            1 => Command::ClientId,
            2 => Command::SetName(Bytes::from(format!("client{}", self.client))),
            3 => Command::GetName,
            4 => Command::Echo(self.value(rng, false)),
            5 => Command::Ping(Some(self.short_value(rng))),
            6 => Command::Any(words(&["CLIENT", "LIST"])),
            7 => Command::Any(words(&["INFO"])),
            8 => Command::Any(words(&["COMMAND", "COUNT"])),
            9 => Command::Wrong(words(&["GET"]), "ERR wrong number of arguments for 'get' command"),
            10 => Command::Wrong(words(&["NOSUCH", "x"]), "ERR unknown command 'NOSUCH'"),
            11 => Command::Wrong(words(&["SET", "k0", "v", "EX", "0"]), "ERR invalid expire time in 'set' command"),
            12 => Command::Wrong(words(&["EXPIRE", "k0", "x"]), "ERR value is not an integer"),
            13 if !self.has_password => {
                self.db = 0;
                Command::Reset
            }
            14 if self.changes_memory => {
                let limit = Bytes::from_static(pick(rng, TINY_LIMITS).as_bytes());
                Command::Any([words(&["CONFIG", "SET", "maxmemory"]), vec![limit]].concat())
            }
            _ => Command::Ping(None),
        }
    }

    fn next_in_library(&mut self, rng: &mut StdRng, cursor: Option<u64>) -> Command {
        let own_db = LIBRARY_DB_BASE + u8::try_from(self.client).expect("few clients");
        if self.db != own_db {
            self.db = own_db;
            return Command::Select(own_db);
        }
        if self.stocked < LIBRARY_KEYS {
            let from = self.stocked;
            self.stocked += 250;
            return Command::Mset((from..self.stocked).map(|n| (self.book(n), self.short_value(rng))).collect());
        }
        let book = |rng: &mut StdRng| rng.random_range(0..LIBRARY_KEYS);
        match (rng.random_range(0..10), cursor) {
            (0..2, _) => Command::Keys(own_db),
            (2..5, Some(cursor)) => self.scan(cursor, rng.random_range(100..1500)),
            (5, _) => Command::Size(own_db),
            (6, _) => Command::One(self.book(book(rng)), Touch::Delete),
            (7, _) => Command::Mset(vec![(self.book(book(rng)), self.short_value(rng))]),
            (8, _) if rng.random_bool(0.05) => {
                self.stocked = 0;
                Command::Flush(own_db)
            }
            _ => Command::One(self.book(book(rng)), Touch::Get),
        }
    }

    /// The next step of the walk, or a new walk in another database.
    fn scan(&mut self, cursor: u64, count: u32) -> Command {
        let goes_on = self.walk_db == self.db;
        self.walk_db = self.db;
        Command::Scan(self.db, if goes_on { cursor } else { 0 }, count)
    }

    fn book(&self, number: u32) -> Key {
        Key { db: self.db, name: Bytes::from(format!("book:{number}")) }
    }

    fn text_key(&self, rng: &mut StdRng) -> Key {
        Key { db: self.db, name: Bytes::from(format!("k{}", rng.random_range(0..TEXT_KEYS))) }
    }

    fn deadline(&self, rng: &mut StdRng) -> Deadline {
        match rng.random_range(0..10) {
            0 => Deadline::Keep,
            1 => Deadline::Seconds(pick(rng, &[1, 3, 100])),
            2 => Deadline::Millis(pick(rng, &[1, 5, 50, 700])),
            3 => Deadline::AtMs(pick(rng, &[1, 1_780_000_000_500, 1_780_000_020_000, 1_990_000_000_000])),
            _ => Deadline::Never,
        }
    }

    fn short_value(&mut self, rng: &mut StdRng) -> Bytes {
        let length = rng.random_range(0..APPENDED_MAX) as usize;
        self.value_of(length)
    }

    /// A value of any size, now and then a large one.
    fn value(&mut self, rng: &mut StdRng, large: bool) -> Bytes {
        let length = match rng.random_range(0..20) {
            0 => 0,
            1..3 => rng.random_range(100..2000),
            3..5 if large => pick(rng, &[16_383, 16_384, 16_385, 20_000, 32_767, 32_768]),
            5 if large && rng.random_bool(0.7) => rng.random_range(16_000..150_000),
            6 if large && rng.random_bool(0.5) => self.large_bytes_max + 1,
            _ => rng.random_range(1..40),
        };
        self.value_of(length)
    }

    /// A value that is not too large to be stored.
    fn storable(&mut self, rng: &mut StdRng, large: bool) -> Bytes {
        let value = self.value(rng, large);
        value.slice(..value.len().min(self.large_bytes_max))
    }

    fn value_of(&mut self, length: usize) -> Bytes {
        self.serial += 1;
        let mut value = format!("{}.{}:", self.client, self.serial).into_bytes();
        let from = (self.serial as usize * 31) % 1000;
        let rest = length.saturating_sub(value.len());
        value.extend_from_slice(&self.filler[from..from + rest]);
        value.truncate(length);
        Bytes::from(value)
    }
}

/// Random bytes for the values: CR, LF and all.
pub fn filler(rng: &mut StdRng, large_bytes_max: usize) -> Bytes {
    let mut bytes = vec![0; large_bytes_max + 2000];
    rng.fill(&mut bytes[..]);
    Bytes::from(bytes)
}
