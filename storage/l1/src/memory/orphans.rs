//! Orphans: heap values that no store has any more and that replies still send.
//!
//! A reply holds its own reference to a large value. When the value is overwritten or removed meanwhile, its memory
//! stays until the last of its readers is done; somebody has to count it until then.

use bytes::Bytes;

use crate::store::heap::Heap;

/// Values looked at in one step.
const SWEEP_STEPS: usize = 256;

/// Values that outlive their items, and what they are charged.
#[derive(Default)]
pub(super) struct Orphans {
    values: Vec<Bytes>,
    bytes: u64,
    /// Where the next step goes on.
    next: usize,
}

impl Orphans {
    /// Bytes charged.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a value, and keeps it if somebody else holds it too; returns what it is charged.
    pub(super) fn add(&mut self, value: Bytes) -> u64 {
        if value.is_unique() {
            return 0;
        }
        let charge = Heap::charge_of(value.len()) as u64;
        self.values.push(value);
        self.bytes += charge;
        charge
    }

    /// Drops some of those that nobody else holds any more; returns what they were charged.
    pub(super) fn sweep(&mut self) -> u64 {
        let before = self.bytes;
        for _ in 0..SWEEP_STEPS.min(self.values.len()) {
            if self.next >= self.values.len() {
                self.next = 0;
            }
            match self.values.get(self.next) {
                Some(value) if value.is_unique() => {
                    self.bytes -= Heap::charge_of(value.len()) as u64;
                    self.values.swap_remove(self.next);
                }
                Some(_) => self.next += 1,
                None => break,
            }
        }
        before - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_until_its_last_reader_is_done() {
        let mut orphans = Orphans::default();
        let value = || Bytes::from(vec![1; 100_000]);
        assert_eq!(orphans.add(value()), 0, "nobody reads it");
        let kept: Vec<Bytes> = (0..1000).map(|_| value()).collect();
        let charged: u64 = kept.iter().map(|value| orphans.add(value.clone())).sum();
        assert!(charged >= 100_000_000 && orphans.bytes() == charged);
        assert_eq!(orphans.sweep(), 0);
        drop(kept);
        let freed: u64 = (0..10).map(|_| orphans.sweep()).sum();
        assert_eq!((freed, orphans.bytes()), (charged, 0));
    }
}
