//! Draw: everything random about a request, from a seed: keys, values, numbers, and templates with places for them.
//!
//! A template is words and blanks. `$word` stands for something drawn, `(a|b)` for one of the texts, `[a|b]` for one of
//! them or nothing, `{a}` for one to some of it.
//!
//! Keys
//! - `v:N`, shared: every value names its key and can be checked by whoever reads it.
//! - `m:N`, shared: anything may happen to them, only replies are checked. `n:N` are those that hold numbers mostly.
//! - `x:S:N`, of connection S alone: the model knows them exactly.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Databases in which connections keep keys of their own; those behind are swapped now and then.
pub const OWN_DATABASES: u64 = 12;
/// All databases.
pub const DATABASES: u64 = 16;
/// Longest value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Length of the pattern that fills values; prime, so that shifts show.
const PATTERN_PERIOD: usize = 251;
const OWN_KEYS: u64 = 12;
const REPEAT_MAX: u64 = 12;

/// The source of requests of one connection.
pub struct Draw {
    rng: StdRng,
    /// Number of the connection, unique in a run.
    pub serial: u64,
    version: u64,
    /// The database that is selected when the request being drawn runs.
    pub db: u64,
    /// The server's memory limit; it is lowered now and then.
    pub maxmemory: u64,
    /// Ids of connections that a request may name.
    pub ids: Vec<u64>,
    last_key: Vec<u8>,
}

impl Draw {
    /// A source for connection `serial`.
    pub fn new(seed: u64, serial: u64) -> Draw {
        let rng = StdRng::seed_from_u64(seed ^ serial.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Draw { rng, serial, version: 0, db: 0, maxmemory: 0, ids: Vec::new(), last_key: Vec::new() }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.rng.random_range(0..bound)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A number of bytes: mostly few, now and then up to a MiB.
    pub fn size(&mut self) -> usize {
        let (low, high) = match self.below(1000) {
            0..300 => (0, 16),
            300..750 => (16, 300),
            750..930 => (300, 5_000),
            930..994 => (5_000, 70_000),
            _ => (70_000, VALUE_BYTES_MAX as u64 + 1),
        };
        (low + self.below(high - low)) as usize
    }

    /// A time to live in milliseconds: from 1, mostly short.
    pub fn ttl_ms(&mut self) -> u64 {
        let high = self.choose(&[10, 200, 3_000, 60_000, 10_000_000]);
        1 + self.below(high)
    }

    /// A shared key whose values are checked.
    pub fn value_key(&mut self) -> Vec<u8> {
        let bound = self.choose(&[100, 20_000]);
        format!("v:{}", self.below(bound)).into_bytes()
    }

    /// A key of this connection.
    pub fn own_key(&mut self) -> Vec<u8> {
        let number = self.below(OWN_KEYS);
        format!("x:{}:{number}", self.serial).into_bytes()
    }

    /// The next value of `key`; `is_value_of` knows it.
    pub fn value_of(&mut self, key: &[u8]) -> Vec<u8> {
        self.version += 1;
        let size = self.size();
        let mut value = [key, format!("|{}.{}|", self.serial, self.version).as_bytes()].concat();
        fill(&mut value, self.version as usize, size);
        value
    }

    /// Any bytes.
    pub fn blob(&mut self) -> Vec<u8> {
        let (shift, size) = (self.below(256) as usize, self.size());
        let mut blob = Vec::new();
        match self.below(4) {
            0 => blob.extend((0..size.min(64)).map(|_| self.rng.random::<u8>())),
            1 => blob.extend(self.below(100_000).to_string().bytes()),
            _ => fill(&mut blob, shift, size),
        }
        blob
    }

    /// The words of `template`.
    pub fn expand(&mut self, template: &str, words: &mut Vec<Vec<u8>>) {
        let mut rest = template.trim_start();
        while let Some(first) = rest.chars().next() {
            if let Some((inner, behind)) = group(rest) {
                let rounds = match first {
                    '[' => self.below(2),
                    '{' => 1 + self.below(REPEAT_MAX),
                    _ => 1,
                };
                let choices = alternatives(inner);
                for _ in 0..rounds {
                    let choice = self.choose(&choices);
                    self.expand(choice, words);
                }
                rest = behind.trim_start();
            } else {
                let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                self.word(word, words);
                rest = behind.trim_start();
            }
        }
    }

    fn word(&mut self, word: &str, words: &mut Vec<Vec<u8>>) {
        let Some(name) = word.strip_prefix('$') else { return words.push(word.as_bytes().to_vec()) };
        let drawn = match name {
            "v" | "x" | "m" | "n" => {
                self.last_key = self.key(name);
                self.last_key.clone()
            }
            "value" => {
                let key = std::mem::take(&mut self.last_key);
                self.value_of(&key)
            }
            "blob" => self.blob(),
            "pairs" => return self.counted_pairs(words),
            "word" => format!("w{}", self.below(1000)).into_bytes(),
            "float" => self.choose(&["0.5", "-1.25", "3", "1e3", "10.0001"]).as_bytes().to_vec(),
            "glob" => self.choose(&["*", "v:1*", "m:?", "n:[0-4]*", "x:*:1", "none*"]).as_bytes().to_vec(),
            "type" => self.choose(&["u8", "i8", "u1", "i64", "u63", "i5"]).as_bytes().to_vec(),
            _ => self.number(name).to_string().into_bytes(),
        };
        words.push(drawn);
    }

    fn key(&mut self, class: &str) -> Vec<u8> {
        let bound = self.choose(&[40, 4_000]);
        match class {
            "v" => self.value_key(),
            "x" => self.own_key(),
            class => format!("{class}:{}", self.below(bound)).into_bytes(),
        }
    }

    fn number(&mut self, name: &str) -> i64 {
        let unix = 4_000_000_000_i64;
        let number = match name {
            "int" => return self.below(2_001) as i64 - 1_000,
            "index" => return self.below(601) as i64 - 300,
            "at" => return unix + self.below(1_000_000) as i64,
            "atms" => return (unix + self.below(1_000_000) as i64) * 1000,
            "offset" => self.below(6_000),
            "bit" => self.below(40_000),
            "bool" => self.below(2),
            "secs" => 1 + self.ttl_ms() / 1000,
            "ms" => self.ttl_ms(),
            "moment" => 1 + self.below(20),
            "db" => self.below(DATABASES),
            "swapped" => OWN_DATABASES + self.below(DATABASES - OWN_DATABASES),
            "count" => 1 + self.below(300),
            "cursor" => 0,
            // Mostly back to the whole: the trend of memory is that of a full cache.
            "limit" if self.one_in(6) => self.maxmemory / 100 * self.choose(&[70, 85]),
            "limit" => self.maxmemory,
            "id" => self.id(),
            other => unreachable!("a template names ${other}"),
        };
        number as i64
    }

    /// The id of some connection, or one that may be none's.
    pub fn id(&mut self) -> u64 {
        let at = self.below(self.ids.len().max(1) as u64) as usize;
        self.ids.get(at).copied().unwrap_or(1)
    }

    /// A count, and so many keys with values of theirs.
    fn counted_pairs(&mut self, words: &mut Vec<Vec<u8>>) {
        let count = 1 + self.below(5);
        words.push(count.to_string().into_bytes());
        (0..count).for_each(|_| self.expand("$v $value", words));
    }
}

/// The inside of the group that `text` begins with, and what follows.
fn group(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(['(', '[', '{']) {
        return None;
    }
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    unreachable!("a template closes its groups: {text}")
}

/// The texts between the bars of the outermost level.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '|' if depth == 0 => {
                found.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[from..]);
    found
}

