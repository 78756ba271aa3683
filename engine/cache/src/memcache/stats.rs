//! Statistics: `stats` and its reports.
//!
//! What memcached reports of slabs, LRU lists and threads has no counterpart here and is not made up. Where a report is
//! by slab class, all items are in class 1.

use std::fmt::Display;

use protocol::Reply;

use super::{Ask, DATABASE, Failure, VERSION};
use crate::cache::Cache;
use crate::facts::PINION_VERSION;

/// Writes `STAT name value` for each pair.
macro_rules! stats {
    ($reply:expr, $($name:literal: $value:expr),+ $(,)?) => {{ $( stat($reply, $name, $value); )+ }};
}

pub(super) fn stats(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    match ask.word(1) {
        None => general(cache, reply),
        Some(b"reset") => return reset(cache, reply),
        Some(b"detail") => return detail(cache, ask.word(2), reply),
        Some(b"settings") => settings(cache, reply),
        Some(b"items") => items(cache, reply),
        Some(b"slabs") => slabs(cache, reply),
        // memcached keeps a histogram of sizes only when it was started so.
        Some(b"sizes") => stat(reply, "sizes_status", "disabled"),
        Some(b"conns") => connections(cache, reply),
        // Keys are walked by SCAN.
        Some(b"cachedump") => return Err(Failure::new("CLIENT_ERROR stats cachedump not allowed")),
        Some(_) => return Err(Failure::UNKNOWN),
    }
    reply.memcache_line(b"END");
    Ok(())
}

fn stat(reply: &mut Reply<'_>, name: &str, value: impl Display) {
    reply.memcache_stat(name, &value.to_string());
}

fn general(cache: &Cache, reply: &mut Reply<'_>) {
    process(cache, reply);
    commands(cache, reply);
    let (facts, usage) = (&cache.facts, cache.usage());
    let reclaim = usage.statistics;
    stats!(reply,
        "bytes_read": facts.net_input_bytes,
        "bytes_written": facts.net_output_bytes,
        "limit_maxbytes": usage.limit_bytes,
        "accepting_conns": 1,
        "threads": 1,
        "hash_bytes": usage.index_bytes,
        "bytes": usage.live_bytes + usage.heap_bytes,
        "curr_items": cache.shards.len(cache.shards.keyspace(DATABASE)),
        "total_items": cache.memcache.counters.items_stored,
        "evictions": cache.statistics.evicted_keys,
        "reclaimed": cache.statistics.expired_keys,
        "pinion_compacted_items": reclaim.compacted_items,
        "pinion_kept_items": reclaim.kept_items,
    );
}

fn process(cache: &Cache, reply: &mut Reply<'_>) {
    let facts = &cache.facts;
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    stats!(reply,
        "pid": facts.process_id,
        "uptime": cache.now.mono_us.saturating_sub(facts.started_us) / 1_000_000,
        "time": cache.now.unix_ms / 1000,
        "version": VERSION,
        "pinion_version": PINION_VERSION,
        "pointer_size": usize::BITS,
        "rusage_user": seconds(facts.cpu_user_us),
        "rusage_system": seconds(facts.cpu_system_us),
        "max_connections": facts.clients_max,
        "curr_connections": cache.client_count(),
        "total_connections": facts.connections_received,
        "rejected_connections": facts.connections_rejected,
    );
}

fn commands(cache: &Cache, reply: &mut Reply<'_>) {
    let counters = &cache.memcache.counters;
    stats!(reply,
        "cmd_get": counters.get_commands,
        "cmd_set": counters.set_commands,
        "cmd_flush": counters.flush_commands,
        "cmd_touch": counters.touch_commands,
        "get_hits": counters.get_hits,
        "get_misses": counters.get_commands - counters.get_hits,
        "delete_misses": counters.delete_misses,
        "delete_hits": counters.delete_hits,
        "incr_misses": counters.incr_misses,
        "incr_hits": counters.incr_hits,
        "decr_misses": counters.decr_misses,
        "decr_hits": counters.decr_hits,
        "cas_misses": counters.cas_misses,
        "cas_hits": counters.cas_hits,
        "cas_badval": counters.cas_bad_values,
        "touch_hits": counters.touch_hits,
        "touch_misses": counters.touch_commands - counters.touch_hits,
        "store_too_large": counters.stores_too_large,
        "store_no_memory": counters.stores_without_room,
        "auth_cmds": counters.auth_commands,
        "auth_errors": counters.auth_errors,
    );
}

