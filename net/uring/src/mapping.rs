//! Mapping: anonymous zeroed memory that the kernel may be told about.
//!
//! Invariants
//! - The memory is page-aligned, initialised (zeroed by the kernel), and unmapped once, on drop.
//! - A child of `fork` does not inherit it: the kernel would go on writing into the parent's copy only.

use std::io;
use std::ptr::{self, NonNull};

/// A private anonymous mapping.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    /// Maps `bytes` (at least 1) of zeroed memory.
    pub(crate) fn new(bytes: usize) -> io::Result<Mapping> {
        assert!(bytes > 0, "an empty mapping has no address");
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = Mapping { start: NonNull::new(start.cast()).expect("mmap never maps page 0 unasked"), bytes };
        // SAFETY: the range is the mapping made above, and the advice changes nothing in this process.
        if unsafe { libc::madvise(start, bytes, libc::MADV_DONTFORK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// The first byte; valid for reads and writes of the whole mapping while `self` lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what `new` mapped, and nobody else unmaps it. The owner drops a mapping only
        // when neither the kernel nor a slice refers to it.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(unmapped, 0, "munmap of a whole mapping cannot fail");
    }
}
