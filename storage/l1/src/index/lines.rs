//! Lines: the memory of a store's tables, in cache lines.
//!
//! Tables need runs of 1, 2, 4 or 8 lines. Runs are cut from blocks of eight lines, and blocks from segments of the
//! arena: so tables lie in huge pages, what they take is known exactly, and a run that one table gave back serves any
//! other, or becomes part of a larger one. (A general allocator keeps a pool per size; as all tables grow at about the
//! same time, half of its memory was pools of sizes that nobody needed any more.)
//!
//! ```text
//!   segment: [ block ][ block ][ block ] ...      block: one bit per line, set while it is in use
//! ```
//!
//! Invariants
//! - `masks` has the truth; the stacks list blocks that may have a free run of their size, each block at most once per
//!   stack, and an entry that turns out wrong is dropped.
//! - A segment of which no line is in use goes back to the arena.
//!
//! Absent on purpose: moving runs. A store whose index shrinks keeps blocks that are partly used.

use crate::memory::{Memory, NoRoom};
use crate::raw::{Line, SegmentMemory};

/// Lines of a block: the longest run.
pub(crate) const BLOCK_LINES: usize = 8;
const ORDERS: usize = 4;

/// For each order, the masks of the runs that a block can hold, lowest first.
const fn run_mask(order: usize, position: usize) -> u8 {
    let ones = ((1u16 << (1 << order)) - 1) as u8;
    ones << (position << order)
}

/// The number of a run's first line.
pub(crate) type LineNumber = u32;

/// The lines of one store.
#[derive(Default)]
pub(crate) struct Lines {
    /// By number; `None` was given back.
    segments: Vec<Option<Segment>>,
    vacant: Vec<u32>,
    /// By block number: which lines are in use.
    masks: Vec<u8>,
    /// By block number: in which stacks it is.
    listed: Vec<u8>,
    stacks: [Vec<u32>; ORDERS],
    free_blocks: usize,
    /// Lines of a segment, as a power of two. The same for all segments.
    segment_shift: u32,
}

struct Segment {
    memory: SegmentMemory,
    used_lines: u32,
}

impl Lines {
    /// A line in use.
    #[inline]
    pub(crate) fn line(&self, number: LineNumber) -> &Line {
        let segment = self.segments[(number >> self.segment_shift) as usize].as_ref();
        &segment.expect("a line in use has memory").memory.lines()[self.within(number)]
    }

    /// A line in use, to write.
    #[inline]
    pub(crate) fn line_mut(&mut self, number: LineNumber) -> &mut Line {
        let within = self.within(number);
        let segment = self.segments[(number >> self.segment_shift) as usize].as_mut();
        &mut segment.expect("a line in use has memory").memory.lines_mut()[within]
    }

    /// Starts to load a line.
    #[inline]
    pub(crate) fn prefetch(&self, number: LineNumber) {
        if let Some(Some(segment)) = self.segments.get((number >> self.segment_shift) as usize) {
            crate::raw::prefetch(segment.memory.lines(), self.within(number));
        }
    }

