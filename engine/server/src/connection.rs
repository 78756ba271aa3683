//! One connection: what is in flight on it, what it has sent us, what we owe it.
//!
//! ```text
//!          end of stream, QUIT,            replies flushed,
//!          protocol error                  or hard limit, reset
//!   Open ----------------------> Draining -------------------> Lingering ----> Closing ----> (slot free)
//!     |                             |     shutdown(SHUT_WR)       peer ended      ^   nothing in flight:
//!     +-----------------------------+--------------------------   or time up      |   close(2), generation + 1
//!                 reset, hard limit, idle timeout --------------------------------+
//! ```
//! There is no edge back: what has ended never receives again.
//!
//! Invariants
//! - At most one receive and one send are in flight.
//! - The socket is closed only when nothing is in flight on it.
//! - `backlog` is not empty only while the connection waits on the run list or for its peer to read.
//!
//! Absent on purpose: parsing and I/O; `input`, `output` and `lifecycle` do those.

use cache::ClientIndex;
use protocol::Protocol;
use uring::{Socket, Token};

use crate::assembler::Assembler;
use crate::replies::Replies;

/// What the connection may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests are served.
    Open,
    /// No further request is served; what is owed still goes out.
    Draining,
    /// Everything is sent and our direction is ended. What still arrives is discarded: closing with unread bytes would
    /// make the kernel reset the connection and throw away replies that are on their way.
    Lingering,
    /// The socket is shut down; completions in flight are awaited.
    Closing,
}

/// The receive in flight, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// None.
    Off,
    /// A multishot receive into provided buffers.
    Stream,
    /// As `Stream`, and its cancellation is under way.
    Cancelling,
    /// One receive straight into a large value.
    Direct,
}

/// One connection. See the module's invariants.
pub struct Connection {
    /// The socket.
    pub socket: Socket,
    /// Who occupies this slot; a late completion of an earlier occupant has another generation.
    pub token: Token,
    /// The session in the cache crate; `None` for a connection that is only told why it is refused, and once it
    /// is `Closing`.
    pub client: Option<ClientIndex>,
    /// What it may still do.
    pub state: State,
    /// The receive in flight.
    pub receiving: Receiving,
    /// Wire bytes of the send in flight; `None` if there is none.
    pub sending: Option<usize>,
    /// Allocated bytes of the send in flight, large values not counted: those are the store's.
    pub sending_held_bytes: usize,
    /// The peer has ended its direction: once all requests are served, the connection drains.
    pub peer_ended: bool,
    /// The peer does not read its replies: nothing is parsed or received until it does.
    pub paused: bool,
    /// Times that it was let go on although it did not read: each allows `PATIENCE` times as much unread.
    pub patience: u32,
    /// It is to be closed without regard to what it is owed.
    pub is_doomed: bool,
    /// Its front job waits: nothing is to be done for it until the job is woken.
    pub is_parked: bool,
    /// It receives although its backlog is full, once: how else could we see that a client that waits has left?
    pub probes: bool,
    /// Received on it so far, in bytes.
    pub received_bytes: u64,
    /// Sent on it so far, in bytes.
    pub sent_bytes: u64,
    /// On the list of connections with something to send.
    pub dirty: bool,
    /// On the run list: `backlog` is served in a later tick.
    pub on_run_list: bool,
    /// Requests that may still be served in this tick.
    pub commands_left: u32,
    /// Request bytes that may still be served in this tick.
    pub bytes_left: u32,
    /// Requests of this tick are counted from here: the tick's number.
    pub served_in_tick: u64,
    /// When a send last ended or a pause began, in microseconds: a client that reads a long reply is not idle.
    pub progress_us: u64,
    /// When the unsent replies went over the soft limit.
    pub over_soft_since_us: Option<u64>,
    /// When it last sent something, in microseconds; for the idle timeout.
    pub active_us: u64,
    /// While `Lingering`: when the wait for the peer's end is over.
    pub linger_until_us: u64,
    /// The request that is split over receives or carries a large value; its kind is the connection's protocol.
    pub assembler: Assembler,
    /// Received bytes that wait for their turn.
    pub backlog: Vec<u8>,
    /// What we owe.
    pub replies: Replies,
    /// Bytes of this connection's buffers that are charged to the memory budget.
    pub charged_bytes: usize,
    /// Bytes that a large value under way still lacks, as counted in the node.
    pub promised_bytes: usize,
}

