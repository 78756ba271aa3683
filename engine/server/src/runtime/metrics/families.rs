//! Families: the names of our metrics, what they mean, and where their numbers come from.
//!
//! docs/metrics.md lists this table; a test keeps it so. Names say their unit; counters end in `_total`.
//!
//! Absent on purpose: rates and percentiles that the reader of counters and histograms can work out.

use cache::{CommandReport, DURATION_BUCKETS, DurationBuckets, PINION_VERSION, Report};
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A metric by name.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its labels, separated by commas; empty for none.
    pub labels: &'static str,
    /// A sentence on it.
    pub help: &'static str,
    values: Values,
}

/// Where the numbers come from. Each value has its labels' values.
enum Values {
    Gauge(fn(&Report) -> Labeled<f64>),
    Counter(fn(&Report) -> Labeled<f64>),
    Histogram(fn(&Report) -> Labeled<Times>),
}

type Labeled<T> = Vec<(Vec<String>, T)>;

/// Counts by time, and the sum of all times.
struct Times {
    buckets: DurationBuckets,
    spent_ns: u64,
}

impl Family {
    /// Its type, as the text format names it.
    pub fn kind(&self) -> &'static str {
        match self.values {
            Values::Gauge(_) => "gauge",
            Values::Counter(_) => "counter",
            Values::Histogram(_) => "histogram",
        }
    }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&Report) -> Labeled<f64>) -> Family {
    Family { name, labels: "", help, values: Values::Gauge(value) }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Report) -> Labeled<f64>) -> Family {
    Family { name, labels: "", help, values: Values::Counter(value) }
}

const fn histogram(name: &'static str, help: &'static str, value: fn(&Report) -> Labeled<Times>) -> Family {
    Family { name, labels: "", help, values: Values::Histogram(value) }
}

const fn by(labels: &'static str, family: Family) -> Family {
    Family { labels, ..family }
}

