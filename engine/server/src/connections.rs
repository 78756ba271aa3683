//! The table of connections: stable slots, and generations that tell their occupants apart.
//!
//! Invariants
//! - A slot's generation grows by one whenever an occupant leaves, so a `Token` names one connection for ever (until
//!   24 bits wrap: 16 million connections through the same slot, with a completion still under way from the first).

use cache::ClientIndex;
use protocol::Protocol;
use uring::{Socket, Token};

use crate::connection::Connection;

const GENERATION_MASK: u32 = (1 << 24) - 1;

/// The connections of one core.
#[derive(Default)]
pub struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
}

struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Connections {
    /// Connections now.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Slots, occupied or not: the bound of `at`.
    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Adds a connection and returns its slot.
    pub fn insert(&mut self, socket: Socket, protocol: Protocol, client: Option<ClientIndex>, now_us: u64) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            u32::try_from(self.slots.len() - 1).expect("connections are limited far below 2^32")
        });
        let slot = &mut self.slots[index as usize];
        assert!(slot.connection.is_none(), "a free slot is empty");
        let token = Token { slot: index, generation: slot.generation };
        slot.connection = Some(Box::new(Connection::new(socket, token, protocol, client, now_us)));
        self.count += 1;
        index
    }

    /// The connection that a completion is for; `None` if it has left.
    #[inline]
    pub fn of(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        slot.connection.as_deref_mut()
    }

    /// The connection in a slot.
    #[inline]
    pub fn at(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots.get_mut(index as usize)?.connection.as_deref_mut()
    }

    /// Removes a connection on which nothing is in flight.
    pub fn remove(&mut self, index: u32) -> Box<Connection> {
        let slot = &mut self.slots[index as usize];
        let connection = slot.connection.take().expect("only an occupied slot is removed");
        assert!(!connection.in_flight(), "a connection with an operation in flight was removed");
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(index);
        self.count -= 1;
        connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_completion_never_meets_the_next_occupant() {
        let mut connections = Connections::default();
        let index = connections.insert(Socket(5), Protocol::Resp, None, 0);
        let old = connections.at(index).expect("just inserted").token;
        assert!(connections.of(old).is_some());
        drop(connections.remove(index));
        let again = connections.insert(Socket(5), Protocol::Resp, None, 0);
        assert_eq!(again, index, "the slot is used again");
        assert!(connections.of(old).is_none());
        assert_eq!(connections.len(), 1);
    }
}
