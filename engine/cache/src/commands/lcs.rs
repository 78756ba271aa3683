//! LCS: the longest common subsequence of two strings.
//!
//! Bit-parallel (H. Hyyrö, "Bit-Parallel LCS-length Computation Revisited", 2004): a row of the classic table is kept
//! as one bit per column that says whether the length grows there, and follows from the row before by additions of
//! words. Kept rows are all that the way back needs, which is the one that Redis goes: among equal subsequences the
//! same is found. It takes a thirty-second of the table's memory, so at most 1/32 of `proto-max-bulk-len`, which bounds
//! the table as in Redis; the masks of single bytes take as much again.

use item::{KEY_BYTES_MAX, Key};
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::{Call, KEY_TOO_LONG};
use crate::number;
use crate::spec::{ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const LCS: Spec = Spec {
    name: "lcs",
    arity: -3,
    syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    flags: flag::READONLY,
    categories: category::STRING,
    keys: Keys { first: 1, last: 2, step: 1, access: ACCESS_READ, ..Keys::NONE },
    group: "string",
    since: "7.0.0",
    summary: "Finds the longest common subsequence of two strings.",
    complexity: "O(N*M), lengths N and M",
    ..Spec::PLAIN
};

#[derive(Default)]
struct Options {
    only_length: bool,
    with_matches: bool,
    with_match_lengths: bool,
    match_length_min: usize,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let mut rest = call.args_from(3).iter().map(|arg| arg.bytes());
        while let Some(option) = rest.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"idx" => options.with_matches = true,
                b"len" => options.only_length = true,
                b"withmatchlen" => options.with_match_lengths = true,
                b"minmatchlen" => {
                    let number = number::parse(rest.next().ok_or(Refusal::SYNTAX)?).ok_or(Refusal::NOT_INTEGER)?;
                    options.match_length_min = usize::try_from(number).unwrap_or(0);
                }
                _ => return Err(Refusal::SYNTAX),
            }
        }
        if options.only_length && options.with_matches {
            const AMBIGUOUS: &str = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(Refusal::text(AMBIGUOUS));
        }
        Ok(options)
    }
}

/// Bytes of a cell of the table that Redis would make; the limit is on that table.
const CELL_BYTES: u64 = 4;

pub(crate) fn lcs(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.arg(2).len() > KEY_BYTES_MAX {
        return Err(KEY_TOO_LONG);
    }
    let options = Options::parse(call)?;
    let key_b = Key { keyspace: call.keyspace, place: cache.shards.place(call.arg(2)), bytes: call.arg(2) };
    // Both count as uses; then they are looked at together.
    cache.read(&call.key());
    cache.read(&key_b);
    let now_ms = cache.now.unix_ms;
    let a = cache.shards.peek(&call.key(), now_ms).map_or(&[][..], |item| item.value.bytes());
    let b = cache.shards.peek(&key_b, now_ms).map_or(&[][..], |item| item.value.bytes());
    let cells = (a.len() as u64 + 1).saturating_mul(b.len() as u64 + 1);
    if cells.saturating_mul(CELL_BYTES) > cache.in_force.string_bytes_max as u64 {
        const TOO_LARGE: &str = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(Refusal::text(TOO_LARGE));
    }
    if options.only_length {
        reply.integer(Rows::of(a, b, false).length() as i64);
        return Ok(());
    }
    let runs = Rows::of(a, b, true).runs(a, b);
    if options.with_matches {
        answer_matches(&runs, &options, reply);
    } else {
        let common: Vec<u8> = runs.iter().rev().flat_map(|run| &a[run.a..run.a + run.length]).copied().collect();
        reply.bulk(&common);
    }
    Ok(())
}

