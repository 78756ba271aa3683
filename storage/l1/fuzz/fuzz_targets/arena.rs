//! Arena: segments behave as separate vectors of bytes, whatever is written, discarded, moved and dropped.
//!
//! Two bytes of input are one step: what to do, and with which segment.

#![no_main]

use l1::raw::{Arena, SegmentMemory};
use libfuzzer_sys::fuzz_target;

const SEGMENTS: usize = 5;

/// A segment and the plain bytes that it should equal.
struct Pair {
    segment: SegmentMemory,
    oracle: Vec<u8>,
}

fn compare(pair: &Pair) {
    assert_eq!(&pair.segment[..], &pair.oracle[..]);
    for (line, bytes) in pair.segment.lines().iter().zip(pair.oracle.chunks(64)) {
        for (word, bytes) in line.0.iter().zip(bytes.chunks(8)) {
            assert_eq!(word.to_ne_bytes(), bytes);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [size, steps @ ..] = input else { return };
    let segment_bytes = 64usize << (size % 12);
    let mut arena = Some(Arena::new(SEGMENTS * segment_bytes, segment_bytes).expect("address space is there"));
    let mut pairs: Vec<Pair> = Vec::new();
    for step in steps.chunks_exact(2) {
        let chosen = usize::from(step[1]) % pairs.len().max(1);
        match (step[0] % 8, pairs.get_mut(chosen)) {
            (0 | 1, _) => {
                if let Some(segment) = arena.as_mut().and_then(Arena::carve) {
                    pairs.push(Pair { segment, oracle: vec![0; segment_bytes] });
                }
                assert!(pairs.len() <= SEGMENTS);
            }
            (2 | 3, Some(pair)) => {
                let at = usize::from(step[0]) * usize::from(step[1]) % segment_bytes;
                pair.segment[at..].fill(step[1]);
                pair.oracle[at..].fill(step[1]);
            }
            (4, Some(pair)) => {
                let line = usize::from(step[1]) % (segment_bytes / 64);
                pair.segment.lines_mut()[line].0[3] = u64::from(step[1]);
                pair.oracle[line * 64 + 24..line * 64 + 32].copy_from_slice(&u64::from(step[1]).to_ne_bytes());
            }
            (5, Some(pair)) => {
                pair.segment.discard();
                pair.oracle.fill(0);
            }
            (6, Some(_)) => drop(pairs.swap_remove(chosen)),
            (7, _) => arena = None,
            (_, None) => {}
            (8.., _) => unreachable!("a remainder of 8"),
        }
    }
    pairs.iter().for_each(compare);
});