/// Every metric.
pub const FAMILIES: &[Family] = &[
    by("version", gauge("pinion_build_info", "Always 1; the label is the version.", |_| one([(PINION_VERSION, 1.0)]))),
    gauge("pinion_uptime_seconds", "Time since the start.", |r| only(seconds(r.uptime_us * 1000))),
    by(
        "mode",
        counter("pinion_cpu_seconds_total", "CPU time of the process, in user mode and in the kernel.", |r| {
            one([("user", seconds(r.facts.cpu_user_us * 1000)), ("system", seconds(r.facts.cpu_system_us * 1000))])
        }),
    ),
    gauge("pinion_memory_used_bytes", "Memory that counts against maxmemory.", |r| only(r.used_bytes as f64)),
    gauge("pinion_memory_used_max_bytes", "The most of it so far.", |r| only(r.used_bytes_max as f64)),
    gauge("pinion_memory_resident_bytes", "Resident memory of the process.", |r| only(r.facts.rss_bytes as f64)),
    gauge("pinion_memory_limit_bytes", "The limit that maxmemory sets.", |r| only(r.usage.limit_bytes as f64)),
    gauge("pinion_memory_effective_limit_bytes", "The limit less what is resident and not accounted for.", |r| {
        only(r.usage.effective_limit_bytes as f64)
    }),
    by(
        "part",
        gauge("pinion_memory_part_bytes", "Memory by what it holds.", |r| {
            let u = &r.usage;
            let [live, dead, heap, index] = [u.live_bytes, u.dead_bytes, u.heap_bytes, u.index_bytes].map(|b| b as f64);
            let [wheel, ghost, other] = [u.wheel_bytes, u.ghost_bytes, u.other_bytes].map(|b| b as f64);
            one([
                ("live", live),
                ("dead", dead),
                ("heap", heap),
                ("index", index),
                ("wheel", wheel),
                ("ghost", ghost),
                ("other", other),
            ])
        }),
    ),
    gauge("pinion_clients", "Clients connected.", |r| only(r.clients as f64)),
    gauge("pinion_clients_limit", "Clients that may be connected (maxclients).", |r| only(r.facts.clients_max as f64)),
    counter("pinion_connections_total", "Connections served since the start.", |r| {
        only(r.facts.connections_received as f64)
    }),
    counter("pinion_connections_refused_total", "Connections refused by maxclients or protected mode.", |r| {
        only(r.facts.connections_rejected as f64)
    }),
    counter("pinion_received_bytes_total", "Bytes received from clients.", |r| only(r.facts.net_input_bytes as f64)),
    counter("pinion_sent_bytes_total", "Bytes sent to clients.", |r| only(r.facts.net_output_bytes as f64)),
    counter("pinion_output_limit_closes_total", "Clients closed because they did not read their replies.", |r| {
        only(r.facts.output_limit_disconnections as f64)
    }),
    counter("pinion_protocol_errors_total", "Requests that broke the protocol.", |r| {
        only(r.facts.protocol_errors as f64)
    }),
    by(
        "database",
        gauge("pinion_keys", "Keys in a database.", |r| {
            r.databases.iter().map(|database| (vec![database.index.to_string()], database.keys as f64)).collect()
        }),
    ),
    by(
        "database",
        gauge("pinion_keys_with_deadline", "Keys in a database that will expire.", |r| {
            r.databases
                .iter()
                .map(|database| (vec![database.index.to_string()], database.volatile_keys as f64))
                .collect()
        }),
    ),
    counter("pinion_keyspace_hits_total", "Keys that a read found, those of memcached's clients apart.", |r| {
        only(r.keyspace_hits as f64)
    }),
    counter(
        "pinion_keyspace_misses_total",
        "Keys that a read did not find, those of memcached's clients apart.",
        |r| only(r.keyspace_misses as f64),
    ),
    counter("pinion_memcached_requests_total", "Requests of memcached's clients.", |r| {
        only(r.memcache_requests as f64)
    }),
    counter("pinion_memcached_request_seconds_total", "Time of the requests of memcached's clients.", |r| {
        only(seconds(r.memcache_spent_ns))
    }),
    counter("pinion_memcached_hits_total", "Keys that get and gets of memcached's clients found.", |r| {
        only(r.memcache_hits as f64)
    }),
    counter("pinion_memcached_misses_total", "Keys that get and gets of memcached's clients did not find.", |r| {
        only(r.memcache_misses as f64)
    }),
    counter("pinion_expired_keys_total", "Keys removed because their time had come.", |r| only(r.expired_keys as f64)),
    gauge("pinion_expiry_lag_p50_seconds", "From deadlines to removals: half were not later.", |r| {
        only(r.expiry_lag_p50_ms as f64 / 1e3)
    }),
    gauge("pinion_expiry_lag_p99_seconds", "The same for 99 percent.", |r| only(r.expiry_lag_p99_ms as f64 / 1e3)),
    counter("pinion_evicted_keys_total", "Keys removed to make room.", |r| only(r.evicted_keys as f64)),
    counter("pinion_compacted_items_total", "Items moved to make segments free.", |r| {
        only(r.usage.statistics.compacted_items as f64)
    }),
    counter("pinion_kept_items_total", "Items that eviction kept because they were used.", |r| {
        only(r.usage.statistics.kept_items as f64)
    }),
    counter("pinion_reclaim_stalls_total", "Times that reclaim found nothing to free.", |r| {
        only(r.usage.statistics.stalls as f64)
    }),
    by(
        "command",
        counter("pinion_command_calls_total", "Calls of a command, with or without success.", |r| {
            by_command(r, |command| command.calls)
        }),
    ),
    by(
        "command",
        counter("pinion_command_rejected_total", "Calls refused before they ran.", |r| {
            by_command(r, |command| command.rejected)
        }),
    ),
    by(
        "command",
        counter("pinion_command_failed_total", "Calls that ended with an error.", |r| {
            by_command(r, |command| command.failed)
        }),
    ),
    by(
        "command",
        histogram("pinion_command_duration_seconds", "Time of a command's calls.", |r| {
            let called = r.commands.iter().filter_map(|command| Some((command, command.durations?)));
            let times = |(command, buckets): (&CommandReport, _)| {
                (vec![command.name.to_owned()], Times { buckets, spent_ns: command.tracked_ns })
            };
            called.map(times).collect()
        }),
    ),
    by(
        "code",
        counter("pinion_error_replies_total", "Error replies by the code they begin with.", |r| {
            r.errors.iter().map(|(code, count)| (vec![code.clone()], *count as f64)).collect()
        }),
    ),
    gauge("pinion_slowlog_entries", "Entries of the slow log.", |r| only(r.slowlog_entries as f64)),
    histogram("pinion_tick_duration_seconds", "Time of the loop's turns, without the wait for work.", |r| {
        let tick = &r.facts.tick;
        vec![(Vec::new(), Times { buckets: tick.lengths, spent_ns: tick.length_sum_ns })]
    }),
    counter("pinion_batches_total", "Batches of requests.", |r| only(r.facts.tick.batches.iter().sum::<u64>() as f64)),
    counter("pinion_batched_requests_total", "Requests in batches.", |r| only(r.facts.tick.batched_requests as f64)),
    counter("pinion_ring_enters_total", "System calls into the ring.", |r| only(r.facts.tick.enters as f64)),
    counter("pinion_spins_total", "Times that the core looked for work before it slept.", |r| {
        only(r.facts.tick.spins as f64)
    }),
    counter("pinion_spins_with_work_total", "Those that found some.", |r| only(r.facts.tick.spins_with_work as f64)),
    counter("pinion_sleeps_total", "Times that the core slept.", |r| only(r.facts.tick.sleeps as f64)),
    counter("pinion_buffer_shortages_total", "Times that the provided buffers ran out (ENOBUFS).", |r| {
        only(r.facts.tick.buffer_shortages as f64)
    }),
    gauge("pinion_buffers", "Provided buffers.", |r| only(r.facts.tick.buffers as f64)),
    gauge("pinion_buffers_used_max", "Most of them filled in one tick within the last tenth of a second.", |r| {
        only(r.facts.tick.buffers_used_max as f64)
    }),
];

