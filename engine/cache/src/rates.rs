//! Rates: how fast counters grow, over about the last second and a half, for INFO's `instantaneous_` fields.
//!
//! Absent on purpose: a clock. Whoever samples says when.

/// Samples that a rate is the mean of, as in Redis: 1.6 s at ten per second.
const SAMPLES: usize = 16;

/// How fast one counter grows.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    last: u64,
    samples: [u64; SAMPLES],
    next: usize,
}

impl Rate {
    /// Per second, over the last samples.
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }

    fn sample(&mut self, counter: u64, elapsed_us: u64) {
        // A counter that was reset begins again.
        let grown = counter.checked_sub(self.last).unwrap_or(counter);
        self.last = counter;
        self.samples[self.next] = grown.saturating_mul(1_000_000) / elapsed_us;
        self.next = (self.next + 1) % SAMPLES;
    }
}

/// The rates that INFO prints.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Commands run.
    pub commands: Rate,
    /// Bytes received.
    pub input_bytes: Rate,
    /// Bytes sent.
    pub output_bytes: Rate,
    sampled_us: u64,
}

impl Rates {
    /// Takes a sample; `mono_us` is the time now.
    pub fn sample(&mut self, mono_us: u64, commands: u64, input_bytes: u64, output_bytes: u64) {
        let elapsed_us = mono_us.saturating_sub(self.sampled_us);
        if elapsed_us == 0 {
            return;
        }
        self.sampled_us = mono_us;
        self.commands.sample(commands, elapsed_us);
        self.input_bytes.sample(input_bytes, elapsed_us);
        self.output_bytes.sample(output_bytes, elapsed_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_the_last_samples() {
        let mut rates = Rates::default();
        for i in 1..=100 {
            rates.sample(i * 100_000, i * 50, i * 1024, 0);
        }
        assert_eq!((rates.commands.per_second(), rates.input_bytes.per_second()), (500, 10_240));
        rates.sample(10_100_000, 10, 0, 0);
        assert_eq!(rates.commands.per_second(), (500 * 15 + 100) / 16, "a reset counter has grown by what it shows");
        rates.sample(10_100_000, 1_000_000, 0, 0);
        assert_eq!(rates.commands.per_second(), (500 * 15 + 100) / 16, "no time has passed");
    }
}
