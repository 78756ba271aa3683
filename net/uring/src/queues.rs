//! Queues: the submission and completion queues that are shared with the kernel, and the one call that moves them.
//!
//! Invariants
//! - `split` is called once and its parts are kept: the registered descriptor lives in that `Submitter`, and the local
//!   head and tail in those queues. They borrow from the boxed ring, are dropped before it, and nobody else touches it.
//! - Every `io_uring_enter` carries GETEVENTS: with DEFER_TASKRUN nothing completes otherwise.
//! - `overdue` is empty unless the submission queue is full, so submissions reach the kernel in the order of `push`.
//! - The queues stay on the thread that made them (SINGLE_ISSUER); raw pointers make the type neither `Send` nor
//!   `Sync`.

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, CompletionStatus, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue};

use crate::op::{Outcome, Prepared};
use crate::ring::Wait;

/// Longest sleep: longer ones would overflow the kernel's time; the caller comes back and sleeps again.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The two queues.
pub(crate) struct Queues {
    submitter: ManuallyDrop<Submitter<'static>>,
    submissions: ManuallyDrop<SubmissionQueue<'static>>,
    completions: ManuallyDrop<CompletionQueue<'static>>,
    arrived: CompletionStatus,
    /// Submissions that the kernel would not take when the queue was full. At most three per slot are in flight or
    /// cancelled, so the caller's table bounds it.
    overdue: VecDeque<Entry>,
    flags: EnterFlags,
    enter_count: u64,
    ring: NonNull<IoUring>,
}

impl Queues {
    /// Keeps the parts of `ring`, and registers its descriptor with this thread where the kernel can.
    pub(crate) fn new(ring: IoUring) -> Queues {
        let mut flags = EnterFlags::GETEVENTS;
        if ring.params().is_feature_no_iowait() {
            flags |= EnterFlags::NO_IOWAIT;
        }
        let ring = NonNull::from(Box::leak(Box::new(ring)));
        // SAFETY: the box was just leaked, so the reference is unique and lives until `drop` takes the box back, which
        // is after the parts that borrow from it are gone. Nobody else follows `ring` until then.
        let (submitter, submissions, completions) = unsafe { &mut *ring.as_ptr() }.split();
        // SAFETY: the status points into the same queue, and `Queues` holds both.
        let arrived = unsafe { completions.status() };
        Queues {
            submitter: ManuallyDrop::new(submitter),
            submissions: ManuallyDrop::new(submissions),
            completions: ManuallyDrop::new(completions),
            arrived,
            overdue: VecDeque::new(),
            flags,
            enter_count: 0,
            ring,
        }
    }

    /// Makes `io_uring_enter` cheaper by a table look-up less; false if the kernel cannot.
    pub(crate) fn register_descriptor(&mut self) -> bool {
        self.submitter.register_ring_fd().is_ok()
    }

