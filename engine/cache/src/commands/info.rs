//! INFO: the state of the server in Redis's sections and field names.
//!
//! Fields that monitoring tools read are there even where Pinion has no such thing (no persistence, no replicas); then
//! they say what a Redis without it says.

use std::fmt::{self, Write};

use protocol::Reply;

use crate::cache::Cache;
use crate::call::Call;
use crate::clients::DATABASE_COUNT;
use crate::facts::{PINION_VERSION, REDIS_VERSION};
use crate::spec::{Spec, category, flag};
use crate::table::Command;

pub(crate) const INFO: Spec = Spec {
    name: "info",
    arity: -1,
    flags: flag::LOADING | flag::STALE,
    categories: category::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    summary: "Answers the state of the server, all of it or the sections named.",
    ..Spec::PLAIN
};

type Print = fn(&Cache, &mut String) -> fmt::Result;

struct Section {
    name: &'static str,
    title: &'static str,
    /// Printed when no section is named.
    by_default: bool,
    print: Print,
}

const fn section(name: &'static str, title: &'static str, by_default: bool, print: Print) -> Section {
    Section { name, title, by_default, print }
}

const SECTIONS: &[Section] = &[
    section("server", "Server", true, server),
    section("clients", "Clients", true, clients),
    section("memory", "Memory", true, memory),
    section("persistence", "Persistence", true, persistence),
    section("stats", "Stats", true, stats),
    section("replication", "Replication", true, replication),
    section("cpu", "CPU", true, cpu),
    section("commandstats", "Commandstats", false, commandstats),
    section("errorstats", "Errorstats", true, errorstats),
    section("cluster", "Cluster", true, cluster),
    section("keyspace", "Keyspace", true, keyspace),
];

pub(crate) fn info(cache: &mut Cache, call: Call<'_>, reply: &mut Reply<'_>) {
    let named = |name: &str| call.args_from(1).iter().any(|arg| arg.bytes().eq_ignore_ascii_case(name.as_bytes()));
    let all = named("all") || named("everything");
    let default = call.len() == 1 || named("default");
    let mut text = String::new();
    for section in SECTIONS {
        if all || named(section.name) || default && section.by_default {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            write!(text, "# {}\r\n", section.title).expect("writing to a string succeeds");
            (section.print)(cache, &mut text).expect("writing to a string succeeds");
        }
    }
    reply.verbatim("txt", &text);
}

/// Writes `name:value` lines.
macro_rules! fields {
    ($text:expr, $($name:literal: $value:expr),* $(,)?) => {
        $(write!($text, concat!($name, ":{}\r\n"), $value)?;)*
    };
}

fn server(cache: &Cache, text: &mut String) -> fmt::Result {
    let facts = &cache.facts;
    let uptime_seconds = cache.now.mono_us.saturating_sub(facts.started_us) / 1_000_000;
    fields!(text,
        "redis_version": REDIS_VERSION,
        "pinion_version": PINION_VERSION,
        "redis_mode": "standalone",
        "os": facts.os,
        "arch_bits": usize::BITS,
        "multiplexing_api": "io_uring",
        "process_id": facts.process_id,
        "run_id": facts.run_id,
        "tcp_port": facts.tcp_port,
        "server_time_usec": cache.now.unix_ms * 1000,
        "uptime_in_seconds": uptime_seconds,
        "uptime_in_days": uptime_seconds / 86_400,
        "executable": facts.executable,
        "config_file": facts.config_file,
    );
    Ok(())
}

fn clients(cache: &Cache, text: &mut String) -> fmt::Result {
    fields!(text,
        "connected_clients": cache.client_count(),
        "cluster_connections": 0,
        "maxclients": cache.facts.clients_max,
        "blocked_clients": 0,
        "tracking_clients": 0,
        "clients_in_timeout_table": 0,
    );
    Ok(())
}

