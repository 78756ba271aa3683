//! Extended: numbers of 64 binary digits with an exponent of 15 bits, as INCRBYFLOAT computes with them.
//!
//! Redis adds in the C type `long double`, which on x86 is the 80-bit format of the x87, and prints 17 digits after the
//! point. The same reading, sum and text come out here, in integers, on every machine.
//!
//! Invariants
//! - Reading, adding and printing each round once, to the nearest, ties to even.
//! - Text longer than `TEXT_BYTES_MAX` is no number, so every loop is bounded.
//!
//! Absent on purpose: infinities as operands of a sum, NaN, and numbers too small to be normal: what they could change
//! lies thousands of digits after those that are printed.

/// A finite number: `mantissa * 2^exponent`, where the mantissa has its top bit set unless the number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    is_negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Finite(Extended),
    Infinite,
}

/// Longest text that is read, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Power of two of the greatest number's top bit.
const TOP_BIT_MAX: i32 = 16_383;

/// Half of the smallest number is this power of two; what is not above it rounds to 0.
const NOTHING_BIT: i32 = -16_446;

/// Decimal digits that are printed after the point.
const FRACTION_DIGITS: u32 = 17;

impl Extended {
    const ZERO: Extended = Extended { is_negative: false, mantissa: 0, exponent: 0 };

    /// Reads what C's `strtold` reads, if that is the whole text: decimal or hexadecimal digits, exponent, `inf`.
    /// `None` also for what is too large, or too small to differ from 0.
    pub fn parse(text: &[u8]) -> Option<Parsed> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Parsed::Infinite);
        }
        let magnitude = match text {
            [b'0', b'x' | b'X', rest @ ..] => parse_hexadecimal(rest)?,
            _ => parse_decimal(text)?,
        };
        Some(Parsed::Finite(Extended { is_negative, ..magnitude }))
    }

    /// The sum; `None` if it is too large.
    pub fn sum(self, other: Extended) -> Option<Extended> {
        let (large, small) = if self.order() >= other.order() { (self, other) } else { (other, self) };
        if small.mantissa == 0 {
            return Some(large);
        }
        // Two bits are left for a carry; what is shifted out counts as one bit.
        const SPARE: u32 = 62;
        let distance = (large.exponent - small.exponent).unsigned_abs();
        let (a, whole) = (u128::from(large.mantissa) << SPARE, u128::from(small.mantissa) << SPARE);
        let b = whole.checked_shr(distance).unwrap_or(0);
        let is_inexact = b.checked_shl(distance).unwrap_or(0) != whole;
        let b = b | u128::from(is_inexact);
        let sum = if large.is_negative == small.is_negative { a + b } else { a.abs_diff(b) };
        let is_negative = large.is_negative && sum != 0;
        Some(Extended { is_negative, ..rounded(sum, large.exponent - SPARE as i32, false)? })
    }

    /// Decimal text with up to 17 digits after the point, without trailing zeroes, exponent or the sign of zero.
    pub fn text(self) -> String {
        let digits = if self.exponent >= 0 {
            let mut whole = Natural::from(u128::from(self.mantissa));
            whole.shift_left(self.exponent.unsigned_abs());
            whole.decimal()
        } else {
            // In units of the last digit: below 2^64 * 10^17, which is below 2^121.
            let units = u128::from(self.mantissa) * 10u128.pow(FRACTION_DIGITS);
            let units = shifted_right(units, self.exponent.unsigned_abs());
            let (whole, fraction) = (units / 10u128.pow(FRACTION_DIGITS), units % 10u128.pow(FRACTION_DIGITS));
            let text = format!("{whole}.{fraction:0width$}", width = FRACTION_DIGITS as usize);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        if self.is_negative && digits != "0" { format!("-{digits}") } else { digits }
    }

    /// Greater for the greater magnitude.
    fn order(self) -> (bool, i32, u64) {
        (self.mantissa != 0, self.exponent, self.mantissa)
    }
}

