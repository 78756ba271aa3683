//! Routing: from a key's bytes to its slot and hash.
//!
//! Slots are those of Redis Cluster: CRC16 (XMODEM) of the key, or of what stands between its first `{` and the next
//! `}` if that is not empty, modulo 16384. The hash is xxh3 with a seed that belongs to the data and never changes.
//!
//! Absent on purpose: who owns a slot.

use crc::{CRC_16_XMODEM, Crc, Table};
use item::Place;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Slots of the key space, as in Redis Cluster.
pub const SLOT_COUNT: u16 = 16384;

static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

const BLOCK_BYTES: usize = 16;

/// Where `key` lives under `seed`.
#[inline]
pub fn place(seed: u64, key: &[u8]) -> Place {
    Place { slot: slot(key), hash: xxh3_64_with_seed(key, seed) }
}

/// The slot of `key`.
#[inline]
pub fn slot(key: &[u8]) -> u16 {
    match crc16(key) {
        (_, true) => slot_by_tag(key),
        (crc, false) => crc % SLOT_COUNT,
    }
}

#[cold]
fn slot_by_tag(key: &[u8]) -> u16 {
    crc16(tag(key)).0 % SLOT_COUNT
}

/// The part of `key` that decides its slot.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else { return key };
    let inner = &key[open + 1..];
    match inner.iter().position(|&b| b == b'}') {
        None | Some(0) => key,
        Some(close) => &inner[..close],
    }
}

/// CRC16 of `bytes`, and whether there is a `{` in them: both are read off the same words.
#[inline]
fn crc16(bytes: &[u8]) -> (u16, bool) {
    let (head, blocks) = bytes.split_at(bytes.len() % BLOCK_BYTES);
    let (mut crc, mut has_brace) = (0, false);
    if !head.is_empty() {
        let block = padded(head);
        crc = crc16_of_block(block);
        has_brace = holds_brace(block);
    }
    for block in blocks.as_chunks().0 {
        let block = u128::from_be_bytes(*block);
        has_brace |= holds_brace(block);
        crc = crc16_of_block(block ^ u128::from(crc) << (u128::BITS - u16::BITS));
    }
    (crc, has_brace)
}

/// CRC16 of a block. Leading zeros do not change this CRC (its initial value is 0), so a short key is padded on the
/// left to one block, whose 16 table look-ups are independent of each other. Byte by byte each look-up waits for the
/// last.
#[inline]
fn crc16_of_block(block: u128) -> u16 {
    let tables = CRC.table();
    let from_the_end = block.to_le_bytes();
    from_the_end.iter().zip(tables).fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
}

/// True if a byte of `block` is `{`: with all braces made zero, exactly a zero byte borrows into its top bit first.
#[inline]
fn holds_brace(block: u128) -> bool {
    const ONES: u128 = u128::from_ne_bytes([0x01; BLOCK_BYTES]);
    let zeroed = block ^ (ONES * b'{' as u128);
    zeroed.wrapping_sub(ONES) & !zeroed & (ONES << 7) != 0
}

/// Up to 16 bytes as one big-endian number, read as two overlapping halves.
#[inline]
pub(crate) fn padded(bytes: &[u8]) -> u128 {
    let length = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (first, last) = (u64::from_be_bytes(*first), u64::from_be_bytes(*last));
        return u128::from(first) << (8 * (length - 8)) | u128::from(last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
        return u128::from(first) << (8 * (length - 4)) | u128::from(last);
    }
    bytes.iter().fold(0, |number, &b| number << 8 | u128::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        let table: &[(&str, u16)] = &[
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("bar", 5061),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("user1000", 3443),
            ("foo{bar}{zap}", 5061),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("{}", 15257),
            ("{", 4092),
            ("0123456789abcdef", 10405),
            ("0123456789abcdef0", 12149),
            ("{a}0123456789abcdef0", 15495),
        ];
        for (key, expected) in table {
            assert_eq!(slot(key.as_bytes()), *expected, "{key}");
        }
    }

    proptest! {
        #[test]
        fn blocks_have_the_crc_of_their_bytes(key in proptest::collection::vec(any::<u8>(), 0..100)) {
            let expected = (Crc::<u16>::new(&CRC_16_XMODEM).checksum(&key), key.contains(&b'{'));
            prop_assert_eq!(crc16(&key), expected);
        }
    }
}