fn memory(cache: &Cache, text: &mut String) -> fmt::Result {
    let usage = cache.usage();
    let used = cache.shards.memory().accounted_bytes();
    let rss = cache.facts.rss_bytes;
    let fragmentation = if used > 0 { rss as f64 / used as f64 } else { 0.0 };
    fields!(text,
        "used_memory": used,
        "used_memory_human": Human(used),
        "used_memory_rss": rss,
        "used_memory_rss_human": Human(rss),
        "used_memory_dataset": usage.live_bytes + usage.heap_bytes,
        "total_system_memory": cache.facts.host_memory_bytes,
        "total_system_memory_human": Human(cache.facts.host_memory_bytes),
        "maxmemory": cache.in_force.memory_bytes_max,
        "maxmemory_human": Human(cache.in_force.memory_bytes_max),
        "maxmemory_policy": cache.in_force.policy.name(),
        "mem_fragmentation_ratio": format_args!("{fragmentation:.2}"),
        "mem_allocator": "pinion-log",
        "pinion_live_bytes": usage.live_bytes,
        "pinion_dead_bytes": usage.dead_bytes,
        "pinion_heap_bytes": usage.heap_bytes,
        "pinion_index_bytes": usage.index_bytes,
        "pinion_wheel_bytes": usage.wheel_bytes,
        "pinion_ghost_bytes": usage.ghost_bytes,
        "pinion_other_bytes": usage.other_bytes,
        "pinion_effective_limit_bytes": usage.effective_limit_bytes,
        "pinion_segment_bytes": usage.segment_bytes,
        "pinion_segments_used": usage.segments_used,
        "pinion_segments_allowed": usage.segments_allowed,
    );
    Ok(())
}

fn persistence(_: &Cache, text: &mut String) -> fmt::Result {
    fields!(text,
        "loading": 0,
        "rdb_changes_since_last_save": 0,
        "rdb_bgsave_in_progress": 0,
        "rdb_last_save_time": 0,
        "rdb_last_bgsave_status": "ok",
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
    );
    Ok(())
}

fn stats(cache: &Cache, text: &mut String) -> fmt::Result {
    let (facts, statistics) = (&cache.facts, &cache.statistics);
    let reclaim = cache.usage().statistics;
    let lag = cache.shards.expiry_lag();
    fields!(text,
        "total_connections_received": facts.connections_received,
        "total_commands_processed": statistics.commands_processed(),
        "total_net_input_bytes": facts.net_input_bytes,
        "total_net_output_bytes": facts.net_output_bytes,
        "rejected_connections": facts.connections_rejected,
        "expired_keys": statistics.expired_keys,
        "evicted_keys": statistics.evicted_keys,
        "evicted_clients": 0,
        "keyspace_hits": statistics.keyspace_hits,
        "keyspace_misses": statistics.keyspace_misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "total_error_replies": statistics.error_replies(),
        "client_query_buffer_limit_disconnections": facts.protocol_errors,
        "pinion_expiry_lag_p50_ms": lag.quantile_ms(0.5),
        "pinion_expiry_lag_p99_ms": lag.quantile_ms(0.99),
        "pinion_compacted_items": reclaim.compacted_items,
        "pinion_kept_items": reclaim.kept_items,
        "pinion_reclaim_stalls": reclaim.stalls,
        "client_output_buffer_limit_disconnections": facts.output_limit_disconnections,
    );
    Ok(())
}

fn replication(_: &Cache, text: &mut String) -> fmt::Result {
    fields!(text, "role": "master", "connected_slaves": 0, "master_repl_offset": 0);
    Ok(())
}

fn cpu(cache: &Cache, text: &mut String) -> fmt::Result {
    let seconds = |us: u64| us as f64 / 1e6;
    fields!(text,
        "used_cpu_sys": format_args!("{:.6}", seconds(cache.facts.cpu_system_us)),
        "used_cpu_user": format_args!("{:.6}", seconds(cache.facts.cpu_user_us)),
    );
    Ok(())
}

