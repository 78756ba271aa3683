//! Numbers as memcached reads them, and times that they mean.

/// A deadline that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// The item stays.
    Never,
    /// It is gone at once.
    Past,
    /// Unix milliseconds.
    AtMs(u64),
}

/// Seconds up to which a time is counted from now: 30 days. A longer one is Unix time.
const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

impl Deadline {
    /// The deadline that `exptime`, in seconds, means at `now_ms`.
    #[inline]
    pub fn of(exptime: i64, now_ms: u64) -> Deadline {
        match exptime {
            0 => Deadline::Never,
            ..0 => Deadline::Past,
            1..=RELATIVE_SECONDS_MAX => Deadline::AtMs(now_ms + exptime.unsigned_abs() * 1000),
            _ => match exptime.unsigned_abs().saturating_mul(1000) {
                at_ms if at_ms <= now_ms => Deadline::Past,
                at_ms => Deadline::AtMs(at_ms),
            },
        }
    }
}

/// Decimal digits only, within `u64`.
#[inline]
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Seconds, with a sign or without.
#[inline]
pub(super) fn exptime(text: &[u8]) -> Option<i64> {
    match text {
        b"0" => Some(0),
        [b'-', digits @ ..] => i64::try_from(unsigned(digits)?).ok().map(i64::wrapping_neg),
        [b'+', digits @ ..] => i64::try_from(unsigned(digits)?).ok(),
        digits => i64::try_from(unsigned(digits)?).ok(),
    }
}

/// Client flags: 32 bits.
#[inline]
pub(super) fn flags(text: &[u8]) -> Option<u32> {
    match text {
        b"0" => Some(0),
        text => u32::try_from(unsigned(text.strip_prefix(b"+").unwrap_or(text))?).ok(),
    }
}

/// The number that a stored value spells: blanks may stand around it, and behind a blank anything.
#[inline]
pub(super) fn stored(value: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let value = &value[value.iter().take_while(|byte| is_blank(byte)).count()..];
    let value = value.strip_prefix(b"+").unwrap_or(value);
    let end = value.iter().position(is_blank).unwrap_or(value.len());
    unsigned(&value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn times_are_counted_from_now_or_from_1970() {
        for (exptime, expected) in [
            (0, Deadline::Never),
            (-1, Deadline::Past),
            (i64::MIN, Deadline::Past),
            (1, Deadline::AtMs(NOW_MS + 1000)),
            (2_592_000, Deadline::AtMs(NOW_MS + 2_592_000_000)),
            (2_592_001, Deadline::Past),
            (1_700_000_000, Deadline::Past),
            (1_700_000_001, Deadline::AtMs(NOW_MS + 1000)),
            (i64::MAX, Deadline::AtMs(u64::MAX)),
        ] {
            assert_eq!(Deadline::of(exptime, NOW_MS), expected, "{exptime}");
        }
    }

    #[test]
    fn only_digits_are_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(flags(b"4294967295"), Some(u32::MAX));
        assert_eq!(flags(b"+1"), Some(1));
        assert_eq!(flags(b"4294967296"), None);
        assert_eq!(flags(b"-1"), None);
        assert_eq!(exptime(b"-5"), Some(-5));
        assert_eq!(exptime(b"abc"), None);
        assert_eq!(exptime(b"-"), None);
    }

    #[test]
    fn a_stored_number_may_have_blanks_around_it() {
        for (text, expected) in [
            ("10", Some(10)),
            (" 10", Some(10)),
            ("10  ", Some(10)),
            ("12 x", Some(12)),
            ("+5", Some(5)),
            ("-5", None),
            ("12x", None),
            ("", None),
            (" ", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(stored(text.as_bytes()), expected, "{text:?}");
        }
    }
}
