//! Memcache: what the commands of memcached's text protocol mean.
//!
//! They work on database 0, the same items that RESP clients see: flags, deadline and CAS number are fields of the
//! record. `execute` runs one request; its batch stages are `Cache`'s, as for RESP.
//!
//! ```text
//! words, value ---> Ask ---> verb's function ---> line, or Failure ---> `noreply` withdraws either
//! ```
//!
//! Invariants
//! - Every change goes through `Shard::commit`.
//! - A failure withdraws what its request has written so far, as memcached does.
//!
//! Absent on purpose: the meta commands, and what only a server with slabs can do.

mod arithmetic;
mod auth;
mod detail;
mod keys;
mod number;
mod retrieve;
mod server;
mod state;
mod stats;
mod store;

use item::{Key, Keyspace, Place};
use protocol::memcache::{Fault, KEY_BYTES_MAX, split_value};
use protocol::{Arg, Reply, Request};

use crate::cache::{Cache, Outcome, Prepared};
use crate::clients::ClientIndex;

pub(crate) use state::State;

/// The database that memcached's clients work on.
const DATABASE: usize = 0;

/// What clients are told: the newest release whose commands are all here, since libraries choose commands by it. The
/// meta commands came with 1.6.
const VERSION: &str = "1.5.22";

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Gets,
    Gat,
    Gats,
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas,
    Delete,
    Incr,
    Decr,
    Touch,
    FlushAll,
    Stats,
    Version,
    Verbosity,
    CacheMemlimit,
    Slabs,
    Watch,
    Shutdown,
    Quit,
    Unknown,
}

impl Verb {
    /// True if it may change what is stored. A `gets` may write a CAS number, which nobody sees as a change.
    pub fn writes(self) -> bool {
        match self {
            Verb::Get | Verb::Gets | Verb::Stats | Verb::Version | Verb::Verbosity | Verb::CacheMemlimit => false,
            Verb::Slabs | Verb::Watch | Verb::Shutdown | Verb::Quit | Verb::Unknown => false,
            Verb::Gat | Verb::Gats | Verb::Touch | Verb::FlushAll => true,
            Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend | Verb::Cas => true,
            Verb::Delete | Verb::Incr | Verb::Decr => true,
        }
    }

    /// The command of this name; names are lower case.
    #[inline]
    pub fn find(name: &[u8]) -> Verb {
        match name {
            b"get" => Verb::Get,
            b"set" => Verb::Set,
            b"gets" => Verb::Gets,
            b"gat" => Verb::Gat,
            b"gats" => Verb::Gats,
            b"add" => Verb::Add,
            b"replace" => Verb::Replace,
            b"append" => Verb::Append,
            b"prepend" => Verb::Prepend,
            b"cas" => Verb::Cas,
            b"delete" => Verb::Delete,
            b"incr" => Verb::Incr,
            b"decr" => Verb::Decr,
            b"touch" => Verb::Touch,
            b"flush_all" => Verb::FlushAll,
            b"stats" => Verb::Stats,
            b"version" => Verb::Version,
            b"verbosity" => Verb::Verbosity,
            b"cache_memlimit" => Verb::CacheMemlimit,
            b"slabs" => Verb::Slabs,
            b"watch" => Verb::Watch,
            b"shutdown" => Verb::Shutdown,
            b"quit" => Verb::Quit,
            _ => Verb::Unknown,
        }
    }

    /// Place of the first key among the words, and the fewest words of a well-formed line; 0: it has no key.
    #[inline]
    fn shape(self) -> (usize, usize) {
        match self {
            Verb::Get | Verb::Gets | Verb::Delete => (1, 2),
            Verb::Gat | Verb::Gats => (2, 3),
            Verb::Incr | Verb::Decr | Verb::Touch => (1, 3),
            Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend | Verb::Cas => (1, 5),
            Verb::FlushAll
            | Verb::Stats
            | Verb::Version
            | Verb::Verbosity
            | Verb::CacheMemlimit
            | Verb::Slabs
            | Verb::Watch
            | Verb::Shutdown
            | Verb::Quit
            | Verb::Unknown => (0, 1),
        }
    }

    /// True if a value follows its line.
    fn stores(self) -> bool {
        self.shape().1 == 5
    }

