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
pub(crate) struct Effects(Vec<Effect>);

impl Effects {
    /// Adds one.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Adds bytes for a client, joined with those before if nothing came in between.
    pub fn send(&mut self, client: ClientIndex, bytes: &[u8]) {
        if let Some(Effect::Send(last, pending)) = self.0.last_mut()
            && *last == client
        {
            pending.extend_from_slice(bytes);
            return;
        }
        self.0.push(Effect::Send(client, bytes.to_vec()));
    }

    /// Forgets the bytes for a client that no longer wants any.
    pub fn forget_sends(&mut self, client: ClientIndex) {
        self.0.retain(|effect| !matches!(effect, Effect::Send(to, _) if *to == client));
    }

    /// Forgets what was to be sent to a client that is gone.
    pub fn forget(&mut self, client: ClientIndex) {
        self.0.retain(|effect| match effect {
            Effect::Close(of) | Effect::Send(of, _) => *of != client,
            Effect::Sleep(_) | Effect::Stop => true,
        });
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.0)
    }

    /// True if there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
