//! Zipf: the hit ratio of S3-FIFO on synthetic requests, against golden figures and the reference simulator.
#![allow(missing_docs)]

mod replay;

use replay::{Mode, Replay};

const OBJECTS: usize = 100_000;
const REQUESTS: usize = 2_000_000;
const SEED: u64 = 20_240_229;

/// The sequence that the reference was computed with: SplitMix64, inverse of the cumulative weights `rank^-alpha`.
fn sequence(alpha: f64) -> impl Iterator<Item = u64> {
    let mut sum = 0.0;
    let cumulative: Vec<f64> = (1..=OBJECTS)
        .map(|rank| {
            sum += (rank as f64).powf(-alpha);
            sum
        })
        .collect();
    let mut state = SEED;
    (0..REQUESTS).map(move |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let uniform = (mixed >> 11) as f64 * (-53f64).exp2() * sum;
        let rank = cumulative.partition_point(|weight| *weight <= uniform).min(OBJECTS - 1) + 1;
        rank as u64
    })
}

/// `reference` is the simulator's figure, `golden` ours; both in percent.
fn check(alpha: f64, objects: u64, reference: f64, golden: f64) {
    let mut replay = Replay::new(Mode::Objects { record_bytes: 256 }, objects);
    for key in sequence(alpha) {
        replay.request(key, 0);
    }
    let ratio = replay.hit_ratio();
    println!("zipf {alpha}, {objects} objects: {ratio:.3} %, reference {reference:.3} %, {} stalls", replay.stalls());
    assert!((ratio - reference).abs() < 0.5, "{ratio} is far from the reference {reference}");
    assert!((ratio - golden).abs() < 0.01, "{ratio} is not the golden figure {golden}");
}

#[test]
fn sequence_is_the_one_of_the_reference() {
    for (alpha, first) in [(0.8, [72, 8286, 714, 1345]), (0.99, [4, 656, 28, 56]), (1.2, [1, 22, 3, 4])] {
        assert!(sequence(alpha).take(4).eq(first));
    }
}

#[test]
fn zipf_08_hits_as_the_reference() {
    check(0.8, 4_987, 46.8391, 46.846);
    check(0.8, 9_974, 55.0431, 55.047);
    check(0.8, 19_948, 64.5659, 64.577);
}

#[test]
fn zipf_099_hits_as_the_reference() {
    check(0.99, 4_737, 71.1783, 71.181);
    check(0.99, 9_475, 76.8133, 76.813);
    check(0.99, 18_950, 82.4902, 82.496);
}

#[test]
fn zipf_12_hits_as_the_reference() {
    check(1.2, 3_211, 89.2278, 89.227);
    check(1.2, 6_423, 91.6959, 91.695);
    check(1.2, 12_846, 93.7483, 93.746);
}