    /// True if a last word `noreply` silences it.
    #[inline]
    fn may_be_silent(self) -> bool {
        match self {
            Verb::Get
            | Verb::Gets
            | Verb::Gat
            | Verb::Gats
            | Verb::Stats
            | Verb::Version
            | Verb::Watch
            | Verb::Quit => false,
            Verb::Set
            | Verb::Add
            | Verb::Replace
            | Verb::Append
            | Verb::Prepend
            | Verb::Cas
            | Verb::Delete
            | Verb::Incr
            | Verb::Decr
            | Verb::Touch
            | Verb::FlushAll
            | Verb::Verbosity
            | Verb::CacheMemlimit
            | Verb::Slabs
            | Verb::Shutdown
            | Verb::Unknown => true,
        }
    }
}

/// Why a request was not done: its line.
#[derive(Clone, Copy, Debug)]
struct Failure {
    line: &'static str,
    /// Told in spite of `noreply`: the line was too broken to be asked for silence.
    is_loud: bool,
}

impl Failure {
    const LINE: Failure = Failure { is_loud: true, ..Failure::FORMAT };
    const FORMAT: Failure = Failure::new("CLIENT_ERROR bad command line format");
    const EXPTIME: Failure = Failure::new("CLIENT_ERROR invalid exptime argument");
    const UNKNOWN: Failure = Failure::new("ERROR");
    const TOO_LARGE: Failure = Failure::new("SERVER_ERROR object too large for cache");
    const NO_ROOM_TO_STORE: Failure = Failure::new("SERVER_ERROR out of memory storing object");
    const NO_ROOM_TO_ANSWER: Failure = Failure::new("SERVER_ERROR out of memory writing get response");

    const fn new(line: &'static str) -> Failure {
        Failure { line, is_loud: false }
    }
}

/// One request about to run.
#[derive(Clone, Copy)]
struct Ask<'a> {
    verb: Verb,
    keyspace: Keyspace,
    /// Where the first key lives, if it is one.
    place: Option<Place>,
    /// The words of the line, name first.
    words: &'a [Arg<'a>],
    /// The value behind the line.
    value: Option<Arg<'a>>,
}

impl<'a> Ask<'a> {
    /// The word at `index`.
    #[inline]
    fn word(&self, index: usize) -> Option<&'a [u8]> {
        self.words.get(index).map(|word| word.bytes())
    }

    /// The first key.
    #[inline]
    fn key(&self) -> Result<Key<'a>, Failure> {
        let (index, _) = self.verb.shape();
        match (self.place, self.word(index)) {
            (Some(place), Some(bytes)) => Ok(Key { keyspace: self.keyspace, place, bytes }),
            (None, _) | (_, None) => Err(Failure::FORMAT),
        }
    }

    fn is_silent(&self) -> bool {
        self.verb.may_be_silent() && self.words.last().is_some_and(|word| word.bytes() == b"noreply")
    }
}

impl Cache {
    /// Looks a request of memcached's protocol up and routes it. Changes nothing.
    #[inline]
    pub fn prepare_memcache(&self, request: Request<'_>) -> Prepared {
        let verb = Verb::find(request.name());
        let place = match verb.shape() {
            (0, _) => None,
            (index, _) => request.get(index).and_then(|key| self.place_of(key.bytes())),
        };
        Prepared::memcache(verb, self.shards.keyspace(DATABASE), place, self.is_paused())
    }

    /// Answers a request that the protocol could not read whole.
    #[cold]
    pub fn refuse_memcache(&mut self, client: ClientIndex, fault: Fault, request: Request<'_>, reply: &mut Reply<'_>) {
        self.clients.get_mut(client).note_request(self.now.mono_us);
        let verb = Verb::find(request.name());
        let place = request.get(1).and_then(|key| self.place_of(key.bytes()));
        let ask = Ask { verb, keyspace: self.shards.keyspace(DATABASE), place, words: request.args(), value: None };
        let failure = match fault {
            Fault::AuthenticationTooLong => Failure::new("CLIENT_ERROR auth token too long"),
            Fault::BadChunk if self.is_stranger(client) => Failure::new("CLIENT_ERROR bad command line termination"),
            // It may not remove what it may not store.
            Fault::TooLarge | Fault::NoRoom if self.is_stranger(client) => Failure::NO_ROOM_TO_STORE,
            // An error of the line comes first.
            Fault::BadChunk | Fault::TooLarge | Fault::NoRoom => match store::Line::read(&ask, self.now.unix_ms) {
                Err(failure) => failure,
                Ok(line) => match fault {
                    Fault::TooLarge => store::too_large(self, &ask, &line, Failure::TOO_LARGE),
                    Fault::NoRoom => store::too_large(self, &ask, &line, Failure::NO_ROOM_TO_STORE),
                    Fault::BadChunk | Fault::AuthenticationTooLong => store::bad_chunk(self, &line),
                },
            },
        };
        if !ask.is_silent() {
            reply.memcache_line(failure.line.as_bytes());
        }
    }

