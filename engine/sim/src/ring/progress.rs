//! How operations in flight get on: one step of every one of them, in random order.

use bytes::BytesMut;
use rand::RngExt;
use rand::seq::SliceRandom;
use uring::{Completion, Errno, Event, Socket, Token};

use super::{GONE_TOKENS_MAX, Kind, SimRing};
use crate::network::LinkId;
use crate::trace;
use crate::weather::pick;

/// EMFILE, which the seam has no name for.
const TOO_MANY_FILES: Errno = Errno(24);
/// ECONNABORTED, likewise.
const ABORTED: Errno = Errno(103);
/// ETIMEDOUT, likewise.
const TIMED_OUT: Errno = Errno(110);

/// Which operation of a token.
#[derive(Clone, Copy)]
enum Side {
    Incoming,
    Sending,
}

impl SimRing {
    /// Lets every operation in flight take a step.
    pub(super) fn advance(&mut self) {
        let mut steps: Vec<(Token, Side)> = Vec::new();
        for (&(slot, generation), flight) in &self.flights {
            let token = Token { slot, generation };
            if flight.incoming.as_ref().is_some_and(|incoming| incoming.started && !incoming.ended) {
                steps.push((token, Side::Incoming));
            }
            if flight.sending.as_ref().is_some_and(|sending| sending.started && !sending.ended) {
                steps.push((token, Side::Sending));
            }
        }
        steps.shuffle(&mut self.rng);
        for (token, side) in steps {
            if !self.rng.random_bool(self.weather.progress) {
                continue;
            }
            match side {
                Side::Incoming => self.advance_incoming(token),
                Side::Sending => self.advance_send(token),
            }
        }
        self.complete_something_stale();
    }

    fn advance_incoming(&mut self, token: Token) {
        let flight = self.flights.get_mut(&super::key(token)).expect("the caller has found it");
        let incoming = flight.incoming.as_mut().expect("the caller has found it");
        let (socket, cancelled) = (incoming.socket, incoming.cancelled);
        let cancelled = cancelled && self.rng.random_bool(self.weather.cancel_works);
        match &mut incoming.kind {
            Kind::Accept if cancelled => self.complete_accept(token, Err(Errno::CANCELED), false),
            Kind::Accept => self.advance_accept(token, socket),
            Kind::Recv if cancelled => {
                self.seen.receives_cancelled += 1;
                self.complete_receive(token, Err(Errno::CANCELED), false);
            }
            Kind::Recv => self.advance_receive(token, socket),
            Kind::RecvInto(into) => {
                let into = std::mem::take(into);
                self.advance_receive_into(token, socket, into, cancelled);
            }
        }
    }

    fn advance_accept(&mut self, token: Token, listener: Socket) {
        while self.network.is_waiting(listener) {
            if self.rng.random_bool(self.weather.accept_fails) {
                self.seen.failed_accepts += 1;
                let errno = pick(&mut self.rng, &[TOO_MANY_FILES, ABORTED]);
                return self.complete_accept(token, Err(errno), false);
            }
            let Some((id, socket)) = self.network.accept(listener, self.time.us()) else { return };
            trace::line(|| format!("link {} accepted as {socket:?}", id.0));
            self.seen.peers_gone += u64::from(self.network.link(id).client_reset);
            let more = !self.rng.random_bool(self.weather.accept_ends);
            self.seen.accepts_ended += u64::from(!more);
            self.complete_accept(token, Ok(socket), more);
            if !more || self.rng.random_bool(0.5) {
                return;
            }
        }
    }

    fn complete_accept(&mut self, token: Token, result: Result<Socket, Errno>, more: bool) {
        self.end_incoming_unless(token, more);
        self.ready.push_back(Completion { token, event: Event::Accepted { result, more } });
    }

