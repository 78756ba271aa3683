//! Bits of strings: SETBIT, GETBIT, BITCOUNT, BITPOS. Bit 0 is the most significant of the first byte.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::ranges::{clamped, moved_within};
use crate::edit;
use crate::number;
use crate::spec::{ACCESS_MODIFY, ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const SETBIT: Spec = Spec {
    name: "setbit",
    arity: 4,
    syntax: "key offset value/integer",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::BITMAP,
    keys: Keys::one(ACCESS_MODIFY),
    group: "bitmap",
    since: "2.2.0",
    summary: "Sets or clears a bit and answers what it was.",
    ..Spec::PLAIN
};

pub(crate) const GETBIT: Spec = Spec {
    name: "getbit",
    arity: 3,
    syntax: "key offset",
    flags: flag::READONLY | flag::FAST,
    keys: Keys::one(ACCESS_READ),
    summary: "Answers a bit.",
    ..SETBIT
};

pub(crate) const BITCOUNT: Spec = Spec {
    name: "bitcount",
    arity: -2,
    syntax: "key [range: start [end-unit-block: end [unit: BYTE | BIT]]]",
    flags: flag::READONLY,
    keys: Keys::one(ACCESS_READ),
    since: "2.6.0",
    summary: "Counts the bits that are set.",
    complexity: "O(N), N bytes looked at",
    ..SETBIT
};

pub(crate) const BITPOS: Spec = Spec {
    name: "bitpos",
    arity: -3,
    syntax: "key bit [range: start [end-unit-block: end [unit: BYTE | BIT]]]",
    since: "2.8.7",
    summary: "Finds the first bit that is set, or clear.",
    ..BITCOUNT
};

pub(crate) fn setbit(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    const NO_BIT: Refusal = Refusal::text("ERR bit is not an integer or out of range");
    let offset = bit_offset(cache, call.arg(2), None)?;
    let bit = number::parse(call.arg(3)).filter(|bit| (0..=1).contains(bit)).ok_or(NO_BIT)?;
    let key = call.key();
    let (at, mask) = ((offset / 8) as usize, 0x80 >> (offset % 8));
    let old = cache.shards.peek(&key, cache.now.unix_ms).and_then(|item| item.value.bytes().get(at).copied());
    let byte = old.unwrap_or(0);
    let new = if bit == 1 { byte | mask } else { byte & !mask };
    if old != Some(new) {
        edit::write_at(cache, &key, at, &[new])?;
    } else {
        edit::mark(cache, &key)?;
    }
    reply.integer(i64::from(byte & mask != 0));
    Ok(())
}

pub(crate) fn getbit(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let offset = bit_offset(cache, call.arg(2), None)?;
    let byte = cache.read(&call.key()).and_then(|item| item.value.bytes().get((offset / 8) as usize).copied());
    reply.integer(i64::from(byte.unwrap_or(0) & 0x80 >> (offset % 8) != 0));
    Ok(())
}

pub(crate) fn bitcount(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let range = Range::parse(call, 2)?;
    let bytes = cache.read(&call.key()).map_or(&[][..], |item| item.value.bytes());
    let found = range.bits_of(bytes, clamped);
    reply.integer(found.map_or(0, |(first, last)| count(bytes, first, last)) as i64);
    Ok(())
}

pub(crate) fn bitpos(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let bit = match number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(Refusal::text("ERR The bit argument must be 1 or 0.")),
    };
    let range = Range::parse(call, 3)?;
    const NOWHERE: i64 = -1;
    reply.integer(match cache.read(&call.key()) {
        // A missing string is zeroes without end.
        None if bit => NOWHERE,
        None => 0,
        Some(item) => {
            let bytes = item.value.bytes();
            match range.bits_of(bytes, moved_within) {
                None => NOWHERE,
                Some((first, last)) => match position(bytes, bit, first, last) {
                    Some(position) => position as i64,
                    // Zeroes follow the string, unless the client has said where to stop.
                    None if !bit && range.end.is_none() => bytes.len() as i64 * 8,
                    None => NOWHERE,
                },
            }
        }
    });
    Ok(())
}

