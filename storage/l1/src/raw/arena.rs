//! Arena: one anonymous mapping, carved into segments of equal size, lowest address first.
//!
//! Invariants
//! - `carved` only grows; the range `carved * segment_bytes ..` belongs to nobody yet.
//! - The mapping's pages are zero until written, and again after [`SegmentMemory::discard`].

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, UncheckedAdvice};

/// Largest page of the supported processors; mappings begin at a page boundary.
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// The mapping. Shared by the arena and its segments, which only use it to stay alive and to give pages back, and by
/// the [`Prefault`], which only asks the kernel for pages.
struct Mapping {
    map: MmapMut,
    /// Bytes that were carved so far. An atomic, as another thread reads it to stay ahead; it is written once per
    /// segment and guards nothing.
    carved_bytes: AtomicUsize,
}

/// What the kernel backs at once where it can.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// How far the pages go ahead of what is carved: two huge pages, a burst of 20,000 small items.
const AHEAD_BYTES: usize = 2 * HUGE_PAGE_BYTES;

/// What is backed before anything is carved: the first items of eight stores open sixteen segments of half a megabyte
/// within one tick.
const FIRST_BYTES: usize = 6 * HUGE_PAGE_BYTES;

/// Gets pages from the kernel before the owner of the arena needs them.
///
/// Zeroing a huge page takes 0.1 ms, and tens of milliseconds in a virtual machine whose host has to find the memory
/// first: on the thread that serves clients that is the tail. So another thread calls [`Prefault::step`].
pub struct Prefault {
    mapping: Arc<Mapping>,
    seen_bytes: usize,
    done_bytes: usize,
    limit_bytes: usize,
}

impl Prefault {
    /// Backs what lies just ahead of the carved part, never beyond the limit. Returns whether more was carved since the
    /// last call: then the next one should come soon. Cheap when there is nothing to do.
    pub fn step(&mut self) -> bool {
        let carved = self.mapping.carved_bytes.load(Ordering::Relaxed);
        let has_moved = carved != self.seen_bytes;
        self.seen_bytes = carved;
        // What is behind was backed by its owner's writes.
        self.done_bytes = self.done_bytes.max(carved.next_multiple_of(HUGE_PAGE_BYTES));
        let target = (carved + AHEAD_BYTES).max(FIRST_BYTES).min(self.limit_bytes);
        while self.done_bytes + HUGE_PAGE_BYTES <= target {
            // Refused by kernels before 5.14: then pages come when they are written.
            let _ = self.mapping.map.advise_range(Advice::PopulateWrite, self.done_bytes, HUGE_PAGE_BYTES);
            self.done_bytes += HUGE_PAGE_BYTES;
        }
        has_moved
    }
}

/// Hands out the ranges of one mapping.
pub struct Arena {
    mapping: Arc<Mapping>,
    start: NonNull<u8>,
    segment_bytes: usize,
    segment_count: usize,
    carved: usize,
    /// The kernel was asked for huge pages.
    is_huge: bool,
}

// SAFETY: `start` points into `mapping`, which is `Send` and moves along; the arena reads nothing through it.
unsafe impl Send for Arena {}

impl Arena {
    /// Reserves address space for `bytes`, rounded down to whole segments. No memory is used until segments are
    /// written.
    pub fn new(bytes: usize, segment_bytes: usize) -> io::Result<Arena> {
        assert!(segment_bytes.is_power_of_two() && segment_bytes >= LINE_BYTES, "segments are whole cache lines");
        let segment_count = (bytes / segment_bytes).max(1);
        let mut map = MmapOptions::new().len(segment_count * segment_bytes).no_reserve_swap().map_anon()?;
        let start = NonNull::new(map.as_mut_ptr()).expect("a mapping does not start at address 0");
        Ok(Arena {
            mapping: Arc::new(Mapping { map, carved_bytes: AtomicUsize::new(0) }),
            start,
            segment_bytes,
            segment_count,
            carved: 0,
            is_huge: false,
        })
    }

    /// Asks the kernel for huge pages. Without them everything still works, only with more TLB misses: a refusal is not
    /// an error.
    pub fn ask_for_huge_pages(&mut self) {
        self.is_huge = self.mapping.map.advise(Advice::HugePage).is_ok();
    }

    /// For another thread, to get pages ahead of us; `None` where pages are small and need no help.
    pub fn prefault(&self, limit_bytes: usize) -> Option<Prefault> {
        let limit_bytes = limit_bytes.min(self.mapping.map.len());
        self.is_huge.then(|| Prefault { mapping: Arc::clone(&self.mapping), seen_bytes: 0, done_bytes: 0, limit_bytes })
    }

    /// The next range that nobody had yet, or `None` when the mapping is used up.
    pub fn carve(&mut self) -> Option<SegmentMemory> {
        if self.carved == self.segment_count {
            return None;
        }
        let offset = self.carved * self.segment_bytes;
        self.carved += 1;
        self.mapping.carved_bytes.store(self.carved * self.segment_bytes, Ordering::Relaxed);
        // SAFETY: offset < segment_count * segment_bytes, the length of the mapping, so the result lies inside it.
        let start = unsafe { self.start.add(offset) };
        Some(SegmentMemory { start, bytes: self.segment_bytes, mapping: Arc::clone(&self.mapping) })
    }

    /// Size of every segment.
    pub fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Segments carved so far.
    pub fn carved(&self) -> usize {
        self.carved
    }
}

/// A cache line as eight numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u64; 8]);

const LINE_BYTES: usize = size_of::<Line>();
const _: () = assert!(LINE_BYTES == 64 && align_of::<Line>() == 64);

