//! The stream of requests: keys, mix of reads and writes, sizes and lifetimes.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::answer::Items;
use super::keys::{KeyDraw, Popularity};
use super::protocol::Protocol;
use super::values::{Sizes, Values};

/// SETs to GETs, as memtier_benchmark writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Parts of SET.
    pub sets: u32,
    /// Parts of GET.
    pub gets: u32,
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Ratio, String> {
        let parts = text.split_once(':').and_then(|(sets, gets)| Some((sets.parse().ok()?, gets.parse().ok()?)));
        match parts {
            Some((sets, gets)) if (1..=1_000_000).contains(&u64::saturating_add(sets, gets)) => {
                Ok(Ratio { sets: sets as u32, gets: gets as u32 })
            }
            _ => Err("expected SETS:GETS, as in 1:10".into()),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sets, self.gets)
    }
}

/// A range of lifetimes in seconds; each write draws one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Shortest, at least 1.
    pub min_s: u64,
    /// Longest.
    pub max_s: u64,
}

impl FromStr for Lifetimes {
    type Err = String;

    fn from_str(text: &str) -> Result<Lifetimes, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.parse(), max.parse()) {
            (Ok(min_s), Ok(max_s)) if 1 <= min_s && min_s <= max_s => Ok(Lifetimes { min_s, max_s }),
            _ => Err("expected SECONDS or MIN-MAX with 1 <= MIN <= MAX".into()),
        }
    }
}

/// What the requests are about.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Bytes before the number in every key.
    pub key_prefix: String,
    /// Number of keys.
    pub key_count: u64,
    /// How keys are chosen.
    pub popularity: Popularity,
    /// Keys that every read asks for, at least 1.
    pub keys_per_get: u32,
    /// Mix of SET and GET.
    pub ratio: Ratio,
    /// Sizes of values.
    pub sizes: Sizes,
    /// Lifetimes of what is written; none: it stays.
    pub lifetimes: Option<Lifetimes>,
    /// Seed of all choices.
    pub seed: u64,
}

/// Order of the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As `popularity` says, GET and SET mixed as `ratio` says.
    Drawn,
    /// 0, 1, 2 and so on, and SET only: fills a server.
    Sequential,
}

/// Makes requests.
pub struct Generator {
    protocol: Protocol,
    order: Order,
    keys: KeyDraw,
    next_key: u64,
    key_count: u64,
    keys_per_get: u32,
    ratio: Ratio,
    sizes: Sizes,
    lifetimes: Option<Lifetimes>,
    values: Values,
    rng: Xoshiro256PlusPlus,
    name: KeyName,
}

/// What was asked, to judge the reply by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A write.
    Set {
        /// Number of the key.
        key: u64,
    },
    /// A read of one key.
    Get {
        /// Number of the key.
        key: u64,
    },
    /// A read of many keys, whose numbers the connection keeps in the order asked.
    GetMany {
        /// How many.
        count: u32,
    },
}

impl Question {
    /// Keys that the connection keeps for it.
    pub fn keys_kept(self) -> usize {
        match self {
            Question::Set { .. } | Question::Get { .. } => 0,
            Question::GetMany { count } => count as usize,
        }
    }
}

/// What a read of many keys has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Keys with a value.
    pub hits: u64,
    /// Keys that the server does not hold.
    pub misses: u64,
    /// Every value is its key's, and nothing came that was not asked for.
    pub is_right: bool,
}

/// The text of keys: a prefix and a number.
struct KeyName {
    text: Vec<u8>,
    prefix_bytes: usize,
}

impl KeyName {
    fn new(prefix: &str) -> KeyName {
        KeyName { text: prefix.as_bytes().to_vec(), prefix_bytes: prefix.len() }
    }

    fn of(&mut self, key: u64) -> &[u8] {
        self.text.truncate(self.prefix_bytes);
        self.text.extend_from_slice(itoa::Buffer::new().format(key).as_bytes());
        &self.text
    }
}

impl Generator {
    /// A generator whose requests follow from `workload` alone.
    pub fn new(workload: &Workload, protocol: Protocol, order: Order) -> Generator {
        Generator {
            protocol,
            order,
            keys: KeyDraw::new(workload.popularity, workload.key_count),
            next_key: 0,
            key_count: workload.key_count,
            keys_per_get: workload.keys_per_get,
            ratio: workload.ratio,
            sizes: workload.sizes,
            lifetimes: workload.lifetimes,
            values: Values::new(workload.sizes),
            rng: Xoshiro256PlusPlus::seed_from_u64(workload.seed),
            name: KeyName::new(&workload.key_prefix),
        }
    }

