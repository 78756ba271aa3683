//! Requests: any stream, in any pieces, means what the oracle says, however it is read.
//!
//! The first byte chooses the limits, the second how the rest is cut into pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_protocol::LARGE_BULK_MIN;
use pinion_protocol::resp::Limits;

#[path = "../../tests/requests/driver.rs"]
mod driver;
#[path = "../../tests/requests/oracle.rs"]
mod oracle;

/// Limits near which short inputs can come.
fn limits(choice: u8) -> Limits {
    let full = Limits::default();
    match choice {
        b'u' => Limits { authenticated: false, ..full },
        b's' => Limits { bulk_bytes_max: 20, args_max: 3, inline_bytes_max: 12, ..full },
        b'o' => Limits { large_bytes_max: LARGE_BULK_MIN, ..full },
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
        assert_eq!(driver::read(pieces(stream, *seed), &limits, way), expected, "{way:?}");
    }
});
