//! Keys: delete, touch.

use item::Key;
use protocol::Reply;

use super::detail::Event;
use super::number::{self, Deadline};
use super::{Ask, Failure};
use crate::cache::Cache;
use crate::shard::Change;

pub(super) fn delete(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let key = ask.key()?;
    // What has expired and was not removed yet is gone already.
    let exists = cache.shards.peek(&key, cache.now.unix_ms).is_some();
    // A removal is never refused.
    let _ = cache.commit(Change::Remove { key });
    let counters = &mut cache.memcache.counters;
    counters.delete_hits += u64::from(exists);
    counters.delete_misses += u64::from(!exists);
    if cache.memcache.is_detailed {
        cache.memcache.detail.note(key.bytes, Event::Delete);
    }
    reply.memcache_line(if exists { b"DELETED" } else { b"NOT_FOUND" });
    Ok(())
}

pub(super) fn touch(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let key = ask.key()?;
    let exptime = ask.word(2).and_then(number::exptime).ok_or(Failure::EXPTIME)?;
    let deadline = Deadline::of(exptime, cache.now.unix_ms);
    let exists = cache.shards.get(&key, cache.now.unix_ms).is_some();
    if exists {
        set_deadline(cache, &key, deadline)?;
    }
    let counters = &mut cache.memcache.counters;
    counters.touch_commands += 1;
    counters.touch_hits += u64::from(exists);
    reply.memcache_line(if exists { b"TOUCHED" } else { b"NOT_FOUND" });
    Ok(())
}

/// Gives an item that exists another deadline; its CAS number stays.
pub(super) fn set_deadline(cache: &mut Cache, key: &Key<'_>, deadline: Deadline) -> Result<(), Failure> {
    let change = match deadline {
        Deadline::Never => Change::Expire { key: *key, at_ms: None },
        Deadline::AtMs(at_ms) => Change::Expire { key: *key, at_ms: Some(at_ms) },
        Deadline::Past => Change::Remove { key: *key },
    };
    cache.commit(change).map(|_| ()).map_err(|_| Failure::NO_ROOM_TO_STORE)
}
