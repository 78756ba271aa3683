//! Weather: what the ring and the network do to this seed's server, and how often.
//!
//! Each seed has a climate of its own: every fault is off in about half of the seeds and has its own rate in the
//! others, so that rare combinations (no buffers, yet calm sockets) come up too, instead of every seed being the same
//! mixture.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Socket buffers of clients once the storm is over: no reply is larger.
pub const CALM_WINDOW_BYTES: usize = 64 << 20;

/// Probabilities are per occasion, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Provided buffers of the ring.
    pub buffer_count: u16,
    /// Size of one provided buffer.
    pub buffer_bytes: usize,
    /// An operation in flight gets somewhere in one step.
    pub progress: f64,
    /// A received piece is as large as it can be; else it is cut anywhere.
    pub whole_piece: f64,
    /// A multishot receive goes on to another piece in the same step.
    pub another_piece: f64,
    /// A multishot receive ends after a piece, without an error.
    pub receive_ends: f64,
    /// A receive ends with EINTR or EAGAIN before anything came.
    pub receive_interrupted: f64,
    /// A receive finds no buffer although there are some.
    pub shortage: f64,
    /// A send takes less than there is room for, in this step.
    pub partial_send: f64,
    /// A send ends short.
    pub short_send: f64,
    /// A multishot accept ends after a connection, without an error.
    pub accept_ends: f64,
    /// An accept fails with EMFILE.
    pub accept_fails: f64,
    /// A completion for a connection that is long gone.
    pub stale: f64,
    /// A pushed operation starts at once instead of at the next enter: the submission queue was full.
    pub early_start: f64,
    /// Fewer completions than asked for are reaped.
    pub partial_reap: f64,
    /// Cancelling has its effect in one step; until then the operation goes on.
    pub cancel_works: f64,
    /// A reset lets the server read what had arrived before it.
    pub reset_keeps_bytes: f64,
    /// What was sent is lost to a client when the server closes with unread bytes in its hands, as TCP does it.
    pub close_loses_bytes: f64,
    /// Bytes of requests that the server's socket buffers.
    pub server_window: usize,
    /// Bytes of replies that a client's socket buffers, smallest and largest.
    pub client_window: (usize, usize),
    /// Microseconds between two ticks when the server is busy, at most.
    pub tick_us: u64,
    /// A long pause between two ticks.
    pub pause: f64,
    /// Its length in microseconds, at most.
    pub pause_us: u64,
    /// The wall clock is set forward or back.
    pub clock_steps: f64,
}

impl Weather {
    /// The weather of a seed.
    pub fn of(seed: u64) -> Weather {
        let rng = &mut StdRng::seed_from_u64(seed);
        Weather {
            buffer_count: pick(rng, &[1, 2, 3, 4, 8, 16, 64]),
            buffer_bytes: pick(rng, &[7, 64, 512, 4096, 16 * 1024]),
            progress: pick(rng, &[0.2, 0.5, 0.8, 1.0]),
            whole_piece: pick(rng, &[0.0, 0.5, 0.9, 1.0]),
            another_piece: pick(rng, &[0.0, 0.3, 0.7, 0.97]),
            receive_ends: fault(rng, 0.1),
            receive_interrupted: fault(rng, 0.05),
            shortage: fault(rng, 0.1),
            partial_send: fault(rng, 0.5),
            short_send: fault(rng, 0.3),
            accept_ends: fault(rng, 0.3),
            accept_fails: fault(rng, 0.2),
            stale: fault(rng, 0.02),
            early_start: fault(rng, 0.5),
            partial_reap: fault(rng, 0.2),
            cancel_works: pick(rng, &[0.1, 0.5, 1.0]),
            reset_keeps_bytes: rng.random_range(0.0..=1.0),
            close_loses_bytes: fault(rng, 0.5),
            server_window: pick(rng, &[256, 4096, 64 * 1024, 512 * 1024]),
            client_window: pick(rng, &[(64, 4096), (4096, 256 * 1024), (256 * 1024, 1024 * 1024)]),
            tick_us: pick(rng, &[20, 200, 1000]),
            pause: fault(rng, 0.05),
            pause_us: pick(rng, &[5_000, 100_000, 3_000_000]),
            clock_steps: fault(rng, 0.01),
        }
    }

    /// Calm: what is possible happens at once. For the end of a seed, when everything must come home.
    pub fn calm(&mut self) {
        self.progress = 1.0;
        self.client_window = (CALM_WINDOW_BYTES, CALM_WINDOW_BYTES);
        self.cancel_works = 1.0;
        for rate in [
            &mut self.receive_ends,
            &mut self.receive_interrupted,
            &mut self.shortage,
            &mut self.partial_send,
            &mut self.short_send,
            &mut self.accept_ends,
            &mut self.accept_fails,
            &mut self.stale,
            &mut self.partial_reap,
            &mut self.close_loses_bytes,
            &mut self.pause,
            &mut self.clock_steps,
        ] {
            *rate = 0.0;
        }
    }
}

/// One of `choices`.
pub fn pick<T: Copy>(rng: &mut StdRng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// Off in half of the cases, else a rate of at most `rate_max`, small ones as likely as large ones.
fn fault(rng: &mut StdRng, rate_max: f64) -> f64 {
    if rng.random_bool(0.5) { 0.0 } else { rate_max * 10f64.powf(-rng.random_range(0.0..2.0)) }
}