    /// For registrations.
    pub(crate) fn submitter(&self) -> &Submitter<'static> {
        &self.submitter
    }

    /// Calls of `io_uring_enter` so far.
    pub(crate) fn enter_count(&self) -> u64 {
        self.enter_count
    }

    /// Queues a submission, or gives it back if the queue is full: it then has to go to `push_to_full`.
    #[inline]
    pub(crate) fn push(&mut self, prepared: Prepared) -> Result<(), Prepared> {
        // SAFETY: `Prepared` is the proof that the entry's addresses hold until the operation's last completion.
        unsafe { self.submissions.push(prepared.entry()) }.map_err(|_full| prepared)
    }

    /// Submits the full queue to make room for one more.
    pub(crate) fn push_to_full(&mut self, prepared: Prepared) {
        if self.overdue.is_empty() {
            self.submissions.sync();
            // An error here is not lost: what stays queued meets it again in the next `enter`, which reports it.
            let _reported_by_enter = self.call(0, None);
            self.submissions.sync();
            // SAFETY: as in `push`.
            if unsafe { self.submissions.push(prepared.entry()) }.is_ok() {
                return;
            }
        }
        self.overdue.push_back(prepared.entry().clone());
    }

    /// True if the kernel has something for us: completions, or work that an `enter` turns into completions.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        !self.arrived.is_empty() || self.has_kernel_work()
    }

    /// Submits, runs the kernel's deferred work, and sleeps if `wait` allows and no completion is there.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.submissions.sync();
        if self.submissions.is_empty() && !self.has_kernel_work() {
            let nothing_to_wait_for = wait == Wait::No || !self.arrived.is_empty();
            if nothing_to_wait_for {
                return Ok(());
            }
        }
        let entered = match wait {
            Wait::AtMost(limit) if self.overdue.is_empty() => {
                let limit = Timespec::from(limit.min(WAIT_MAX));
                self.call(1, Some(&SubmitArgs::new().timespec(&limit)))
            }
            Wait::AtMost(_) | Wait::No => self.call(0, None),
        };
        self.refill();
        entered
    }

    /// The next completion in the order of arrival. `begin_reap` comes before the first, `end_reap` after the last.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, Outcome)> {
        let completion = self.completions.next()?;
        let flags = completion.flags();
        let outcome =
            Outcome { result: completion.result(), more: cqueue::more(flags), buffer: cqueue::buffer_select(flags) };
        Some((completion.user_data(), outcome))
    }

    /// Looks for completions that have arrived.
    #[inline]
    pub(crate) fn begin_reap(&mut self) {
        self.completions.sync();
    }

    /// Gives the room of the completions taken back to the kernel.
    #[inline]
    pub(crate) fn end_reap(&mut self) {
        self.completions.sync();
    }

    /// With TASKRUN the kernel has work that only an `enter` runs; with CQ_OVERFLOW it holds completions back until
    /// one.
    #[inline]
    fn has_kernel_work(&self) -> bool {
        self.submissions.taskrun() || self.submissions.cq_overflow()
    }

    /// Moves overdue submissions to the queue.
    #[inline]
    fn refill(&mut self) {
        if self.overdue.is_empty() {
            return;
        }
        self.submissions.sync();
        while let Some(entry) = self.overdue.front() {
            // SAFETY: `push_to_full` cloned the entry from a `Prepared`; its addresses hold until its last completion,
            // which cannot be before its submission.
            if unsafe { self.submissions.push(entry) }.is_err() {
                return;
            }
            self.overdue.pop_front();
        }
    }

    /// Puts another file in the place of the ring's descriptor, so that every call fails from now on.
    #[cfg(test)]
    pub(crate) fn break_descriptor(&mut self) {
        use std::os::fd::AsRawFd;
        self.submitter.unregister_ring_fd().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: the box lives until `drop`, and only the descriptor's number is read.
        let ring = unsafe { self.ring.as_ref() }.as_raw_fd();
        // SAFETY: dup2(2) touches no memory of ours; both descriptors are open.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), ring) }, ring);
    }

    fn call(&mut self, completions_min: u32, wait: Option<&SubmitArgs<'_, '_>>) -> io::Result<()> {
        self.enter_count += 1;
        let mut flags = self.flags;
        if wait.is_some() {
            flags |= EnterFlags::EXT_ARG;
        }
        let count = self.submissions.len() as u32;
        // SAFETY: `count` entries are published. With EXT_ARG the argument is the structure that the flag announces,
        // alive during the call; without it the kernel reads a null signal mask, which means none.
        let entered = unsafe { self.submitter.enter(count, completions_min, flags.bits(), wait) };
        match entered {
            // Entries beyond those taken stay queued, and `enter` counts them again.
            Ok(_taken) => Ok(()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// ETIME: the time to wait is over. EINTR: a signal came. EBUSY: completions must be reaped first. EAGAIN: the kernel
/// was short of memory. The caller's next round does what each one asks for.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

impl Drop for Queues {
    fn drop(&mut self) {
        // A registered descriptor holds the ring until its thread ends. Fails only if none is registered.
        let _none_registered = self.submitter.unregister_ring_fd();
        // SAFETY: each part is dropped once, here, and not used afterwards; the ring they borrow from still lives.
        unsafe {
            ManuallyDrop::drop(&mut self.completions);
            ManuallyDrop::drop(&mut self.submissions);
            ManuallyDrop::drop(&mut self.submitter);
        }
        // SAFETY: the pointer comes from `Box::leak` in `new`, and the parts that borrowed from it are gone. `arrived`
        // keeps pointers without following them any more.
        drop(unsafe { Box::from_raw(self.ring.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;

    fn nop(user_data: u64) -> Prepared {
        // SAFETY: a no-op carries no address.
        unsafe { Prepared::raw(opcode::Nop::new().build().user_data(user_data)) }
    }

    #[test]
    fn submissions_that_the_kernel_refused_go_out_later_in_order() {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_cqsize(512);
        let mut queues = Queues::new(builder.build(8).unwrap());
        for number in 0..8 {
            assert!(queues.push(nop(number)).is_ok());
        }
        for number in 8..100 {
            // As if `push_to_full` had found the queue full even after its call.
            let Err(refused) = queues.push(nop(number)) else { panic!("the queue is full") };
            queues.overdue.push_back(refused.entry().clone());
        }
        let mut done = Vec::new();
        while done.len() < 100 {
            // An hour: with submissions overdue the ring must not sleep.
            queues.enter(Wait::AtMost(Duration::from_secs(3600))).unwrap();
            queues.begin_reap();
            done.extend(std::iter::from_fn(|| queues.pop()).map(|(user_data, _outcome)| user_data));
            queues.end_reap();
        }
        assert_eq!(done, (0..100).collect::<Vec<u64>>());
        assert!(queues.overdue.is_empty());
    }

    #[test]
    fn only_errors_that_a_retry_mends_are_swallowed() {
        for errno in [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN] {
            assert!(is_transient(&io::Error::from_raw_os_error(errno)));
        }
        for errno in [libc::EBADF, libc::EINVAL, libc::EEXIST, libc::EFAULT, libc::EBADR] {
            assert!(!is_transient(&io::Error::from_raw_os_error(errno)));
        }
    }
}