fn fill(value: &mut Vec<u8>, shift: usize, size: usize) {
    value.extend((shift..shift + size).map(|at| (at % PATTERN_PERIOD) as u8));
}

/// True if `value` is one that `Draw::value_of` makes for `key`.
pub fn is_value_of(key: &[u8], value: &[u8]) -> bool {
    let Some(rest) = value.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"|")) else { return false };
    let Some(bar) = rest.iter().take(48).position(|byte| *byte == b'|') else { return false };
    let (stamp, filler) = (&rest[..bar], &rest[bar + 1..]);
    let version = std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.split_once('.')?.1.parse::<usize>().ok());
    version.is_some_and(|version| {
        filler.iter().enumerate().all(|(at, byte)| *byte == ((version + at) % PATTERN_PERIOD) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_give_words() {
        let mut draw = Draw::new(1, 7);
        for _ in 0..200 {
            let mut words = Vec::new();
            draw.expand("SET $v $value [NX|XX] [EX $secs|PX $ms] (A|B [C])", &mut words);
            assert!((4..=8).contains(&words.len()), "{words:?}");
            assert_eq!(words[0], b"SET");
            assert!(is_value_of(&words[1], &words[2]), "the value stands behind its key");
        }
    }

    #[test]
    fn a_value_is_that_of_its_key_alone_and_whole() {
        let mut draw = Draw::new(1, 7);
        let mut value = draw.value_of(b"v:1");
        value.extend([0; 3]);
        assert!(!is_value_of(b"v:1", &value), "bytes were added");
        while value.len() < 40 {
            value = draw.value_of(b"v:1");
        }
        assert!(is_value_of(b"v:1", &value));
        assert!(!is_value_of(b"v:2", &value) && !is_value_of(b"v:", &value));
        value[35] ^= 1;
        assert!(!is_value_of(b"v:1", &value), "a byte was changed");
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let words = |seed| {
            let (mut draw, mut words) = (Draw::new(seed, 3), Vec::new());
            draw.expand("{$m $blob $int $glob}", &mut words);
            words
        };
        assert_eq!(words(5), words(5));
        assert_ne!(words(5), words(6));
    }
}
