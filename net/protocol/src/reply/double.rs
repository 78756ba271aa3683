//! Double: a floating-point number as Redis prints it.
//!
//! The fewest digits that read back as the same number. Integers up to 2^62 print plainly; other numbers take an
//! exponent when the plain form would need more than a few zeros.
//!
//! Absent on purpose: a precision to choose.

use std::fmt::Write;

/// Most digits that tell one number from all others.
const DIGITS_MAX: usize = 17;

/// Most zeros that stand in for an exponent.
const ZEROS: &[u8] = b"0000000";

/// Bytes of the longest text: sign, digits, zeros. With a point there are fewer zeros, and an exponent is shorter.
const TEXT_BYTES_MAX: usize = 1 + DIGITS_MAX + ZEROS.len();

/// Integers from here on are printed like any other number.
const PLAIN_INTEGER_MAX: f64 = (1u64 << 62) as f64;

/// A printed number.
pub struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    /// Prints `value`; infinities and not-a-number are `inf`, `-inf`, `nan`.
    pub fn new(value: f64) -> Self {
        let mut text = Text::empty();
        if value.is_nan() {
            text.put(b"nan");
        } else if value.is_infinite() {
            text.put(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.put(if value.is_sign_negative() { b"-0" } else { b"0" });
        } else if value.abs() <= PLAIN_INTEGER_MAX && value.trunc() == value {
            text.put(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            text.put_shortest(value);
        }
        text
    }

    /// The text, ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn empty() -> Self {
        Text { bytes: [0; TEXT_BYTES_MAX], len: 0 }
    }

    fn put(&mut self, piece: &[u8]) {
        // In bounds by the arithmetic at `TEXT_BYTES_MAX`; `every_number_reads_back` tries the extremes.
        self.bytes[self.len..self.len + piece.len()].copy_from_slice(piece);
        self.len += piece.len();
    }

    /// Prints a number that is neither zero nor infinite nor not-a-number.
    fn put_shortest(&mut self, value: f64) {
        if value < 0.0 {
            self.put(b"-");
        }
        let Decimal { digits, count, exponent } = Decimal::of(value.abs());
        let (digits, magnitude) = (&digits[..count], exponent.unsigned_abs() as usize);
        // The number is also all digits, as one integer, times ten to the power of `shift`.
        let shift = exponent + 1 - count as i32;
        if shift >= 0 && magnitude < count + ZEROS.len() {
            self.put(digits);
            self.put(&ZEROS[..shift as usize]);
        } else if shift <= -7 && magnitude >= 4 || shift >= 0 {
            self.put_scientific(digits, exponent);
        } else if exponent >= 0 {
            let (whole, fraction) = digits.split_at(magnitude + 1);
            self.put(whole);
            self.put(b".");
            self.put(fraction);
        } else {
            self.put(b"0.");
            self.put(&ZEROS[..magnitude - 1]);
            self.put(digits);
        }
    }

    fn put_scientific(&mut self, digits: &[u8], exponent: i32) {
        let (first, fraction) = digits.split_at(1);
        self.put(first);
        if !fraction.is_empty() {
            self.put(b".");
            self.put(fraction);
        }
        self.put(if exponent < 0 { b"e-" } else { b"e+" });
        self.put(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

impl Write for Text {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.put(piece.as_bytes());
        Ok(())
    }
}

/// A positive number in its shortest decimal form: `digits[0]`, point, `digits[1..count]`, times ten to `exponent`.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    count: usize,
    exponent: i32,
}

impl Decimal {
    /// The standard library knows the digits and prints them as `d.ddde-N`.
    fn of(value: f64) -> Self {
        let mut text = Text::empty();
        write!(text, "{value:e}").expect("`Text` takes everything");
        let mut decimal = Decimal { digits: [0; DIGITS_MAX], count: 0, exponent: 0 };
        let mut bytes = text.as_bytes().iter().copied();
        for digit in bytes.by_ref().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit) {
            decimal.digits[decimal.count] = digit;
            decimal.count += 1;
        }
        let mut negative = false;
        for byte in bytes {
            match byte {
                b'-' => negative = true,
                digit => decimal.exponent = decimal.exponent * 10 + i32::from(digit - b'0'),
            }
        }
        if negative {
            decimal.exponent = -decimal.exponent;
        }
        decimal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: f64, expected: &str) {
        assert_eq!(Text::new(value).as_bytes(), expected.as_bytes(), "{value:e}");
        if value > 0.0 {
            assert_eq!(Text::new(-value).as_bytes(), format!("-{expected}").as_bytes(), "-{value:e}");
        }
    }

    #[test]
    fn numbers_print_as_clients_of_redis_expect() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (1.0, "1"),
            (3.0, "3"),
            (100_000_000.0, "100000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (12_345_678_901_234_567_000.0, "12345678901234567000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.1, "0.1"),
            (0.2 + 0.1, "0.30000000000000004"),
            (3.25, "3.25"),
            (17.2, "17.2"),
            (1_234.567_8, "1234.5678"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (0.000_012_3, "1.23e-5"),
            (0.001_234_567_89, "0.00123456789"),
            (0.000_123_456_789, "1.23456789e-4"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            check(value, expected);
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_back(
            bits in any::<u64>(),
            exponent in -30i32..30,
            digits in 1u64..100_000_000_000_000_000,
        ) {
            for value in [f64::from_bits(bits), digits as f64 * 10f64.powi(exponent)] {
                let text = String::from_utf8(Text::new(value).as_bytes().to_vec()).unwrap();
                let read: f64 = text.parse().unwrap();
                prop_assert!(read == value || read.is_nan() && value.is_nan(), "{} reads back from {}", value, text);
            }
        }
    }
}
