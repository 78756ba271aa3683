//! The ring: how a core talks to the kernel.
//!
//! `ring` is the seam (operations and completions of ours); the other modules are its io_uring implementation:
//!
//! ```text
//! KernelRing --- op/*        what each operation submits and what its completions mean
//!     |--------- InFlight    who asked, and the memory that is the kernel's meanwhile
//!     |--------- Buffers     provided receive buffers
//!     '--------- Queues      the shared queues and io_uring_enter
//! ```
//!
//! # Pitfalls
//! What has gone wrong in programs like this one, and why it does not here. Names in backquotes are tests.
//!
//! - deferred work stalls without GETEVENTS: every call carries it; the call is skipped only if neither TASKRUN nor
//!   CQ_OVERFLOW is flagged: `arrived_bytes_make_the_ring_ready_and_one_enter_delivers_them`,
//!   `an_idle_enter_makes_no_system_call`
//! - lack of buffers ends a multishot receive: a value for the caller, who recycles and arms again:
//!   `lack_of_buffers_ends_the_receive_and_a_new_one_delivers_the_rest`,
//!   `one_starved_connection_leaves_the_others_served`
//! - arming fails at once while the buffers are out:
//!   `a_receive_that_is_armed_while_all_buffers_are_out_works_after_they_are_back`
//! - a multishot operation ends without an error: `more` travels with every completion, and the table ends the
//!   operation by it alone
//! - completions overflow their queue: it has 8 places per submission; beyond, the kernel keeps them:
//!   `a_burst_beyond_the_submission_queue_is_submitted_in_order`
//! - EINTR, EAGAIN, EBUSY taken for failures: `a_signal_during_a_wait_is_no_error`,
//!   `only_errors_that_a_retry_mends_are_swallowed`
//! - a short submit taken for a whole one: what the kernel left in the queue is counted again:
//!   `submissions_that_the_kernel_refused_go_out_later_in_order`
//! - the submission queue is full in the middle of a batch: submitted and reused; no operation is linked to another:
//!   `a_burst_beyond_the_submission_queue_is_submitted_in_order`
//! - the end of the stream is lost to a race: `the_end_of_the_stream_is_not_lost_to_a_racing_send`,
//!   `the_end_of_the_stream_follows_the_bytes_whenever_the_receive_is_armed`; `Features::unix_end_of_stream` tells on
//!   which kernels it may be
//! - a descriptor is reused while operations are in flight: the caller closes only what has nothing in flight;
//!   generations: `completions_of_former_occupants_touch_no_buffer_in_flight`
//! - shutdown goes to a worker thread: a plain system call: `shutdown_ends_a_blocked_send_and_the_receive`
//! - a cancel misses an operation that is about to run: it is repeated:
//!   `a_cancel_that_comes_while_the_receive_has_work_is_not_lost`
//! - sends overtake each other or stop short: one in flight per token, MSG_WAITALL:
//!   `a_big_reply_reaches_a_slow_reader_whole_in_steps_of_a_megabyte`
//! - pieces interleave in incremental buffers: not used
//! - one client starves the others: the kernel leaves a socket after 32 buffers; `reap` has a limit:
//!   `completions_are_reaped_in_portions`
//! - operations are handed to worker threads: none here is: sockets are polled, and no operation asks for it
//! - IO_LINK with CQE_SKIP hangs under DEFER_TASKRUN: nothing is linked
//! - locked memory runs out: nothing is registered but the ring of 16-byte buffer entries; ENOMEM names RLIMIT_MEMLOCK:
//!   `each_error_says_in_one_line_how_to_mend_it`
//! - fork: rings and buffers are not inherited (MADV_DONTFORK)
//! - registered descriptors outlive their ring: unregistered on drop: `rings_come_and_go_on_one_thread`
//! - kernels that return `user_data` of `u64::MAX`: names no operation: `foreign_user_data_names_no_operation`; the
//!   self-test then misses its completions and says so

mod buffers;
mod features;
mod in_flight;
mod kernel_ring;
mod mapping;
mod op;
mod queues;
mod ring;
mod self_test;
mod setup;
mod socket;
mod user_data;

pub use features::Features;
pub use kernel_ring::KernelRing;
pub use ring::{Chunk, Completion, Errno, Event, Op, Outgoing, Peer, Ring, RingUsage, Socket, Splice, Token, Wait};
pub use self_test::self_test;
pub use setup::{Setup, SetupError};
