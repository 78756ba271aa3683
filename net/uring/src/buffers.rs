//! Provided buffers: where multishot receives put their bytes.
//!
//! A buffer is in one of three places:
//!
//! ```text
//!            publish              a completion names it
//! reserve ------------> kernel ---------------------------> lent (a Chunk is out)
//!    ^                     |                                  |
//!    +---------------------+----------------------------------+
//!       reclaim (nothing was received)          recycle
//! ```
//!
//! Invariants
//! - `reserve.len() + published + lent ones == buffer_count`.
//! - Nobody but the kernel touches a published buffer; the kernel touches no other.
//! - `lent[buffer]` is the length of the chunk that is out, 0 if none is, so a chunk made up by the caller, or recycled
//!   twice, trips an assertion and never reads or frees a buffer of the kernel's.
//!
//! The reserve is a stack and only `window` buffers are published at a time, because the kernel consumes them in the
//! order of publication and would otherwise walk through all of them: buffers beyond the window are never touched until
//! a
//! burst needs them, which saves 3.5 MiB of resident memory per core at the default sizes. (Request costs with windows
//! of 32,
//! 128 and 1024 are equal within noise on a Zen 4 with 1 MiB of second-level cache.) A burst that finds no buffer
//! doubles
//! the window, for good. Starts of buffers are staggered by a cache line, else all would fall into the same cache sets.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::mapping::Mapping;
use crate::ring::Chunk;

/// The one buffer group of a ring.
pub(crate) const GROUP: u16 = 0;

/// Most buffers that one group can have.
pub(crate) const BUFFER_COUNT_MAX: u16 = 1 << 15;

/// Distance between the end of a buffer and the next one's start, in bytes.
const STAGGER_BYTES: usize = 64;

/// Buffers that are published at a time at first.
const WINDOW_MIN: u16 = 128;

/// The buffers and the ring through which the kernel takes them.
pub(crate) struct Buffers {
    /// `buffer_count` entries; the kernel reads them, and the tail in the first one.
    entries: Mapping,
    bytes: Mapping,
    buffer_bytes: u32,
    buffer_count: u16,
    tail: u16,
    published: u16,
    window: u16,
    /// The kernel ran out of published buffers since the last `publish`.
    starved: bool,
    reserve: Vec<u16>,
    lent: Box<[u32]>,
}

impl Buffers {
    /// Maps `buffer_count` (a power of two) buffers of `buffer_bytes` each.
    pub(crate) fn new(buffer_count: u16, buffer_bytes: u32) -> io::Result<Buffers> {
        assert!(buffer_count.is_power_of_two() && buffer_count <= BUFFER_COUNT_MAX);
        assert!(buffer_bytes > 0);
        let count = usize::from(buffer_count);
        Ok(Buffers {
            entries: Mapping::new(count * size_of::<BufRingEntry>())?,
            bytes: Mapping::new(count * stride(buffer_bytes))?,
            buffer_bytes,
            buffer_count,
            tail: 0,
            published: 0,
            window: buffer_count.min(WINDOW_MIN),
            starved: false,
            reserve: (0..buffer_count).rev().collect(),
            lent: vec![0; count].into_boxed_slice(),
        })
    }