/// The memory of one segment: exclusive, and free to move between threads.
pub struct SegmentMemory {
    start: NonNull<u8>,
    bytes: usize,
    mapping: Arc<Mapping>,
}

// SAFETY: the range is exclusive to this value (`Arena::carve` hands each out once), so moving it moves the only
// access.
unsafe impl Send for SegmentMemory {}
// SAFETY: `&SegmentMemory` gives only `&[u8]`; every change needs `&mut`.
unsafe impl Sync for SegmentMemory {}

impl SegmentMemory {
    /// Address order, for keeping the lowest segments in use.
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// The segment as cache lines.
    #[inline]
    pub fn lines(&self) -> &[Line] {
        // SAFETY: the range is initialised, exclusive, and a multiple of 64 bytes at a multiple of 64: the mapping
        // begins at a page, and segments are powers of two of at least 64 bytes, asserted in `Arena::new`. Every bit
        // pattern is a `Line`. Writes need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<Line>(), self.bytes / LINE_BYTES) }
    }

    /// The segment as cache lines, to write.
    #[inline]
    pub fn lines_mut(&mut self) -> &mut [Line] {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast::<Line>(), self.bytes / LINE_BYTES) }
    }

    /// Gives the pages back to the operating system. The bytes read as zero afterwards.
    pub fn discard(&mut self) {
        let offset = self.address() - self.mapping.map.as_ptr() as usize;
        if !offset.is_multiple_of(PAGE_BYTES_MAX) || !self.bytes.is_multiple_of(PAGE_BYTES_MAX) {
            // The kernel would take whole pages, and so bytes of others.
            return self.fill(0);
        }
        // SAFETY: the range is inside the mapping and exclusive to `self`, which is borrowed mutably: nobody holds a
        // reference to bytes that turn to zero. It begins and ends at page boundaries, checked above, so it is not
        // extended. The mapping is private and anonymous, so zero is what the bytes turn to.
        let result = unsafe { self.mapping.map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, self.bytes) };
        debug_assert!(result.is_ok(), "MADV_DONTNEED on an unlocked private mapping does not fail");
    }
}

impl Deref for SegmentMemory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: start..start+bytes is inside the mapping, which `self.mapping` keeps; it is initialised (zero pages);
        // writes need `&mut self`, so nothing changes it while the slice lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for SegmentMemory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only access: each range was handed out once.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_disjoint_zeroed_and_outlive_the_arena() {
        let mut arena = Arena::new(4 * 65536, 65536).unwrap();
        let mut segments: Vec<_> = std::iter::from_fn(|| arena.carve()).collect();
        assert_eq!(segments.len(), 4);
        drop(arena);
        for (number, segment) in segments.iter_mut().enumerate() {
            assert!(segment.iter().all(|byte| *byte == 0));
            segment.fill(number as u8 + 1);
        }
        for (number, segment) in segments.iter().enumerate() {
            assert!(segment.iter().all(|byte| *byte == number as u8 + 1));
        }
        assert!(segments.is_sorted_by_key(SegmentMemory::address));
    }

    #[test]
    fn discarded_segment_reads_as_zero_and_can_be_written_again() {
        for segment_bytes in [2048, 65536] {
            check_discard(segment_bytes);
        }
    }

    fn check_discard(segment_bytes: usize) {
        let mut arena = Arena::new(2 * segment_bytes, segment_bytes).unwrap();
        let (mut first, mut second) = (arena.carve().unwrap(), arena.carve().unwrap());
        first.fill(7);
        second.fill(9);
        first.discard();
        assert!(first.iter().all(|byte| *byte == 0));
        assert!(second.iter().all(|byte| *byte == 9));
        first[segment_bytes - 1] = 1;
        assert_eq!(first[segment_bytes - 1], 1);
    }

    #[test]
    fn lines_and_bytes_are_the_same_memory() {
        let mut arena = Arena::new(2 * 2048, 2048).unwrap();
        let (mut first, second) = (arena.carve().unwrap(), arena.carve().unwrap());
        assert_eq!(first.lines().len(), 32);
        first.lines_mut()[31].0[7] = u64::from_le_bytes(*b"lastword");
        assert_eq!(&first[2040..], b"lastword");
        assert!(second.lines().iter().all(|line| line.0 == [0; 8]));
    }

    #[test]
    fn prefault_stays_ahead_and_below_the_limit() {
        const SEGMENT_BYTES: usize = HUGE_PAGE_BYTES / 4;
        const LIMIT_BYTES: usize = 16 * HUGE_PAGE_BYTES;
        let mut arena = Arena::new(32 * HUGE_PAGE_BYTES, SEGMENT_BYTES).unwrap();
        assert!(arena.prefault(LIMIT_BYTES).is_none(), "small pages need no help");
        arena.is_huge = true;
        let mut prefault = arena.prefault(LIMIT_BYTES).unwrap();
        assert!(!prefault.step());
        assert_eq!(prefault.done_bytes, FIRST_BYTES);
        let mut segments = Vec::new();
        for count in 1..=128 {
            segments.push(arena.carve().unwrap());
            assert!(prefault.step() && !prefault.step());
            let ahead = (count * SEGMENT_BYTES + AHEAD_BYTES) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
            let carved = (count * SEGMENT_BYTES).next_multiple_of(HUGE_PAGE_BYTES);
            assert_eq!(prefault.done_bytes, ahead.clamp(FIRST_BYTES, LIMIT_BYTES.max(carved)));
        }
    }

    #[test]
    fn segment_moves_to_another_thread() {
        let mut arena = Arena::new(65536, 65536).unwrap();
        let mut segment = arena.carve().unwrap();
        segment[1] = 5;
        let read = std::thread::scope(|scope| scope.spawn(move || segment[1]).join().unwrap());
        assert_eq!(read, 5);
    }
}
