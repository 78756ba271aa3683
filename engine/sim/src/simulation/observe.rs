//! What the server did in a tick, as far as it can be seen: replies that it encoded, connections that it closes.

use server::connection::{COMMANDS_PER_TICK_MAX, State};
use uring::Socket;

use super::Simulation;
use crate::conversation::{Conversation, LastWords};
use crate::network::{Link, LinkId};
use crate::ring::SimRing;
use crate::trace;

/// Time in which a drain must have sent everything to clients that read, in microseconds.
const DRAIN_US_MAX: u64 = 5_000_000;

impl Simulation {
    /// Reads what the server has encoded in this tick, sent or not, and notices the connections that it closes.
    pub(super) fn observe(&mut self) -> Result<(), String> {
        let parked_then = std::mem::take(&mut self.parked);
        self.read_encoded()?;
        let closing = self.closing_sockets();
        let node = self.reactor.node();
        let connection_count = node.connections.len() - node.lingering.len();
        let is_full = connection_count.max(self.connection_count) >= self.terms.clients_max;
        self.connection_count = connection_count;
        let now_us = self.time.us();
        let mut unexplained = Vec::new();
        for client in &mut self.clients {
            let Some(conversation) = &mut client.conversation else { continue };
            if conversation.is_dead {
                continue;
            }
            let SimRing { network, .. } = self.reactor.ring();
            let link = network.link(conversation.link);
            let (parsed, was_refused) = (conversation.parsed(), conversation.last_words.is_some());
            let replies = conversation.observe(link, &mut self.oracle, self.summary.ticks, &mut self.summary.seen)?;
            if replies > COMMANDS_PER_TICK_MAX as usize {
                return Err(format!("link {} was served {replies} commands in one tick", conversation.link.0));
            }
            // What the server knows to be unsent is this much at least.
            let still_unsent = parsed - link.transferred.min(parsed);
            let pause_bytes = self.terms.unsent_pause_bytes;
            // What waited was asked before that.
            let has_waited = parked_then.contains(&conversation.link) && replies == 1;
            if replies > 0 && !has_waited && conversation.must_wait(still_unsent, pause_bytes) {
                return Err(format!("link {} was served although it does not read", conversation.link.0));
            }
            let is_held = self.parked.contains(&conversation.link) && !conversation.waits();
            self.summary.seen.held_ticks += u64::from(is_held);
            self.summary.seen.silent_held_ticks += u64::from(is_held && conversation.is_silent());
            conversation.note_unsent(link, now_us, pause_bytes);
            let is_refused = !was_refused && conversation.last_words == Some(LastWords::Refused);
            if is_refused && !is_full && !conversation.must_be_refused {
                return Err(format!("link {} was refused for no reason", conversation.link.0));
            }
            self.summary.digest = digest(self.summary.digest, &link.stream[parsed..]);
            self.summary.reply_bytes += (link.stream.len() - parsed) as u64;
            let is_closing = link.socket.is_some_and(|socket| closing.contains(&socket));
            if !link.server_closed && !is_closing {
                continue;
            }
            trace::line(|| format!("link {} is closed by the server", conversation.link.0));
            let was_parked = parked_then.contains(&conversation.link) || self.parked.contains(&conversation.link);
            match was_parked {
                true if conversation.waits() => self.summary.seen.waiting_clients_gone += 1,
                true => self.summary.seen.held_clients_gone += 1,
                false => {}
            }
            // What waits does not keep a connection.
            let is_drained = self.drained_from_us.is_some() && (is_all_sent(link) || was_parked);
            let may_wait = was_parked || self.terms.is_rough || conversation.waits();
            let has_left = link.client_ended && may_wait;
            if !is_drained && !has_left && !may_close(conversation, link) {
                unexplained.push(conversation.link);
            }
            conversation.die(link, &mut self.oracle, &mut self.summary.seen);
        }
        self.explain(&unexplained)
    }

    /// Connections that were closed without a reason of their client's: a limit must be the reason.
    fn explain(&mut self, unexplained: &[LinkId]) -> Result<(), String> {
        let now_us = self.time.us();
        let counters = self.reactor.node().counters;
        let over_output = counters.output_limit_closes - self.counters.output_limit_closes;
        let idle = counters.idle_closes - self.counters.idle_closes;
        self.counters = counters;
        if over_output > 0 && !self.terms.limits_output() || idle > 0 && self.terms.idle.is_none() {
            return Err("it closed a connection at a limit that is not set".to_owned());
        }
        if self.drained_from_us.is_some_and(|from_us| now_us > from_us + DRAIN_US_MAX) {
            return Ok(());
        }
        let network = &self.reactor.ring().network;
        let is_silent = |link: &Link| {
            self.terms.idle.is_some_and(|idle| u128::from(now_us - link.delivered_us) >= idle.as_micros())
        };
        let silent = unexplained.iter().filter(|id| is_silent(network.link(**id))).count() as u64;
        if unexplained.len() as u64 > (over_output + idle.min(silent)).saturating_add(self.oracle.kills) {
            return Err(format!("closed for no reason, one of {unexplained:?}"));
        }
        Ok(())
    }

    /// Appends replies that are encoded, and not handed to the ring, to the streams of their links.
    fn read_encoded(&mut self) -> Result<(), String> {
        let slots = u32::try_from(self.reactor.node().connections.slot_count()).expect("few slots");
        for slot in 0..slots {
            let Some(connection) = self.reactor.node().connections.at(slot) else { continue };
            self.summary.seen.long_commands += u64::from(connection.replies.is_waiting());
            let (socket, is_parked) = (connection.socket, connection.is_parked);
            if connection.state == State::Closing {
                let SimRing { network, .. } = self.reactor.ring();
                self.parked.extend(network.of_socket(socket).filter(|_| is_parked));
                continue;
            }
            let mut owed = Vec::new();
            connection.replies.for_each_owed(|piece| owed.extend_from_slice(piece));
            let SimRing { network, .. } = self.reactor.ring();
            let Some(id) = network.of_socket(socket) else {
                return Err(format!("a connection on {socket:?}, which is not open"));
            };
            if is_parked {
                self.parked.insert(id);
            }
            let link = network.link_mut(id);
            let seen = link.stream.len() - link.pushed;
            if owed.len() < seen {
                return Err(format!("link {}: replies that were encoded have vanished", id.0));
            }
            link.stream.extend_from_slice(&owed[seen..]);
        }
        Ok(())
    }

    fn closing_sockets(&mut self) -> Vec<Socket> {
        let node = self.reactor.node();
        let slots = u32::try_from(node.connections.slot_count()).expect("few slots");
        let closing = |slot| {
            let connection = node.connections.at(slot)?;
            (connection.state == State::Closing).then_some(connection.socket)
        };
        (0..slots).filter_map(closing).collect()
    }
}

/// True if the server has a reason to close the connection that its client gave it, and owes it nothing.
fn may_close(conversation: &Conversation, link: &Link) -> bool {
    if link.client_reset {
        return true;
    }
    match conversation.last_words {
        Some(LastWords::Quit | LastWords::Broken | LastWords::Refused) => is_all_sent(link),
        None if conversation.has_quit(link) => is_all_sent(link),
        None => link.client_ended && is_all_sent(link) && conversation.is_answered(link) && link.to_server.is_empty(),
    }
}

fn is_all_sent(link: &Link) -> bool {
    link.transferred == link.stream.len()
}

/// FNV-1a.
fn digest(from: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(from ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
