//! Growth: inserts from 0 to 20 million keys into one core and reports latency, the largest number of index entries
//! that one insert moved, and bytes per item.
//!
//! Another thread gets pages from the kernel ahead of the inserts, as the server's control thread does; with the word
//! `alone` nobody does, and the figures contain the kernel's zeroing of huge pages.
//!
//! `cargo bench -p pinion-l1 --bench growth [-- ITEMS] [alone]`
#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench reads the clock")]

#[allow(dead_code, reason = "each bench uses a part")]
mod core;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::core::{Core, KEY_BYTES, VALUE_BYTES, key, key_bytes, place_of, resident_bytes};
use hdrhistogram::Histogram;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let items = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(20_000_000);
    let is_alone = std::env::args().any(|arg| arg == "alone");
    let core = Core::new(items * 180 + (256 << 20));
    let prefault = core.memory.prefault().filter(|_| !is_alone);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(mut prefault) = prefault {
            prefault.step();
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    if !prefault.step() {
                        std::thread::park_timeout(Duration::from_micros(100));
                    }
                }
            });
        }
        grow(core, items);
        is_done.store(true, Ordering::Relaxed);
    });
}

fn grow(mut core: Core, items: u64) {
    let value = [b'v'; VALUE_BYTES];
    let mut latency = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are valid");
    let resident_before = resident_bytes();
    let begun = Instant::now();
    for number in 0..items {
        let bytes = key_bytes(number);
        let place = place_of(&bytes);
        let start = Instant::now();
        core.put(&key(&bytes, place), &value);
        latency.saturating_record(start.elapsed().as_nanos() as u64);
        if (number + 1) % 2_000_000 == 0 || number + 1 == items {
            report(&core, number + 1, resident_before);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{:.2} million inserts/s, clock reads included", items as f64 / 1e6 / seconds);
    println!("most index entries moved by one insert: {}", core.memory.usage().statistics.entries_moved_max);
    for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0] {
        println!("p{:<9} {:>10.2} us", quantile * 100.0, latency.value_at_quantile(quantile) as f64 / 1000.0);
    }
}

fn report(core: &Core, items: u64, resident_before: u64) {
    let usage = core.memory.usage();
    let payload = (KEY_BYTES + VALUE_BYTES) as f64;
    println!(
        "{items:>10} items, each over key and value: index {:.2} B, record {:.2} B, segments {:.2} B, resident {:.2} B",
        usage.index_bytes as f64 / items as f64,
        usage.live_bytes as f64 / items as f64 - payload,
        (usage.segments_used * usage.segment_bytes) as f64 / items as f64 - payload,
        (resident_bytes() - resident_before) as f64 / items as f64 - payload,
    );
}
