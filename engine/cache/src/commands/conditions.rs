//! Conditions on what a key holds: those of SET, DELEX and DELIFEQ, and DIGEST, which two of them compare.
//!
//! The digest of a value is its xxh3 hash (64 bits, seed 0) as 16 hexadecimal digits.

use protocol::Reply;
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::shard::Change;
use crate::spec::{ACCESS_DELETE, ACCESS_READ, Keys, Spec, category, flag};

pub(crate) const DELEX: Spec = Spec {
    name: "delex",
    arity: -2,
    syntax: "key [condition: IFEQ comparison-value | IFNE comparison-value | IFDEQ digest | IFDNE digest]",
    flags: flag::WRITE | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_DELETE),
    group: "string",
    since: "8.4.0",
    summary: "Removes a key if its value meets a condition.",
    complexity: "O(1), O(N) for conditions on a digest, N bytes of the value",
    ..Spec::PLAIN
};

pub(crate) const DELIFEQ: Spec = Spec {
    name: "delifeq",
    arity: 3,
    syntax: "key value",
    since: "9.0.0",
    summary: "Removes a key if it holds the value given.",
    complexity: "O(1)",
    ..DELEX
};

pub(crate) const DIGEST: Spec = Spec {
    name: "digest",
    arity: 2,
    syntax: "key",
    flags: flag::READONLY | flag::FAST,
    keys: Keys::one(ACCESS_READ),
    summary: "Answers the hash of a value that IFDEQ and IFDNE compare.",
    complexity: "O(N), N bytes of the value",
    ..DELEX
};

