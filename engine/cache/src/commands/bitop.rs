//! BITOP: bitwise operations over several strings, the shorter ones followed by zeroes.

use bytes::Bytes;
use item::{KEY_BYTES_MAX, Key};
use l1::{Put, Value};
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::{Call, KEY_TOO_LONG};
use crate::edit;
use crate::shard::Change;
use crate::spec::{ACCESS_OVERWRITE, ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const BITOP: Spec = Spec {
    name: "bitop",
    arity: -4,
    syntax: "<operation: AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::BITMAP,
    keys: Keys { first: 2, last: -1, step: 1, access: ACCESS_READ, access_first: ACCESS_OVERWRITE, ..Keys::NONE },
    group: "bitmap",
    since: "2.6.0",
    summary: "Combines the bits of several strings and stores the result.",
    complexity: "O(N), N bytes of all strings",
    ..Spec::PLAIN
};

/// What to compute of strings X, Y1, Y2 and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    /// The complement of the only string.
    Not,
    /// In X and in no Y.
    Diff,
    /// In some Y and not in X.
    Diff1,
    /// In X and in some Y.
    AndOr,
    /// In exactly one of all.
    One,
}

impl Operation {
    fn parse(name: &[u8]) -> Option<Operation> {
        let names: [(&[u8], Operation); 8] = [
            (b"and", Operation::And),
            (b"or", Operation::Or),
            (b"xor", Operation::Xor),
            (b"not", Operation::Not),
            (b"diff", Operation::Diff),
            (b"diff1", Operation::Diff1),
            (b"andor", Operation::AndOr),
            (b"one", Operation::One),
        ];
        names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, operation)| *operation)
    }

    fn check_count(self, sources: usize) -> Result<(), Refusal> {
        let name = match self {
            Operation::Not if sources > 1 => {
                return Err(Refusal::text("ERR BITOP NOT must be called with a single source key."));
            }
            Operation::Diff if sources < 2 => "DIFF",
            Operation::Diff1 if sources < 2 => "DIFF1",
            Operation::AndOr if sources < 2 => "ANDOR",
            Operation::And | Operation::Or | Operation::Xor | Operation::One => return Ok(()),
            Operation::Not | Operation::Diff | Operation::Diff1 | Operation::AndOr => return Ok(()),
        };
        Err(Refusal::new(format!("ERR BITOP {name} must be called with at least two source keys.")))
    }
}

pub(crate) fn bitop(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let operation = Operation::parse(call.arg(1)).ok_or(Refusal::SYNTAX)?;
    let sources = call.args_from(3);
    operation.check_count(sources.len())?;
    if sources.iter().any(|key| key.bytes().len() > KEY_BYTES_MAX) {
        return Err(KEY_TOO_LONG);
    }
    let source = |cache: &Cache, index: usize| {
        let bytes = sources[index].bytes();
        Key { keyspace: call.keyspace, place: cache.shards.place(bytes), bytes }
    };
    let length_of = |index| {
        let key = source(cache, index);
        cache.read(&key).map_or(0, |item| item.value.bytes().len())
    };
    let length = (0..sources.len()).map(length_of).max().unwrap_or(0);
    let destination = call.key_at(2);
    if length == 0 {
        cache.commit(Change::Remove { key: destination })?;
        reply.integer(0);
        return Ok(());
    }
    let bytes_of = |index| {
        let key = source(cache, index);
        cache.shards.peek(&key, cache.now.unix_ms).map_or(&[][..], |item| item.value.bytes())
    };
    let strings = (0..sources.len()).map(bytes_of).collect();
    let value = Value::Large(Bytes::from(combined(operation, strings, length)));
    cache.commit(Change::Put { key: destination, put: Put { value, expires_at_ms: None, flags: 0 } })?;
    edit::mark(cache, &destination)?;
    reply.integer(length as i64);
    Ok(())
}

/// Bytes of the result that are made before the next ones: they stay in the processor's cache while all strings pass.
const BLOCK_BYTES: usize = 16 * 1024;

