//! Dialect: what a connection's protocol changes about serving it.
//!
//! `input` is written once over this trait and instantiated per protocol, so its loop has no branch for it.
//!
//! Absent on purpose: what commands mean, in either protocol.

use cache::{Cache, ClientIndex, Prepared};
use protocol::memcache::{self, LineTooLong};
use protocol::resp::{self, Fed, Parsed, ProtocolError};
use protocol::{Arg, Reply, Request};

use crate::assembler::Assembler;
use crate::batch::execute_alone;
use crate::node::Node;

/// A protocol.
pub trait Dialect {
    /// Bounds on one client's requests.
    type Limits;
    /// Why a stream cannot be read further.
    type Broken;

    /// The bounds for a connection's next request.
    fn limits(node: &mut Node, index: u32) -> Self::Limits;

    /// False: the next request may change the bounds, so requests are parsed one by one.
    fn is_authenticated(limits: &Self::Limits) -> bool;

    /// Parses one request in place.
    fn parse<'t>(input: &'t [u8], limits: &Self::Limits, args: &mut Vec<Arg<'t>>) -> Parsed;

    /// Looks a request up and routes it.
    fn prepare(cache: &Cache, client: ClientIndex, request: Request<'_>) -> Prepared;

    /// Feeds the assembler.
    fn feed(assembler: &mut Assembler, input: &[u8], limits: &Self::Limits) -> Result<Fed, Self::Broken>;

    /// Executes the complete request of an assembler that was taken from its connection.
    fn execute_assembled(node: &mut Node, index: u32, client: ClientIndex, assembler: &Assembler);

    /// Forgets the assembler's request.
    fn clear(assembler: &mut Assembler);

    /// Answers a stream that cannot be read further.
    fn refuse(broken: &Self::Broken, reply: &mut Reply<'_>);
}

/// The Redis protocol.
pub struct Resp;

/// memcached's text protocol.
pub struct Memcache;

/// Writes an answer that no command makes.
fn answer(node: &mut Node, index: u32, client: ClientIndex, write: impl FnOnce(&mut Cache, &mut Reply<'_>)) {
    let Some(connection) = node.connections.at(index) else { return };
    let version = node.cache.session(client).version();
    let tail = connection.replies.tail();
    write(&mut node.cache, &mut Reply::new(&mut tail.bytes, &mut tail.splices, version));
    node.mark_dirty(index);
}

impl Resp {
    fn of(assembler: &mut Assembler) -> &mut resp::Assembler {
        match assembler {
            Assembler::Resp(assembler) => assembler,
            Assembler::Memcache(_) => unreachable!("a connection keeps its protocol"),
        }
    }
}

impl Dialect for Resp {
    type Limits = resp::Limits;
    type Broken = ProtocolError;

    #[inline]
    fn limits(node: &mut Node, index: u32) -> resp::Limits {
        node.parse_limits(index)
    }

    #[inline]
    fn is_authenticated(limits: &resp::Limits) -> bool {
        limits.authenticated
    }

    #[inline]
    fn parse<'t>(input: &'t [u8], limits: &resp::Limits, args: &mut Vec<Arg<'t>>) -> Parsed {
        resp::parse(input, limits, args)
    }

    #[inline]
    fn prepare(cache: &Cache, client: ClientIndex, request: Request<'_>) -> Prepared {
        cache.prepare(client, request)
    }

    fn feed(assembler: &mut Assembler, input: &[u8], limits: &resp::Limits) -> Result<Fed, ProtocolError> {
        Resp::of(assembler).feed(input, limits)
    }

    fn execute_assembled(node: &mut Node, index: u32, client: ClientIndex, assembler: &Assembler) {
        let Assembler::Resp(assembler) = assembler else { return };
        if assembler.was_oversized() {
            return answer(node, index, client, |cache, reply| cache.refuse_oversized(client, reply));
        }
        let mut args = std::mem::take(&mut node.assembled_args);
        assembler.with_request(&mut args, |request| {
            let prepared = Resp::prepare(&node.cache, client, request);
            execute_alone(node, index, &prepared, request);
        });
        node.assembled_args = args;
    }

    fn clear(assembler: &mut Assembler) {
        Resp::of(assembler).clear();
    }

    /// Redis's protocol error.
    fn refuse(broken: &ProtocolError, reply: &mut Reply<'_>) {
        reply.error(&format!("ERR {broken}"));
    }
}

impl Memcache {
    fn of(assembler: &mut Assembler) -> &mut memcache::Assembler {
        match assembler {
            Assembler::Memcache(assembler) => assembler,
            Assembler::Resp(_) => unreachable!("a connection keeps its protocol"),
        }
    }
}

impl Dialect for Memcache {
    type Limits = memcache::Limits;
    type Broken = LineTooLong;

    #[inline]
    fn limits(node: &mut Node, index: u32) -> memcache::Limits {
        node.memcache_limits(index)
    }

    #[inline]
    fn is_authenticated(limits: &memcache::Limits) -> bool {
        limits.authenticated
    }

    #[inline]
    fn parse<'t>(input: &'t [u8], limits: &memcache::Limits, args: &mut Vec<Arg<'t>>) -> Parsed {
        memcache::parse(input, limits, args)
    }

    #[inline]
    fn prepare(cache: &Cache, _: ClientIndex, request: Request<'_>) -> Prepared {
        cache.prepare_memcache(request)
    }

    fn feed(assembler: &mut Assembler, input: &[u8], limits: &memcache::Limits) -> Result<Fed, LineTooLong> {
        Memcache::of(assembler).feed(input, limits)
    }

    fn execute_assembled(node: &mut Node, index: u32, client: ClientIndex, assembler: &Assembler) {
        let Assembler::Memcache(assembler) = assembler else { return };
        let mut args = std::mem::take(&mut node.assembled_args);
        assembler.with_request(&mut args, |request| match assembler.fault() {
            Some(fault) => answer(node, index, client, |cache, reply| {
                cache.refuse_memcache(client, fault, request, reply);
            }),
            None => {
                let prepared = Memcache::prepare(&node.cache, client, request);
                execute_alone(node, index, &prepared, request);
            }
        });
        node.assembled_args = args;
    }

    fn clear(assembler: &mut Assembler) {
        Memcache::of(assembler).clear();
    }

    /// memcached closes without a word on a line that cannot be a command, and answers one that asks for too much.
    fn refuse(broken: &LineTooLong, reply: &mut Reply<'_>) {
        match broken {
            LineTooLong::Command => {}
            LineTooLong::Keys => reply.memcache_line(b"SERVER_ERROR out of memory reading request"),
        }
    }
}
