//! Assembler: the request that a connection has sent in part, in the connection's protocol.
//!
//! Here is what the ring and the accounts need of it. Feeding and executing are `input`'s, which knows the protocol.

use bytes::BytesMut;
use protocol::{Protocol, memcache, resp};

/// The assembler of one connection.
#[derive(Debug)]
pub enum Assembler {
    /// Of a RESP connection.
    Resp(resp::Assembler),
    /// Of a memcached connection.
    Memcache(memcache::Assembler),
}

/// Runs one expression on whichever assembler there is.
macro_rules! on_either {
    ($self:expr, $assembler:ident => $run:expr) => {
        match $self {
            Assembler::Resp($assembler) => $run,
            Assembler::Memcache($assembler) => $run,
        }
    };
}

impl Assembler {
    /// An idle one, without allocation.
    pub fn new(protocol: Protocol) -> Assembler {
        match protocol {
            Protocol::Resp => Assembler::Resp(resp::Assembler::new()),
            Protocol::Memcache => Assembler::Memcache(memcache::Assembler::new()),
        }
    }

    /// The protocol of the connection.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        match self {
            Assembler::Resp(_) => Protocol::Resp,
            Assembler::Memcache(_) => Protocol::Memcache,
        }
    }

    /// True if no request has begun.
    #[inline]
    pub fn is_idle(&self) -> bool {
        on_either!(self, assembler => assembler.is_idle())
    }

    /// While a large value is arriving: the bytes it still lacks.
    #[inline]
    pub fn filling(&self) -> Option<usize> {
        on_either!(self, assembler => assembler.filling())
    }

    /// The bytes that a large value lacks, lent or not.
    pub fn promised(&self) -> usize {
        on_either!(self, assembler => assembler.promised())
    }

    /// Lends the large value's buffer for a direct receive.
    pub fn take_filling(&mut self) -> BytesMut {
        on_either!(self, assembler => assembler.take_filling())
    }

    /// Takes the buffer back.
    pub fn put_filling(&mut self, filling: BytesMut) {
        on_either!(self, assembler => assembler.put_filling(filling));
    }

    /// Bytes of memory that the request holds.
    pub fn held_bytes(&self) -> usize {
        on_either!(self, assembler => assembler.held_bytes())
    }
}