/// A bit's offset, below eight times the longest string; `#n` is the `n`th field of `width` bits, if there are fields.
pub(super) fn bit_offset(cache: &Cache, text: &[u8], width: Option<u32>) -> Result<u64, Refusal> {
    const NO_OFFSET: Refusal = Refusal::text("ERR bit offset is not an integer or out of range");
    let (digits, unit) = match (text, width) {
        ([b'#', digits @ ..], Some(width)) => (digits, i64::from(width)),
        (digits, _) => (digits, 1),
    };
    let offset = number::parse(digits).and_then(|number| number.checked_mul(unit)).ok_or(NO_OFFSET)?;
    let offset = u64::try_from(offset).map_err(|_| NO_OFFSET)?;
    if offset / 8 < cache.in_force.string_bytes_max as u64 { Ok(offset) } else { Err(NO_OFFSET) }
}

/// A range as BITCOUNT and BITPOS are given it.
struct Range {
    start: i64,
    /// `None`: to the last byte.
    end: Option<i64>,
    /// Start and end count bits, not bytes.
    in_bits: bool,
}

impl Range {
    /// `[start [end [BYTE | BIT]]]` from argument `from` on.
    fn parse(call: &Call<'_>, from: usize) -> Result<Range, Refusal> {
        let number = |text: &[u8]| number::parse(text).ok_or(Refusal::NOT_INTEGER);
        let args = call.args_from(from);
        let start = args.first().filter(|_| args.len() <= 3).map_or(Ok(0), |arg| number(arg.bytes()))?;
        let in_bits = match args {
            [] | [_] | [_, _] => false,
            [_, _, unit] if unit.bytes().eq_ignore_ascii_case(b"bit") => true,
            [_, _, unit] if unit.bytes().eq_ignore_ascii_case(b"byte") => false,
            _ => return Err(Refusal::SYNTAX),
        };
        let end = args.get(1).map(|arg| number(arg.bytes())).transpose()?;
        Ok(Range { start, end, in_bits })
    }

    /// The first and the last bit of a string that it means; `None` if there are none. `within` clamps it.
    fn bits_of(&self, bytes: &[u8], within: fn(i64, i64, u64) -> Option<(u64, u64)>) -> Option<(u64, u64)> {
        let length = bytes.len() as u64;
        if self.in_bits {
            return within(self.start, self.end?, length * 8);
        }
        let (first, last) = within(self.start, self.end.unwrap_or(length as i64 - 1), length)?;
        Some((first * 8, last * 8 + 7))
    }
}

/// Bits that are set from bit `first` to bit `last`.
fn count(bytes: &[u8], first: u64, last: u64) -> u64 {
    let bytes = &bytes[(first / 8) as usize..=(last / 8) as usize];
    let (words, rest) = bytes.as_chunks();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let in_rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    let before = bytes[0] & !(0xff >> (first % 8));
    let after = bytes[bytes.len() - 1] & (0x7f >> (last % 8));
    in_words + in_rest - u64::from(before.count_ones() + after.count_ones())
}

