//! INFO: the state of the server in Redis's sections and field names.
//!
//! Fields that monitoring tools read are there even where Pinion has no such thing (no persistence, no replicas); then
//! they say what a Redis without it says.

use std::fmt::{self, Write};

use protocol::Reply;

use crate::cache::Cache;
use crate::call::Call;
use crate::clients::{DATABASE_COUNT, Session};
use crate::facts::{PINION_VERSION, REDIS_VERSION};
use crate::rates::Rate;
use crate::spec::{Spec, category, flag};
use crate::table::Command;

pub(crate) const INFO: Spec = Spec {
    name: "info",
    arity: -1,
    syntax: "[section [section ...]]",
    flags: flag::LOADING | flag::STALE | flag::BARRIER,
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
    section("modules", "Modules", true, modules),
    section("commandstats", "Commandstats", false, commandstats),
    section("errorstats", "Errorstats", true, errorstats),
    section("latencystats", "Latencystats", false, latencystats),
    section("cluster", "Cluster", true, cluster),
    section("keyspace", "Keyspace", true, keyspace),
    section("tick", "Tick", false, tick),
];

pub(crate) fn info(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
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
    let hz = cache.config.get("hz").unwrap_or_default();
    let uptime_seconds = cache.now.mono_us.saturating_sub(facts.started_us) / 1_000_000;
    fields!(text,
        "redis_version": REDIS_VERSION,
        "pinion_version": PINION_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": 0,
        "redis_mode": "standalone",
        "os": facts.os,
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "io_uring",
        "process_id": facts.process_id,
        "run_id": facts.run_id,
        "tcp_port": facts.tcp_port,
        "server_time_usec": cache.now.unix_ms * 1000,
        "uptime_in_seconds": uptime_seconds,
        "uptime_in_days": uptime_seconds / 86_400,
        "hz": hz,
        "configured_hz": hz,
        // Seconds in the 24 bits of Redis's clock of last uses.
        "lru_clock": (cache.now.unix_ms / 1000) & 0xFF_FFFF,
        "executable": facts.executable,
        "config_file": facts.config_file,
        "io_threads_active": 0,
    );
    Ok(())
}

fn clients(cache: &Cache, text: &mut String) -> fmt::Result {
    let count = |is: fn(&Session) -> bool| cache.clients.iter().filter(|(_, session)| is(session)).count();
    fields!(text,
        "connected_clients": cache.client_count(),
        "cluster_connections": 0,
        "maxclients": cache.facts.clients_max,
        "blocked_clients": count(Session::is_waiting),
        "tracking_clients": 0,
        "watching_clients": count(|session| !session.watches.is_empty()),
        "total_watched_keys": cache.shards.watched_keys(),
        "clients_in_timeout_table": 0,
    );
    Ok(())
}