/// `mantissa * 2^exponent`, and a little more if `has_more`; then the mantissa has more than 64 bits. `None` if that is
/// too large.
fn rounded(mantissa: u128, exponent: i32, has_more: bool) -> Option<Extended> {
    if mantissa == 0 {
        return Some(Extended::ZERO);
    }
    let excess = i32::try_from(u128::BITS - mantissa.leading_zeros()).expect("at most 128") - u64::BITS as i32;
    let (mut kept, mut exponent) = if excess <= 0 {
        (mantissa << -excess, exponent + excess)
    } else {
        let (rest, half) = (mantissa & ((1 << excess) - 1), 1 << (excess - 1));
        let kept = mantissa >> excess;
        let is_up = rest > half || rest == half && (has_more || kept & 1 == 1);
        (kept + u128::from(is_up), exponent + excess)
    };
    if kept > u128::from(u64::MAX) {
        kept >>= 1;
        exponent += 1;
    }
    let fits = exponent + 63 <= TOP_BIT_MAX;
    fits.then_some(Extended { is_negative: false, mantissa: kept as u64, exponent })
}

/// `number >> bits`, rounded.
fn shifted_right(number: u128, bits: u32) -> u128 {
    let Some(kept) = number.checked_shr(bits) else { return 0 };
    let rest = number - (kept << bits);
    let half = 1u128 << (bits - 1);
    kept + u128::from(rest > half || rest == half && kept & 1 == 1)
}

/// `None` for what rounds to 0 and is not.
fn unless_nothing(number: Extended) -> Option<Extended> {
    let top_bit = number.exponent + 63;
    let is_nothing = top_bit < NOTHING_BIT || top_bit == NOTHING_BIT && number.mantissa == 1 << 63;
    if number.mantissa != 0 && is_nothing { None } else { Some(number) }
}

/// Digits, perhaps with a point among them, then an exponent after `mark`: the digits without leading zeroes, how many
/// stand after the point, and the exponent.
fn split(text: &[u8], radix: u32, mark: u8) -> Option<(Vec<u8>, i64, i64)> {
    let end = text.iter().position(|b| b.eq_ignore_ascii_case(&mark)).unwrap_or(text.len());
    let (number, exponent) = text.split_at(end);
    let exponent = match exponent {
        [] => 0,
        [_, b'-', digits @ ..] => -parse_exponent(digits)?,
        [_, b'+', digits @ ..] | [_, digits @ ..] => parse_exponent(digits)?,
    };
    let (mut digits, mut count, mut after_point) = (Vec::with_capacity(number.len()), 0, None);
    for &b in number {
        match (b, char::from(b).to_digit(radix)) {
            (_, Some(digit)) => {
                count += 1;
                after_point = after_point.map(|digits: i64| digits + 1);
                if digit > 0 || !digits.is_empty() {
                    digits.push(digit as u8);
                }
            }
            (b'.', None) if after_point.is_none() => after_point = Some(0),
            (_, None) => return None,
        }
    }
    (count > 0).then_some((digits, after_point.unwrap_or(0), exponent))
}

/// An exponent's digits; what is beyond all numbers is a large one.
fn parse_exponent(digits: &[u8]) -> Option<i64> {
    const ENOUGH: i64 = 1_000_000;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, &b| (number * 10 + i64::from(b - b'0')).min(ENOUGH)))
}

fn parse_hexadecimal(text: &[u8]) -> Option<Extended> {
    /// Digits that are kept; the rest only tells whether there is more.
    const KEPT: usize = 31;
    let (digits, after_point, exponent) = split(text, 16, b'p')?;
    let (kept, rest) = digits.split_at(digits.len().min(KEPT));
    let mantissa = kept.iter().fold(0, |number, &digit| number << 4 | u128::from(digit));
    let has_more = rest.iter().any(|&digit| digit > 0);
    let exponent = exponent + 4 * (rest.len() as i64 - after_point);
    unless_nothing(rounded(mantissa, i32::try_from(exponent).ok()?, has_more)?)
}

fn parse_decimal(text: &[u8]) -> Option<Extended> {
    /// Decimal places of the top digit beyond which a number is too large, and too small.
    const PLACES: std::ops::RangeInclusive<i64> = -4_960..=4_940;
    let (digits, after_point, exponent) = split(text, 10, b'e')?;
    let exponent = exponent - after_point;
    if digits.is_empty() {
        return Some(Extended::ZERO);
    }
    if !PLACES.contains(&(exponent + digits.len() as i64)) {
        return None;
    }
    let mut number = Natural::default();
    digits.iter().for_each(|digit| number.multiply_add(10, u32::from(*digit)));
    if exponent >= 0 {
        number.multiply_power_of_ten(exponent as u32);
        let (top, dropped, has_more) = number.top();
        return rounded(top, dropped as i32, has_more);
    }
    let mut divisor = Natural::from(1);
    divisor.multiply_power_of_ten(exponent.unsigned_abs() as u32);
    let (quotient, scale, has_more) = number.divided_by(divisor);
    unless_nothing(rounded(quotient, scale, has_more)?)
}