    /// Tells the kernel where the ring of buffers is.
    pub(crate) fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start().as_ptr() as u64;
        // SAFETY: the address is a page-aligned mapping of `buffer_count` entries. It stays mapped until `unregister`,
        // or until the ring is gone: `KernelRing::drop` unmaps it only then, and leaks it otherwise.
        unsafe { submitter.register_buf_ring_with_flags(address, self.buffer_count, GROUP, 0) }
    }

    /// Takes the ring of buffers away from the kernel.
    pub(crate) fn unregister(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(GROUP)
    }

    /// Hands buffers of the reserve to the kernel until the window is full, with one store of the tail.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.starved {
            self.starved = false;
            self.window = self.window.saturating_mul(2).min(self.buffer_count);
        }
        let before = self.tail;
        while self.published < self.window {
            let Some(buffer) = self.reserve.pop() else { break };
            self.write_entry(buffer);
            self.published += 1;
        }
        if self.tail != before {
            self.store_tail();
        }
    }

    /// Notes that the kernel put `len` (at least 1) bytes into `buffer`; the caller may read them until `recycle`.
    #[inline]
    pub(crate) fn lend(&mut self, buffer: u16, len: u32) -> Chunk {
        assert!(len > 0 && len <= self.buffer_bytes);
        let lent = &mut self.lent[usize::from(buffer)];
        assert!(*lent == 0, "the kernel gave a buffer that it does not have");
        *lent = len;
        self.published -= 1;
        Chunk { buffer, len }
    }

    /// Takes a buffer back that a completion named without bytes for the caller.
    pub(crate) fn reclaim(&mut self, buffer: u16) {
        assert!(self.lent[usize::from(buffer)] == 0, "the kernel gave a buffer that it does not have");
        self.published -= 1;
        self.reserve.push(buffer);
    }

    /// The bytes of a chunk that is out.
    #[inline]
    pub(crate) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        let buffer = usize::from(chunk.buffer);
        assert!(chunk.len <= self.lent[buffer], "the chunk is not out");
        let start = self.bytes.start().as_ptr().wrapping_add(buffer * stride(self.buffer_bytes));
        // SAFETY: `buffer` indexes `lent`, so the stride lies in the mapping, and `lent` bytes fit in it. They are
        // initialised (the mapping was zeroed), and nobody writes them while the chunk is out: the kernel let go of the
        // buffer when it completed, and `recycle`, which ends the loan, needs `&mut self`.
        unsafe { std::slice::from_raw_parts(start, chunk.len as usize) }
    }

    /// Ends the loan of a chunk. The kernel gets the buffer at one of the next `publish`es.
    #[inline]
    pub(crate) fn recycle(&mut self, chunk: Chunk) {
        let lent = &mut self.lent[usize::from(chunk.buffer)];
        assert!(*lent != 0, "the chunk is not out");
        *lent = 0;
        self.reserve.push(chunk.buffer);
    }

    /// Notes that the kernel ran out of published buffers; the next `publish` doubles the window.
    pub(crate) fn starve(&mut self) {
        self.starved = true;
    }

    /// Goes back to the first window. Buffers beyond it stay with the kernel until it has used them.
    pub(crate) fn narrow(&mut self) {
        self.window = self.buffer_count.min(WINDOW_MIN);
    }

    /// Buffers that are neither with the kernel nor lent.
    #[cfg(test)]
    pub(crate) fn unlent_count(&self) -> usize {
        self.reserve.len() + usize::from(self.published)
    }

    #[inline]
    fn write_entry(&mut self, buffer: u16) {
        let index = usize::from(self.tail & (self.buffer_count - 1));
        let address = self.bytes.start().as_ptr().wrapping_add(usize::from(buffer) * stride(self.buffer_bytes));
        // SAFETY: `index < buffer_count`, so the entry lies in the mapping, which is aligned and initialised. The
        // kernel does not read it before the tail is stored, and the entry's setters leave the tail (in the first one)
        // alone.
        let entry = unsafe { &mut *self.entries.start().as_ptr().cast::<BufRingEntry>().add(index) };
        entry.set_addr(address as u64);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    #[inline]
    fn store_tail(&self) {
        // SAFETY: the mapping starts with an initialised entry, whose tail field has the alignment of a u16.
        let tail = unsafe { BufRingEntry::tail(self.entries.start().as_ptr().cast()) };
        // SAFETY: the field is a valid, aligned u16 of the mapping. Only this thread writes it, and the kernel reads it
        // atomically; no plain access to it exists.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

const fn stride(buffer_bytes: u32) -> usize {
    buffer_bytes as usize + STAGGER_BYTES
}
