//! Seeds that once showed a violation, and the story of each.
//!
//! A seed meets its story only as long as the workload draws the same numbers, so each of them is also told by a test
//! of the part that was wrong, where that is possible.

use pinion_sim::simulation::{self, STEPS_DEFAULT};
use pinion_sim::trace;

fn check(seed: u64) {
    trace::install_panic_hook();
    if let Err(violation) = simulation::run(seed, STEPS_DEFAULT, false) {
        panic!("{}\nviolation: {}", trace::tail(), violation.0);
    }
}

/// A pipeline `KEYS *`, `DEL k` over a database of 2500 keys: KEYS runs in slices over several ticks, DEL ran between
/// two of them, and the list came without `k`, which had been there when KEYS was asked. A long command is a barrier
/// now.
#[test]
fn a_request_behind_a_long_command_waits_for_it() {
    [4, 12].into_iter().for_each(check);
}

/// `PERSIST k` under `volatile-ttl`: room was made for the change, and the key whose deadline was nearest had to go:
/// `k` itself. The answer was 1 and the key was gone; it is 0 now.
#[test]
fn a_key_that_makes_room_for_its_own_persist_is_not_there_to_persist() {
    [69, 131].into_iter().for_each(check);
}

/// A server without fault was blamed: many clients had left with commands that may or may not have run, and the oracle
/// had used up its visits on orders with those before it had found all states that explain the replies. (The same in
/// seed 10152.)
#[test]
fn nobody_is_blamed_for_orders_that_were_not_tried() {
    check(21293);
}
