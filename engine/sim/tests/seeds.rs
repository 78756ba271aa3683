//! Seeds that every change has to pass, and what they must have met on their way.

use pinion_sim::sightings::Sightings;
use pinion_sim::simulation::{self, STEPS_DEFAULT, Summary};
use pinion_sim::trace;

/// Seeds of one test run; `pinion-sim` runs as many as one likes. From here on fifty meet every fault.
const SEED_FIRST: u64 = 50;
/// How many.
const SEED_COUNT: u64 = 50;

fn run(seed: u64, steps: u64) -> Summary {
    match simulation::run(seed, steps, false) {
        Ok(summary) => summary,
        Err(violation) => panic!("{}\nviolation: {}", trace::tail(), violation.0),
    }
}

#[test]
fn fifty_seeds_keep_every_promise_and_meet_every_fault() {
    trace::install_panic_hook();
    let mut seen = Sightings::default();
    for seed in SEED_FIRST..SEED_FIRST + SEED_COUNT {
        let summary = run(seed, STEPS_DEFAULT);
        println!("seed {seed}: {} ticks, {} commands", summary.ticks, summary.commands);
        seen += summary.seen;
    }
    let never: Vec<&str> = seen.table().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    assert!(never.is_empty(), "never seen, so not tested: {never:?}");
}

#[test]
fn a_seed_is_all_that_matters() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed, 500), run(seed, 500), "seed {seed}");
    }
}
