//! Replies of one connection in request order.
//!
//! ```text
//! owed:   [ out ............ ] [ Waiting job ] [ Ready ... ] [ Waiting job ] [ Ready ... ]
//!           goes out now         front slot      behind it
//! ```
//!
//! Invariants
//! - Replies leave in the order of their requests: what is written behind a waiting slot waits with it.
//! - While no slot waits, replies are encoded straight into `out`, and nothing here allocates.
//!
//! Absent on purpose: sockets and limits. `output` decides when to send and when enough is enough.

use std::collections::VecDeque;

use bytes::Bytes;
use cache::Job;
use protocol::Spliced;
use uring::{Outgoing, Splice};

/// Capacity above which an emptied buffer is given back instead of kept.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Large values of one send. A reply with more goes out in pieces: a send has a list of at most 64 parts, two per
/// value, and finding the unsent rest must not mean walking a hundred thousand values.
const SPLICES_PER_SEND: usize = 32;

/// Encoded replies: bytes and the large values spliced into them.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Encoded bytes.
    pub bytes: Vec<u8>,
    /// Large values, ordered by position.
    pub splices: Vec<Spliced>,
}

impl Encoded {
    fn append(&mut self, other: Encoded) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.splices.extend(other.splices.into_iter().map(|s| Spliced { at: s.at + base, value: s.value }));
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.splices.is_empty()
    }

    fn wire_bytes(&self) -> usize {
        self.bytes.len() + self.splices.iter().map(|s| s.value.len()).sum::<usize>()
    }
}

/// One place in the order of replies.
enum Slot<J> {
    /// A long command still runs; its reply comes here.
    Waiting(J),
    /// Replies behind a waiting one.
    Ready(Encoded),
}

/// The replies that a connection is owed. `J` is what stands for a long command.
pub struct Replies<J = Box<Job>> {
    out: Encoded,
    slots: VecDeque<Slot<J>>,
    /// Wire bytes in `slots`.
    slot_bytes: usize,
    /// Splices of `out` whose length is in `splice_bytes` already.
    splices_counted: usize,
    splice_bytes: usize,
    /// The buffer of the last send, to be used again.
    spare: Vec<u8>,
    /// Sends of a reply with many large values; they go before `out`.
    pieces: VecDeque<Outgoing>,
    /// Wire bytes in `pieces`.
    piece_bytes: usize,
}

impl Replies<Box<Job>> {
    /// Bytes that waiting jobs hold.
    pub fn job_bytes(&self) -> usize {
        self.jobs().map(|job| job.held_bytes()).sum()
    }

    /// Bytes of replies that waiting jobs have made so far.
    pub fn job_reply_bytes(&self) -> usize {
        self.jobs().map(|job| job.reply_bytes()).sum()
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Waiting(job) => Some(&**job),
            Slot::Ready(_) => None,
        })
    }
}

impl<J> Default for Replies<J> {
    fn default() -> Self {
        Replies {
            out: Encoded::default(),
            slots: VecDeque::new(),
            slot_bytes: 0,
            splices_counted: 0,
            splice_bytes: 0,
            spare: Vec::new(),
            pieces: VecDeque::new(),
            piece_bytes: 0,
        }
    }
}

impl<J> Replies<J> {
    /// Where the next reply is to be encoded.
    #[inline]
    pub fn tail(&mut self) -> &mut Encoded {
        if self.slots.is_empty() {
            return &mut self.out;
        }
        if !matches!(self.slots.back(), Some(Slot::Ready(_))) {
            self.slots.push_back(Slot::Ready(Encoded::default()));
        }
        match self.slots.back_mut() {
            Some(Slot::Ready(encoded)) => encoded,
            Some(Slot::Waiting(_)) | None => unreachable!("a ready slot was pushed above"),
        }
    }

    /// Where goes what is no reply: behind the replies that are complete, before any that waits.
    pub fn before_waiting(&mut self) -> &mut Encoded {
        &mut self.out
    }

    /// Takes a place in the order for a job's reply.
    pub fn wait_for(&mut self, job: J) {
        self.slots.push_back(Slot::Waiting(job));
    }