/// Requests of one connection that are served in one tick; more waits on the run list.
pub const COMMANDS_PER_TICK_MAX: u32 = 1024;
/// Request bytes of one connection that are served in one tick; more waits on the run list.
pub const BYTES_PER_TICK_MAX: u32 = 64 * 1024;
/// How much more may be unread after each stall: many clients write a whole pipeline before they read.
const PATIENCE: usize = 8;
/// Silence after which a connection's empty buffers are given back.
const REST_AFTER_US: u64 = 1_000_000;

impl Connection {
    /// A fresh one: open, nothing in flight.
    pub fn new(
        socket: Socket,
        token: Token,
        protocol: Protocol,
        client: Option<ClientIndex>,
        now_us: u64,
    ) -> Connection {
        Connection {
            socket,
            token,
            client,
            state: State::Open,
            receiving: Receiving::Off,
            sending: None,
            sending_held_bytes: 0,
            peer_ended: false,
            paused: false,
            patience: 0,
            is_doomed: false,
            is_parked: false,
            probes: false,
            received_bytes: 0,
            sent_bytes: 0,
            dirty: false,
            on_run_list: false,
            commands_left: COMMANDS_PER_TICK_MAX,
            bytes_left: BYTES_PER_TICK_MAX,
            served_in_tick: 0,
            progress_us: now_us,
            over_soft_since_us: None,
            active_us: now_us,
            linger_until_us: 0,
            assembler: Assembler::new(protocol),
            backlog: Vec::new(),
            replies: Replies::default(),
            charged_bytes: 0,
            promised_bytes: 0,
        }
    }

    /// True if an operation is in flight on the socket.
    pub fn in_flight(&self) -> bool {
        self.receiving != Receiving::Off || self.sending.is_some()
    }

    /// Renews the share of a tick when a new one has begun.
    #[inline]
    pub fn begin_tick(&mut self, tick: u64) {
        if self.served_in_tick != tick {
            self.served_in_tick = tick;
            self.commands_left = COMMANDS_PER_TICK_MAX;
            self.bytes_left = BYTES_PER_TICK_MAX;
        }
    }

    /// True if another request may be served in this tick.
    #[inline]
    pub fn may_serve(&self) -> bool {
        let has_share = self.commands_left > 0 && self.bytes_left > 0;
        // A long command is a barrier: what comes behind it must not be seen by it.
        self.state == State::Open && !self.paused && has_share && !self.replies.is_waiting()
    }

    /// Wire bytes that the peer has not taken yet.
    #[inline]
    pub fn unsent_bytes(&mut self) -> usize {
        self.replies.owed_bytes() + self.replies.job_reply_bytes() + self.sending.unwrap_or(0)
    }

    /// Unread bytes above which it is paused, given the limit for those that read.
    #[inline]
    pub fn pause_bytes(&self, limit: usize, is_crowded: bool) -> usize {
        let has_patience = self.patience > 0 && !is_crowded;
        if has_patience { limit.saturating_mul(PATIENCE.saturating_pow(self.patience)) } else { limit }
    }

    /// Gives back the buffers of a connection that was silent for a while: ten thousand idle ones must cost little.
    pub fn rest(&mut self, now_us: u64) {
        if now_us - self.active_us < REST_AFTER_US {
            return;
        }
        if self.assembler.is_idle() {
            self.assembler = Assembler::new(self.assembler.protocol());
        }
        self.replies.rest();
    }

    /// Bytes of buffers held for this connection, for the memory budget.
    pub fn held_bytes(&self) -> usize {
        self.assembler.held_bytes()
            + self.backlog.capacity()
            + self.replies.held_bytes()
            + self.replies.job_bytes()
            + self.sending_held_bytes
    }
}