/// Times are not measured: a clock read per command would cost more than most commands. The fields are there for
/// parsers.
fn commandstats(cache: &Cache, text: &mut String) -> fmt::Result {
    let statistics = &cache.statistics;
    for command in Command::all() {
        let i = command.index();
        let (calls, rejected, failed) = (statistics.calls[i], statistics.rejected[i], statistics.failed[i]);
        if calls + rejected > 0 {
            write!(text, "cmdstat_{}:calls={calls},usec=0,usec_per_call=0.00,", command.name())?;
            write!(text, "rejected_calls={rejected},failed_calls={failed}\r\n")?;
        }
    }
    Ok(())
}

fn errorstats(cache: &Cache, text: &mut String) -> fmt::Result {
    for (code, count) in &cache.statistics.errors {
        write!(text, "errorstat_{code}:count={count}\r\n")?;
    }
    Ok(())
}

fn cluster(_: &Cache, text: &mut String) -> fmt::Result {
    fields!(text, "cluster_enabled": 0);
    Ok(())
}

fn keyspace(cache: &Cache, text: &mut String) -> fmt::Result {
    for database in 0..DATABASE_COUNT {
        let keyspace = cache.shards.keyspace(database);
        let (keys, volatile) = (cache.shards.len(keyspace), cache.shards.volatile_len(keyspace));
        if keys > 0 {
            write!(text, "db{database}:keys={keys},expires={volatile},avg_ttl=0\r\n")?;
        }
    }
    Ok(())
}

/// A size as Redis prints it for people: `1.50M`.
struct Human(u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        for (unit, shift) in UNITS {
            if self.0 >> shift > 0 {
                return write!(f, "{:.2}{unit}", self.0 as f64 / (1u64 << shift) as f64);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn sections_are_chosen_by_name() {
        let mut rig = Rig::new();
        let titles = |rig: &mut Rig, command: &str| rig.run(command).matches("# ").count();
        assert_eq!(titles(&mut rig, "INFO"), 10);
        assert_eq!(titles(&mut rig, "INFO default"), 10);
        assert_eq!(titles(&mut rig, "INFO all"), 11);
        assert_eq!(titles(&mut rig, "INFO everything"), 11);
        assert_eq!(titles(&mut rig, "INFO server CLIENTS"), 2);
        assert_eq!(titles(&mut rig, "INFO default commandstats"), 11);
        assert_eq!(titles(&mut rig, "INFO nothing"), 0);
    }

    #[test]
    fn what_happened_is_counted() {
        let mut rig = Rig::new();
        rig.check(&[
            ("SET k v EX 100", "+OK"),
            ("GET k", "'v'"),
            ("GET none", "nil"),
            ("SELECT 2", "+OK"),
            ("INCR n", ":1"),
            ("INCR n x", "-ERR wrong number of arguments for 'incr' command"),
            ("SET n x EX x", "-ERR value is not an integer or out of range"),
            ("FOO", "..."),
        ]);
        let text = rig.run("INFO everything");
        for line in [
            "redis_version:7.4.0\r\n",
            "connected_clients:1\r\n",
            "maxmemory:67108864\r\n",
            "maxmemory_human:64.00M\r\n",
            "maxmemory_policy:allkeys-s3fifo\r\n",
            "keyspace_hits:1\r\n",
            "keyspace_misses:1\r\n",
            "total_error_replies:3\r\n",
            "errorstat_ERR:count=3\r\n",
            "cmdstat_set:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1\r\n",
            "cmdstat_incr:calls=1,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n",
            "db0:keys=1,expires=1,avg_ttl=0\r\n",
            "db2:keys=1,expires=0,avg_ttl=0\r\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn sizes_for_people_are_short() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (64 << 20, "64.00M"), (3 << 30, "3.00G")] {
            assert_eq!(Human(bytes).to_string(), text);
        }
    }
}