/// The result, as long as the longest string.
fn combined(operation: Operation, mut strings: Vec<&[u8]>, length: usize) -> Vec<u8> {
    // X, where the Ys are combined apart from it.
    let first = match operation {
        Operation::Diff | Operation::Diff1 | Operation::AndOr => strings.remove(0),
        Operation::And | Operation::Or | Operation::Xor | Operation::Not | Operation::One => &[],
    };
    // Behind the shortest string AND has nothing but zeroes.
    let (start_value, made_bytes) = match operation {
        Operation::And => (0xff, strings.iter().map(|bytes| bytes.len()).min().unwrap_or(0)),
        Operation::Or | Operation::Xor | Operation::Not | Operation::One => (0, length),
        Operation::Diff | Operation::Diff1 | Operation::AndOr => (0, length),
    };
    let mut whole = Vec::with_capacity(length);
    let mut repeated = Vec::new();
    while whole.len() < made_bytes {
        let start = whole.len();
        let end = made_bytes.min(start + BLOCK_BYTES);
        whole.resize(end, start_value);
        // A string that has ended goes on with zeroes, which change nothing.
        strings.retain(|bytes| bytes.len() > start);
        let mut block = Block { operation, whole: &mut whole[start..], repeated: &mut repeated };
        for bytes in &strings {
            block.add(&bytes[start..end.min(bytes.len())]);
        }
        block.finish(&first[start.min(first.len())..end.min(first.len())]);
    }
    whole.resize(length, 0);
    whole
}

/// A part of the result in the making.
struct Block<'a> {
    operation: Operation,
    /// What has been combined.
    whole: &'a mut [u8],
    /// Bits that were in two strings or more, for the operation that asks for it.
    repeated: &'a mut Vec<u8>,
}

impl Block<'_> {
    /// Takes in this part of the next string.
    fn add(&mut self, bytes: &[u8]) {
        match self.operation {
            Operation::And => combine(self.whole, bytes, |a, b| a & b),
            Operation::Xor => combine(self.whole, bytes, |a, b| a ^ b),
            Operation::Or | Operation::Not | Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                combine(self.whole, bytes, |a, b| a | b);
            }
            Operation::One => {
                self.repeated.resize(self.whole.len(), 0);
                for ((repeated, whole), byte) in self.repeated.iter_mut().zip(&*self.whole).zip(bytes) {
                    *repeated |= whole & byte;
                }
                combine(self.whole, bytes, |a, b| a | b);
            }
        }
    }

    /// Makes the result of what was taken in, and of this part of X if it was kept apart.
    fn finish(self, first: &[u8]) {
        match self.operation {
            Operation::And | Operation::Or | Operation::Xor => {}
            Operation::Not => self.whole.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::Diff => {
                combine(self.whole, first, |others, first| first & !others);
                self.whole[first.len()..].fill(0);
            }
            Operation::Diff1 => combine(self.whole, first, |others, first| others & !first),
            Operation::AndOr => {
                combine(self.whole, first, |others, first| others & first);
                self.whole[first.len()..].fill(0);
            }
            Operation::One => {
                combine(self.whole, self.repeated, |any, repeated| any & !repeated);
                self.repeated.clear();
            }
        }
    }
}

