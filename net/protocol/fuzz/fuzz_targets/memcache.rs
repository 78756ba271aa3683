//! Memcache: any stream of the text protocol, in any pieces, means what the oracle says, however it is read.
//!
//! The first byte chooses the limits, the second how the rest is cut into pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_protocol::LARGE_BULK_MIN;
use pinion_protocol::memcache::Limits;

#[path = "../../tests/memcache/driver.rs"]
mod driver;
#[path = "../../tests/memcache/oracle.rs"]
mod oracle;

/// Limits near which short inputs can come.
fn limits(choice: u8) -> Limits {
    let full = Limits::default();
    match choice {
        b'u' => Limits { authenticated: false, ..full },
        b's' => Limits { item_bytes_max: 80, words_max: 5, ..full },
        b'o' => Limits { large_bytes_max: LARGE_BULK_MIN, ..full },
        b'l' => Limits { request_bytes_max: 0, ..full },
        _ => full,
    }
}

/// Cuts `stream` into pieces whose lengths follow from `seed`: 0 makes one piece, 1 single bytes.
fn pieces(stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut pieces, mut rest, mut state) = (Vec::new(), stream, u32::from(seed));
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = match seed {
            0 => rest.len(),
            1 => 1,
            _ => (state >> 24) as usize % (2 + usize::from(seed)),
        };
        let (piece, after) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fuzz_target!(|input: &[u8]| {
    let [choice, seed, stream @ ..] = input else { return };
    let limits = limits(*choice);
    let expected = oracle::read(stream, &limits);
    for way in [driver::Way::Served, driver::Way::Assembled] {
        assert!(driver::read(pieces(stream, *seed), &limits, way) == expected, "{way:?}");
    }
});