    /// True if a client must authenticate first.
    fn is_stranger(&self, client: ClientIndex) -> bool {
        self.in_force.password.is_some() && !self.clients.get(client).is_authenticated()
    }

    /// Where a key lives; `None` if it is too long to be one.
    #[inline]
    fn place_of(&self, key: &[u8]) -> Option<Place> {
        (key.len() <= KEY_BYTES_MAX).then(|| self.shards.place(key))
    }
}

/// Runs a request that `prepare_memcache` has seen, and appends its answer.
#[inline]
pub(crate) fn execute(
    cache: &mut Cache,
    client: ClientIndex,
    verb: Verb,
    place: Option<Place>,
    request: Request<'_>,
    reply: &mut Reply<'_>,
) -> Outcome {
    let session = cache.clients.get_mut(client);
    session.note_request(cache.now.mono_us);
    let keyspace = cache.shards.keyspace(DATABASE);
    let (words, value) = if verb == Verb::Get { (request.args(), None) } else { split_value(request) };
    let ask = Ask { verb, keyspace, place, words, value };
    if !session.is_authenticated() && cache.in_force.password.is_some() {
        return auth::first_request(cache, client, &ask, reply);
    }
    if verb == Verb::Quit {
        return Outcome::Close;
    }
    if verb == Verb::Unknown && is_http(words) {
        return Outcome::Close;
    }
    let start = reply.mark();
    let result = run(cache, &ask, reply);
    match result {
        Ok(()) if ask.is_silent() => reply.rewind(start),
        Ok(()) => {}
        Err(failure) => {
            reply.rewind(start);
            if failure.is_loud || !ask.is_silent() {
                reply.memcache_line(failure.line.as_bytes());
            }
        }
    }
    Outcome::Done
}

#[inline]
fn run(cache: &mut Cache, ask: &Ask<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if ask.words.len() < ask.verb.shape().1 || (ask.verb.stores() && ask.value.is_none()) {
        return Err(Failure::LINE);
    }
    match ask.verb {
        Verb::Get => retrieve::get(cache, ask, reply),
        Verb::Gets => retrieve::gets(cache, ask, reply),
        Verb::Gat | Verb::Gats => retrieve::get_and_touch(cache, ask, reply),
        Verb::Set => store::set(cache, ask, reply),
        Verb::Add | Verb::Replace | Verb::Cas => store::store_if(cache, ask, reply),
        Verb::Append | Verb::Prepend => store::extend(cache, ask, reply),
        Verb::Delete => keys::delete(cache, ask, reply),
        Verb::Touch => keys::touch(cache, ask, reply),
        Verb::Incr | Verb::Decr => arithmetic::change(cache, ask, reply),
        Verb::FlushAll => server::flush_all(cache, ask, reply),
        Verb::Stats => stats::stats(cache, ask, reply),
        Verb::Version => server::version(reply),
        Verb::Verbosity => server::verbosity(cache, ask, reply),
        Verb::CacheMemlimit => server::cache_memlimit(cache, ask, reply),
        Verb::Slabs => server::slabs(ask, reply),
        Verb::Watch => Err(Failure::new("CLIENT_ERROR watch commands not allowed")),
        // memcached answers so unless it was started with the command enabled.
        Verb::Shutdown => Err(Failure::new("SERVER_ERROR: shutdown not enabled")),
        Verb::Unknown if is_too_short(ask.words) => Err(Failure::LINE),
        Verb::Unknown | Verb::Quit => Err(Failure::UNKNOWN),
    }
}

/// A line without a word of two bytes: memcached does not look for a command in it.
fn is_too_short(words: &[Arg<'_>]) -> bool {
    words.len() == 1 && words[0].bytes().len() < 2
}

/// The last word of an HTTP request's first line. Such a client is left without a word, as memcached leaves it.
fn is_http(words: &[Arg<'_>]) -> bool {
    words.len() > 1 && words.last().is_some_and(|word| word.bytes().starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests;