    fn advance_receive(&mut self, token: Token, socket: Socket) {
        let id = self.network.of_socket(socket).expect("a socket with a receive in flight is open");
        loop {
            if self.rng.random_bool(self.weather.receive_interrupted) {
                self.seen.receives_interrupted += 1;
                let errno = pick(&mut self.rng, &[Errno::INTERRUPTED, Errno::AGAIN]);
                return self.complete_receive(token, Err(errno), false);
            }
            if self.network.link(id).to_server.is_empty() {
                match self.end_of_stream(id) {
                    None => {}
                    Some(Ok(())) => self.complete_receive(token, Ok(None), false),
                    Some(Err(errno)) => self.complete_receive(token, Err(errno), false),
                }
                return;
            }
            if self.pool.is_empty() || self.rng.random_bool(self.weather.shortage) {
                self.seen.buffer_shortages += 1;
                return self.complete_receive(token, Err(Errno::NO_BUFFERS), false);
            }
            let count = self.piece(id, self.pool.buffer_bytes());
            let chunk = self.pool.fill(self.network.link_mut(id).to_server.drain(..count));
            self.network.moves += 1;
            let more = !self.rng.random_bool(self.weather.receive_ends);
            self.seen.receives_ended += u64::from(!more);
            self.seen.bytes_beat_cancel += u64::from(self.is_cancelled(token));
            self.complete_receive(token, Ok(Some(chunk)), more);
            if !more || !self.rng.random_bool(self.weather.another_piece) {
                return;
            }
        }
    }

    fn complete_receive(&mut self, token: Token, result: Result<Option<uring::Chunk>, Errno>, more: bool) {
        self.end_incoming_unless(token, more);
        self.ready.push_back(Completion { token, event: Event::Received { result, more } });
    }

    fn advance_receive_into(&mut self, token: Token, socket: Socket, mut into: BytesMut, cancelled: bool) {
        let id = self.network.of_socket(socket).expect("a socket with a receive in flight is open");
        let got = if cancelled {
            Some(Err(Errno::CANCELED))
        } else if self.rng.random_bool(self.weather.receive_interrupted) {
            Some(Err(Errno::INTERRUPTED))
        } else if self.network.link(id).to_server.is_empty() {
            self.end_of_stream(id).map(|end| end.map(|()| 0))
        } else {
            let count = self.piece(id, into.capacity() - into.len());
            let bytes: Vec<u8> = self.network.link_mut(id).to_server.drain(..count).collect();
            into.extend_from_slice(&bytes);
            self.seen.partial_fills += u64::from(into.len() < into.capacity());
            self.network.moves += 1;
            Some(Ok(count))
        };
        match got {
            Some(got) => {
                self.end_incoming_unless(token, false);
                self.ready.push_back(Completion { token, event: Event::Filled { into, got } });
            }
            None => {
                let flight = self.flights.get_mut(&super::key(token)).expect("it is in flight");
                flight.incoming.as_mut().expect("it is in flight").kind = Kind::RecvInto(into);
            }
        }
    }

    fn is_cancelled(&self, token: Token) -> bool {
        let flight = self.flights.get(&super::key(token));
        flight.and_then(|flight| flight.incoming.as_ref()).is_some_and(|incoming| incoming.cancelled)
    }

    /// How many of the link's waiting bytes come in one piece.
    fn piece(&mut self, id: LinkId, room: usize) -> usize {
        let most = self.network.link(id).to_server.len().min(room);
        if self.rng.random_bool(self.weather.whole_piece) { most } else { self.rng.random_range(1..=most) }
    }

    /// What a receive gets when no bytes are left: nothing yet, the end, or the news of a reset.
    fn end_of_stream(&mut self, id: LinkId) -> Option<Result<(), Errno>> {
        let link = self.network.link_mut(id);
        if link.client_reset && !link.reset_reported && !link.server_ended {
            link.reset_reported = true;
            self.network.moves += 1;
            self.seen.resets_received += 1;
            return Some(Err(pick(&mut self.rng, &[Errno::CONNECTION_RESET, TIMED_OUT])));
        }
        (link.client_reset || link.client_ended || link.server_ended).then_some(Ok(()))
    }

