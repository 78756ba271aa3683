//! Parts of strings: SETRANGE, GETRANGE, SUBSTR.

use l1::Stored;
use protocol::{LARGE_BULK_MIN, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::edit;
use crate::number;
use crate::spec::{ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const SETRANGE: Spec = Spec {
    name: "setrange",
    arity: 4,
    syntax: "key offset value",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::STRING,
    keys: Keys::one(&["RW", "update"]),
    group: "string",
    since: "2.2.0",
    summary: "Overwrites a part of a string, which grows with zeroes if it is too short.",
    complexity: "O(N), N bytes written",
    ..Spec::PLAIN
};

pub(crate) const GETRANGE: Spec = Spec {
    name: "getrange",
    arity: 4,
    syntax: "key start end",
    flags: flag::READONLY,
    categories: category::STRING,
    keys: Keys::one(ACCESS_READ),
    group: "string",
    since: "2.4.0",
    summary: "Answers a part of a string.",
    complexity: "O(N), N bytes answered",
    ..Spec::PLAIN
};

pub(crate) const SUBSTR: Spec =
    Spec { name: "substr", since: "1.0.0", summary: "GETRANGE by its old name.", ..GETRANGE };

pub(crate) fn setrange(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let offset = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let at = usize::try_from(offset).map_err(|_| Refusal::text("ERR offset is out of range"))?;
    let (key, bytes) = (call.key(), call.arg(3));
    if bytes.is_empty() {
        let length = cache.shards.peek(&key, cache.now.unix_ms).map_or(0, |item| item.value.bytes().len());
        reply.integer(length as i64);
        return Ok(());
    }
    if at.saturating_add(bytes.len()) > cache.in_force.string_bytes_max {
        return Err(Refusal::TOO_LARGE);
    }
    let length = edit::write_at(cache, &key, at, bytes)?;
    reply.integer(length as i64);
    Ok(())
}

pub(crate) fn getrange(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let start = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let end = number::parse(call.arg(3)).ok_or(Refusal::NOT_INTEGER)?;
    let Some(item) = cache.read(&call.key()) else {
        reply.bulk(b"");
        return Ok(());
    };
    let bytes = item.value.bytes();
    let Some((start, end)) = clamped(start, end, bytes.len() as u64) else {
        reply.bulk(b"");
        return Ok(());
    };
    let range = start as usize..end as usize + 1;
    match item.value {
        Stored::Large(value) if range.len() >= LARGE_BULK_MIN => reply.large(&value.slice(range)),
        Stored::Large(_) | Stored::Inline(_) => reply.bulk(&bytes[range]),
    }
    Ok(())
}

/// First and last index of a range of `length` elements, where negative ones count from the end. `None` if it is empty,
/// and if two negative ones are in the wrong order.
pub(super) fn clamped(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    if start < 0 && end < 0 && start > end { None } else { moved_within(start, end, length) }
}

/// First and last index of a range, where negative ones count from the end, but not from before the start.
pub(super) fn moved_within(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let at_or_after_zero = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => length.saturating_sub(index.unsigned_abs()),
    };
    let (start, end) = (at_or_after_zero(start), at_or_after_zero(end).min(length.checked_sub(1)?));
    if start > end { None } else { Some((start, end)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::{Rig, check};

    #[test]
    fn a_part_is_overwritten_and_the_gap_filled() {
        check(&[
            ("SETRANGE k 0 ''", ":0"),
            ("EXISTS k", ":0"),
            ("SETRANGE k 1 foo", ":4"),
            ("GET k", "'\0foo'"),
            ("SET k foo", "+OK"),
            ("SETRANGE k 0 b", ":3"),
            ("GET k", "'boo'"),
            ("SETRANGE k 9 ''", ":3"),
            ("SETRANGE k 4 bar", ":7"),
            ("GET k", "'boo\0bar'"),
            ("SET n 1234", "+OK"),
            ("SETRANGE n 5 2", ":6"),
            ("GET n", "'1234\x002'"),
        ]);
    }

    #[test]
    fn offsets_out_of_range_are_refused() {
        let too_large = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        check(&[
            ("SETRANGE k 536870908 world", too_large),
            ("SETRANGE k 9223372036854775807 A", too_large),
            ("SETRANGE k -1 world", "-ERR offset is out of range"),
            ("SETRANGE k x world", "-ERR value is not an integer or out of range"),
            ("SETRANGE k 9223372036854775808 ''", "-ERR value is not an integer or out of range"),
            ("SETRANGE k -1 ''", "-ERR offset is out of range"),
            ("SETRANGE k 9223372036854775807 ''", ":0"),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn parts_are_answered() {
        check(&[
            ("GETRANGE none 0 -1", "''"),
            ("SET k 'Hello World'", "+OK"),
            ("GETRANGE k 0 3", "'Hell'"),
            ("GETRANGE k 0 -1", "'Hello World'"),
            ("GETRANGE k -4 -1", "'orld'"),
            ("GETRANGE k 5 3", "''"),
            ("GETRANGE k 5 5000", "' World'"),
            ("GETRANGE k -5000 10000", "'Hello World'"),
            ("GETRANGE k -5000 -12", "'H'"),
            ("GETRANGE k -5000 -5001", "''"),
            ("GETRANGE k 0 -5000", "'H'"),
            ("GETRANGE k 11 12", "''"),
            ("GETRANGE k 0 4294967297", "'Hello World'"),
            ("GETRANGE k -9223372036854775808 9223372036854775807", "'Hello World'"),
            ("SUBSTR k -5 -1", "'World'"),
            ("GETRANGE k a 1", "-ERR value is not an integer or out of range"),
            ("SET k ''", "+OK"),
            ("GETRANGE k 0 -1", "''"),
        ]);
    }

    #[test]
    fn a_long_part_goes_out_by_reference() {
        let mut rig = Rig::new();
        let value = bytes::Bytes::from(vec![b'x'; 100_000]);
        rig.set_large("k", &value);
        let splices = rig.splices("GETRANGE k 10 -1");
        assert_eq!((splices[0].as_ptr(), splices[0].len()), (value[10..].as_ptr(), 99_990));
        assert!(rig.splices("GETRANGE k 0 9").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn ranges_are_those_of_a_naive_walk(start in -20i64..20, end in -20i64..20, length in 0u64..12) {
            // Redis moves both ends into the string first, and only then compares them.
            let moved = |index: i64| if index < 0 { (index + length as i64).max(0) } else { index };
            let crossed = start < 0 && end < 0 && start > end;
            let kept: Vec<i64> =
                (0..length as i64).filter(|index| !crossed && (moved(start)..=moved(end)).contains(index)).collect();
            let expected = kept.first().map(|first| (*first as u64, kept[kept.len() - 1] as u64));
            proptest::prop_assert_eq!(clamped(start, end, length), expected);
        }
    }
}
