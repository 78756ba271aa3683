//! Churn: overwrites with random sizes while memory is 60 % full of live bytes, then inserts of new keys into a full
//! memory. Reports the rate, the latency of a write with its share of reclaim, evictions, stalls, and how full of live
//! bytes the limit is.
//!
//! `cargo bench -p pinion-l1 --bench churn [-- LIMIT_MEGABYTES]`
#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench reads the clock")]

#[allow(dead_code, reason = "each bench uses a part")]
mod core;

use std::time::Instant;

use self::core::{Core, key, key_bytes, next_random, place_of};
use hdrhistogram::Histogram;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITES: u64 = 10_000_000;
const VALUE_BYTES_MAX: u64 = 1024;
/// Header, padding and index of an item, about.
const OVERHEAD_BYTES: u64 = 27;

fn main() {
    let megabytes = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(512);
    let limit_bytes = megabytes << 20;
    let mean_bytes = VALUE_BYTES_MAX / 2 + 15 + OVERHEAD_BYTES;
    let mut core = Core::new(limit_bytes);
    let mut state = 1;
    let resident = limit_bytes * 6 / 10 / mean_bytes;
    write(&mut core, &mut state, "fill to 60 %", 0..resident);
    let overwrites: Vec<u64> = (0..WRITES).map(|_| next_random(&mut state) % resident).collect();
    write(&mut core, &mut state, "overwrite at 60 %", overwrites.into_iter());
    let fresh = resident..resident + limit_bytes / mean_bytes;
    write(&mut core, &mut state, "fill to the limit", fresh.clone());
    let fresh = fresh.end..fresh.end + WRITES;
    write(&mut core, &mut state, "insert when full", fresh.clone());
    let recent = limit_bytes * 8 / 10 / mean_bytes;
    let overwrites: Vec<u64> = (0..WRITES).map(|_| fresh.end - 1 - next_random(&mut state) % recent).collect();
    write(&mut core, &mut state, "overwrite when full", overwrites.into_iter());
}

fn write(core: &mut Core, state: &mut u64, name: &str, numbers: impl Iterator<Item = u64>) {
    let value = [b'v'; VALUE_BYTES_MAX as usize];
    let before = core.memory.usage().statistics;
    let mut latency = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are valid");
    let begun = Instant::now();
    for number in numbers {
        let bytes = key_bytes(number);
        let place = place_of(&bytes);
        let size = (next_random(state) % VALUE_BYTES_MAX) as usize;
        let start = Instant::now();
        core.put(&key(&bytes, place), &value[..size]);
        latency.saturating_record(start.elapsed().as_nanos() as u64);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let usage = core.memory.usage();
    let statistics = usage.statistics;
    let physical = usage.charged_bytes - usage.live_bytes + usage.segments_used * usage.segment_bytes;
    println!(
        "{name:<20} {:>6.2} M/s, p50 {:.2} us, p99.9 {:.1} us, p99.99 {:.1} us, max {:.0} us",
        latency.len() as f64 / seconds / 1e6,
        latency.value_at_quantile(0.5) as f64 / 1e3,
        latency.value_at_quantile(0.999) as f64 / 1e3,
        latency.value_at_quantile(0.9999) as f64 / 1e3,
        latency.max() as f64 / 1e3,
    );
    println!(
        "    charged {:.1} %, segments and the rest {:.1} % of the limit; evicted {}, kept {}, compacted {}, stalls {}",
        usage.charged_bytes as f64 * 100.0 / usage.limit_bytes as f64,
        physical as f64 * 100.0 / usage.limit_bytes as f64,
        statistics.evicted_items - before.evicted_items,
        statistics.kept_items - before.kept_items,
        statistics.compacted_items - before.compacted_items,
        statistics.stalls - before.stalls,
    );
}
