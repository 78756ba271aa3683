//! Habits: how a client behaves during one connection. Most are patient and quick; every seed has some who are not.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::weather::{Weather, pick};

/// What a client works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Keys that all clients share.
    Shared,
    /// Keys of its own, in a database of its own: walks, KEYS in slices.
    Library,
    /// Keys that all clients share, by memcached's protocol.
    Memcached,
    /// Nothing.
    Idle,
}

/// Probabilities are per step.
#[derive(Clone, Debug)]
pub struct Habits {
    /// What it works on.
    pub work: Work,
    /// It sends something new, if it may.
    pub eager: f64,
    /// Requests that it sends without waiting for replies.
    pub pipeline_max: usize,
    /// Bytes that one write has at most.
    pub write_max: usize,
    /// It reads.
    pub reads: f64,
    /// Bytes that one read takes at most.
    pub read_max: usize,
    /// Values may be large.
    pub large_values: bool,
    /// It resets the connection, whatever is under way.
    pub resets: f64,
    /// It ends its direction, perhaps in the middle of a request.
    pub ends: f64,
    /// Per request: it ends its direction once everything is written, as `printf ... | nc` does.
    pub ends_after: f64,
    /// Per request: QUIT.
    pub quits: f64,
    /// Per request: it breaks the protocol.
    pub breaks: f64,
    /// Per request: an inline command, if it can be one.
    pub inline: f64,
    /// Per connection: from an address that is served only with a password.
    pub comes_from_afar: f64,
}

impl Habits {
    /// Some client's habits.
    pub fn random(rng: &mut StdRng, weather: &Weather) -> Habits {
        // With buffers of a few bytes a large value takes thousands of ticks.
        let carries_large = weather.buffer_bytes >= 512;
        let steady = Habits {
            work: Work::Shared,
            eager: pick(rng, &[0.1, 0.5, 1.0]),
            pipeline_max: pick(rng, &[1, 1, 4, 16, 64]),
            write_max: pick(rng, &[16, 1024, 1 << 20]),
            reads: 1.0,
            read_max: 1 << 20,
            large_values: carries_large && rng.random_bool(0.4),
            resets: 0.0,
            ends: 0.0,
            ends_after: pick(rng, &[0.0, 0.0, 0.001]),
            quits: pick(rng, &[0.0, 0.002]),
            breaks: 0.0,
            inline: pick(rng, &[0.0, 0.3]),
            comes_from_afar: pick(rng, &[0.0, 0.0, 0.1]),
        };
        let mut habits = Habits::of_some_kind(rng, steady);
        if habits.work == Work::Shared && habits.breaks == 0.0 && rng.random_bool(0.2) {
            habits.work = Work::Memcached;
        }
        if rng.random_bool(0.1) {
            habits.resets = 0.003;
        }
        if rng.random_bool(0.1) {
            (habits.reads, habits.read_max) = (0.1, pick(rng, &[50, 5_000]));
        }
        habits
    }

    fn of_some_kind(rng: &mut StdRng, steady: Habits) -> Habits {
        match rng.random_range(0..100) {
            0..40 => steady,
            40..50 => Habits { write_max: 1, large_values: false, ..steady },
            50..62 => Habits {
                reads: pick(rng, &[0.02, 0.3]),
                read_max: pick(rng, &[1, 100, 10_000]),
                pipeline_max: 64,
                ..steady
            },
            62..70 => Habits { breaks: 0.05, ..steady },
            70..78 => Habits { resets: 0.01, ..steady },
            78..82 => Habits { ends: 0.01, ..steady },
            82..85 => Habits { ends_after: 0.1, reads: 0.3, ..steady },
            85..89 => Habits { quits: 0.1, ..steady },
            89..93 => Habits { work: Work::Library, pipeline_max: 8, large_values: false, ..steady },
            93..98 => {
                let ends_after = pick(rng, &[0.0, 0.001]);
                Habits { pipeline_max: 3000, write_max: 1 << 20, large_values: false, ends_after, ..steady }
            }
            _ => Habits { work: Work::Idle, ..steady },
        }
    }

    /// One who does what its script says, quickly.
    pub fn auditor() -> Habits {
        Habits {
            work: Work::Idle,
            eager: 1.0,
            pipeline_max: 1,
            write_max: usize::MAX,
            reads: 1.0,
            read_max: usize::MAX,
            large_values: false,
            resets: 0.0,
            ends: 0.0,
            ends_after: 0.0,
            quits: 0.0,
            breaks: 0.0,
            inline: 0.0,
            comes_from_afar: 0.0,
        }
    }

    /// From now on it only finishes what it has begun.
    pub fn calm(&mut self) {
        (self.eager, self.resets, self.ends, self.ends_after, self.quits, self.breaks) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        (self.reads, self.read_max, self.write_max) = (1.0, usize::MAX, usize::MAX);
    }
}
