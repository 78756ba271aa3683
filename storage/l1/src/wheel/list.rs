//! List: alarms in chunks of two cache lines.
//!
//! Invariants
//! - A chunk in a list holds at least one alarm.
//!
//! Absent on purpose: order. A list belongs to one tick or one span of ticks, and everything in it is looked up anyway.

/// Alarms in one chunk: with the link and the count they fill 128 bytes.
const CHUNK_ALARMS: usize = 14;

/// Bytes of one chunk.
pub(super) const CHUNK_BYTES: usize = size_of::<Chunk>();
const _: () = assert!(CHUNK_BYTES == 128);

struct Chunk {
    next: Option<Box<Chunk>>,
    len: u32,
    alarms: [u64; CHUNK_ALARMS],
}

/// Alarms of one place in the wheel.
#[derive(Default)]
pub(super) struct List {
    head: Option<Box<Chunk>>,
    len: usize,
}

impl List {
    pub(super) const EMPTY: List = List { head: None, len: 0 };

    /// Alarms in the list.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Adds an alarm; true if that took a new chunk.
    pub(super) fn push(&mut self, alarm: u64) -> bool {
        self.len += 1;
        match &mut self.head {
            Some(chunk) if (chunk.len as usize) < CHUNK_ALARMS => {
                chunk.alarms[chunk.len as usize] = alarm;
                chunk.len += 1;
                false
            }
            Some(_) | None => {
                let mut alarms = [0; CHUNK_ALARMS];
                alarms[0] = alarm;
                self.head = Some(Box::new(Chunk { next: self.head.take(), len: 1, alarms }));
                true
            }
        }
    }

    /// Takes an alarm out; the flag tells that its chunk was freed.
    pub(super) fn pop(&mut self) -> Option<(u64, bool)> {
        let chunk = self.head.as_mut()?;
        self.len -= 1;
        chunk.len -= 1;
        let alarm = chunk.alarms[chunk.len as usize];
        let is_used_up = chunk.len == 0;
        if is_used_up {
            self.head = chunk.next.take();
        }
        Some((alarm, is_used_up))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let chunks = std::iter::successors(self.head.as_deref(), |chunk| chunk.next.as_deref());
        chunks.flat_map(|chunk| chunk.alarms[..chunk.len as usize].iter().copied())
    }

    /// Frees up to `count_max` chunks with what is in them; returns how many.
    pub(super) fn drop_chunks(&mut self, count_max: usize) -> usize {
        for dropped in 0..count_max {
            match self.head.take() {
                Some(mut chunk) => {
                    self.len -= chunk.len as usize;
                    self.head = chunk.next.take();
                }
                None => return dropped,
            }
        }
        count_max
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Chunk by chunk: dropping a long chain by recursion would use up the stack.
        self.drop_chunks(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_come_back_and_chunks_are_counted() {
        let mut list = List::default();
        let added = (0..100).filter(|alarm| list.push(*alarm)).count();
        assert_eq!(added, 100usize.div_ceil(CHUNK_ALARMS));
        let mut freed = 0;
        let mut seen: Vec<u64> = std::iter::from_fn(|| list.pop())
            .map(|(alarm, is_used_up)| {
                freed += usize::from(is_used_up);
                alarm
            })
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        assert_eq!(freed, added);
        assert!(list.is_empty());
    }
}