/// What must hold of a key before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Always,
    /// NX
    IfMissing,
    /// XX
    IfExists,
    /// IFEQ: it holds these bytes.
    IfEqual(&'a [u8]),
    /// IFNE: it does not hold these bytes, or nothing.
    IfDifferent(&'a [u8]),
    /// IFDEQ: it holds something of this digest.
    IfDigest(u64),
    /// IFDNE: it holds nothing of this digest.
    IfOtherDigest(u64),
}

impl<'a> Condition<'a> {
    /// The condition on the value that `option` names, with its operand from `rest`; `None` if it names none.
    pub fn of_option(
        option: &[u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Condition<'a>>, Refusal> {
        const SHORTEST_BYTES: usize = 4;
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        if option.len() < SHORTEST_BYTES || !(is(b"ifeq") || is(b"ifne") || is(b"ifdeq") || is(b"ifdne")) {
            return Ok(None);
        }
        let operand = rest.next().ok_or(Refusal::SYNTAX)?;
        Ok(Some(if is(b"ifeq") {
            Condition::IfEqual(operand)
        } else if is(b"ifne") {
            Condition::IfDifferent(operand)
        } else if is(b"ifdeq") {
            Condition::IfDigest(parse_digest(operand)?)
        } else {
            Condition::IfOtherDigest(parse_digest(operand)?)
        }))
    }

    /// Whether it holds of a key with this value, if it has one.
    pub fn holds(self, value: Option<&[u8]>) -> bool {
        match self {
            Condition::Always => true,
            Condition::IfMissing => value.is_none(),
            Condition::IfExists => value.is_some(),
            Condition::IfEqual(expected) => value == Some(expected),
            Condition::IfDifferent(unwanted) => value != Some(unwanted),
            Condition::IfDigest(expected) => value.is_some_and(|value| xxh3_64(value) == expected),
            Condition::IfOtherDigest(unwanted) => value.is_none_or(|value| xxh3_64(value) != unwanted),
        }
    }
}

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 16;

fn parse_digest(text: &[u8]) -> Result<u64, Refusal> {
    let bad = || Refusal::text("ERR must be exactly 16 hexadecimal characters");
    if text.len() != DIGEST_DIGITS {
        return Err(bad());
    }
    text.iter().try_fold(0, |digest, &b| Ok(digest << 4 | u64::from(char::from(b).to_digit(16).ok_or_else(bad)?)))
}

pub(crate) fn delex(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let condition = match call.args_from(2) {
        [] => Condition::Always,
        [option, operand] => Condition::of_option(option.bytes(), &mut std::iter::once(operand.bytes()))?
            .ok_or(Refusal::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?,
        _ => return Err(Refusal::arity(call.command)),
    };
    remove_if(cache, call, condition, reply)
}

pub(crate) fn delifeq(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    remove_if(cache, call, Condition::IfEqual(call.arg(2)), reply)
}

fn remove_if(
    cache: &mut Cache,
    call: &Call<'_>,
    condition: Condition<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let key = call.key();
    let item = cache.shards.peek(&key, cache.now.unix_ms);
    // A missing key meets some conditions, and is still not removed.
    let removed =
        item.is_some_and(|item| condition.holds(Some(item.value.bytes()))) && cache.commit(Change::Remove { key })?;
    reply.integer(i64::from(removed));
    Ok(())
}

pub(crate) fn digest(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    match cache.read(&call.key()) {
        Some(item) => reply.bulk(format!("{:016x}", xxh3_64(item.value.bytes())).as_bytes()),
        None => reply.null(),
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::check;

    #[test]
    fn digests_are_those_of_xxh3() {
        check(&[
            ("DIGEST k", "nil"),
            ("SET k ''", "+OK"),
            ("DIGEST k", "'2d06800538d394c2'"),
            ("SET k a", "+OK"),
            ("DIGEST k", "'e6c632b61e964e1f'"),
            ("SET k abc", "+OK"),
            ("DIGEST k", "'78af5f94892f3950'"),
        ]);
    }

    #[test]
    fn keys_are_removed_on_conditions() {
        check(&[
            ("DELEX k", ":0"),
            ("DELEX k IFNE v", ":0"),
            ("DELIFEQ k v", ":0"),
            ("SET k v", "+OK"),
            ("DELEX k IFEQ w", ":0"),
            ("DELEX k IFNE v", ":0"),
            ("DELIFEQ k w", ":0"),
            ("DELIFEQ k v", ":1"),
            ("SET k v", "+OK"),
            ("DELEX k ifeq v", ":1"),
            ("SET k v", "+OK"),
            ("DELEX k IFNE w", ":1"),
            ("SET k v", "+OK"),
            ("DELEX k", ":1"),
            ("SET k ''", "+OK"),
            ("DELEX k IFDEQ 2d06800538d394c3", ":0"),
            ("DELEX k IFDNE 2d06800538d394c2", ":0"),
            ("DELEX k IFDEQ 2D06800538D394C2", ":1"),
            ("SET k ''", "+OK"),
            ("DELEX k IFDNE 0000000000000000", ":1"),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn bad_conditions_are_refused() {
        check(&[
            ("DELEX k FOO v", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
            ("DELEX k IFEQ", "-ERR wrong number of arguments for 'delex' command"),
            ("DELEX k IFEQ v w", "-ERR wrong number of arguments for 'delex' command"),
            ("DELIFEQ k", "-ERR wrong number of arguments for 'delifeq' command"),
        ]);
        for option in ["IFDEQ", "IFDNE"] {
            for digest in ["", "2d06800538d394c", "2d06800538d394c2a", "2d06800538d394cg", "+d06800538d394c2"] {
                let refusal = "-ERR must be exactly 16 hexadecimal characters";
                check(&[(&format!("DELEX k {option} '{digest}'"), refusal)]);
                check(&[(&format!("SET k v {option} '{digest}'"), refusal)]);
            }
        }
    }

    #[test]
    fn set_compares_first() {
        check(&[
            ("SET k v IFEQ v", "nil"),
            ("EXISTS k", ":0"),
            ("SET k v IFDEQ 2d06800538d394c2", "nil"),
            ("SET k v IFEQ v GET", "nil"),
            ("EXISTS k", ":0"),
            ("SET k v IFNE v", "+OK"),
            ("SET k w IFNE v", "nil"),
            ("SET k w IFEQ x", "nil"),
            ("SET k w IFEQ x GET", "'v'"),
            ("GET k", "'v'"),
            ("SET k w EX 10 IFEQ v GET", "'v'"),
            ("TTL k", ":10"),
            ("SET k '' IFEQ w KEEPTTL", "+OK"),
            ("TTL k", ":10"),
            ("SET k x IFDNE 2d06800538d394c2", "nil"),
            ("SET k x IFDEQ 2d06800538d394c2", "+OK"),
            ("GET k", "'x'"),
            ("SET new x IFDNE 2d06800538d394c2", "+OK"),
            ("SET k v IFEQ", "-ERR syntax error"),
            ("SET k v IFEQ a NX", "-ERR syntax error"),
            ("SET k v NX IFEQ a", "-ERR syntax error"),
            ("SET k v XX IFNE a", "-ERR syntax error"),
            ("SET k v IFEQ a IFEQ b", "-ERR syntax error"),
            ("GET k", "'x'"),
        ]);
    }
}