    /// Appends the next request to `out`, and the keys of a read of many to `keys`.
    pub fn write(&mut self, out: &mut Vec<u8>, keys: &mut VecDeque<u64>) -> Question {
        let question = self.choose();
        match question {
            Question::Set { key } => {
                let bytes = self.sizes.draw(&mut self.rng);
                let expire_s = self.lifetimes.map(|range| self.rng.random_range(range.min_s..=range.max_s));
                let values = &self.values;
                let name = self.name.of(key);
                self.protocol.write_set(name, bytes, expire_s, out, |out| values.write(key, bytes, out));
            }
            Question::Get { key } => self.protocol.write_get(self.name.of(key), out),
            Question::GetMany { count } => {
                self.protocol.begin_get_many(count as usize, out);
                for _ in 0..count {
                    let key = self.keys.draw(&mut self.rng);
                    keys.push_back(key);
                    self.protocol.write_key(self.name.of(key), out);
                }
                self.protocol.end_get_many(out);
            }
        }
        question
    }

    /// Judges what came for `asked`, in whose order servers answer; values are looked into if `verifies`.
    ///
    /// Where the protocol repeats the keys, those without an item are misses. Where it does not, every key has an item.
    pub fn judge(&mut self, asked: impl ExactSizeIterator<Item = u64>, items: &Items<'_>, verifies: bool) -> Found {
        let names_keys = self.protocol.names_keys();
        let mut found = Found { hits: 0, misses: 0, is_right: names_keys || items.len() == asked.len() };
        let mut items = items.iter().peekable();
        for key in asked {
            let is_its = |name: &[u8]| name == self.name.of(key);
            let Some(item) = items.next_if(|item| item.key.is_none_or(is_its)) else {
                found.misses += u64::from(names_keys);
                continue;
            };
            match item.value {
                None => found.misses += 1,
                Some(value) => {
                    found.hits += 1;
                    found.is_right &= !verifies || self.values.is_right(key, value);
                }
            }
        }
        found.is_right &= items.next().is_none();
        found
    }

    /// Whether `value` is one that was written under `key`.
    pub fn is_right(&self, key: u64, value: &[u8]) -> bool {
        self.values.is_right(key, value)
    }