/// The first bit from `first` to `last` that is `bit`.
fn position(bytes: &[u8], bit: bool, first: u64, last: u64) -> Option<u64> {
    // With zeroes turned to ones, both searches look for a one.
    let flip = if bit { 0 } else { 0xff };
    let (at, end) = ((first / 8) as usize, (last / 8) as usize);
    let head = (bytes[at] ^ flip) & 0xff >> (first % 8);
    let found = if head != 0 {
        at as u64 * 8 + u64::from(head.leading_zeros())
    } else {
        let tail = &bytes[at + 1..=end];
        let none = [flip; 8];
        let skipped = tail.as_chunks::<8>().0.iter().take_while(|word| **word == none).count() * 8;
        let byte = skipped + tail[skipped..].iter().position(|byte| *byte != flip)?;
        (at + 1 + byte) as u64 * 8 + u64::from((tail[byte] ^ flip).leading_zeros())
    };
    if found > last { None } else { Some(found) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rig::{Rig, check};

    #[test]
    fn bits_are_set_and_got() {
        check(&[
            ("SETBIT k 1 1", ":0"),
            ("GET k", "'@'"),
            ("SETBIT k 2 1", ":0"),
            ("GET k", "'`'"),
            ("SETBIT k 1 0", ":1"),
            ("GET k", "' '"),
            ("SETBIT k 20 0", ":0"),
            ("STRLEN k", ":3"),
            ("SETBIT k 2 1", ":1"),
            ("GETBIT k 2", ":1"),
            ("GETBIT k 3", ":0"),
            ("GETBIT k 100000", ":0"),
            ("GETBIT none 0", ":0"),
            ("EXISTS none", ":0"),
            ("SETBIT new 0 0", ":0"),
            ("STRLEN new", ":1"),
            ("SET n 1", "+OK"),
            ("SETBIT n 6 1", ":0"),
            ("GET n", "'3'"),
        ]);
    }

    #[test]
    fn bad_offsets_and_bits_are_refused() {
        let (offset, bit) =
            ("-ERR bit offset is not an integer or out of range", "-ERR bit is not an integer or out of range");
        check(&[
            ("SETBIT k 4294967296 1", offset),
            ("SETBIT k -1 1", offset),
            ("SETBIT k x 1", offset),
            ("SETBIT k #1 1", offset),
            ("GETBIT k -1", offset),
            ("GETBIT k 4294967296", offset),
            ("GETBIT k 4294967295", ":0"),
            ("SETBIT k 0 -1", bit),
            ("SETBIT k 0 2", bit),
            ("SETBIT k 0 10", bit),
            ("SETBIT k 0 x", bit),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn bits_are_counted_in_ranges() {
        check(&[
            ("BITCOUNT none", ":0"),
            ("BITCOUNT none 0 1000 BIT", ":0"),
            ("SET k foobar", "+OK"),
            ("BITCOUNT k", ":26"),
            ("BITCOUNT k 0 0", ":4"),
            ("BITCOUNT k 1 1 BYTE", ":6"),
            ("BITCOUNT k 5 30 bit", ":17"),
            ("BITCOUNT k 1", ":22"),
            ("BITCOUNT k -1000", ":26"),
            ("BITCOUNT k 1000", ":0"),
            ("BITCOUNT k -2 1", ":0"),
            ("BITCOUNT k -6 -7", ":0"),
            ("BITCOUNT k 0 4294967296", ":26"),
            ("SET k __PPxxxxxxxxxxxxxxxxRR__", "+OK"),
            ("BITCOUNT k 2 -3", ":74"),
            ("BITCOUNT k a b", "-ERR value is not an integer or out of range"),
            ("BITCOUNT none a b", "-ERR value is not an integer or out of range"),
            ("BITCOUNT k 0 1 hello", "-ERR syntax error"),
            ("BITCOUNT k 0 1 hello hello2", "-ERR syntax error"),
            ("BITCOUNT none 0 1 hello", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn the_first_bit_is_found() {
        check(&[
            ("BITPOS none 0", ":0"),
            ("BITPOS none 1", ":-1"),
            ("BITPOS none 0 0 -1 bit", ":0"),
            ("SET k ''", "+OK"),
            ("BITPOS k 0", ":-1"),
            ("BITPOS k 1", ":-1"),
            ("SET k '\0\0\0'", "+OK"),
            ("BITPOS k 1", ":-1"),
            ("SETBIT k 12 1", ":0"),
            ("BITPOS k 1", ":12"),
            ("BITPOS k 1 1", ":12"),
            ("BITPOS k 1 2", ":-1"),
            ("BITPOS k 1 0 11 BIT", ":-1"),
            ("BITPOS k 1 12 12 BIT", ":12"),
            ("BITPOS k 0 12 12 BIT", ":-1"),
            ("BITOP NOT k k", ":3"),
            ("SETBIT k 12 1", ":0"),
            ("BITPOS k 0", ":24"),
            ("BITPOS k 0 1", ":24"),
            ("BITPOS k 0 0 -1", ":-1"),
            ("BITPOS k 0 0 -1 BIT", ":-1"),
            ("BITPOS k 2", "-ERR The bit argument must be 1 or 0."),
            ("BITPOS k x", "-ERR value is not an integer or out of range"),
            ("BITPOS k 0 a b", "-ERR value is not an integer or out of range"),
            ("BITPOS k 0 0 1 hello", "-ERR syntax error"),
            ("BITPOS none 0 0 1 hello hello2", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn a_bit_of_a_large_string_costs_no_copy() {
        let mut rig = Rig::new();
        rig.check(&[("SETBIT k 8000000 1", ":0")]);
        let address = |rig: &mut Rig| rig.splices("GET k")[0].as_ptr();
        let before = address(&mut rig);
        rig.check(&[
            ("SETBIT k 77 1", ":0"),
            ("SETBIT k 77 1", ":1"),
            ("BITCOUNT k", ":2"),
            ("BITPOS k 1 10", ":8000000"),
        ]);
        assert_eq!(address(&mut rig), before);
    }

    fn bit_at(bytes: &[u8], index: u64) -> bool {
        bytes[(index / 8) as usize] & 0x80 >> (index % 8) != 0
    }

    /// Strings with long runs of equal bytes, and a range within.
    fn string_and_range() -> impl Strategy<Value = (Vec<u8>, u64, u64)> {
        let byte = prop_oneof![4 => Just(0u8), 4 => Just(0xff), 1 => any::<u8>()];
        let runs = prop::collection::vec((byte, 1usize..30), 1..4);
        let string = runs.prop_map(|runs| runs.into_iter().flat_map(|(byte, n)| vec![byte; n]).collect::<Vec<u8>>());
        (string, any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(bytes, a, b)| {
            let (a, b) = (a.index(bytes.len() * 8) as u64, b.index(bytes.len() * 8) as u64);
            (bytes, a.min(b), a.max(b))
        })
    }

    proptest! {
        #[test]
        fn counts_and_positions_are_those_of_a_walk((bytes, first, last) in string_and_range()) {
            prop_assert_eq!(count(&bytes, first, last), (first..=last).filter(|i| bit_at(&bytes, *i)).count() as u64);
            for bit in [false, true] {
                let walked = (first..=last).find(|i| bit_at(&bytes, *i) == bit);
                prop_assert_eq!(position(&bytes, bit, first, last), walked);
            }
        }

        #[test]
        fn bits_land_where_a_naive_map_has_them(bits in prop::collection::vec((0usize..300_000, 0u8..2), 1..60)) {
            let (mut rig, mut model) = (Rig::new(), Vec::new());
            for (offset, bit) in bits {
                let (at, mask) = (offset / 8, 0x80u8 >> (offset % 8));
                model.resize(model.len().max(at + 1), 0u8);
                let old = u8::from(model[at] & mask != 0);
                model[at] = if bit == 1 { model[at] | mask } else { model[at] & !mask };
                prop_assert_eq!(rig.run(&format!("SETBIT k {offset} {bit}")), format!(":{old}"));
                prop_assert_eq!(rig.run(&format!("GETBIT k {offset}")), format!(":{bit}"));
            }
            let ones: u32 = model.iter().map(|byte| byte.count_ones()).sum();
            prop_assert_eq!(rig.run("BITCOUNT k"), format!(":{ones}"));
            prop_assert_eq!(rig.run("STRLEN k"), format!(":{}", model.len()));
        }
    }
}
