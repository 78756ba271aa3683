//! What is stored: bytes that follow from the key, so that a reply shows by itself whether it is the right one.
//!
//! A value is the key's mix (8 bytes), its own length (4 bytes) and a slice of a fixed random pool that starts at an
//! offset given by the mix; a shorter value is a prefix of that. So a value of another key, a truncated one and one
//! with foreign bytes in it are all recognised, even when every write draws a new size.

use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

/// Offsets into the pool; small enough to stay in the L2 cache of the load's core.
const OFFSET_COUNT: usize = 64 * 1024;
const POOL_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const HEADER_BYTES: usize = 12;
/// Largest value: what a Redis bulk string may hold.
pub const VALUE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The sizes of values, in bytes: one size, or each write draws one from a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Smallest.
    pub min: usize,
    /// Largest.
    pub max: usize,
    /// Draw the logarithm uniformly instead of the size.
    pub is_log: bool,
}

impl Sizes {
    /// Always `bytes`.
    pub fn fixed(bytes: usize) -> Sizes {
        Sizes { min: bytes, max: bytes, is_log: false }
    }

    /// The size of the next write.
    pub fn draw(self, rng: &mut Xoshiro256PlusPlus) -> usize {
        if self.min == self.max {
            self.min
        } else if self.is_log {
            let (low, high) = ((self.min.max(1) as f64).ln(), (self.max as f64 + 1.0).ln());
            (rng.random_range(low..high).exp() as usize).clamp(self.min, self.max)
        } else {
            rng.random_range(self.min..=self.max)
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let (range, is_log) = match text.strip_suffix(":log") {
            Some(range) => (range, true),
            None => (text, false),
        };
        let (min, max) = range.split_once('-').unwrap_or((range, range));
        let sizes = Sizes { min: parse_bytes(min)?, max: parse_bytes(max)?, is_log };
        if sizes.min > sizes.max || sizes.max > VALUE_BYTES_MAX {
            return Err(format!("expected MIN-MAX with MIN <= MAX <= {VALUE_BYTES_MAX}"));
        }
        Ok(sizes)
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min == self.max, self.is_log) {
            (true, _) => write!(f, "{} B", self.min),
            (false, false) => write!(f, "{}-{} B", self.min, self.max),
            (false, true) => write!(f, "{}-{} B (log)", self.min, self.max),
        }
    }
}

/// Reads a number of bytes with an optional k, m or g behind it.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("`{text}` is not a number of bytes (64, 4k, 1m)"))
}

/// Writes and checks values.
pub struct Values {
    pool: Box<[u8]>,
    sizes: Sizes,
}

impl Values {
    /// Values of the given sizes; the same in every process.
    pub fn new(sizes: Sizes) -> Values {
        let mut pool = vec![0; OFFSET_COUNT + sizes.max].into_boxed_slice();
        Xoshiro256PlusPlus::seed_from_u64(POOL_SEED).fill_bytes(&mut pool);
        Values { pool, sizes }
    }

    /// Appends the value of `key` in `bytes` bytes.
    pub fn write(&self, key: u64, bytes: usize, out: &mut Vec<u8>) {
        let header = header(key, bytes);
        let prefix = bytes.min(HEADER_BYTES);
        out.extend_from_slice(&header[..prefix]);
        out.extend_from_slice(self.body(key, bytes - prefix));
    }

    /// Whether `value` is one that [`Values::write`] makes for `key`.
    pub fn is_right(&self, key: u64, value: &[u8]) -> bool {
        let prefix = value.len().min(HEADER_BYTES);
        (self.sizes.min..=self.sizes.max).contains(&value.len())
            && value[..prefix] == header(key, value.len())[..prefix]
            && value[prefix..] == *self.body(key, value.len() - prefix)
    }

    fn body(&self, key: u64, bytes: usize) -> &[u8] {
        let start = (mix(key) >> 32) as usize % OFFSET_COUNT;
        &self.pool[start..start + bytes]
    }
}

fn header(key: u64, bytes: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&mix(key).to_le_bytes());
    header[8..].copy_from_slice(&(bytes as u32).to_le_bytes());
    header
}

/// The finaliser of splitmix64: every key number gives another, well-spread number.
fn mix(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(values: &Values, key: u64, bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        values.write(key, bytes, &mut out);
        assert_eq!(out.len(), bytes);
        out
    }

    #[test]
    fn every_written_size_is_recognised() {
        let values = Values::new(Sizes { min: 0, max: 5000, is_log: false });
        for bytes in [0, 1, 7, 8, 11, 12, 13, 64, 5000] {
            assert!(values.is_right(42, &value(&values, 42, bytes)), "{bytes}");
        }
    }

    #[test]
    fn wrong_values_are_recognised() {
        let values = Values::new(Sizes { min: 0, max: 100, is_log: false });
        let right = value(&values, 1, 64);
        assert!(!values.is_right(2, &right), "another key's value");
        assert!(!values.is_right(1, &right[..63]), "truncated");
        let mut flipped = right.clone();
        flipped[63] ^= 1;
        assert!(!values.is_right(1, &flipped), "last byte changed");
        assert!(!Values::new(Sizes::fixed(32)).is_right(1, &right), "size out of range");
    }

    #[test]
    fn sizes_stay_in_their_range() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for text in ["64", "16-1000", "16-1m:log", "0-3:log"] {
            let sizes: Sizes = text.parse().unwrap();
            for _ in 0..10_000 {
                let bytes = sizes.draw(&mut rng);
                assert!((sizes.min..=sizes.max).contains(&bytes), "{text}: {bytes}");
            }
        }
    }

    #[test]
    fn log_sizes_halve_at_the_geometric_mean() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let sizes: Sizes = "16-1m:log".parse().unwrap();
        let below = (0..10_000).filter(|_| sizes.draw(&mut rng) < 4096).count();
        assert!((4700..5300).contains(&below), "{below}");
    }

    #[test]
    fn sizes_are_read_with_units() {
        assert_eq!("64".parse(), Ok(Sizes::fixed(64)));
        assert_eq!("16-1m".parse(), Ok(Sizes { min: 16, max: 1 << 20, is_log: false }));
        for text in ["", "x", "9-1", "1g", "-", "4kb", "99999999999999999999g"] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }
}
