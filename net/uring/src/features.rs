//! Features: what the kernel offered when the ring was made, for the server's start-up block.

use std::ffi::CStr;
use std::fmt;

/// What was found. The required ones are always true in a ring that exists; they are listed because the start-up block
/// shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// The kernel's release, such as `6.18.44`.
    pub kernel: String,
    /// One thread submits. Required.
    pub single_issuer: bool,
    /// Completions run when this thread asks for them. Required.
    pub defer_taskrun: bool,
    /// The kernel takes submissions in order, without an index array (6.6).
    pub no_sqarray: bool,
    /// The ring's descriptor is registered with its thread (5.18).
    pub registered_descriptor: bool,
    /// A sleeping ring does not count as waiting for I/O (6.15).
    pub no_iowait: bool,
    /// Waits can gather completions for a bounded time (6.12). Found, not used yet.
    pub min_wait: bool,
    /// Receive buffers go through a shared ring. Required.
    pub buffer_ring: bool,
    /// A multishot receive on a unix socket sees an end of the stream that arrives together with bytes. `self_test`
    /// finds out, and clears it where not; there only a timeout ends such a connection (mended in Linux in March 2026).
    pub unix_end_of_stream: bool,
    /// Submission queue entries, as the kernel made them.
    pub sq_entries: u32,
    /// Completion queue entries, as the kernel made them.
    pub cq_entries: u32,
    /// Provided buffers.
    pub buffer_count: u16,
    /// Bytes of a provided buffer.
    pub buffer_bytes: u32,
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring on Linux {}:", self.kernel)?;
        let named = [
            (self.single_issuer, "single-issuer"),
            (self.defer_taskrun, "defer-taskrun"),
            (self.buffer_ring, "buffer-ring"),
            (self.no_sqarray, "no-sqarray"),
            (self.registered_descriptor, "registered-fd"),
            (self.no_iowait, "no-iowait"),
            (self.min_wait, "min-wait"),
            (self.unix_end_of_stream, "unix-eof"),
        ];
        for (found, name) in named {
            write!(f, " {}{name}", if found { "" } else { "no:" })?;
        }
        write!(
            f,
            "; queues {}/{}, buffers {} x {} B",
            self.sq_entries, self.cq_entries, self.buffer_count, self.buffer_bytes
        )
    }
}

/// The running kernel's release; empty if it has none to tell.
pub(crate) fn kernel_release() -> String {
    // SAFETY: the structure is arrays of characters, for which zero is a value.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: uname(2) writes into the structure it is given.
    if unsafe { libc::uname(&mut names) } != 0 {
        return String::new();
    }
    // SAFETY: the kernel ends the name with a zero within the array, and `names` outlives the borrow.
    unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy().into_owned()
}