    /// True while a job's reply is owed.
    pub fn is_waiting(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The job whose reply is next in the order, if one runs.
    pub fn job(&mut self) -> Option<&mut J> {
        match self.slots.front_mut() {
            Some(Slot::Waiting(job)) => Some(job),
            Some(Slot::Ready(_)) | None => None,
        }
    }

    /// The front job is done and `reply` is its reply: releases it and all that waited only for it.
    pub fn job_done(&mut self, reply: Encoded) {
        let front = self.slots.pop_front();
        assert!(matches!(front, Some(Slot::Waiting(_))), "only a waiting job can be done");
        self.out.append(reply);
        while let Some(Slot::Ready(_)) = self.slots.front() {
            if let Some(Slot::Ready(encoded)) = self.slots.pop_front() {
                self.out.append(encoded);
            }
        }
        self.recount_slots();
    }

    /// Brings the count of bytes behind a waiting slot up to date.
    pub fn recount_slots(&mut self) {
        self.slot_bytes = self
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Ready(encoded) => encoded.wire_bytes(),
                Slot::Waiting(_) => 0,
            })
            .sum();
    }

    /// Wire bytes that are encoded and not handed to the ring.
    #[inline]
    pub fn owed_bytes(&mut self) -> usize {
        if self.splices_counted < self.out.splices.len() {
            let new = &self.out.splices[self.splices_counted..];
            self.splice_bytes += new.iter().map(|s| s.value.len()).sum::<usize>();
            self.splices_counted = self.out.splices.len();
        }
        if !self.slots.is_empty() {
            self.recount_slots();
        }
        self.out.bytes.len() + self.splice_bytes + self.slot_bytes + self.piece_bytes
    }

    /// Allocated bytes, large values not counted.
    pub fn held_bytes(&self) -> usize {
        let ready = |slot: &Slot<J>| match slot {
            Slot::Ready(encoded) => encoded.bytes.capacity(),
            Slot::Waiting(_) => 0,
        };
        let slots: usize = self.slots.iter().map(ready).sum();
        let pieces: usize = self.pieces.iter().map(|piece| piece.bytes.capacity()).sum();
        self.out.bytes.capacity() + self.spare.capacity() + slots + pieces
    }

    /// True if a send could start.
    #[inline]
    pub fn is_ready(&self) -> bool {
        !self.out.is_empty() || !self.pieces.is_empty()
    }

    /// Takes what is ready for one send.
    #[inline]
    pub fn take(&mut self) -> Outgoing {
        if self.out.splices.len() > SPLICES_PER_SEND || !self.pieces.is_empty() {
            return self.take_piece();
        }
        let bytes = std::mem::replace(&mut self.out.bytes, std::mem::take(&mut self.spare));
        debug_assert!(self.out.bytes.is_empty());
        let splices = if self.out.splices.is_empty() { Vec::new() } else { self.take_splices() };
        Outgoing { bytes, splices, sent: 0 }
    }

    #[cold]
    fn take_splices(&mut self) -> Vec<Splice> {
        self.splices_counted = 0;
        self.splice_bytes = 0;
        self.out.splices.drain(..).map(|Spliced { at, value }| Splice { at, value }).collect()
    }

    #[cold]
    fn take_piece(&mut self) -> Outgoing {
        if self.pieces.is_empty() {
            self.cut();
        }
        let piece = self.pieces.pop_front().expect("a reply with values has at least one piece");
        self.piece_bytes -= piece.len();
        piece
    }

    /// Cuts `out` into pieces, once: linear in its length.
    fn cut(&mut self) {
        let bytes = std::mem::take(&mut self.out.bytes);
        let splices = self.take_splices();
        let mut from = 0;
        for (index, group) in splices.chunks(SPLICES_PER_SEND).enumerate() {
            let is_last = (index + 1) * SPLICES_PER_SEND >= splices.len();
            let to = if is_last { bytes.len() } else { splices[(index + 1) * SPLICES_PER_SEND - 1].at };
            let group = group.iter().map(|splice| Splice { at: splice.at - from, value: splice.value.clone() });
            let piece = Outgoing { bytes: bytes[from..to].to_vec(), splices: group.collect(), sent: 0 };
            self.piece_bytes += piece.len();
            self.pieces.push_back(piece);
            from = to;
        }
    }

    /// Calls `each` with everything that is owed, up to the first long command, and not taken yet, in wire order. For
    /// the simulator: it judges replies in the tick in which they are encoded.
    pub fn for_each_owed(&self, mut each: impl FnMut(&[u8])) {
        let mut in_wire_order = |bytes: &[u8], splices: &mut dyn Iterator<Item = (usize, &Bytes)>| {
            let mut from = 0;
            for (at, value) in splices {
                each(&bytes[from..at]);
                each(value);
                from = at;
            }
            each(&bytes[from..]);
        };
        for piece in &self.pieces {
            in_wire_order(&piece.bytes, &mut piece.splices.iter().map(|splice| (splice.at, &splice.value)));
        }
        in_wire_order(&self.out.bytes, &mut self.out.splices.iter().map(|spliced| (spliced.at, &spliced.value)));
    }

    /// Gives the buffer of a finished send back.
    #[inline]
    pub fn give_back(&mut self, mut sent: Outgoing) {
        sent.clear();
        if sent.bytes.capacity() > KEPT_BYTES_MAX {
            return;
        }
        // `take` may have left `out` without a buffer: then the returned one serves at once.
        if self.out.bytes.capacity() == 0 {
            self.out.bytes = sent.bytes;
        } else {
            self.spare = sent.bytes;
        }
    }

    /// Gives the empty buffers back.
    pub fn rest(&mut self) {
        self.spare = Vec::new();
        if self.out.is_empty() {
            self.out = Encoded::default();
        }
    }

    /// Drops everything that is owed.
    pub fn clear(&mut self) {
        *self = Replies::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(out: &Outgoing) -> Vec<u8> {
        let (mut wire, mut from) = (Vec::new(), 0);
        for splice in &out.splices {
            wire.extend_from_slice(&out.bytes[from..splice.at]);
            wire.extend_from_slice(&splice.value);
            from = splice.at;
        }
        wire.extend_from_slice(&out.bytes[from..]);
        wire
    }

    fn large(replies: &mut Replies<()>, value: &'static [u8]) {
        let tail = replies.tail();
        let at = tail.bytes.len();
        tail.splices.push(Spliced { at, value: Bytes::from_static(value) });
    }

    #[test]
    fn replies_behind_a_waiting_slot_wait_with_it() {
        let mut replies = Replies::<()>::default();
        replies.tail().bytes.extend_from_slice(b"a");
        replies.wait_for(());
        replies.tail().bytes.extend_from_slice(b"c");
        large(&mut replies, b"LARGE");
        replies.tail().bytes.extend_from_slice(b"d");
        assert_eq!(wire(&replies.take()), b"a");
        assert!(!replies.is_ready());
        replies.job_done(Encoded { bytes: b"b".to_vec(), splices: Vec::new() });
        assert_eq!(replies.owed_bytes(), "bcLARGEd".len());
        assert_eq!(wire(&replies.take()), b"bcLARGEd");
        assert!(!replies.is_waiting());
    }

    /// A monitor's RESET was held back by a pause; a line came behind its answer and was taken for the next one.
    #[test]
    fn what_is_no_reply_does_not_wait() {
        let mut replies = Replies::<()>::default();
        replies.tail().bytes.extend_from_slice(b"a");
        replies.wait_for(());
        replies.before_waiting().bytes.extend_from_slice(b"line");
        replies.job_done(Encoded { bytes: b"b".to_vec(), splices: Vec::new() });
        assert_eq!(wire(&replies.take()), b"alineb");
    }

    #[test]
    fn a_reply_with_many_values_goes_out_in_pieces_and_in_order() {
        for count in [1, 31, 32, 33, 64, 65, 1000] {
            let mut replies = Replies::<()>::default();
            let mut expected = Vec::new();
            for i in 0..count {
                let head = format!("<{i}>").into_bytes();
                expected.extend_from_slice(&head);
                expected.extend_from_slice(b"LARGE");
                replies.tail().bytes.extend_from_slice(&head);
                large(&mut replies, b"LARGE");
            }
            replies.tail().bytes.extend_from_slice(b"end");
            expected.extend_from_slice(b"end");
            assert_eq!(replies.owed_bytes(), expected.len());
            let mut got = Vec::new();
            while replies.is_ready() {
                let mut owed = Vec::new();
                replies.for_each_owed(|piece| owed.extend_from_slice(piece));
                assert!(owed == expected[got.len()..], "owed after {} bytes", got.len());
                let piece = replies.take();
                assert!(piece.splices.len() <= SPLICES_PER_SEND);
                got.extend(wire(&piece));
                assert_eq!(replies.owed_bytes(), expected.len() - got.len());
            }
            assert!(got == expected, "{count} values");
        }
    }

    #[test]
    fn owed_bytes_count_spliced_values_once() {
        let mut replies = Replies::<()>::default();
        large(&mut replies, b"0123456789");
        assert_eq!(replies.owed_bytes(), 10);
        large(&mut replies, b"01234");
        assert_eq!(replies.owed_bytes(), 15);
        assert_eq!(replies.owed_bytes(), 15);
        drop(replies.take());
        assert_eq!(replies.owed_bytes(), 0);
    }
}