/// A natural number of any size: 32 bits each, the least first, none of them needlessly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl From<u128> for Natural {
    fn from(number: u128) -> Natural {
        let mut natural = Natural((0..4).map(|i| (number >> (32 * i)) as u32).collect());
        natural.trim();
        natural
    }
}

impl Natural {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> u32 {
        self.0.last().map_or(0, |top| self.0.len() as u32 * 32 - top.leading_zeros())
    }

    fn multiply_add(&mut self, factor: u32, mut carry: u32) {
        for word in &mut self.0 {
            let product = u64::from(*word) * u64::from(factor) + u64::from(carry);
            (*word, carry) = (product as u32, (product >> 32) as u32);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    fn multiply_power_of_ten(&mut self, power: u32) {
        const DIGITS_AT_ONCE: u32 = 9;
        for _ in 0..power / DIGITS_AT_ONCE {
            self.multiply_add(10u32.pow(DIGITS_AT_ONCE), 0);
        }
        self.multiply_add(10u32.pow(power % DIGITS_AT_ONCE), 0);
    }

    fn shift_left(&mut self, bits: u32) {
        let (words, bits) = ((bits / 32) as usize, bits % 32);
        if !self.0.is_empty() {
            self.multiply_add(1 << bits, 0);
            self.0.splice(0..0, std::iter::repeat_n(0, words));
        }
    }

    fn is_at_least(&self, other: &Natural) -> bool {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_ge()
    }

    /// Takes `other` away, which is not greater.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (i, word) in self.0.iter_mut().enumerate() {
            let (less, under) = word.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (less, under_again) = less.overflowing_sub(u32::from(borrow));
            (*word, borrow) = (less, under || under_again);
        }
        debug_assert!(!borrow, "the greater number is the first");
        self.trim();
    }

    /// The 128 top bits, how many are below them, and whether those are not all 0.
    fn top(&self) -> (u128, u32, bool) {
        let dropped = self.bits().saturating_sub(128);
        let (words, bits) = ((dropped / 32) as usize, dropped % 32);
        let mut top = 0u128;
        for (i, word) in self.0[words..].iter().enumerate() {
            let word = u128::from(*word);
            top |= if i == 0 { word >> bits } else { word << (32 * i as u32 - bits) };
        }
        let in_words = self.0[..words].iter().any(|word| *word > 0);
        let has_more = in_words || self.0[words] & ((1 << bits) - 1) > 0;
        (top, dropped, has_more)
    }

    /// `self / divisor` as a quotient of at least 66 bits, the power of two that it is to be scaled with, and whether
    /// there is a rest.
    fn divided_by(mut self, mut divisor: Natural) -> (u128, i32, bool) {
        const STEPS: u32 = 68;
        let (own, others) = (self.bits(), divisor.bits());
        self.shift_left(others.saturating_sub(own));
        divisor.shift_left(own.saturating_sub(others));
        let mut quotient = 0;
        for _ in 0..STEPS {
            quotient <<= 1;
            if self.is_at_least(&divisor) {
                self.subtract(&divisor);
                quotient |= 1;
            }
            self.shift_left(1);
        }
        (quotient, own as i32 - others as i32 - (STEPS as i32 - 1), !self.0.is_empty())
    }