/// Byte by byte in the source, vector by vector in the machine code.
#[inline]
fn combine(whole: &mut [u8], bytes: &[u8], operation: impl Fn(u8, u8) -> u8) {
    for (byte, other) in whole.iter_mut().zip(bytes) {
        *byte = operation(*byte, *other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rig::check;

    #[test]
    fn strings_are_combined() {
        check(&[
            ("SET a abc", "+OK"),
            ("SET b aB", "+OK"),
            ("BITOP AND d a b", ":3"),
            ("GET d", "'aB\0'"),
            ("BITOP or d a none b", ":3"),
            ("GET d", "'abc'"),
            ("BITOP XOR d a b", ":3"),
            ("GET d", "'\0 c'"),
            ("BITOP AND d a none", ":3"),
            ("GET d", "'\0\0\0'"),
            ("BITOP DIFF d a b", ":3"),
            ("GET d", "'\0 c'"),
            ("BITOP DIFF1 d a b", ":3"),
            ("GET d", "'\0\0\0'"),
            ("BITOP ANDOR d a b none", ":3"),
            ("GET d", "'aB\0'"),
            ("BITOP ONE d a b a", ":3"),
            ("GET d", "'\0\0\0'"),
            ("BITOP ONE d a none b", ":3"),
            ("GET d", "'\0 c'"),
            ("BITOP XOR a a b EX", ":3"),
            ("GET a", "'\0 c'"),
        ]);
    }

    #[test]
    fn an_empty_result_removes_the_destination() {
        check(&[
            ("SET d v EX 10", "+OK"),
            ("SET s ''", "+OK"),
            ("BITOP NOT d s", ":0"),
            ("EXISTS d", ":0"),
            ("SET d v", "+OK"),
            ("BITOP AND d none none", ":0"),
            ("EXISTS d", ":0"),
            ("SET d v EX 10", "+OK"),
            ("SET s x", "+OK"),
            ("BITOP OR d s", ":1"),
            ("TTL d", ":-1"),
        ]);
    }

    #[test]
    fn bad_operations_are_refused() {
        check(&[
            ("BITOP FOO d a", "-ERR syntax error"),
            ("BITOP AND d", "-ERR wrong number of arguments for 'bitop' command"),
            ("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key."),
            ("BITOP DIFF d a", "-ERR BITOP DIFF must be called with at least two source keys."),
            ("BITOP DIFF1 d a", "-ERR BITOP DIFF1 must be called with at least two source keys."),
            ("BITOP andor d a", "-ERR BITOP ANDOR must be called with at least two source keys."),
            ("BITOP ONE d a", ":0"),
            (&format!("BITOP AND d a {}", "k".repeat(16_385)), "-ERR key is longer than 16384 bytes"),
        ]);
    }

    /// One bit of the result from the same bit of all strings.
    fn naive(operation: Operation, bits: &[bool]) -> bool {
        let (first, others) = (bits[0], bits[1..].contains(&true));
        match operation {
            Operation::And => !bits.contains(&false),
            Operation::Or => bits.contains(&true),
            Operation::Xor => bits.iter().fold(false, |a, b| a ^ b),
            Operation::Not => !first,
            Operation::Diff => first && !others,
            Operation::Diff1 => others && !first,
            Operation::AndOr => first && others,
            Operation::One => bits.iter().filter(|bit| **bit).count() == 1,
        }
    }

    /// The result is made block by block; strings end before, at and behind the border of a block.
    #[test]
    fn blocks_leave_no_seams() {
        let lengths = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 5];
        let string = |seed: usize, length: usize| -> Vec<u8> {
            (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> (seed * 5)) as u8).collect()
        };
        for operation in [
            Operation::And,
            Operation::Or,
            Operation::Xor,
            Operation::Diff,
            Operation::Diff1,
            Operation::AndOr,
            Operation::One,
        ] {
            for (a, b) in lengths.iter().flat_map(|a| lengths.map(|b| (*a, b))) {
                let strings = [string(0, a), string(1, b), string(2, BLOCK_BYTES / 2)];
                let length = strings.iter().map(Vec::len).max().expect("three");
                let found = combined(operation, strings.iter().map(|bytes| &bytes[..]).collect(), length);
                assert_eq!(found.len(), length);
                for index in
                    (0..length).filter(|index| index % BLOCK_BYTES < 3 || index % BLOCK_BYTES > BLOCK_BYTES - 3)
                {
                    for mask in [0x80, 0x08, 0x01] {
                        let bit = |bytes: &[u8]| bytes.get(index).is_some_and(|byte| byte & mask != 0);
                        let bits: Vec<bool> = strings.iter().map(|bytes| bit(bytes)).collect();
                        assert_eq!(bit(&found), naive(operation, &bits), "{operation:?} of {a} and {b} at {index}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_bit_is_the_naive_one(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        ) {
            for name in ["and", "or", "xor", "not", "diff", "diff1", "andor", "one"] {
                let operation = Operation::parse(name.as_bytes()).expect("a name");
                let strings = if operation == Operation::Not { &strings[..1] } else { &strings[..] };
                let length = strings.iter().map(Vec::len).max().expect("one at least");
                let found = combined(operation, strings.iter().map(|bytes| &bytes[..]).collect(), length);
                prop_assert_eq!(found.len(), length);
                for index in 0..length * 8 {
                    let bit = |bytes: &[u8]| bytes.get(index / 8).is_some_and(|byte| byte & 0x80 >> (index % 8) != 0);
                    let bits: Vec<bool> = strings.iter().map(|bytes| bit(bytes)).collect();
                    prop_assert_eq!(bit(&found), naive(operation, &bits), "{} of {:?}", name, bits);
                }
            }
        }
    }
}
