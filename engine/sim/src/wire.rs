//! Wire order: the bytes of replies with their spliced values in place.

use uring::Outgoing;

/// The pieces of `out` in wire order, from wire offset `from` on.
pub fn of_outgoing(out: &Outgoing, from: usize) -> Vec<&[u8]> {
    pieces(&out.bytes, out.splices.iter().map(|splice| (splice.at, &splice.value[..])), from)
}

fn pieces<'a>(bytes: &'a [u8], splices: impl Iterator<Item = (usize, &'a [u8])>, from: usize) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    let mut at = 0;
    for (before, value) in splices {
        all.push(&bytes[at..before]);
        all.push(value);
        at = before;
    }
    all.push(&bytes[at..]);
    let mut skip = from;
    all.retain_mut(|piece| {
        let skipped = skip.min(piece.len());
        skip -= skipped;
        *piece = &piece[skipped..];
        !piece.is_empty()
    });
    all
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uring::Splice;

    use super::*;

    #[test]
    fn pieces_are_in_wire_order_from_every_offset() {
        let splices = vec![
            Splice { at: 2, value: Bytes::from_static(b"XX") },
            Splice { at: 2, value: Bytes::from_static(b"Y") },
            Splice { at: 6, value: Bytes::from_static(b"ZZZ") },
        ];
        let out = Outgoing { bytes: b"abcdef".to_vec(), splices, sent: 0 };
        let wire = b"abXXYcdefZZZ";
        for from in 0..=wire.len() {
            assert_eq!(of_outgoing(&out, from).concat(), wire[from..], "from {from}");
        }
    }
}