/// All families in the text format.
pub(super) fn rendered(report: &Report) -> String {
    let families: Vec<MetricFamily> = FAMILIES.iter().map(|family| filled(family, report)).collect();
    // A family without values is not an error to us; the encoder would call it one.
    let families: Vec<MetricFamily> = families.into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
        tracing::error!("metrics cannot be written: {error}");
        String::new()
    })
}

fn filled(family: &Family, report: &Report) -> MetricFamily {
    let mut filled = MetricFamily::default();
    filled.set_name(family.name.to_owned());
    filled.set_help(family.help.to_owned());
    let (kind, metrics) = match family.values {
        Values::Gauge(values) => (
            MetricType::GAUGE,
            metrics(family, values(report), |metric, value| {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }),
        ),
        Values::Counter(values) => (
            MetricType::COUNTER,
            metrics(family, values(report), |metric, value| {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }),
        ),
        Values::Histogram(values) => (
            MetricType::HISTOGRAM,
            metrics(family, values(report), |metric, times| {
                metric.set_histogram(written(&times));
            }),
        ),
    };
    filled.set_field_type(kind);
    filled.set_metric(metrics);
    filled
}

fn metrics<T>(family: &Family, values: Labeled<T>, set: impl Fn(&mut Metric, T)) -> Vec<Metric> {
    let metric = |(labels, value): (Vec<String>, T)| {
        let pairs = family.labels.split(',').zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        set(&mut metric, value);
        metric
    };
    values.into_iter().map(metric).collect()
}

/// The first bucket that is written: shorter times count in it. 2^7 is 128 ns.
const BUCKET_FIRST: usize = 7;
/// The last one has no end, so it counts in +Inf alone. 2^29 ns, about 0.54 s, is the end of the one before.
const BUCKET_ENDLESS: usize = DURATION_BUCKETS - 1;

fn written(times: &Times) -> Histogram {
    let mut sum = 0;
    let mut buckets = Vec::with_capacity(DURATION_BUCKETS);
    for (power, count) in times.buckets.iter().enumerate() {
        sum += count;
        if (BUCKET_FIRST..BUCKET_ENDLESS).contains(&power) {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(sum);
            bucket.set_upper_bound(seconds(1 << power));
            buckets.push(bucket);
        }
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(sum);
    histogram.set_sample_sum(seconds(times.spent_ns));
    histogram.set_bucket(buckets);
    histogram
}

fn only<T>(value: T) -> Labeled<T> {
    vec![(Vec::new(), value)]
}

fn one<const N: usize>(values: [(&str, f64); N]) -> Labeled<f64> {
    values.into_iter().map(|(label, value)| (vec![label.to_owned()], value)).collect()
}

fn by_command(report: &Report, count: fn(&CommandReport) -> u64) -> Labeled<f64> {
    report.commands.iter().map(|command| (vec![command.name.to_owned()], count(command) as f64)).collect()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_say_their_kind_and_are_there_once() {
        for family in FAMILIES {
            assert!(family.name.starts_with("pinion_"), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind() == "counter", "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
        assert_eq!(FAMILIES.iter().map(|family| family.name).collect::<HashSet<_>>().len(), FAMILIES.len());
    }

    #[test]
    fn the_page_of_the_documentation_is_this_table() {
        let page = include_str!("../../../../../docs/metrics.md");
        let mut table = String::from("| name | type | labels | what |\n|---|---|---|---|\n");
        for family in FAMILIES {
            table += &format!("| `{}` | {} | {} | {} |\n", family.name, family.kind(), family.labels, family.help);
        }
        assert!(page.contains(&table), "docs/metrics.md must have this table:\n{table}");
    }

    #[test]
    fn histograms_are_cumulative() {
        let mut buckets = [0; DURATION_BUCKETS];
        (buckets[0], buckets[8], buckets[30]) = (1, 2, 3);
        let histogram = written(&Times { buckets, spent_ns: 4_000_000_000 });
        assert_eq!((histogram.get_sample_count(), histogram.get_sample_sum()), (6, 4.0));
        let counts: Vec<u64> = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count()).collect();
        assert_eq!((counts[0], counts[1], counts.len()), (1, 3, 23));
        assert_eq!(counts.last(), Some(&3), "the three of a second or more are in no bucket that ends");
        assert_eq!(histogram.get_bucket()[3].upper_bound(), 1.024e-6);
    }
}