fn settings(cache: &Cache, reply: &mut Reply<'_>) {
    let setting = |name: &str| cache.config.get(name).unwrap_or_default();
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
    let unix = setting("memcached-unixsocket");
    stats!(reply,
        "maxbytes": cache.usage().limit_bytes,
        "maxconns": setting("maxclients"),
        "tcpport": setting("memcached-port"),
        "udpport": 0,
        "inter": setting("bind"),
        "verbosity": cache.memcache.verbosity,
        "evictions": if setting("maxmemory-policy") == "noeviction" { "off" } else { "on" },
        "domain_socket": if unix.is_empty() { "NULL" } else { &unix },
        "umask": setting("unixsocketperm"),
        "shutdown_command": "no",
        "num_threads": 1,
        "stat_key_prefix": ':',
        "detail_enabled": yes_or_no(cache.memcache.is_detailed),
        "cas_enabled": "yes",
        "tcp_backlog": setting("tcp-backlog"),
        "binding_protocol": "ascii",
        "auth_enabled_sasl": "no",
        "auth_enabled_ascii": yes_or_no(cache.in_force.password.is_some()),
        "item_size_max": setting("memcached-item-size-max"),
        "flush_enabled": "yes",
        "dump_enabled": "no",
        "idle_timeout": setting("timeout"),
        "track_sizes": "no",
        "client_flags_size": size_of::<u32>(),
    );
}

fn items(cache: &Cache, reply: &mut Reply<'_>) {
    let usage = cache.usage();
    let count = cache.shards.len(cache.shards.keyspace(DATABASE));
    if count == 0 {
        return;
    }
    stats!(reply,
        "items:1:number": count,
        "items:1:mem_requested": usage.live_bytes + usage.heap_bytes,
        "items:1:evicted": cache.statistics.evicted_keys,
        "items:1:outofmemory": cache.memcache.counters.stores_without_room,
        "items:1:reclaimed": cache.statistics.expired_keys,
    );
}

fn slabs(cache: &Cache, reply: &mut Reply<'_>) {
    let (usage, counters) = (cache.usage(), &cache.memcache.counters);
    let items = cache.shards.len(cache.shards.keyspace(DATABASE));
    // A page is a segment, a chunk a record, which is as long as its item.
    stats!(reply,
        "1:total_pages": usage.segments_used,
        "1:total_chunks": items,
        "1:used_chunks": items,
        "1:free_chunks": 0,
        "1:mem_requested": usage.live_bytes + usage.heap_bytes,
        "1:get_hits": counters.get_hits,
        "1:cmd_set": counters.set_commands,
        "1:delete_hits": counters.delete_hits,
        "1:incr_hits": counters.incr_hits,
        "1:decr_hits": counters.decr_hits,
        "1:cas_hits": counters.cas_hits,
        "1:cas_badval": counters.cas_bad_values,
        "1:touch_hits": counters.touch_hits,
        "active_slabs": 1,
        "total_malloced": usage.segments_used * usage.segment_bytes + usage.heap_bytes,
    );
}

fn connections(cache: &Cache, reply: &mut Reply<'_>) {
    for session in cache.clients.in_order() {
        let origin = session.origin();
        let (fd, is_unix) = (origin.fd, origin.address.starts_with('/'));
        let kind = if is_unix { "unix" } else { "tcp" };
        let idle_us = cache.now.mono_us.saturating_sub(session.active_us());
        stat(reply, &format!("{fd}:addr"), format_args!("{kind}:{}", origin.address));
        stat(reply, &format!("{fd}:listen_addr"), format_args!("{kind}:{}", origin.local_address));
        stat(reply, &format!("{fd}:state"), if idle_us == 0 { "conn_parse_cmd" } else { "conn_read" });
        stat(reply, &format!("{fd}:secs_since_last_cmd"), idle_us / 1_000_000);
    }
}

fn reset(cache: &mut Cache, reply: &mut Reply<'_>) -> Result<(), Failure> {
    cache.memcache.counters = super::state::Counters::default();
    cache.memcache.detail.clear();
    reply.memcache_line(b"RESET");
    Ok(())
}

fn detail(cache: &mut Cache, what: Option<&[u8]>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    match what {
        Some(b"on") => {
            cache.memcache.is_detailed = true;
            reply.memcache_line(b"OK");
        }
        Some(b"off") => {
            cache.memcache.is_detailed = false;
            reply.memcache_line(b"OK");
        }
        Some(b"dump") => {
            cache.memcache.detail.for_each_line(|line| reply.memcache_line(line));
            reply.memcache_line(b"END");
        }
        Some(_) | None => return Err(Failure::new("CLIENT_ERROR usage: stats detail on|off|dump")),
    }
    Ok(())
}