    fn decimal(mut self) -> String {
        const DIGITS_AT_ONCE: u32 = 9;
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0;
            for word in self.0.iter_mut().rev() {
                let dividend = rest << 32 | u64::from(*word);
                let divisor = u64::from(10u32.pow(DIGITS_AT_ONCE));
                (*word, rest) = ((dividend / divisor) as u32, dividend % divisor);
            }
            self.trim();
            groups.push(rest);
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Extended {
        match Extended::parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => number,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_read_and_printed() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("00010.500", "10.5"),
            ("3.0e3", "3000"),
            ("5.0E-2", "0.05"),
            ("-1e-17", "-0.00000000000000001"),
            ("1e-18", "0"),
            ("-4e-18", "0"),
            ("0.1", "0.1"),
            ("1.1", "1.1"),
            ("123456789.123456789", "123456789.12345678899873747"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551617", "18446744073709551616"),
            ("18446744073709551619", "18446744073709551620"),
            ("0x1.8p1", "3"),
            ("0XAp-1", "5"),
            ("0x.1", "0.0625"),
            ("1e30", "1000000000000000000024696061952"),
            ("0e999999999999999999999", "0"),
        ] {
            assert_eq!(number(text).text(), expected, "{text}");
        }
        assert_eq!(number("1e4931").text().len(), 4932);
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for text in [
            "",
            "+",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1ee5",
            "1.2.3",
            " 1",
            "1 ",
            "1\0",
            "1x",
            "0x",
            "0x.",
            "0x1p",
            "nan",
            "+nan",
            "in",
            "infinit",
            "--1",
            "+-1",
            "1_000",
            "1e5000",
            "1e-5000",
            "1e4933",
            "1e-4952",
            "0x1p16384",
            "0x1p-16446",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Extended::parse(&[b'1'; TEXT_BYTES_MAX + 1]), None);
        for text in ["inf", "-INF", "+Infinity"] {
            assert_eq!(Extended::parse(text.as_bytes()), Some(Parsed::Infinite), "{text}");
        }
        for text in ["0x1p16383", "0x1.8p-16446", "1e-4950", "1e4932"] {
            number(text);
        }
    }

    #[test]
    fn sums_round_once() {
        for (a, b, expected) in [
            ("1", "0.25", "1.25"),
            ("0.1", "0.2", "0.3"),
            ("1", "-1.1", "-0.1"),
            ("10.5", "0.1", "10.6"),
            ("3", "1.1", "4.1"),
            ("17179869184", "1.5", "17179869185.5"),
            ("0.02439024390243902", "-0.02439024390243902", "0"),
            ("1e20", "1", "100000000000000000000"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551615", "2", "18446744073709551616"),
            ("1e4900", "-1e4900", "0"),
        ] {
            let found = number(a).sum(number(b)).map(Extended::text);
            assert_eq!(found.as_deref(), Some(expected), "{a} + {b}");
            assert_eq!(found, number(b).sum(number(a)).map(Extended::text), "{b} + {a}");
        }
        assert_eq!(number("1e4932").sum(number("1e4932")), None);
    }

    proptest! {
        #[test]
        fn integers_add_exactly(a in -(1i64 << 62)..1 << 62, b in -(1i64 << 62)..1 << 62) {
            let sum = number(&a.to_string()).sum(number(&b.to_string())).expect("it is small");
            prop_assert_eq!(sum.text(), (a + b).to_string());
        }

        #[test]
        fn doubles_are_read_exactly(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_normal());
            // A double's exact decimal form has all its digits, so nothing is left to round.
            let read = number(&format!("{double:.1100}"));
            let mantissa = (bits & ((1 << 52) - 1) | 1 << 52) << 11;
            prop_assert_eq!((read.mantissa, read.is_negative), (mantissa, double < 0.0));
            prop_assert_eq!(read.exponent, (bits >> 52 & 0x7ff) as i32 - 1023 - 63);
        }

        #[test]
        fn what_is_printed_is_read_again(whole in 0u32..1000, fraction in 0u64..100_000_000_000_000_000) {
            // Three digits before the point and 17 after are more than 64 bits hold for certain; 16 are not.
            let text = format!("{whole}.{:016}", fraction / 10);
            let trimmed = text.trim_end_matches('0').trim_end_matches('.').to_owned();
            let printed = number(&text).text();
            prop_assert_eq!(number(&printed), number(&text));
            let cut = |text: &str| text.parse::<f64>().expect("a number");
            prop_assert!((cut(&printed) - cut(&trimmed)).abs() < 1e-12);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9a-fxp.e+-]{0,12}") {
            if let Some(Parsed::Finite(found)) = Extended::parse(text.as_bytes()) {
                // What std reads too is the same number, up to its own rounding.
                if let Ok(double) = text.parse::<f64>() && double.is_finite() {
                    let again = found.text().parse::<f64>().expect("it printed a number");
                    prop_assert!((again - double).abs() <= double.abs() * 1e-15 + 1e-17, "{} {}", again, double);
                }
            }
        }
    }
}