    fn choose(&mut self) -> Question {
        match self.order {
            Order::Sequential => {
                let key = self.next_key;
                self.next_key = (key + 1) % self.key_count;
                Question::Set { key }
            }
            Order::Drawn => {
                let key = self.keys.draw(&mut self.rng);
                let parts = self.ratio.sets + self.ratio.gets;
                let is_set = self.rng.random_range(0..parts) < self.ratio.sets;
                match self.keys_per_get {
                    _ if is_set => Question::Set { key },
                    1 => Question::Get { key },
                    count => Question::GetMany { count },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Answer, Scan};
    use super::*;

    fn workload(ratio: &str) -> Workload {
        Workload {
            key_prefix: "key:".into(),
            key_count: 10,
            popularity: Popularity::Uniform,
            keys_per_get: 1,
            ratio: ratio.parse().unwrap(),
            sizes: Sizes::fixed(3),
            lifetimes: None,
            seed: 1,
        }
    }

    fn ask(generator: &mut Generator) -> Question {
        generator.write(&mut Vec::new(), &mut VecDeque::new())
    }

    #[test]
    fn the_mix_follows_the_ratio() {
        for (ratio, expected) in [("1:10", 1000), ("0:1", 0), ("1:0", 11_000), ("1:1", 5500)] {
            let mut generator = Generator::new(&workload(ratio), Protocol::Resp, Order::Drawn);
            let sets = (0..11_000).filter(|_| matches!(ask(&mut generator), Question::Set { .. })).count();
            assert!(sets.abs_diff(expected) <= 300, "{ratio}: {sets}");
        }
    }

    #[test]
    fn every_read_asks_for_as_many_keys_as_wanted() {
        let workload = Workload { keys_per_get: 3, ..workload("0:1") };
        for (protocol, heads) in [(Protocol::Resp, "*4\r\n$4\r\nMGET\r\n"), (Protocol::MemcacheText, "get key:")] {
            let (mut out, mut keys) = (Vec::new(), VecDeque::new());
            let question = Generator::new(&workload, protocol, Order::Drawn).write(&mut out, &mut keys);
            assert_eq!((question, keys.len()), (Question::GetMany { count: 3 }, 3));
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(heads) && text.matches("key:").count() == 3, "{text}");
            assert!(keys.iter().all(|key| text.contains(&format!("key:{key}"))), "{text}: {keys:?}");
        }
    }

    /// Judges `reply` to a read of the keys 1, 2, 1 and 3; `{1}` in it stands for the right value of key 1, and so on.
    fn check_judged(protocol: Protocol, reply: &str, expected: (u64, u64, bool)) {
        let mut generator = Generator::new(&workload("0:1"), protocol, Order::Drawn);
        let mut bytes = Vec::new();
        for part in reply.split_inclusive(['{', '}']) {
            match part.strip_suffix('}') {
                Some(key) => generator.values.write(key.parse().unwrap(), 3, &mut bytes),
                None => bytes.extend_from_slice(part.trim_end_matches('{').as_bytes()),
            }
        }
        let mut spans = Vec::new();
        let Scan::Reply(Answer::Items(items), consumed) = protocol.scan_items(&bytes, &mut spans) else {
            panic!("{reply:?}: no items")
        };
        assert_eq!(consumed, bytes.len(), "{reply:?}");
        let found = generator.judge([1, 2, 1, 3].into_iter(), &items, true);
        assert_eq!((found.hits, found.misses, found.is_right), expected, "{reply:?}");
    }

    #[test]
    fn values_of_many_keys_belong_to_their_places() {
        for (reply, expected) in [
            ("*4\r\n$3\r\n{1}\r\n$3\r\n{2}\r\n$3\r\n{1}\r\n$3\r\n{3}\r\n", (4, 0, true)),
            ("*4\r\n$3\r\n{1}\r\n$-1\r\n$3\r\n{1}\r\n_\r\n", (2, 2, true)),
            ("*4\r\n$3\r\n{2}\r\n$3\r\n{1}\r\n$3\r\n{1}\r\n$3\r\n{3}\r\n", (4, 0, false)),
            ("*4\r\n$3\r\n{1}\r\n$3\r\n{2}\r\n$3\r\n{1}\r\n$3\r\nabc\r\n", (4, 0, false)),
            ("*3\r\n$3\r\n{1}\r\n$3\r\n{2}\r\n$3\r\n{1}\r\n", (3, 0, false)),
            ("*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n", (0, 4, false)),
            ("*0\r\n", (0, 0, false)),
        ] {
            check_judged(Protocol::Resp, reply, expected);
        }
    }

    #[test]
    fn values_of_many_keys_belong_to_their_names() {
        for (items, expected) in [
            ("1={1} 2={2} 1={1} 3={3}", (4, 0, true)),
            ("1={1} 1={1}", (2, 2, true)),
            ("3={3}", (1, 3, true)),
            ("", (0, 4, true)),
            ("1={1} 2={1} 1={1} 3={3}", (4, 0, false)),
            ("3={3} 2={2}", (1, 3, false)),
            ("4={4}", (0, 4, false)),
            ("1={1} 2={2} 1={1} 3={3} 3={3}", (4, 0, false)),
        ] {
            let item =
                |item: &str| item.split_once('=').map(|(key, value)| format!("VALUE key:{key} 0 3\r\n{value}\r\n"));
            let reply: String = items.split_whitespace().filter_map(item).collect();
            check_judged(Protocol::MemcacheText, &(reply + "END\r\n"), expected);
        }
    }

    #[test]
    fn sequential_order_writes_every_key_once_and_starts_over() {
        let mut generator = Generator::new(&workload("0:1"), Protocol::Resp, Order::Sequential);
        let questions: Vec<_> = (0..11).map(|_| ask(&mut generator)).collect();
        assert_eq!(questions, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0].map(|key| Question::Set { key }));
    }

    #[test]
    fn equal_seeds_make_equal_requests() {
        let stream = || {
            let mut generator = Generator::new(&workload("1:1"), Protocol::Resp, Order::Drawn);
            let mut out = Vec::new();
            for _ in 0..100 {
                generator.write(&mut out, &mut VecDeque::new());
            }
            out
        };
        assert_eq!(stream(), stream());
    }

    #[test]
    fn ratios_and_lifetimes_are_checked() {
        assert_eq!("1:10".parse(), Ok(Ratio { sets: 1, gets: 10 }));
        for text in ["", "1", "0:0", "a:b", "-1:1", "1:99999999999"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert_eq!("5".parse(), Ok(Lifetimes { min_s: 5, max_s: 5 }));
        for text in ["0", "5-1", "", "1-"] {
            assert!(text.parse::<Lifetimes>().is_err(), "{text}");
        }
    }
}