    /// Bytes of the segments held.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let count = self.segments.len() - self.vacant.len();
        count * (size_of::<Line>() << self.segment_shift)
    }

    /// Blocks of which no line is in use.
    pub(crate) fn free_blocks(&self) -> usize {
        self.free_blocks
    }

    /// Takes segments until `blocks` are free.
    pub(crate) fn ensure(&mut self, memory: &mut Memory, blocks: usize) -> Result<(), NoRoom> {
        while self.free_blocks < blocks {
            self.add_segment(memory)?;
        }
        Ok(())
    }

    /// A run of `1 << order` lines, all zero. `ensure` has provided for it.
    pub(crate) fn allocate(&mut self, order: usize) -> LineNumber {
        // A larger run can always be cut; the order itself comes first.
        for stack in order..ORDERS {
            while let Some(block) = self.stacks[stack].last().copied() {
                if let Some(position) = free_run(self.masks[block as usize], stack) {
                    let first = (position << stack) >> order;
                    return self.take(block, order, first);
                }
                self.stacks[stack].pop();
                self.listed[block as usize] &= !(1 << stack);
            }
        }
        unreachable!("ensure provided free blocks")
    }

    /// Gives a run back; a segment that is not used any more goes back to the arena.
    pub(crate) fn free(&mut self, memory: &mut Memory, number: LineNumber, order: usize) {
        let block = number / BLOCK_LINES as u32;
        let run = run_mask(order, (number as usize % BLOCK_LINES) >> order);
        debug_assert_eq!(self.masks[block as usize] & run, run, "a run is freed once");
        self.masks[block as usize] &= !run;
        self.free_blocks += usize::from(self.masks[block as usize] == 0);
        let largest = (0..ORDERS).rev().find(|order| free_run(self.masks[block as usize], *order).is_some());
        for order in 0..=largest.expect("a run was freed") {
            self.list(block, order);
        }
        let index = (number >> self.segment_shift) as usize;
        let segment = self.segments[index].as_mut().expect("a run lies in a segment");
        segment.used_lines -= 1 << order;
        if segment.used_lines == 0 {
            self.release(memory, index);
        }
    }

    /// Gives all segments back, whatever is in use.
    pub(crate) fn release_all(&mut self, memory: &mut Memory) {
        for segment in self.segments.drain(..).flatten() {
            memory.give_index_segment(segment.memory);
        }
        *self = Lines::default();
    }

    #[inline]
    fn within(&self, number: LineNumber) -> usize {
        number as usize & ((1 << self.segment_shift) - 1)
    }

    fn take(&mut self, block: u32, order: usize, position: usize) -> LineNumber {
        let mask = &mut self.masks[block as usize];
        self.free_blocks -= usize::from(*mask == 0);
        *mask |= run_mask(order, position);
        let number = block * BLOCK_LINES as u32 + (position << order) as u32;
        let left = *mask;
        for smaller in (0..ORDERS).filter(|order| free_run(left, *order).is_some()) {
            self.list(block, smaller);
        }
        let segment = self.segments[(number >> self.segment_shift) as usize].as_mut();
        segment.expect("a listed block lies in a segment").used_lines += 1 << order;
        for line in 0..1 << order {
            *self.line_mut(number + line) = Line([0; 8]);
        }
        number
    }

    fn list(&mut self, block: u32, order: usize) {
        let listed = &mut self.listed[block as usize];
        if *listed & (1 << order) == 0 {
            *listed |= 1 << order;
            self.stacks[order].push(block);
        }
    }

    #[cold]
    fn add_segment(&mut self, memory: &mut Memory) -> Result<(), NoRoom> {
        let segment_memory = memory.take_index_segment().ok_or(NoRoom)?;
        self.segment_shift = segment_memory.lines().len().ilog2();
        let segment = Segment { memory: segment_memory, used_lines: 0 };
        let blocks = (1usize << self.segment_shift) / BLOCK_LINES;
        let index = match self.vacant.pop() {
            Some(index) => {
                self.segments[index as usize] = Some(segment);
                index as usize
            }
            None => {
                self.segments.push(Some(segment));
                self.masks.resize(self.masks.len() + blocks, 0);
                self.listed.resize(self.listed.len() + blocks, 0);
                self.segments.len() - 1
            }
        };
        self.masks[index * blocks..(index + 1) * blocks].fill(0);
        self.free_blocks += blocks;
        for block in (index * blocks..(index + 1) * blocks).rev() {
            self.list(block as u32, ORDERS - 1);
        }
        Ok(())
    }

    #[cold]
    fn release(&mut self, memory: &mut Memory, index: usize) {
        let blocks = (1usize << self.segment_shift) / BLOCK_LINES;
        let segment = self.segments[index].take().expect("a segment is released once");
        // Marked as used: entries of the stacks that name these blocks turn out wrong.
        self.masks[index * blocks..(index + 1) * blocks].fill(u8::MAX);
        self.free_blocks -= blocks;
        self.vacant.push(index as u32);
        memory.give_index_segment(segment.memory);
    }
}

/// The position of a free run of this order in a block.
fn free_run(mask: u8, order: usize) -> Option<usize> {
    (0..BLOCK_LINES >> order).find(|position| mask & run_mask(order, *position) == 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::MemoryOptions;

    fn memory() -> Memory {
        Memory::new(MemoryOptions { segment_bytes: Some(1024), limit_bytes: 1 << 20, ..MemoryOptions::default() })
            .unwrap()
    }

    #[test]
    fn runs_never_overlap_and_everything_comes_back() {
        let (mut memory, mut lines) = (memory(), Lines::default());
        let mut runs: BTreeMap<LineNumber, usize> = BTreeMap::new();
        let mut state = 3u64;
        for step in 0..20_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 33) as usize;
            let wants_run = random.is_multiple_of(3) != (step / 2_000).is_multiple_of(2);
            if wants_run || runs.is_empty() {
                let order = random / 4 % ORDERS;
                lines.ensure(&mut memory, 1).unwrap();
                let number = lines.allocate(order);
                assert_eq!(number % (1 << order), 0, "a run is aligned to its length");
                for line in 0..1 << order {
                    assert_eq!(lines.line(number + line).0, [0; 8]);
                    lines.line_mut(number + line).0[3] = u64::from(number);
                }
                assert!(runs.insert(number, order).is_none());
            } else {
                let number = *runs.keys().nth(random % runs.len()).unwrap();
                let order = runs.remove(&number).unwrap();
                for line in 0..1 << order {
                    assert_eq!(lines.line(number + line).0[3], u64::from(number), "nobody else wrote there");
                }
                lines.free(&mut memory, number, order);
            }
            assert_eq!(memory.usage().index_bytes, lines.bytes() as u64);
        }
        for (number, order) in runs {
            lines.free(&mut memory, number, order);
        }
        assert_eq!((lines.bytes(), memory.usage().index_bytes), (0, 0));
    }

    #[test]
    fn freed_short_runs_make_a_long_one() {
        let (mut memory, mut lines) = (memory(), Lines::default());
        lines.ensure(&mut memory, 2).unwrap();
        let keep = lines.allocate(3);
        let short: Vec<LineNumber> = (0..8).map(|_| lines.allocate(0)).collect();
        assert_eq!(lines.free_blocks(), 0);
        for number in &short {
            lines.free(&mut memory, *number, 0);
        }
        assert_eq!(lines.free_blocks(), 1);
        assert_eq!(lines.allocate(3), short.iter().min().copied().unwrap());
        lines.free(&mut memory, keep, 3);
    }
}
