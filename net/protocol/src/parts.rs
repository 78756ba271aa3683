//! Parts: the arguments of one request while it is put together.
//!
//! Small arguments lie back to back in one vector; where each ends is four bytes, so a million of them stay cheap.
//! Large ones are values of their own.
//!
//! Invariants
//! - Memory follows the bytes that have arrived, never the numbers that a client announces.
//! - `small[..last small end]` are whole arguments; what follows is the argument that is arriving.
//!
//! Absent on purpose: limits and syntax, which are the assemblers'.

use bytes::Bytes;

use crate::Arg;

/// Bytes of each vector whose allocation survives `clear`.
pub const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of small arguments: the ends have 31 bits.
pub const SMALL_BYTES_MAX: usize = i32::MAX as usize;

/// One argument: where it ends in `small`, or, if it is large, its place among the large ones.
#[derive(Clone, Copy, Debug)]
struct Part(u32);

/// Marks a large argument.
const LARGE: u32 = 1 << 31;

/// The arguments of one request so far.
#[derive(Debug, Default)]
pub struct Parts {
    small: Vec<u8>,
    parts: Vec<Part>,
    large: Vec<Bytes>,
    large_bytes: usize,
}

impl Parts {
    /// Appends bytes of the small argument that is arriving.
    #[inline]
    pub fn extend_small(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        assert!(self.small.len() <= SMALL_BYTES_MAX, "the assembler bounds a request");
    }

    /// The small argument that was arriving is whole.
    pub fn end_small(&mut self) {
        self.parts.push(Part(self.small.len() as u32));
    }

    /// Makes arguments of the words of a line, which has arrived as one small argument: `split` lays them back to back
    /// and tells where each ends.
    pub fn split_line<R>(&mut self, split: impl FnOnce(&mut Vec<u8>, &mut dyn FnMut(usize)) -> R) -> R {
        let parts = &mut self.parts;
        split(&mut self.small, &mut |end| parts.push(Part(end as u32)))
    }

    /// The bytes of small arguments, the arriving one included.
    pub fn small(&self) -> &[u8] {
        &self.small
    }

    /// Bytes of small arguments, the arriving one included.
    pub fn small_bytes(&self) -> usize {
        self.small.len()
    }

    /// Appends a whole large argument.
    pub fn push_large(&mut self, value: Bytes) {
        self.parts.push(Part(LARGE | self.large.len() as u32));
        self.large_bytes += value.len();
        self.large.push(value);
    }

    /// Forgets the last argument, which is whole.
    pub fn pop(&mut self) {
        let Some(part) = self.parts.pop() else { return };
        if part.0 & LARGE != 0 {
            self.large_bytes -= self.large.pop().map_or(0, |value| value.len());
        } else {
            let small = self.parts.iter().rev().find(|part| part.0 & LARGE == 0);
            self.small.truncate(small.map_or(0, |part| part.0 as usize));
        }
    }

    /// Number of whole arguments.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Bytes that are stored, bookkeeping included.
    pub fn stored_bytes(&self) -> usize {
        self.small.len() + self.large_bytes + self.parts.len() * size_of::<Part>()
    }

    /// Bytes of memory that are held.
    pub fn held_bytes(&self) -> usize {
        self.small.capacity()
            + self.large_bytes
            + self.parts.capacity() * size_of::<Part>()
            + self.large.capacity() * size_of::<Bytes>()
    }

    /// The whole arguments in order.
    pub fn args(&self) -> impl Iterator<Item = Arg<'_>> {
        let mut start = 0;
        self.parts.iter().map(move |part| {
            if part.0 & LARGE != 0 {
                return Arg::large(&self.large[(part.0 & !LARGE) as usize]);
            }
            let end = part.0 as usize;
            let small = Arg::new(&self.small[start..end]);
            start = end;
            small
        })
    }

    /// Forgets all arguments; keeps small allocations.
    pub fn clear(&mut self) {
        keep_small(&mut self.small);
        keep_small(&mut self.parts);
        keep_small(&mut self.large);
        self.large_bytes = 0;
    }
}

fn keep_small<T>(vector: &mut Vec<T>) {
    vector.clear();
    if vector.capacity() * size_of::<T>() > KEPT_BYTES_MAX {
        *vector = Vec::new();
    }
}
