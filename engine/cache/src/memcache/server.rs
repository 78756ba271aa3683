//! The server as a whole: flush_all, version, verbosity, cache_memlimit.

use protocol::Reply;

use super::number::Deadline;
use super::{Ask, DATABASE, Failure, VERSION, number};
use crate::cache::Cache;

/// The highest level that `verbosity` keeps.
const VERBOSITY_MAX: u64 = 3;

/// The smallest limit that memcached lets anybody ask for, in MiB.
const MEMORY_MIB_MIN: u64 = 8;

/// From here on somebody has written bytes.
const MEMORY_MIB_MAX: u64 = 1_000_000_000;

/// Empties the database, now or at a time to come; the last command holds.
pub(super) fn flush_all(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    cache.memcache.counters.flush_commands += 1;
    let given = ask.words.len() != if ask.is_silent() { 2 } else { 1 };
    let exptime = match given {
        true => ask.word(1).and_then(number::exptime).ok_or(Failure::EXPTIME)?,
        false => 0,
    };
    cache.memcache.flush_at_ms = match Deadline::of(exptime, cache.now.unix_ms) {
        Deadline::AtMs(at_ms) => Some(at_ms),
        Deadline::Never | Deadline::Past => {
            cache.shards.clear(DATABASE);
            None
        }
    };
    reply.memcache_line(b"OK");
    Ok(())
}

impl Cache {
    /// Empties the database if a delayed `flush_all` says so. What was stored since the command goes, too.
    #[inline]
    pub(crate) fn flush_if_due(&mut self) {
        if self.memcache.flush_at_ms.is_some_and(|at_ms| at_ms <= self.now.unix_ms) {
            self.memcache.flush_at_ms = None;
            self.shards.clear(DATABASE);
        }
    }
}

pub(super) fn version(reply: &mut Reply<'_>) -> Result<(), Failure> {
    reply.memcache_line(format!("VERSION {VERSION}").as_bytes());
    Ok(())
}

/// Kept and told by `stats settings`; what is logged is the setting `loglevel`'s.
pub(super) fn verbosity(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let level = ask.word(1).and_then(number::unsigned).filter(|&level| level <= u64::from(u32::MAX));
    cache.memcache.verbosity = level.ok_or(Failure::FORMAT)?.min(VERBOSITY_MAX);
    reply.memcache_line(b"OK");
    Ok(())
}

/// Sets `maxmemory`, within the bounds of that setting.
pub(super) fn cache_memlimit(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let mib = ask.word(1).and_then(number::unsigned).filter(|&mib| mib <= u64::from(u32::MAX));
    let mib = mib.ok_or(Failure::UNKNOWN)?;
    let answer: &[u8] = if mib < MEMORY_MIB_MIN {
        b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"
    } else if mib > MEMORY_MIB_MAX {
        b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"
    } else if cache.config.set(&[("maxmemory", &(mib << 20).to_string())]).is_err() {
        b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"
    } else {
        cache.config_changed = true;
        cache.obey_settings();
        b"OK"
    };
    reply.memcache_line(answer);
    Ok(())
}

/// There are no slabs to move memory between: what is asked for is off, and stays so.
pub(super) fn slabs(ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    match ask.word(1) {
        Some(b"reassign") => Err(Failure::new("CLIENT_ERROR slab reassignment disabled")),
        Some(b"automove") => match ask.word(2).and_then(number::unsigned).ok_or(Failure::FORMAT)? {
            0 => {
                reply.memcache_line(b"OK");
                Ok(())
            }
            _ => Err(Failure::UNKNOWN),
        },
        Some(_) | None => Err(Failure::UNKNOWN),
    }
}