fn answer_matches(runs: &[Run], options: &Options, reply: &mut Reply<'_>) {
    let long_enough = || runs.iter().filter(|run| run.length >= options.match_length_min);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(long_enough().count());
    for run in long_enough() {
        reply.array(if options.with_match_lengths { 3 } else { 2 });
        for first in [run.a, run.b] {
            reply.array(2);
            reply.integer(first as i64);
            reply.integer((first + run.length - 1) as i64);
        }
        if options.with_match_lengths {
            reply.integer(run.length as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(runs.iter().map(|run| run.length).sum::<usize>() as i64);
}

/// A part that both strings have, from `a` in the one and from `b` in the other.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    length: usize,
}

/// Rows of the table, one for each byte of `a`: bit `j` of a row is 0 where its length grows with byte `j` of `b`.
struct Rows {
    words_per_row: usize,
    /// All rows, or the last only. At least one, of an empty `a`.
    words: Vec<u64>,
}

impl Rows {
    fn of(a: &[u8], b: &[u8], keep_all: bool) -> Rows {
        let words_per_row = b.len().div_ceil(64);
        let masks = Masks::of(a, b, words_per_row);
        let mut words = Vec::with_capacity(words_per_row * if keep_all { a.len() + 1 } else { 1 });
        // Bits beyond `b` stay ones: they match nothing.
        words.resize(words_per_row, u64::MAX);
        for byte in a {
            let last = if keep_all {
                words.extend_from_within(words.len() - words_per_row..);
                words.len() - words_per_row
            } else {
                0
            };
            advance(&mut words[last..], masks.of_byte(*byte));
        }
        Rows { words_per_row, words }
    }

    /// The length of the longest common subsequence.
    fn length(&self) -> usize {
        let last = &self.words[self.words.len() - self.words_per_row..];
        last.iter().map(|word| word.count_zeros() as usize).sum()
    }

    /// The common parts from the last to the first. All rows must have been kept.
    fn runs(&self, a: &[u8], b: &[u8]) -> Vec<Run> {
        let grows = |i: usize, j: usize| self.words[i * self.words_per_row + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 0;
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match runs.last_mut() {
                    Some(run) if (run.a, run.b) == (i + 1, j + 1) => *run = Run { a: i, b: j, length: run.length + 1 },
                    Some(_) | None => runs.push(Run { a: i, b: j, length: 1 }),
                }
            } else if grows(i, j) {
                // Without the last byte of `b` it would be shorter; so without that of `a` it is not.
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }
}

/// Turns a row into the next one, for a byte of `a` that stands in `b` where `mask` has ones.
fn advance(row: &mut [u64], mask: &[u64]) {
    let mut carry = false;
    for (word, mask) in row.iter_mut().zip(mask) {
        let common = *word & mask;
        let (sum, over) = word.overflowing_add(common);
        let (sum, over_again) = sum.overflowing_add(u64::from(carry));
        carry = over || over_again;
        *word = sum | (*word & !mask);
    }
}

/// For each byte of `a`, where it stands in `b`. Those that `a` lacks take no room, so that all together are no longer
/// than the rows.
struct Masks {
    words: Vec<u64>,
    words_per_mask: usize,
    /// The number of each byte's mask.
    numbers: [u16; 256],
}

impl Masks {
    fn of(a: &[u8], b: &[u8], words_per_mask: usize) -> Masks {
        const NONE: u16 = u16::MAX;
        let (mut numbers, mut count) = ([NONE; 256], 0);
        for byte in a {
            let number = &mut numbers[usize::from(*byte)];
            if *number == NONE {
                *number = count;
                count += 1;
            }
        }
        let mut words = vec![0; usize::from(count) * words_per_mask];
        for (at, byte) in b.iter().enumerate() {
            let number = numbers[usize::from(*byte)];
            if number != NONE {
                words[usize::from(number) * words_per_mask + at / 64] |= 1 << (at % 64);
            }
        }
        Masks { words, words_per_mask, numbers }
    }

    /// The mask of a byte of `a`.
    fn of_byte(&self, byte: u8) -> &[u64] {
        let first = usize::from(self.numbers[usize::from(byte)]) * self.words_per_mask;
        &self.words[first..first + self.words_per_mask]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rig::check;

    #[test]
    fn subsequences_are_found() {
        check(&[
            ("MSET a ohmytext b mynewtext", "+OK"),
            ("LCS a b", "'mytext'"),
            ("LCS a b LEN", ":6"),
            ("LCS a b IDX", "['matches' [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] 'len' :6]"),
            ("LCS a b IDX MINMATCHLEN 4", "['matches' [[[:4 :7] [:5 :8]]] 'len' :6]"),
            ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "['matches' [[[:4 :7] [:5 :8] :4]] 'len' :6]"),
            (
                "LCS a b idx minmatchlen -1 withmatchlen",
                "['matches' [[[:4 :7] [:5 :8] :4] [[:2 :3] [:0 :1] :2]] 'len' :6]",
            ),
            ("LCS a none", "''"),
            ("LCS none b LEN", ":0"),
            ("LCS none none IDX", "['matches' [] 'len' :0]"),
            ("LCS a a", "'ohmytext'"),
            ("LCS a b WITHMATCHLEN", "'mytext'"),
            ("HELLO 3", "..."),
            ("LCS a b IDX", "{'matches' [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] 'len' :6}"),
        ]);
    }

    #[test]
    fn bad_options_are_refused() {
        check(&[
            ("LCS a b FOO", "-ERR syntax error"),
            ("LCS a b MINMATCHLEN", "-ERR syntax error"),
            ("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"),
            ("LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."),
            ("LCS a", "-ERR wrong number of arguments for 'lcs' command"),
            (&format!("LCS a {}", "k".repeat(16_385)), "-ERR key is longer than 16384 bytes"),
        ]);
    }

    #[test]
    fn a_table_beyond_the_longest_string_is_refused() {
        check(&[
            ("CONFIG SET proto-max-bulk-len 1048576", "+OK"),
            (&format!("SET a {}", "x".repeat(511)), "+OK"),
            (&format!("SET b {}", "x".repeat(511)), "+OK"),
            ("LCS a b LEN", ":511"),
            ("APPEND b x", ":512"),
            ("LCS a b LEN", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"),
        ]);
    }

    /// The classic table, and Redis's way back through it.
    fn naive(a: &[u8], b: &[u8]) -> Vec<Run> {
        let mut table = vec![vec![0usize; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = match a[i - 1] == b[j - 1] {
                    true => table[i - 1][j - 1] + 1,
                    false => table[i - 1][j].max(table[i][j - 1]),
                };
            }
        }
        let (mut i, mut j, mut runs) = (a.len(), b.len(), Vec::<Run>::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match runs.last_mut() {
                    Some(run) if (run.a, run.b) == (i, j) => *run = Run { a: i - 1, b: j - 1, length: run.length + 1 },
                    _ => runs.push(Run { a: i - 1, b: j - 1, length: 1 }),
                }
                (i, j) = (i - 1, j - 1);
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn rows_of_bits_agree_with_the_table(
            a in prop::collection::vec(0u8..4, 0..200),
            b in prop::collection::vec(0u8..5, 0..200),
        ) {
            let rows = Rows::of(&a, &b, true);
            let expected = naive(&a, &b);
            prop_assert_eq!(rows.length(), expected.iter().map(|run| run.length).sum::<usize>());
            prop_assert_eq!(Rows::of(&a, &b, false).length(), rows.length());
            prop_assert_eq!(rows.runs(&a, &b), expected);
        }
    }
}
