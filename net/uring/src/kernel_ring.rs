//! KernelRing: `Ring` on io_uring.
//!
//! Invariants
//! - Made and used on one thread for life.
//! - One `io_uring_enter` per `enter`, and none if there is nothing to submit, nothing to run and nothing to wait for.
//! - No allocation per operation once the tables have grown to the caller's size.
//! - Dropping it cancels what is in flight and waits for the kernel to let go of the buffers; buffers that the kernel
//!   does not let go of in time are leaked, never freed.

use std::io;
use std::mem::ManuallyDrop;
use std::time::Duration;

use io_uring::IoUring;

use crate::buffers::Buffers;
use crate::features::{Features, kernel_release};
use crate::in_flight::InFlight;
use crate::op::{self, Meaning, Prepared};
use crate::queues::Queues;
use crate::ring::{Chunk, Completion, Event, Op, Peer, Ring, RingUsage, Socket, Token, Wait};
use crate::setup::{Setup, SetupError};
use crate::{socket, user_data};

/// Rounds of cancelling and waiting before a dropped ring leaks its buffers; 20 ms each, so 2 s in all.
const DRAIN_ROUND_MAX: usize = 100;
const DRAIN_ROUND: Duration = Duration::from_millis(20);

/// A ring of the kernel's.
pub struct KernelRing {
    queues: Queues,
    in_flight: ManuallyDrop<InFlight>,
    buffers: ManuallyDrop<Buffers>,
    features: Features,
}

impl KernelRing {
    /// Makes the ring of the calling thread, which must be the one that uses it.
    ///
    /// # Errors
    /// One line on what is missing and how to mend it.
    pub fn new(setup: Setup) -> Result<KernelRing, SetupError> {
        setup.check()?;
        let (ring, no_sqarray) = build(&setup)?;
        let params = ring.params();
        let mut features = Features {
            kernel: kernel_release(),
            single_issuer: params.is_setup_single_issuer(),
            defer_taskrun: true,
            no_sqarray,
            registered_descriptor: false,
            no_iowait: params.is_feature_no_iowait(),
            min_wait: params.is_feature_min_timeout(),
            buffer_ring: true,
            unix_end_of_stream: true,
            sq_entries: params.sq_entries(),
            cq_entries: params.cq_entries(),
            buffer_count: setup.buffer_count,
            buffer_bytes: setup.buffer_bytes,
        };
        if !params.is_feature_nodrop() || !params.is_feature_ext_arg() || !params.is_feature_submit_stable() {
            return Err(SetupError::KernelTooOld { missing: "lossless completions and timed waits" });
        }
        let mut queues = Queues::new(ring);
        features.registered_descriptor = queues.register_descriptor();
        let buffers = Buffers::new(setup.buffer_count, setup.buffer_bytes)
            .map_err(|error| SetupError::from_io("mapping the receive buffers", "mappings", &error))?;
        buffers
            .register(queues.submitter())
            .map_err(|error| SetupError::from_io("registering the receive buffers", "buffer rings", &error))?;
        Ok(KernelRing {
            queues,
            in_flight: ManuallyDrop::new(InFlight::default()),
            buffers: ManuallyDrop::new(buffers),
            features,
        })
    }

    /// What the kernel offered.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Calls of `io_uring_enter` so far.
    pub fn enter_count(&self) -> u64 {
        self.queues.enter_count()
    }

    /// Operations that have not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// For what only `self_test` finds out.
    pub(crate) fn features_mut(&mut self) -> &mut Features {
        &mut self.features
    }

    #[inline]
    fn submit(&mut self, prepared: Prepared) {
        if let Err(prepared) = self.queues.push(prepared) {
            self.submit_to_full_queue(prepared);
        }
    }

    /// The call that makes room runs receives, too: they want the buffers that were recycled.
    #[cold]
    fn submit_to_full_queue(&mut self, prepared: Prepared) {
        self.buffers.publish();
        self.queues.push_to_full(prepared);
    }

    /// Forgets that buffers ever ran out.
    pub(crate) fn narrow_window(&mut self) {
        self.buffers.narrow();
    }

