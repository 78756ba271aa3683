//! Expiry: a million volatile items whose deadlines spread over ten seconds. Reports what setting and expiring one
//! costs, the lag from deadline to removal when upkeep runs once per millisecond, and the longest upkeep.
//!
//! `cargo bench -p pinion-l1 --bench expiry`
#![allow(missing_docs, clippy::disallowed_methods, reason = "a bench reads the clock")]

#[allow(dead_code, reason = "each bench uses a part")]
mod core;

use std::time::Instant;

use self::core::{Core, key, key_bytes, next_random, place_of};
use l1::{Budget, LagHistogram, Put, Value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: u64 = 1_000_000;
const SPREAD_MS: u64 = 10_000;
/// Alarms that one call of upkeep looks at, as the server asks for.
const ENTRIES: usize = 100;

fn main() {
    let mut core = Core::new(1 << 30);
    let mut now_ms = 1_700_000_000_000;
    upkeep(&mut core, now_ms);
    let mut state = 1;
    let begun = Instant::now();
    for number in 0..ITEMS {
        let bytes = key_bytes(number);
        let place = place_of(&bytes);
        let expires_at_ms = Some(now_ms + 60_000 + next_random(&mut state) % SPREAD_MS);
        let put = Put { value: Value::Inline(&[b'v'; 64]), expires_at_ms, flags: 0 };
        let store = &mut core.stores[Core::store_of(place.slot)];
        store.put(&mut core.memory, &key(&bytes, place), &put).expect("the limit is high enough");
    }
    println!("set        {:.2} us each", begun.elapsed().as_secs_f64() * 1e6 / ITEMS as f64);
    let usage = core.memory.usage();
    println!("wheel      {:.2} B per item", usage.wheel_bytes as f64 / ITEMS as f64);
    let (mut spent_s, mut longest_us, mut calls) = (0.0f64, 0.0f64, 0u64);
    for _ in 0..70_100 {
        now_ms += 1;
        // The server calls again at once while there is more to do; the clock goes on meanwhile.
        let begun = Instant::now();
        loop {
            let call = Instant::now();
            let more = upkeep(&mut core, now_ms + begun.elapsed().as_millis() as u64);
            longest_us = longest_us.max(call.elapsed().as_secs_f64() * 1e6);
            calls += 1;
            if !more {
                break;
            }
        }
        spent_s += begun.elapsed().as_secs_f64();
        now_ms += begun.elapsed().as_millis() as u64;
    }
    let mut lag = LagHistogram::default();
    core.stores.iter().for_each(|store| lag.merge(store.lag()));
    println!("expire     {:.2} us each, all levels of the wheel included", spent_s * 1e6 / lag.count() as f64);
    println!("upkeep     {calls} calls, longest {longest_us:.0} us");
    println!(
        "lag        {} items, p50 <= {} ms, p99 <= {} ms, max <= {} ms",
        lag.count(),
        lag.quantile_ms(0.5),
        lag.quantile_ms(0.99),
        lag.quantile_ms(1.0)
    );
}

fn upkeep(core: &mut Core, now_ms: u64) -> bool {
    let mut more = false;
    for store in &mut core.stores {
        more |= store.maintain(&mut core.memory, now_ms, Budget { entries: ENTRIES }, |_| {});
    }
    more
}
