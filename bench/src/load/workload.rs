//! The stream of requests: keys, mix of reads and writes, sizes and lifetimes.

use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

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
    ratio: Ratio,
    sizes: Sizes,
    lifetimes: Option<Lifetimes>,
    values: Values,
    rng: Xoshiro256PlusPlus,
    key: Vec<u8>,
    prefix_bytes: usize,
}

/// What was asked, to judge the reply by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Number of the key.
    pub key: u64,
    /// SET, or GET.
    pub is_set: bool,
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
            ratio: workload.ratio,
            sizes: workload.sizes,
            lifetimes: workload.lifetimes,
            values: Values::new(workload.sizes),
            rng: Xoshiro256PlusPlus::seed_from_u64(workload.seed),
            key: workload.key_prefix.clone().into_bytes(),
            prefix_bytes: workload.key_prefix.len(),
        }
    }

    /// Appends the next request.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Question {
        let question = self.choose();
        self.key.truncate(self.prefix_bytes);
        self.key.extend_from_slice(itoa::Buffer::new().format(question.key).as_bytes());
        if question.is_set {
            let bytes = self.sizes.draw(&mut self.rng);
            let expire_s = self.lifetimes.map(|range| self.rng.random_range(range.min_s..=range.max_s));
            let values = &self.values;
            self.protocol.write_set(&self.key, bytes, expire_s, out, |out| values.write(question.key, bytes, out));
        } else {
            self.protocol.write_get(&self.key, out);
        }
        question
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
                Question { key, is_set: true }
            }
            Order::Drawn => {
                let key = self.keys.draw(&mut self.rng);
                let parts = self.ratio.sets + self.ratio.gets;
                Question { key, is_set: self.rng.random_range(0..parts) < self.ratio.sets }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(ratio: &str) -> Workload {
        Workload {
            key_prefix: "key:".into(),
            key_count: 10,
            popularity: Popularity::Uniform,
            ratio: ratio.parse().unwrap(),
            sizes: Sizes::fixed(3),
            lifetimes: None,
            seed: 1,
        }
    }

    #[test]
    fn the_mix_follows_the_ratio() {
        for (ratio, expected) in [("1:10", 1000), ("0:1", 0), ("1:0", 11_000), ("1:1", 5500)] {
            let mut generator = Generator::new(&workload(ratio), Protocol::Resp, Order::Drawn);
            let sets = (0..11_000).filter(|_| generator.write(&mut Vec::new()).is_set).count();
            assert!(sets.abs_diff(expected) <= 300, "{ratio}: {sets}");
        }
    }

    #[test]
    fn sequential_order_writes_every_key_once_and_starts_over() {
        let mut generator = Generator::new(&workload("0:1"), Protocol::Resp, Order::Sequential);
        let questions: Vec<_> = (0..11).map(|_| generator.write(&mut Vec::new())).collect();
        assert!(questions.iter().all(|question| question.is_set));
        assert_eq!(questions.iter().map(|q| q.key).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    }

    #[test]
    fn equal_seeds_make_equal_requests() {
        let stream = || {
            let mut generator = Generator::new(&workload("1:1"), Protocol::Resp, Order::Drawn);
            let mut out = Vec::new();
            for _ in 0..100 {
                generator.write(&mut out);
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
