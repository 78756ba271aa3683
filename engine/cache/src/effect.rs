//! Effects: what a command does to other clients or to the process, carried out by the server after the batch.
//!
//! The cache knows no connection, so it says what is to be done; the server does it before the tick ends.

use std::time::Duration;

use crate::clients::ClientIndex;

/// Something for the server to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Close the client's connection at once; replies that it has not read are lost.
    Close(ClientIndex),
    /// Append these bytes to what the client is owed, unless it has stopped reading.
    Send(ClientIndex, Vec<u8>),
    /// Do nothing at all for so long, as DEBUG SLEEP asks.
    Sleep(Duration),
    /// Stop the server: what is owed goes out, within so long, then every connection is closed.
    Stop,
}

/// Effects that no server has fetched yet.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    list: Vec<Effect>,
    /// Bytes that are to be sent.
    bytes: usize,
}

impl Effects {
    /// Adds one.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Bytes that are to be sent and that no server has fetched yet.
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds bytes for a client, joined with those before if nothing came in between.
    pub fn send(&mut self, client: ClientIndex, bytes: &[u8]) {
        self.bytes += bytes.len();
        if let Some(Effect::Send(last, pending)) = self.list.last_mut()
            && *last == client
        {
            pending.extend_from_slice(bytes);
            return;
        }
        self.list.push(Effect::Send(client, bytes.to_vec()));
    }

    /// Forgets the bytes for a client that no longer wants any.
    pub fn forget_sends(&mut self, client: ClientIndex) {
        let bytes = &mut self.bytes;
        self.list.retain(|effect| match effect {
            Effect::Send(to, pending) if *to == client => {
                *bytes -= pending.len();
                false
            }
            Effect::Send(..) | Effect::Close(_) | Effect::Sleep(_) | Effect::Stop => true,
        });
    }

    /// Forgets what was to be sent to a client that is gone.
    pub fn forget(&mut self, client: ClientIndex) {
        self.forget_sends(client);
        self.list.retain(|effect| !matches!(effect, Effect::Close(of) if *of == client));
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<Effect> {
        self.bytes = 0;
        std::mem::take(&mut self.list)
    }

    /// True if there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