fn memory(cache: &Cache, text: &mut String) -> fmt::Result {
    let usage = cache.usage();
    let used = cache.shards.memory().accounted_bytes();
    let rss = cache.facts.rss_bytes;
    let peak = cache.used_bytes_max.max(used);
    let dataset = usage.live_bytes + usage.heap_bytes;
    let fragmentation = if used > 0 { rss as f64 / used as f64 } else { 0.0 };
    fields!(text,
        "used_memory": used,
        "used_memory_human": Human(used),
        "used_memory_rss": rss,
        "used_memory_rss_human": Human(rss),
        "used_memory_peak": peak,
        "used_memory_peak_human": Human(peak),
        "used_memory_peak_perc": Percent(used, peak),
        "used_memory_overhead": used.saturating_sub(dataset),
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": Percent(dataset, used),
        "total_system_memory": cache.facts.host_memory_bytes,
        "total_system_memory_human": Human(cache.facts.host_memory_bytes),
        "maxmemory": cache.in_force.memory_bytes_max,
        "maxmemory_human": Human(cache.in_force.memory_bytes_max),
        "maxmemory_policy": cache.in_force.policy.name(),
        "mem_fragmentation_ratio": format_args!("{fragmentation:.2}"),
        "mem_fragmentation_bytes": i128::from(rss) - i128::from(used),
        "mem_not_counted_for_evict": 0,
        "mem_clients_slaves": 0,
        "mem_clients_normal": usage.other_bytes,
        "mem_aof_buffer": 0,
        "mem_allocator": "pinion-log",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
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

fn persistence(cache: &Cache, text: &mut String) -> fmt::Result {
    fields!(text,
        "loading": 0,
        // Nothing is ever saved.
        "rdb_changes_since_last_save": cache.shards.changes(),
        "rdb_bgsave_in_progress": 0,
        "rdb_last_save_time": cache.started_unix_seconds(),
        "rdb_last_bgsave_status": "ok",
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
    );
    Ok(())
}

fn stats(cache: &Cache, text: &mut String) -> fmt::Result {
    let (facts, before, statistics) = (&cache.facts, &cache.facts_at_reset, &cache.statistics);
    let reclaim = cache.usage().statistics;
    let lag = cache.shards.expiry_lag();
    fields!(text,
        "total_connections_received": facts.connections_received - before.connections_received,
        "total_commands_processed": statistics.commands_processed(),
        "instantaneous_ops_per_sec": cache.rates.commands.per_second(),
        "total_net_input_bytes": facts.net_input_bytes - before.net_input_bytes,
        "total_net_output_bytes": facts.net_output_bytes - before.net_output_bytes,
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": kilobytes(&cache.rates.input_bytes),
        "instantaneous_output_kbps": kilobytes(&cache.rates.output_bytes),
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": facts.connections_rejected - before.connections_rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": statistics.expired_keys,
        "evicted_keys": statistics.evicted_keys,
        "evicted_clients": 0,
        "keyspace_hits": statistics.keyspace_hits,
        "keyspace_misses": statistics.keyspace_misses,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "total_error_replies": statistics.error_replies,
        "client_query_buffer_limit_disconnections": facts.protocol_errors - before.protocol_errors,
        "eventloop_cycles": facts.tick.ticks - before.tick.ticks,
        "eventloop_duration_sum": (facts.tick.length_sum_ns - before.tick.length_sum_ns) / 1000,
        "eventloop_duration_cmd_sum": statistics.commands_ns() / 1000,
        "pinion_expiry_lag_p50_ms": lag.quantile_ms(0.5),
        "pinion_expiry_lag_p99_ms": lag.quantile_ms(0.99),
        "pinion_compacted_items": reclaim.compacted_items,
        "pinion_kept_items": reclaim.kept_items,
        "pinion_reclaim_stalls": reclaim.stalls,
        "client_output_buffer_limit_disconnections":
            facts.output_limit_disconnections - before.output_limit_disconnections,
    );
    Ok(())
}

fn replication(cache: &Cache, text: &mut String) -> fmt::Result {
    fields!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": cache.facts.run_id,
        "master_replid2": "0".repeat(40),
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": 0,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    );
    Ok(())
}

fn cpu(cache: &Cache, text: &mut String) -> fmt::Result {
    let seconds = |us: u64| us as f64 / 1e6;
    fields!(text,
        "used_cpu_sys": format_args!("{:.6}", seconds(cache.facts.cpu_system_us)),
        "used_cpu_user": format_args!("{:.6}", seconds(cache.facts.cpu_user_us)),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
    );
    Ok(())
}

/// There are no modules, so the section has a title only.
fn modules(_: &Cache, _: &mut String) -> fmt::Result {
    Ok(())
}

fn commandstats(cache: &Cache, text: &mut String) -> fmt::Result {
    let statistics = &cache.statistics;
    for command in Command::all() {
        let i = command.index();
        let (calls, rejected, failed) = (statistics.calls[i], statistics.rejected[i], statistics.failed[i]);
        if calls + rejected > 0 {
            let us = statistics.spent_ns[i] / 1000;
            let us_per_call = statistics.spent_ns[i] as f64 / 1000.0 / calls.max(1) as f64;
            write!(text, "cmdstat_{}:calls={calls},usec={us},usec_per_call={us_per_call:.2},", command.name())?;
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

fn latencystats(cache: &Cache, text: &mut String) -> fmt::Result {
    for command in Command::all() {
        let Some(durations) = &cache.statistics.durations[command.index()] else { continue };
        write!(text, "latency_percentiles_usec_{}:", command.name())?;
        for (i, percentile) in cache.in_force.latency_percentiles.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(text, "{comma}p{percentile}={:.3}", durations.percentile_ns(*percentile) as f64 / 1000.0)?;
        }
        text.push_str("\r\n");
    }
    Ok(())
}

/// The core's loop: ours alone, times in microseconds.
fn tick(cache: &Cache, text: &mut String) -> fmt::Result {
    let tick = &cache.facts.tick;
    let us = |ns: u64| format!("{:.1}", ns as f64 / 1000.0);
    let batches: u64 = tick.batches.iter().sum();
    fields!(text,
        "pinion_ticks": tick.ticks,
        "pinion_tick_p50_us": us(tick.length_p50_ns),
        "pinion_tick_p99_us": us(tick.length_p99_ns),
        "pinion_tick_max_us": us(tick.length_max_ns),
        "pinion_tick_sum_us": us(tick.length_sum_ns),
        "pinion_batches": batches,
        "pinion_batch_requests": tick.batched_requests,
        "pinion_batch_mean": format_args!("{:.2}", tick.batched_requests as f64 / batches.max(1) as f64),
    );
    for (i, count) in tick.batches.iter().enumerate() {
        write!(text, "pinion_batches_from_{}:{count}\r\n", 1 << i)?;
    }
    fields!(text,
        "pinion_enters": tick.enters,
        "pinion_spins": tick.spins,
        "pinion_spins_with_work": tick.spins_with_work,
        "pinion_sleeps": tick.sleeps,
        "pinion_buffer_shortages": tick.buffer_shortages,
        "pinion_buffers": tick.buffers,
        "pinion_buffers_used_max": tick.buffers_used_max,
    );
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

fn kilobytes(rate: &Rate) -> String {
    format!("{:.2}", rate.per_second() as f64 / 1024.0)
}

/// A part of a whole.
struct Percent(u64, u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}%", self.0 as f64 * 100.0 / self.1.max(1) as f64)
    }
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
    fn changes_are_counted_since_there_is_no_save() {
        let mut rig = Rig::new();
        rig.check(&[("SETBIT k 7 1", "..."), ("SETBIT k 7 1", "..."), ("GET k", "..."), ("DEL k", ":1")]);
        assert!(rig.run("INFO persistence").contains("rdb_changes_since_last_save:2\r"));
    }

    #[test]
    fn clients_that_wait_or_watch_are_counted() {
        let mut rig = Rig::new();
        rig.check(&[("WATCH a b", "+OK")]);
        let watching = rig.switch_client();
        let mut wait = rig.begin("WAIT 1 1000");
        assert_eq!(rig.go_on(&mut wait), None);
        rig.switch_to(watching);
        let text = rig.run("INFO clients");
        for line in ["blocked_clients:1\r", "watching_clients:1\r", "total_watched_keys:2\r"] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn the_last_save_is_the_start() {
        let mut rig = Rig::new();
        let last = rig.run("LASTSAVE");
        assert!(rig.run("INFO persistence").contains(&format!("rdb_last_save_time{last}\r")), "{last}");
    }

    /// EXEC's time and that of the commands inside of it were added up.
    #[test]
    fn what_a_transaction_runs_counts_once_in_the_time_of_all_commands() {
        let mut rig = Rig::with(&[("enable-debug-command", "yes")]);
        rig.check(&[("MULTI", "+OK"), ("DEBUG SLEEP 0.5", "+QUEUED"), ("EXEC", "[+OK]")]);
        assert!(rig.run("INFO stats").contains("eventloop_duration_cmd_sum:500000\r"));
    }

    #[test]
    fn the_peak_of_memory_outlives_a_reset_of_the_counters() {
        let mut rig = Rig::new();
        let peak =
            |rig: &mut Rig| rig.run("INFO memory").split("used_memory_peak:").nth(1).map(|rest| rest[..6].to_owned());
        rig.run(&format!("SET k {}", "x".repeat(1 << 20)));
        rig.cache.sample();
        let before = peak(&mut rig);
        rig.check(&[("DEL k", ":1"), ("CONFIG RESETSTAT", "+OK")]);
        assert_eq!(peak(&mut rig), before);
    }

    #[test]
    fn sections_are_chosen_by_name() {
        let mut rig = Rig::new();
        let titles = |rig: &mut Rig, command: &str| rig.run(command).matches("# ").count();
        assert_eq!(titles(&mut rig, "INFO"), 11);
        assert_eq!(titles(&mut rig, "INFO default"), 11);
        assert_eq!(titles(&mut rig, "INFO all"), 14);
        assert_eq!(titles(&mut rig, "INFO everything"), 14);
        assert_eq!(titles(&mut rig, "INFO server CLIENTS"), 2);
        assert_eq!(titles(&mut rig, "INFO default commandstats"), 12);
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
    fn times_of_commands_are_those_of_the_stopwatch() {
        let mut rig = Rig::new();
        rig.use_stopwatch(10_000);
        rig.check(&[("CONFIG RESETSTAT", "+OK")]);
        rig.batch(&["GET k", "GET k", "SET k v", "GET k"]);
        rig.run("KEYS *");
        let text = rig.run("INFO commandstats");
        for line in [
            "cmdstat_get:calls=3,usec=7,usec_per_call=2.50,rejected_calls=0,failed_calls=0\r\n",
            "cmdstat_set:calls=1,usec=2,usec_per_call=2.50,rejected_calls=0,failed_calls=0\r\n",
            "cmdstat_keys:calls=1,usec=10,usec_per_call=10.00,rejected_calls=0,failed_calls=0\r\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        let text = rig.run("INFO latencystats");
        assert!(text.contains("latency_percentiles_usec_get:p50=2.511,p99=2.511,p99.9=2.511\r\n"), "{text}");
        rig.run("CONFIG SET latency-tracking-info-percentiles '0 100'");
        assert!(rig.run("INFO latencystats").contains("_get:p0=2.496,p100=2.511\r\n"));
        rig.run("CONFIG SET latency-tracking no");
        rig.run("CONFIG RESETSTAT");
        rig.run("GET k");
        let text = rig.run("INFO latencystats commandstats");
        assert!(!text.contains("latency_percentiles") && text.contains("cmdstat_get:calls=1,"), "{text}");
    }

    #[test]
    fn a_slow_batch_makes_the_next_second_precise() {
        let mut rig = Rig::new();
        rig.use_stopwatch(20_000_000);
        rig.batch(&["GET k", "GET k"]);
        rig.check(&[("SLOWLOG RESET", "+OK")]);
        rig.batch(&["GET k", "GET k"]);
        rig.advance_ms(999);
        rig.batch(&["GET k"]);
        rig.advance_ms(1);
        rig.batch(&["PING"]);
        let log = rig.run("SLOWLOG GET");
        assert_eq!((log.matches("'GET'").count(), log.matches("'PING'").count()), (3, 0), "{log}");
        // It was a second of half a minute.
        rig.check(&[("SLOWLOG RESET", "+OK")]);
        for (ms, named) in [(28_999, 0), (1, 0), (0, 2)] {
            rig.advance_ms(ms);
            rig.batch(&["GET k", "GET k"]);
            assert_eq!(rig.run("SLOWLOG GET").matches("'GET' 'k'").count(), named, "{ms}");
        }
    }

    #[test]
    fn a_sleep_is_time_of_the_command_that_orders_it() {
        let mut rig = Rig::with(&[("latency-monitor-threshold", "200"), ("enable-debug-command", "yes")]);
        rig.check(&[("DEBUG SLEEP 0.3", "+OK"), ("MULTI", "+OK"), ("DEBUG SLEEP 0.5", "+QUEUED"), ("EXEC", "[+OK]")]);
        rig.check(&[("LATENCY LATEST", "[['command' :1700000000 :500 :500]]")]);
        let log = rig.run("SLOWLOG GET");
        assert!(log.contains(":300000 ['DEBUG' 'SLEEP' '0.3']") && log.contains(":500000 ['DEBUG'"), "{log}");
        assert_eq!(log.matches("'127.0.0.1:50001'").count(), 2, "EXEC is not logged beside what it ran: {log}");
    }

    #[test]
    fn sizes_for_people_are_short() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (64 << 20, "64.00M"), (3 << 30, "3.00G")] {
            assert_eq!(Human(bytes).to_string(), text);
        }
    }
}
