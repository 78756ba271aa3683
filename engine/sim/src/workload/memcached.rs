//! What clients of memcached's protocol ask, of the keys that the others use.

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

use super::{NUMBER_KEYS, TEXT_KEYS, Workload};
use crate::command::{Command, Key, Touch};
use crate::habits::Habits;
use crate::memcache::{Ask, ITEM_BYTES_MAX, Numbered};
use crate::weather::pick;

/// Clients that send more requests at once want replies to all of them.
const NOREPLY_PIPELINE_MAX: usize = 16;

/// Longest value that is stored, in bytes.
const VALUE_BYTES_MAX: usize = ITEM_BYTES_MAX - 1000;

impl Workload {
    /// The next request. `numbered`: what the last gets has told.
    pub fn next_memcached(&mut self, rng: &mut StdRng, habits: &Habits, numbered: Option<&Numbered>) -> Command {
        if rng.random_bool(habits.quits) {
            return Command::Memcache(Ask::Quit);
        }
        let key = memcached_key(rng);
        Command::Memcache(match rng.random_range(0..40) {
            0..8 => {
                let mut names: Vec<u32> = (0..TEXT_KEYS).filter(|_| rng.random_bool(0.2)).collect();
                names.truncate(5);
                names.push(TEXT_KEYS - 1);
                names.dedup();
                Ask::Get(names.into_iter().map(text_key).collect())
            }
            8..12 => Ask::Gets(key),
            12..18 => Ask::Set(key, self.memcached_value(rng, habits), pick(rng, &[0, 0, 1, 3, 100])),
            18..20 => Ask::Add(key, self.memcached_value(rng, habits)),
            20..27 => match numbered {
                Some(numbered) => Ask::Cas(numbered.key.clone(), self.memcached_value(rng, habits), numbered.clone()),
                None => Ask::Gets(key),
            },
            27..29 => Ask::Delete(key),
            29..31 => Ask::Touch(key, pick(rng, &[1, 2, 50])),
            31..36 => {
                let key = Key { name: Bytes::from(format!("n{}", rng.random_range(0..NUMBER_KEYS))), ..key };
                let delta = pick(rng, &[1, 7, 1_000_000, u64::MAX]);
                Ask::Change(key, if rng.random_bool(0.6) { Touch::Incr(delta) } else { Touch::Decr(delta) })
            }
            // Each may have happened or not, any time until the next answer: with many of them anything is right.
            36..38 if habits.pipeline_max <= NOREPLY_PIPELINE_MAX => {
                Ask::NoReply(Box::new(match rng.random_bool(0.7) {
                    true => Ask::Set(key, self.memcached_value(rng, habits), 0),
                    false => Ask::Delete(key),
                }))
            }
            38 if habits.large_values => Ask::Oversized(key, ITEM_BYTES_MAX + rng.random_range(0..50_000)),
            _ => Ask::Version,
        })
    }

    fn memcached_value(&mut self, rng: &mut StdRng, habits: &Habits) -> Bytes {
        let value = self.value(rng, habits.large_values);
        value.slice(..value.len().min(VALUE_BYTES_MAX))
    }
}

fn memcached_key(rng: &mut StdRng) -> Key {
    text_key(rng.random_range(0..TEXT_KEYS))
}

fn text_key(number: u32) -> Key {
    Key { db: 0, name: Bytes::from(format!("k{number}")) }
}
