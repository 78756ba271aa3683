//! Arithmetic: incr, decr. A number is the decimal text of a `u64`; incr wraps around, decr stops at 0.
//!
//! A result that is shorter than the old text is filled up with spaces, as memcached does: the length of the value
//! stays. RESP's INCR takes no such text for a number.

use bytes::Bytes;
use item::INLINE_VALUE_BYTES_MAX;
use l1::{Put, Value};
use protocol::Reply;

use super::{Ask, Failure, Verb, number};
use crate::cache::Cache;
use crate::shard::Change;

/// Digits of `u64::MAX`.
const DIGITS_MAX: usize = 20;

pub(super) fn change(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let key = ask.key()?;
    let delta = ask.word(2).and_then(number::unsigned);
    let delta = delta.ok_or(Failure::new("CLIENT_ERROR invalid numeric delta argument"))?;
    let is_incr = ask.verb == Verb::Incr;
    let counters = &mut cache.memcache.counters;
    let Some(item) = cache.shards.get(&key, cache.now.unix_ms) else {
        *(if is_incr { &mut counters.incr_misses } else { &mut counters.decr_misses }) += 1;
        reply.memcache_line(b"NOT_FOUND");
        return Ok(());
    };
    let text = item.value.bytes();
    let old = number::stored(text);
    let old = old.ok_or(Failure::new("CLIENT_ERROR cannot increment or decrement non-numeric value"))?;
    *(if is_incr { &mut counters.incr_hits } else { &mut counters.decr_hits }) += 1;
    let new = if is_incr { old.wrapping_add(delta) } else { old.saturating_sub(delta) };
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(new).as_bytes();
    let (expires_at_ms, flags, length) = (item.expires_at_ms, item.flags, text.len());
    let mut padded = [b' '; DIGITS_MAX];
    let value = if length <= digits.len() {
        Value::Inline(digits)
    } else if length <= DIGITS_MAX {
        padded[..digits.len()].copy_from_slice(digits);
        Value::Inline(&padded[..length])
    } else if length <= INLINE_VALUE_BYTES_MAX {
        cache.scratch.clear();
        cache.scratch.extend_from_slice(digits);
        cache.scratch.resize(length, b' ');
        Value::Inline(&cache.scratch)
    } else {
        // RESP clients may store hundreds of MiB: the scratch would keep as much for ever.
        let mut whole = Vec::with_capacity(length);
        whole.extend_from_slice(digits);
        whole.resize(length, b' ');
        Value::Large(Bytes::from(whole))
    };
    let put = Put { value, expires_at_ms, flags };
    let stored = cache.shards.commit(Change::Put { key, put }, &mut cache.statistics);
    stored.map_err(|_| Failure::new("SERVER_ERROR out of memory"))?;
    reply.memcache_number(new);
    Ok(())
}
