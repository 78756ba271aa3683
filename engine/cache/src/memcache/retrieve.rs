//! Retrieval: get, gets, gat, gats.
//!
//! The keys of one request are looked up in groups whose cache misses overlap: all index lines of a group are
//! requested, then all records, then the answers are written.

use item::{Key, Place};
use l1::{Item, Stored};
use protocol::memcache::KEY_BYTES_MAX;
use protocol::{Arg, Reply};

use super::detail::Event;
use super::number::{self, Deadline};
use super::{Ask, Failure};
use crate::cache::Cache;
use crate::shard::Change;

/// Keys that are looked up together; see the server's batch.
const KEYS_PER_GROUP: usize = 16;

pub(super) fn get(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    for_each_key(cache, ask, 1, |cache, key| {
        let item = cache.read(key);
        let is_hit = item.is_some();
        if let Some(item) = item {
            write(reply, key.bytes, &item, None);
        }
        count(cache, key, is_hit);
        if reply.is_over_limit() { Err(Failure::NO_ROOM_TO_ANSWER) } else { Ok(()) }
    })?;
    reply.memcache_line(b"END");
    Ok(())
}

pub(super) fn gets(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    for_each_key(cache, ask, 1, |cache, key| {
        let is_hit = answer_numbered(cache, key, reply)?;
        count(cache, key, is_hit);
        Ok(())
    })?;
    reply.memcache_line(b"END");
    Ok(())
}

pub(super) fn get_and_touch(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let exptime = ask.word(1).and_then(number::exptime).ok_or(Failure::EXPTIME)?;
    let deadline = Deadline::of(exptime, cache.now.unix_ms);
    let with_cas = ask.verb == super::Verb::Gats;
    for_each_key(cache, ask, 2, |cache, key| {
        let is_hit = if with_cas { answer_numbered(cache, key, reply)? } else { answer(cache, key, reply)? };
        if is_hit {
            // A later deadline may need room; without it the old one stays, and the value was answered.
            super::keys::set_deadline(cache, key, deadline)?;
        }
        let counters = &mut cache.memcache.counters;
        counters.touch_commands += 1;
        counters.touch_hits += u64::from(is_hit);
        Ok(())
    })?;
    reply.memcache_line(b"END");
    Ok(())
}

/// Writes the value of `key`, if there is one.
fn answer(cache: &mut Cache, key: &Key<'_>, reply: &mut Reply<'_>) -> Result<bool, Failure> {
    let Some(item) = cache.read(key) else { return Ok(false) };
    write(reply, key.bytes, &item, None);
    if reply.is_over_limit() { Err(Failure::NO_ROOM_TO_ANSWER) } else { Ok(true) }
}

/// Writes the value of `key` with its CAS number, which it is given now if it has none.
fn answer_numbered(cache: &mut Cache, key: &Key<'_>, reply: &mut Reply<'_>) -> Result<bool, Failure> {
    let cas = cache.shards.cas(key, cache.now.unix_ms);
    let Some(item) = cache.read(key) else { return Ok(false) };
    match cas {
        Some(cas) => write(reply, key.bytes, &item, Some(cas)),
        None => {
            let cas = cache.memcache.next_cas();
            cache.commit(Change::Number { key: *key, cas }).map_err(|_| Failure::NO_ROOM_TO_ANSWER)?;
            // To make room may have cost this very item.
            let Some(item) = cache.shards.peek(key, cache.now.unix_ms) else { return Ok(false) };
            write(reply, key.bytes, &item, Some(cas));
        }
    }
    if reply.is_over_limit() { Err(Failure::NO_ROOM_TO_ANSWER) } else { Ok(true) }
}

/// The one place where an item becomes an answer: an item that is no string would be refused here.
#[inline]
fn write(reply: &mut Reply<'_>, key: &[u8], item: &Item<'_>, cas: Option<u64>) {
    match item.value {
        Stored::Inline(value) => reply.memcache_value(key, item.flags, cas, value),
        Stored::Large(value) => reply.memcache_large(key, item.flags, cas, value),
    }
}

#[inline]
fn count(cache: &mut Cache, key: &Key<'_>, is_hit: bool) {
    let counters = &mut cache.memcache.counters;
    counters.get_commands += 1;
    counters.get_hits += u64::from(is_hit);
    if cache.memcache.is_detailed {
        cache.memcache.detail.note(key.bytes, Event::Get { is_hit });
    }
}

/// Calls `each` with every word from `first` on as a key.
#[inline]
fn for_each_key<'a>(
    cache: &mut Cache,
    ask: &Ask<'a>,
    first: usize,
    mut each: impl FnMut(&mut Cache, &Key<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if ask.words.len() == first + 1 {
        // Its record was fetched with the batch.
        return each(cache, &ask.key()?);
    }
    for group in ask.words[first..].chunks(KEYS_PER_GROUP) {
        in_group(cache, ask, group, &mut each)?;
    }
    Ok(())
}

fn in_group<'a>(
    cache: &mut Cache,
    ask: &Ask<'a>,
    group: &[Arg<'a>],
    each: &mut impl FnMut(&mut Cache, &Key<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut places = [Place { slot: 0, hash: 0 }; KEYS_PER_GROUP];
    let places = &mut places[..group.len()];
    for (place, word) in places.iter_mut().zip(group) {
        if word.bytes().len() > KEY_BYTES_MAX {
            return Err(Failure::FORMAT);
        }
        *place = cache.shards.place(word.bytes());
        cache.shards.prefetch_slot(ask.keyspace, *place);
    }
    cache.shards.prefetch_all(ask.keyspace, places);
    for (place, word) in places.iter().zip(group) {
        each(cache, &Key { keyspace: ask.keyspace, place: *place, bytes: word.bytes() })?;
    }
    Ok(())
}
