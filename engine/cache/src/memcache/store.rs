//! Storage: set, add, replace, append, prepend, cas.
//!
//! A write drops the CAS number of an item; the next `gets` gives it another.

use bytes::Bytes;
use item::{INLINE_VALUE_BYTES_MAX, Key};
use l1::{Put, Value};
use protocol::{Arg, Reply};

use super::detail::Event;
use super::number::{self, Deadline};
use super::{Ask, Failure, Verb};
use crate::cache::Cache;
use crate::commands::strings::value_of;
use crate::shard::Change;

/// Place of the CAS number among the words.
const CAS_WORD: usize = 5;

/// What the line of a storage command says beside the size.
pub(super) struct Line<'a> {
    key: Key<'a>,
    flags: u32,
    deadline: Deadline,
    /// The number that `cas` asks for.
    cas: Option<u64>,
}

impl<'a> Line<'a> {
    /// Reads the words. Those that come too many are ignored, as memcached does.
    #[inline]
    pub fn read(ask: &Ask<'a>, now_ms: u64) -> Result<Line<'a>, Failure> {
        let key = ask.key()?;
        let flags = ask.word(2).and_then(number::flags).ok_or(Failure::FORMAT)?;
        let exptime = ask.word(3).and_then(number::exptime).ok_or(Failure::FORMAT)?;
        let cas = match ask.verb {
            Verb::Cas => Some(ask.word(CAS_WORD).and_then(number::unsigned).ok_or(Failure::FORMAT)?),
            _ => None,
        };
        Ok(Line { key, flags, deadline: Deadline::of(exptime, now_ms), cas })
    }
}

#[inline]
pub(super) fn set(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let line = Line::read(ask, cache.now.unix_ms)?;
    put(cache, ask, &line)?;
    reply.memcache_line(b"STORED");
    Ok(())
}

pub(super) fn store_if(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let line = Line::read(ask, cache.now.unix_ms)?;
    let now_ms = cache.now.unix_ms;
    // An item that `add` finds has been used; so memcached sees it.
    let found = cache.shards.get(&line.key, now_ms).is_some().then(|| cache.shards.cas(&line.key, now_ms));
    let answer: &[u8] = match (line.cas, found) {
        (Some(_), None) => b"NOT_FOUND",
        (Some(wanted), Some(cas)) if cas != Some(wanted) => b"EXISTS",
        (Some(_), Some(_)) => b"STORED",
        (None, found) if found.is_some() == (ask.verb == Verb::Replace) => b"STORED",
        (None, _) => b"NOT_STORED",
    };
    let counters = &mut cache.memcache.counters;
    match (line.cas, answer) {
        (None, _) => {}
        (Some(_), b"NOT_FOUND") => counters.cas_misses += 1,
        (Some(_), b"EXISTS") => counters.cas_bad_values += 1,
        (Some(_), _) => counters.cas_hits += 1,
    }
    if answer == b"STORED" {
        put(cache, ask, &line)?;
    } else {
        count(cache, &line.key);
    }
    reply.memcache_line(answer);
    Ok(())
}

/// append and prepend: flags and deadline stay those of the item.
pub(super) fn extend(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let line = Line::read(ask, cache.now.unix_ms)?;
    count(cache, &line.key);
    let key = line.key;
    let added = value(ask);
    let Some(item) = cache.shards.get(&key, cache.now.unix_ms) else {
        reply.memcache_line(b"NOT_STORED");
        return Ok(());
    };
    let (expires_at_ms, flags) = (item.expires_at_ms, item.flags);
    let (old, new) = (item.value.bytes(), added.bytes());
    let (head, tail) = if ask.verb == Verb::Append { (old, new) } else { (new, old) };
    let length = head.len() + tail.len();
    if key.bytes.len() + length > cache.in_force.item_bytes_max {
        reply.memcache_line(b"NOT_STORED");
        return Ok(());
    }
    let value = if length > INLINE_VALUE_BYTES_MAX {
        let mut whole = Vec::with_capacity(length);
        whole.extend_from_slice(head);
        whole.extend_from_slice(tail);
        Value::Large(Bytes::from(whole))
    } else {
        cache.scratch.clear();
        cache.scratch.extend_from_slice(head);
        cache.scratch.extend_from_slice(tail);
        Value::Inline(&cache.scratch)
    };
    let put = Put { value, expires_at_ms, flags };
    let stored = cache.shards.commit(Change::Put { key, put }, &mut cache.statistics);
    stored.map_err(|_| Failure::NO_ROOM_TO_STORE)?;
    cache.memcache.counters.items_stored += 1;
    reply.memcache_line(b"STORED");
    Ok(())
}

/// A value that was not taken: what a `set` would have replaced is stale and goes.
#[cold]
pub(super) fn too_large(cache: &mut Cache, ask: &Ask<'_>, line: &Line<'_>, failure: Failure) -> Failure {
    let counters = &mut cache.memcache.counters;
    match failure.line == Failure::TOO_LARGE.line {
        true => counters.stores_too_large += 1,
        false => counters.stores_without_room += 1,
    }
    if ask.verb == Verb::Set {
        // A removal is never refused.
        let _ = cache.commit(Change::Remove { key: line.key });
    }
    failure
}

/// A value that has come, and is not closed by CRLF.
#[cold]
pub(super) fn bad_chunk(cache: &mut Cache, line: &Line<'_>) -> Failure {
    count(cache, &line.key);
    Failure::new("CLIENT_ERROR bad data chunk")
}

/// Stores the value of `ask`, or nothing if its deadline has passed.
#[inline]
fn put(cache: &mut Cache, ask: &Ask<'_>, line: &Line<'_>) -> Result<(), Failure> {
    let key = line.key;
    let put = |expires_at_ms| {
        let put = Put { value: value_of(value(ask)), expires_at_ms, flags: line.flags };
        Change::Put { key, put }
    };
    let change = match line.deadline {
        Deadline::Never => put(None),
        Deadline::AtMs(at_ms) => put(Some(at_ms)),
        Deadline::Past => Change::Remove { key },
    };
    if cache.commit(change).is_err() {
        return Err(too_large(cache, ask, line, Failure::NO_ROOM_TO_STORE));
    }
    cache.memcache.counters.items_stored += 1;
    count(cache, &key);
    Ok(())
}

#[inline]
fn count(cache: &mut Cache, key: &Key<'_>) {
    cache.memcache.counters.set_commands += 1;
    if cache.memcache.is_detailed {
        cache.memcache.detail.note(key.bytes, Event::Set);
    }
}

#[inline]
fn value<'a>(ask: &Ask<'a>) -> Arg<'a> {
    ask.value.expect("a storage command without its value is refused before")
}
