//! Talk: what a connection says and what it makes of the answers, without its socket.

use crate::clock::Nanos;

/// One side of a protocol, driven by a session.
pub trait Talk {
    /// Requests without reply.
    fn pending_count(&self) -> usize;
    /// What waits for a reply, for who reads about a fault.
    fn waiting(&self) -> String;
    /// True if the server may close the connection.
    fn may_be_closed(&self) -> bool;
    /// True if nothing more should be asked.
    fn is_over(&self) -> bool;
    /// Adds the first words of a connection.
    fn greet(&mut self, out: &mut Vec<u8>, now: Nanos);
    /// Adds a request, or a few that belong together.
    fn ask(&mut self, out: &mut Vec<u8>, now: Nanos);
    /// Asks the server to close.
    fn quit(&mut self, out: &mut Vec<u8>, now: Nanos);
    /// Says what is no request.
    fn say_garbage(&mut self, out: &mut Vec<u8>, now: Nanos);
    /// Begins to watch all commands, where the protocol can.
    fn watch_all(&mut self, out: &mut Vec<u8>, now: Nanos);
    /// Learns who is there that a request may name.
    fn meet(&mut self);
    /// The connection is gone.
    fn leave(&mut self);
    /// The server ended the stream; some requests ask for just that.
    fn closed(&mut self) {}
    /// True if a request may have been held back by a pause lately, or waits for its own time to be up.
    fn may_wait(&self, now: Nanos) -> bool;
    /// Takes one reply from the front of `input` and judges it: its bytes, `None` if more are needed, or what is wrong.
    fn take(&mut self, input: &[u8], now: Nanos) -> Result<Option<usize>, String>;
}