    /// Cancels everything until nothing is in flight; false if the kernel did not let go in time.
    fn drain(&mut self) -> bool {
        let mut dropped = Vec::new();
        for _round in 0..DRAIN_ROUND_MAX {
            if self.in_flight.count() == 0 {
                return true;
            }
            // Once per round: an operation between its poll and its next attempt escapes a cancel.
            self.submit(Prepared::cancel_all());
            if self.enter(Wait::AtMost(DRAIN_ROUND)).is_err() {
                return false;
            }
            self.reap(&mut dropped, usize::MAX);
            for completion in dropped.drain(..) {
                self.discard(completion);
            }
        }
        false
    }

    fn discard(&mut self, completion: Completion) {
        match completion.event {
            Event::Accepted { result: Ok(socket), .. } => self.close(socket),
            Event::Received { result: Ok(Some(chunk)), .. } => self.recycle(chunk),
            Event::Accepted { result: Err(_), .. }
            | Event::Received { result: Ok(None) | Err(_), .. }
            | Event::Filled { .. }
            | Event::Sent { .. } => {}
        }
    }
}

fn build(setup: &Setup) -> Result<(IoUring, bool), SetupError> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_submit_all()
        .setup_cqsize(setup.cq_entries)
        .setup_clamp()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag();
    let with_array = builder.clone();
    match builder.setup_no_sqarray().build(setup.sq_entries) {
        Ok(ring) => Ok((ring, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => match with_array.build(setup.sq_entries) {
            Ok(ring) => Ok((ring, false)),
            Err(error) => Err(SetupError::from_io("making the ring", "DEFER_TASKRUN", &error)),
        },
        Err(error) => Err(SetupError::from_io("making the ring", "DEFER_TASKRUN", &error)),
    }
}

impl Ring for KernelRing {
    #[inline]
    fn push(&mut self, token: Token, op: Op) {
        if let Some(prepared) = op::start(&mut self.in_flight, token, op) {
            self.submit(prepared);
        }
    }

    #[inline]
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.buffers.publish();
        self.queues.enter(wait)
    }

    #[inline]
    fn reap(&mut self, completions: &mut Vec<Completion>, limit: usize) {
        let end = completions.len().saturating_add(limit);
        self.queues.begin_reap();
        while completions.len() < end {
            let Some((user_data, outcome)) = self.queues.pop() else { break };
            let Some((code, token)) = user_data::decode(user_data) else {
                if let Some(buffer) = outcome.buffer {
                    self.buffers.reclaim(buffer);
                }
                continue;
            };
            match op::finish(&mut self.in_flight, &mut self.buffers, token, code, outcome) {
                Meaning::Event(event) => completions.push(Completion { token, event }),
                Meaning::Nothing => {}
                Meaning::Again(prepared) => self.submit(prepared),
            }
        }
        self.queues.end_reap();
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.queues.is_ready()
    }

    #[inline]
    fn usage(&self) -> RingUsage {
        RingUsage { enters: self.queues.enter_count(), buffers: u64::from(self.features.buffer_count) }
    }

    fn chunk(&self, chunk: &Chunk) -> &[u8] {
        self.buffers.bytes(chunk)
    }

    #[inline]
    fn recycle(&mut self, chunk: Chunk) {
        self.buffers.recycle(chunk);
    }

    fn peer(&self, socket: Socket) -> Option<Peer> {
        socket::peer(socket)
    }

    fn shutdown(&mut self, socket: Socket) {
        socket::shutdown(socket);
    }

    fn finish_writing(&mut self, socket: Socket) -> bool {
        socket::finish_writing(socket);
        true
    }

    fn close(&mut self, socket: Socket) {
        socket::close(socket);
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        let drained = self.drain();
        if !drained || self.buffers.unregister(self.queues.submitter()).is_err() {
            return;
        }
        // SAFETY: dropped once, here. Nothing is in flight and the buffer ring is unregistered, so the kernel knows
        // none of their addresses any more.
        unsafe {
            ManuallyDrop::drop(&mut self.in_flight);
            ManuallyDrop::drop(&mut self.buffers);
        }
    }
}

#[cfg(test)]
mod tests;
