//! Numbers: INCR, DECR, INCRBY, DECRBY. A number is the decimal text of an `i64`, stored like any string.

use l1::{Put, Value};
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::number;
use crate::shard::Change;
use crate::spec::{ACCESS_MODIFY, Keys, Spec, category, flag};

const NUMBER: Spec = Spec {
    arity: 2,
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_MODIFY),
    group: "string",
    ..Spec::PLAIN
};

pub(crate) const INCR: Spec =
    Spec { name: "incr", syntax: "key", summary: "Adds one to a number; a missing key counts as 0.", ..NUMBER };

pub(crate) const DECR: Spec =
    Spec { name: "decr", syntax: "key", summary: "Subtracts one from a number; a missing key counts as 0.", ..NUMBER };

pub(crate) const INCRBY: Spec = Spec {
    name: "incrby",
    arity: 3,
    syntax: "key increment",
    summary: "Adds to a number; a missing key counts as 0.",
    ..NUMBER
};

pub(crate) const DECRBY: Spec = Spec {
    name: "decrby",
    arity: 3,
    syntax: "key decrement",
    summary: "Subtracts from a number; a missing key counts as 0.",
    ..NUMBER
};

#[inline]
pub(crate) fn incr(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    add(cache, call, 1, reply)
}

pub(crate) fn decr(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    add(cache, call, -1, reply)
}

pub(crate) fn incrby(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let amount = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    add(cache, call, amount, reply)
}

pub(crate) fn decrby(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let amount = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let negated = amount.checked_neg().ok_or(Refusal::text("ERR decrement would overflow"))?;
    add(cache, call, negated, reply)
}

#[inline]
fn add(cache: &mut Cache, call: &Call<'_>, amount: i64, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    const OVERFLOW: Refusal = Refusal::text("ERR increment or decrement would overflow");
    let key = call.key();
    let (old, expires_at_ms, flags) = match cache.shards.get(&key, cache.now.unix_ms) {
        None => (0, None, 0),
        Some(item) => {
            let old = number::parse(item.value.bytes()).ok_or(Refusal::NOT_INTEGER)?;
            (old, item.expires_at_ms, item.flags)
        }
    };
    let new = old.checked_add(amount).ok_or(OVERFLOW)?;
    let mut digits = itoa::Buffer::new();
    let put = Put { value: Value::Inline(digits.format(new).as_bytes()), expires_at_ms, flags };
    cache.commit(Change::Put { key, put })?;
    reply.integer(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rig::check;

    #[test]
    fn numbers_count_up_and_down() {
        check(&[
            ("INCR n", ":1"),
            ("INCR n", ":2"),
            ("DECR n", ":1"),
            ("INCRBY n 10", ":11"),
            ("DECRBY n 20", ":-9"),
            ("INCRBY n -1", ":-10"),
            ("DECRBY n -20", ":10"),
            ("GET n", "'10'"),
            ("SET n 99999", "+OK"),
            ("INCR n", ":100000"),
            ("GET n", "'100000'"),
        ]);
    }

    #[test]
    fn counting_keeps_the_deadline() {
        check(&[("SET n 9 EX 10", "+OK"), ("INCR n", ":10"), ("TTL n", ":10")]);
    }

    #[test]
    fn other_strings_are_no_numbers() {
        let refusal = "-ERR value is not an integer or out of range";
        check(&[
            ("SET n x", "+OK"),
            ("INCR n", refusal),
            ("SET n ''", "+OK"),
            ("INCR n", refusal),
            ("SET n ' 1'", "+OK"),
            ("INCR n", refusal),
            ("SET n 01", "+OK"),
            ("INCR n", refusal),
            ("SET n 9223372036854775808", "+OK"),
            ("INCR n", refusal),
            ("INCRBY m x", refusal),
            ("DECRBY m 9223372036854775808", refusal),
            ("EXISTS m", ":0"),
        ]);
    }

    #[test]
    fn overflow_is_refused_and_changes_nothing() {
        let refusal = "-ERR increment or decrement would overflow";
        check(&[
            ("SET n 9223372036854775807", "+OK"),
            ("INCR n", refusal),
            ("GET n", "'9223372036854775807'"),
            ("SET n -9223372036854775808", "+OK"),
            ("DECR n", refusal),
            ("INCRBY n -1", refusal),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow"),
            ("DECRBY n -9223372036854775807", ":-1"),
        ]);
    }
}