    fn end_incoming_unless(&mut self, token: Token, more: bool) {
        let flight = self.flights.get_mut(&super::key(token)).expect("it is in flight");
        flight.incoming.as_mut().expect("it is in flight").ended = !more;
    }

    fn advance_send(&mut self, token: Token) {
        let flight = self.flights.get_mut(&super::key(token)).expect("the caller has found it");
        let sending = flight.sending.as_mut().expect("the caller has found it");
        let id = self.network.of_socket(sending.socket).expect("a socket with a send in flight is open");
        let link = self.network.link_mut(id);
        let moved = sending.out.sent - sending.from;
        let gone = link.client_reset || link.server_ended;
        self.seen.stalled_sends += u64::from(link.room() == 0);
        if gone && (moved == 0 || self.rng.random_bool(0.5)) {
            let first_news = link.client_reset && !std::mem::replace(&mut link.reset_reported, true);
            self.seen.failed_sends += 1;
            let errno = if first_news { Errno::CONNECTION_RESET } else { Errno::BROKEN_PIPE };
            return self.complete_send(token, Err(errno));
        }
        if gone {
            return self.complete_send(token, Ok(moved));
        }
        let mut count = (sending.out.len() - sending.out.sent).min(link.room());
        if count > 1 && self.rng.random_bool(self.weather.partial_send) {
            count = self.rng.random_range(1..=count);
        }
        let mut rest = count;
        for piece in crate::wire::of_outgoing(&sending.out, sending.out.sent) {
            let piece = &piece[..piece.len().min(rest)];
            let expected = link.stream.get(link.transferred..link.transferred + piece.len());
            if expected != Some(piece) {
                return self.breach(format!("link {}: reply bytes lost, repeated or out of order", id.0));
            }
            link.transferred += piece.len();
            link.unread += piece.len();
            rest -= piece.len();
            if rest == 0 {
                break;
            }
        }
        sending.out.sent += count;
        let moved = moved + count;
        let whole = sending.out.sent == sending.out.len();
        self.network.moves += u64::from(count > 0);
        let is_short = !whole && moved > 0 && self.rng.random_bool(self.weather.short_send);
        self.seen.short_sends += u64::from(is_short);
        if whole || is_short {
            self.complete_send(token, Ok(moved));
        }
    }

    fn complete_send(&mut self, token: Token, result: Result<usize, Errno>) {
        let flight = self.flights.get_mut(&super::key(token)).expect("it is in flight");
        let sending = flight.sending.as_mut().expect("it is in flight");
        sending.ended = true;
        let out = std::mem::take(&mut sending.out);
        self.ready.push_back(Completion { token, event: Event::Sent { out, result } });
    }

    /// A completion for a token whose connection has left: its generation tells.
    fn complete_something_stale(&mut self) {
        if self.gone.is_empty() || !self.rng.random_bool(self.weather.stale) {
            return;
        }
        self.seen.stale_completions += 1;
        let token = self.gone[self.rng.random_range(0..self.gone.len())];
        let event = match self.rng.random_range(0..3) {
            0 if !self.pool.is_empty() => {
                let chunk = self.pool.fill(b"*1\r\n$8\r\nFLUSHALL\r\n".iter().copied().take(self.pool.buffer_bytes()));
                Event::Received { result: Ok(Some(chunk)), more: false }
            }
            0 | 1 => Event::Received { result: Err(Errno::CANCELED), more: false },
            _ => Event::Sent { out: uring::Outgoing::default(), result: Err(Errno::BROKEN_PIPE) },
        };
        self.ready.push_back(Completion { token, event });
    }

    /// Remembers the token of a connection that has left.
    pub(super) fn note_gone(&mut self, token: Token) {
        if self.gone.len() == GONE_TOKENS_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(token);
    }
}
