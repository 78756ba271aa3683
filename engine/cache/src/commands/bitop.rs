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
    let mut combined = Combined::new(operation, length);
    for index in 0..sources.len() {
        let key = source(cache, index);
        combined.add(cache.shards.peek(&key, cache.now.unix_ms).map_or(&[], |item| item.value.bytes()));
    }
    let value = Value::Large(Bytes::from(combined.finish()));
    cache.commit(Change::Put { key: destination, put: Put { value, expires_at_ms: None, flags: 0 } })?;
    edit::mark(cache, &destination)?;
    reply.integer(length as i64);
    Ok(())
}

/// The result in the making, as long as the longest string.
struct Combined {
    operation: Operation,
    /// Strings taken in.
    count: usize,
    /// X, where the Ys are combined apart from it.
    first: Vec<u8>,
    /// What has been combined: of the Ys only if `first` is in use.
    whole: Vec<u8>,
    /// Bits that were in two strings or more.
    repeated: Vec<u8>,
}

impl Combined {
    fn new(operation: Operation, length: usize) -> Combined {
        let side = |is_used: bool| if is_used { vec![0; length] } else { Vec::new() };
        let keeps_first = matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr);
        Combined {
            operation,
            count: 0,
            first: side(keeps_first),
            whole: side(true),
            repeated: side(operation == Operation::One),
        }
    }

    /// Takes in the next string.
    fn add(&mut self, bytes: &[u8]) {
        let is_first = self.count == 0;
        self.count += 1;
        match self.operation {
            Operation::Diff | Operation::Diff1 | Operation::AndOr if is_first => {
                self.first[..bytes.len()].copy_from_slice(bytes);
            }
            Operation::And | Operation::Not if is_first => self.whole[..bytes.len()].copy_from_slice(bytes),
            Operation::And | Operation::Not => {
                let (common, rest) = self.whole.split_at_mut(bytes.len());
                combine(common, bytes, |a, b| a & b);
                rest.fill(0);
            }
            Operation::Xor => combine(&mut self.whole, bytes, |a, b| a ^ b),
            Operation::Or | Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                combine(&mut self.whole, bytes, |a, b| a | b);
            }
            Operation::One => {
                for ((repeated, whole), byte) in self.repeated.iter_mut().zip(&self.whole).zip(bytes) {
                    *repeated |= whole & byte;
                }
                combine(&mut self.whole, bytes, |a, b| a | b);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        match self.operation {
            Operation::And | Operation::Or | Operation::Xor => {}
            Operation::Not => self.whole.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::Diff => combine(&mut self.whole, &self.first, |others, first| first & !others),
            Operation::Diff1 => combine(&mut self.whole, &self.first, |others, first| others & !first),
            Operation::AndOr => combine(&mut self.whole, &self.first, |others, first| others & first),
            Operation::One => combine(&mut self.whole, &self.repeated, |any, repeated| any & !repeated),
        }
        self.whole
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

    proptest! {
        #[test]
        fn every_bit_is_the_naive_one(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        ) {
            for name in ["and", "or", "xor", "not", "diff", "diff1", "andor", "one"] {
                let operation = Operation::parse(name.as_bytes()).expect("a name");
                let strings = if operation == Operation::Not { &strings[..1] } else { &strings[..] };
                let length = strings.iter().map(Vec::len).max().expect("one at least");
                let mut combined = Combined::new(operation, length);
                strings.iter().for_each(|bytes| combined.add(bytes));
                let found = combined.finish();
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
