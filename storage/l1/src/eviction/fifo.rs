//! FIFO: what was written longest ago goes, whether it was used or not.

use super::Verdict;

pub(crate) fn verdict() -> Verdict {
    Verdict::Evict { remember: false }
}
