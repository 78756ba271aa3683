//! Amounts of memory, in Redis's units: `1k` is 1000 bytes and `1kb` is 1024.

use super::Refusal;
use super::kind::{Form, Kind};
use std::ops::RangeInclusive;

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;

/// Units by suffix.
const UNITS: [(&str, u64); 8] =
    [("", 1), ("b", 1), ("k", 1_000), ("kb", KIB), ("m", 1_000_000), ("mb", MIB), ("g", 1_000_000_000), ("gb", GIB)];

/// Bytes within a range.
pub(super) struct Memory {
    /// Least and most, in bytes.
    pub range: RangeInclusive<u64>,
    /// 0 is also valid and means something else than an amount.
    pub zero: bool,
}

impl Kind for Memory {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, Refusal> {
        let bytes = bytes(text).ok_or_else(|| {
            let mend = "write a whole number of bytes, or one with k, kb, m, mb, g or gb, such as 4gb";
            Refusal::new("argument must be a memory value", mend)
        })?;
        let valid = self.range.contains(&bytes) || (self.zero && bytes == 0);
        if !valid {
            let (min, max) = (*self.range.start(), *self.range.end());
            let zero = if self.zero { ", or 0" } else { "" };
            let what = format!("argument must be between {min} and {max} inclusive{zero}");
            return Err(Refusal::new(what, format!("that is from {} to {}", shown(min), shown(max))));
        }
        Ok(bytes)
    }

    fn show(&self, value: &u64) -> String {
        value.to_string()
    }

    fn shape(&self) -> &'static str {
        "BYTES"
    }

    fn form(&self) -> Form {
        Form::Bytes
    }

    fn range(&self) -> String {
        format!("{} to {}", shown(*self.range.start()), shown(*self.range.end()))
    }

    fn example(&self) -> String {
        shown(*self.range.start())
    }
}

/// The bytes that a text such as `4gb` means.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let (_, unit) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix))?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

/// Bytes as a person writes them: the largest unit that divides them.
pub(super) fn shown(bytes: u64) -> String {
    for (suffix, unit) in [("gb", GIB), ("mb", MIB), ("kb", KIB)] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_redis_is_understood() {
        let check = |text, expected| assert_eq!(bytes(text), expected, "{text:?}");
        check("0", Some(0));
        check("7", Some(7));
        check("7b", Some(7));
        check("7k", Some(7_000));
        check("7kb", Some(7 * 1024));
        check("7m", Some(7_000_000));
        check("7mb", Some(7 * 1024 * 1024));
        check("7g", Some(7_000_000_000));
        check("7gb", Some(7 * 1024 * 1024 * 1024));
        check("7GB", Some(7 * 1024 * 1024 * 1024));
        check("18446744073709551615", Some(u64::MAX));
    }

    #[test]
    fn anything_else_is_not_an_amount() {
        for text in [
            "",
            "b",
            "gb",
            "-1",
            "+1",
            "1.5gb",
            " 1",
            "1 ",
            "1 gb",
            "1tb",
            "1gbb",
            "18446744073709551616",
            "99999999999gb",
        ] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_range_is_named_in_bytes_and_in_units() {
        let kind = Memory { range: 32 * MIB..=GIB, zero: true };
        let refusal = kind.parse("31mb").unwrap_err();
        assert_eq!(refusal.what, "argument must be between 33554432 and 1073741824 inclusive, or 0");
        assert_eq!(refusal.mend, "that is from 32mb to 1gb");
        assert_eq!(kind.parse("0"), Ok(0));
        assert_eq!(kind.parse("32mb"), Ok(32 * MIB));
        assert_eq!(kind.parse("1gb"), Ok(GIB));
        assert!(Memory { range: 1..=2, zero: false }.parse("0").is_err());
        assert_eq!(kind.parse("4tb").unwrap_err().what, "argument must be a memory value");
    }

    #[test]
    fn amounts_are_shown_in_their_largest_unit() {
        let check = |bytes, expected| assert_eq!(shown(bytes), expected);
        check(0, "0");
        check(1000, "1000");
        check(1024, "1kb");
        check(32 * MIB, "32mb");
        check(128 * 1024 * GIB, "131072gb");
    }
}
