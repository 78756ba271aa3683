//! Which key a request asks for: uniform, or Zipf-distributed with key 0 the most popular.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::Distribution as _;

/// The popularity of keys, as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// Every key alike.
    Uniform,
    /// The n-th key is asked for in proportion to 1 / n^alpha.
    Zipf { alpha: f64 },
}

impl FromStr for Popularity {
    type Err = String;

    fn from_str(text: &str) -> Result<Popularity, String> {
        if text == "uniform" {
            return Ok(Popularity::Uniform);
        }
        let alpha = text.strip_prefix("zipf:").and_then(|alpha| alpha.parse::<f64>().ok());
        match alpha {
            Some(alpha) if alpha.is_finite() && alpha > 0.0 => Ok(Popularity::Zipf { alpha }),
            _ => Err("expected `uniform` or `zipf:ALPHA` with ALPHA above 0, as in zipf:0.99".into()),
        }
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Popularity::Uniform => f.write_str("uniform"),
            Popularity::Zipf { alpha } => write!(f, "zipf:{alpha}"),
        }
    }
}

/// Draws key numbers from `0..count`.
#[derive(Clone)]
pub enum KeyDraw {
    /// See [`Popularity::Uniform`].
    Uniform { count: u64 },
    /// See [`Popularity::Zipf`].
    Zipf { count: u64, ranks: rand_distr::Zipf<f64> },
}

impl KeyDraw {
    /// `count` is at least 1.
    pub fn new(popularity: Popularity, count: u64) -> KeyDraw {
        assert!(count >= 1);
        match popularity {
            Popularity::Uniform => KeyDraw::Uniform { count },
            Popularity::Zipf { alpha } => {
                let ranks = rand_distr::Zipf::new(count as f64, alpha)
                    .expect("count is at least 1 and alpha was checked when it was parsed");
                KeyDraw::Zipf { count, ranks }
            }
        }
    }

    /// The next key number.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u64 {
        match self {
            KeyDraw::Uniform { count } => rng.random_range(0..*count),
            // Ranks are 1..=count; the minimum guards against rounding at the far end.
            KeyDraw::Zipf { count, ranks } => (ranks.sample(rng) as u64 - 1).min(count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const DRAWS: u64 = 400_000;

    fn counts(popularity: Popularity, keys: u64) -> Vec<u64> {
        let draw = KeyDraw::new(popularity, keys);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut counts = vec![0; keys as usize];
        for _ in 0..DRAWS {
            counts[draw.draw(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_keys_are_all_alike() {
        let expected = DRAWS as f64 / 100.0;
        for (key, count) in counts(Popularity::Uniform, 100).into_iter().enumerate() {
            // Six standard deviations of a binomial count.
            assert!((count as f64 - expected).abs() < 6.0 * expected.sqrt(), "key {key}: {count}");
        }
    }

    #[test]
    fn zipf_keys_follow_the_power_law() {
        for alpha in [0.6, 0.99, 1.0, 1.3] {
            let keys = 1000;
            let counts = counts(Popularity::Zipf { alpha }, keys);
            let norm: f64 = (1..=keys).map(|rank| (rank as f64).powf(-alpha)).sum();
            for rank in [1_u64, 2, 3, 10, 100] {
                let expected = DRAWS as f64 * (rank as f64).powf(-alpha) / norm;
                let count = counts[rank as usize - 1] as f64;
                assert!(
                    (count - expected).abs() < 6.0 * expected.sqrt(),
                    "alpha {alpha} rank {rank}: {count} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_single_key_is_always_drawn() {
        assert_eq!(counts(Popularity::Uniform, 1), [DRAWS]);
        assert_eq!(counts(Popularity::Zipf { alpha: 0.99 }, 1), [DRAWS]);
    }

    #[test]
    fn popularity_reads_back_what_it_prints() {
        for text in ["uniform", "zipf:0.99"] {
            assert_eq!(text.parse::<Popularity>().map(|p| p.to_string()), Ok(text.to_string()));
        }
        for text in ["", "zipf", "zipf:", "zipf:-1", "zipf:nan", "gauss"] {
            assert!(text.parse::<Popularity>().is_err(), "{text}");
        }
    }
}
