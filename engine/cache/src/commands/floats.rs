//! INCRBYFLOAT. A number is decimal text, stored like any string; sums are those of Redis on x86, digit by digit.

use l1::{Put, Value};
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::extended::{Extended, Parsed};
use crate::shard::Change;
use crate::spec::{ACCESS_MODIFY, Keys, Spec, category, flag};

pub(crate) const INCRBYFLOAT: Spec = Spec {
    name: "incrbyfloat",
    arity: 3,
    syntax: "key increment/double",
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    categories: category::STRING,
    keys: Keys::one(ACCESS_MODIFY),
    group: "string",
    since: "2.6.0",
    summary: "Adds to a number with a fraction; a missing key counts as 0.",
    ..Spec::PLAIN
};

pub(crate) fn incrbyfloat(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    const NOT_FINITE: Refusal = Refusal::text("ERR increment would produce NaN or Infinity");
    let parse = |text: &[u8]| Extended::parse(text).ok_or(Refusal::text("ERR value is not a valid float"));
    let key = call.key();
    let (old, expires_at_ms, flags) = match cache.shards.get(&key, cache.now.unix_ms) {
        None => (parse(b"0")?, None, 0),
        Some(item) => (parse(item.value.bytes())?, item.expires_at_ms, item.flags),
    };
    let (Parsed::Finite(old), Parsed::Finite(amount)) = (old, parse(call.arg(2))?) else { return Err(NOT_FINITE) };
    let text = old.sum(amount).ok_or(NOT_FINITE)?.text();
    cache.commit(Change::Put { key, put: Put { value: Value::Inline(text.as_bytes()), expires_at_ms, flags } })?;
    reply.bulk(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rig::check;

    #[test]
    fn numbers_with_fractions_add_up() {
        check(&[
            ("INCRBYFLOAT n 1", "'1'"),
            ("INCRBYFLOAT n 0.25", "'1.25'"),
            ("GET n", "'1.25'"),
            ("SET n 17179869184 EX 10", "+OK"),
            ("INCRBYFLOAT n 1.5", "'17179869185.5'"),
            ("TTL n", ":10"),
            ("SET n 1", "+OK"),
            ("INCRBYFLOAT n -1.1", "'-0.1'"),
            ("INCRBYFLOAT n 0.1", "'0'"),
            ("SET n 3.0e3", "+OK"),
            ("INCRBYFLOAT n 200", "'3200'"),
            ("SET n 10.50", "+OK"),
            ("INCRBYFLOAT n 0.1", "'10.6'"),
        ]);
    }

    #[test]
    fn other_strings_are_no_numbers() {
        let refusal = "-ERR value is not a valid float";
        let not_finite = "-ERR increment would produce NaN or Infinity";
        check(&[
            ("INCRBYFLOAT m v", refusal),
            ("INCRBYFLOAT m nan", refusal),
            ("INCRBYFLOAT m +inf", not_finite),
            ("EXISTS m", ":0"),
            ("SET n ' 11'", "+OK"),
            ("INCRBYFLOAT n 1", refusal),
            ("SET n '11 '", "+OK"),
            ("INCRBYFLOAT n 1", refusal),
            ("SET n ''", "+OK"),
            ("INCRBYFLOAT n 1", refusal),
            ("SET n 1", "+OK"),
            ("SETRANGE n 2 2", ":3"),
            ("INCRBYFLOAT n 1", refusal),
            ("SET n inf", "+OK"),
            ("INCRBYFLOAT n 1", not_finite),
            ("SET n 1e4932", "+OK"),
            ("INCRBYFLOAT n 1e4932", not_finite),
            ("GET n", "'1e4932'"),
        ]);
    }
}
