//! CLOCK: oldest first, but an item that was used gets another round.
//!
//! Stands in for LRU (the use is a bit: one use or several save it once) and for LFU (the use is a count: every use up
//! to three saves it once).

use super::Verdict;

pub(crate) fn verdict(frequency: u8, counted: bool) -> Verdict {
    match frequency {
        0 => Verdict::Evict { remember: false },
        used if counted => Verdict::Keep { frequency: used - 1 },
        _ => Verdict::Keep { frequency: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_saves_once_or_once_per_count() {
        assert_eq!(verdict(0, false), Verdict::Evict { remember: false });
        assert_eq!(verdict(3, false), Verdict::Keep { frequency: 0 });
        assert_eq!(verdict(3, true), Verdict::Keep { frequency: 2 });
    }
}
