//! Allocation: what the allocator takes for a request.
//!
//! The server's allocator has four size classes per doubling; of a class of 16 KiB or more only the pages that were
//! written are resident. Charging by the rounded size keeps the accounts near the process's resident memory; what is
//! still missing comes in through the feedback of the measured figure.

const WORD: usize = 8;
const EXACT_BYTES_MAX: usize = 64;
const PAGED_BYTES_MIN: usize = 16 * 1024;
const PAGE_BYTES: usize = 4096;

/// The bytes that an allocation of `bytes` takes.
#[inline]
pub(crate) const fn rounded(bytes: usize) -> usize {
    if bytes <= EXACT_BYTES_MAX {
        return bytes.next_multiple_of(WORD);
    }
    if bytes >= PAGED_BYTES_MIN {
        return bytes.next_multiple_of(PAGE_BYTES);
    }
    // Classes at 4/4, 5/4, 6/4 and 7/4 of each power of two.
    let quarter = 1 << (bytes.ilog2() - 2);
    bytes.next_multiple_of(quarter)
}

/// The bytes that a value of `bytes` may grow to where it lies, if it is given so much at once: up to the end of the
/// allocator's size class, whose pages cost nothing until they are written. Growth by small steps copies the value once
/// per class: at least an eighth apart.
#[inline]
pub const fn spacious(bytes: usize) -> usize {
    if bytes < PAGED_BYTES_MIN { bytes } else { bytes.next_multiple_of(1 << (bytes.ilog2() - 2)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_quarters_of_a_power_of_two() {
        for (bytes, expected) in [
            (0, 0),
            (1, 8),
            (64, 64),
            (65, 80),
            (80, 80),
            (81, 96),
            (128, 128),
            (129, 160),
            (6144, 6144),
            (6145, 7168),
            (1 << 20, 1 << 20),
            (16 * 1024, 16 * 1024),
            ((1 << 20) + 1, (1 << 20) + 4096),
        ] {
            assert_eq!(rounded(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn space_to_grow_is_the_rest_of_the_class() {
        for (bytes, expected) in [
            (0, 0),
            (16 * 1024 - 1, 16 * 1024 - 1),
            (16 * 1024, 16 * 1024),
            (16 * 1024 + 1, 20 * 1024),
            ((1 << 20) + 1, 5 << 18),
            ((7 << 18) + 1, 2 << 20),
        ] {
            assert_eq!(spacious(bytes), expected, "{bytes}");
        }
    }
}
