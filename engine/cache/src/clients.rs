//! Clients: one session per connection, and what CLIENT LIST says about it.
//!
//! Invariants
//! - A `ClientIndex` is valid from `connect` to `disconnect`; ids are never used twice.
//!
//! Absent on purpose: sockets and buffers. The server tells what it knows through `Session::wire`.

use std::net::SocketAddr;

use hashbrown::HashTable;
use protocol::Version;
use slab::Slab;

use crate::cache::Shown;
use crate::owned::OwnedRequest;
use crate::spec::flag;
use crate::table::Command;
use crate::time::Now;
use crate::transaction::{Transaction, Watch};

/// Databases that SELECT may choose from.
pub const DATABASE_COUNT: usize = 16;

/// A session's index in the table of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientIndex(pub u32);

/// Where a client comes from.
#[derive(Clone, Debug, Default)]
pub struct ClientOrigin {
    /// The peer, as in `127.0.0.1:50000`; the path and `:0` for a unix socket.
    pub address: String,
    /// Our end of the connection.
    pub local_address: String,
    /// File descriptor.
    pub fd: i32,
}

impl ClientOrigin {
    /// True if the peer is on this host.
    pub(crate) fn is_local(&self) -> bool {
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        self.address.starts_with('/') || self.address.parse().is_ok_and(is_loopback)
    }
}

/// What the server knows about a connection's buffers, in bytes unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// Received and not yet executed.
    pub query_bytes: usize,
    /// Room left in the receive buffer.
    pub query_free_bytes: usize,
    /// Small replies not yet sent.
    pub output_bytes: usize,
    /// Large values not yet sent: how many.
    pub output_values: usize,
    /// Large values not yet sent.
    pub output_value_bytes: usize,
    /// Everything that is allocated for the connection.
    pub total_bytes: usize,
    /// Received since it connected.
    pub received_bytes: u64,
    /// Sent since it connected.
    pub sent_bytes: u64,
}

/// What makes a client's commands special: bits of one byte, so that ordinary ones pay one test for all of them.
pub(crate) mod mode {
    /// Has to authenticate.
    pub const STRANGER: u8 = 1;
    /// Between MULTI and EXEC.
    pub const TRANSACTION: u8 = 1 << 1;
    /// CLIENT REPLY OFF.
    pub const SILENT: u8 = 1 << 2;
    /// CLIENT REPLY SKIP: the next command.
    pub const SKIP_NEXT: u8 = 1 << 3;
    /// CLIENT REPLY SKIP: this command.
    pub const SKIPPED: u8 = 1 << 4;
    /// CLIENT NO-TOUCH.
    pub const NO_TOUCH: u8 = 1 << 5;
}

/// One client's state between commands.
#[derive(Debug)]
pub struct Session {
    database: u8,
    modes: u8,
    version: Version,
    last_command: Option<Command>,
    active_us: u64,
    id: u64,
    connected_us: u64,
    origin: ClientOrigin,
    name: String,
    library_name: String,
    library_version: String,
    commands: u64,
    transaction: Option<Box<Transaction>>,
    waiting: Option<Waiting>,
    was_unblocked: Option<Unblocking>,
    /// Keys it watches.
    pub(crate) watches: HashTable<Watch>,
    /// Gets the commands of all clients.
    pub(crate) is_monitor: bool,
    /// CLIENT NO-EVICT. Clients are never evicted here; it is shown as asked for.
    pub(crate) is_kept: bool,
    /// Kept up to date by the server, for CLIENT LIST.
    pub wire: Wire,
    /// The server's number for the connection.
    pub connection: u32,
}

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The end of a pause.
    Held,
    /// Replicas, as WAIT does.
    Replicas,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unblocking {
    /// As if its time were up.
    Timeout,
    /// With an error.
    Error,
}

impl Session {
    /// Unique among all clients since the process started; from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The dialect of its replies.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// True once the client may run commands.
    #[inline]
    pub fn is_authenticated(&self) -> bool {
        self.modes & mode::STRANGER == 0
    }

    /// Bits of `mode`; 0 for most.
    #[inline]
    pub(crate) fn modes(&self) -> u8 {
        self.modes
    }

    /// Sets or clears bits of `mode`.
    pub(crate) fn set_mode(&mut self, bits: u8, on: bool) {
        if on {
            self.modes |= bits;
        } else {
            self.modes &= !bits;
        }
    }

    /// The database it has selected.
    #[inline]
    pub fn database(&self) -> usize {
        usize::from(self.database)
    }

    /// True if it gets the commands of all clients.
    pub fn is_monitor(&self) -> bool {
        self.is_monitor
    }

    /// When it last sent a command, in monotonic microseconds.
    pub fn active_us(&self) -> u64 {
        self.active_us
    }

    /// Where it comes from.
    pub fn origin(&self) -> &ClientOrigin {
        &self.origin
    }

    /// The name given by CLIENT SETNAME, or empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes that it sends a command now.
    #[inline]
    pub(crate) fn begin(&mut self, command: Command, mono_us: u64) {
        self.last_command = Some(command);
        self.active_us = mono_us;
        self.commands += 1;
    }

    /// Notes that it sends a request of memcached's protocol now.
    #[inline]
    pub(crate) fn note_request(&mut self, mono_us: u64) {
        self.active_us = mono_us;
    }

    pub(crate) fn select(&mut self, database: usize) {
        assert!(database < DATABASE_COUNT, "SELECT checks the index");
        self.database = database as u8;
    }

    pub(crate) fn set_authenticated(&mut self, authenticated: bool) {
        self.set_mode(mode::STRANGER, !authenticated);
    }

    /// Its transaction, if it has begun one.
    pub(crate) fn transaction(&mut self) -> Option<&mut Transaction> {
        self.transaction.as_deref_mut()
    }

    /// Begins a transaction; false if there is one.
    pub(crate) fn begin_transaction(&mut self) -> bool {
        if self.transaction.is_some() {
            return false;
        }
        self.set_mode(mode::TRANSACTION, true);
        self.transaction = Some(Box::default());
        true
    }

    /// Queues a request in the transaction.
    pub(crate) fn queue(&mut self, request: OwnedRequest, command: Command) {
        let flags = command.spec().flags;
        let transaction = self.transaction.as_deref_mut().expect("only a client in a transaction queues");
        transaction.writes |= flags & (flag::WRITE | flag::MAY_REPLICATE) != 0;
        transaction.grows |= flags & flag::DENYOOM != 0;
        transaction.shows = transaction.shows.or(Shown::by(command));
        transaction.push(request);
    }

    /// True if EXEC would write.
    pub(crate) fn writes_at_exec(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.writes)
    }

    /// What EXEC would show.
    pub(crate) fn shows_at_exec(&self) -> Shown {
        self.transaction.as_ref().map_or(Shown::default(), |transaction| transaction.shows)
    }

    /// Ends the transaction.
    pub(crate) fn take_transaction(&mut self) -> Option<Transaction> {
        self.set_mode(mode::TRANSACTION, false);
        self.transaction.take().map(|transaction| *transaction)
    }

    /// Notes what a command of its waits for, if for anything.
    pub(crate) fn set_waiting(&mut self, waiting: Option<Waiting>) {
        self.waiting = waiting;
        self.was_unblocked = None;
    }

    /// True while a command of its waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// True if another client may end its wait.
    pub(crate) fn may_be_unblocked(&self) -> bool {
        self.waiting == Some(Waiting::Replicas) && self.was_unblocked.is_none()
    }

    /// Ends its wait by order of another client.
    pub(crate) fn unblock(&mut self, how: Unblocking) {
        self.was_unblocked = Some(how);
    }

    /// How its wait was ended by another client, if it was.
    pub(crate) fn was_unblocked(&self) -> Option<Unblocking> {
        self.was_unblocked
    }

    pub(crate) fn connected_us(&self) -> u64 {
        self.connected_us
    }

    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(crate) fn set_library_name(&mut self, name: &str) {
        name.clone_into(&mut self.library_name);
    }

    pub(crate) fn set_library_version(&mut self, version: &str) {
        version.clone_into(&mut self.library_version);
    }

    /// The client's line in CLIENT LIST, with Redis's fields, without line end.
    pub(crate) fn line(&self, now: Now) -> String {
        let seconds_since = |us: u64| now.mono_us.saturating_sub(us) / 1_000_000;
        let Wire { query_bytes, query_free_bytes, output_bytes, output_values, output_value_bytes, .. } = self.wire;
        let queued = self.transaction.as_ref().map_or(-1, |transaction| transaction.queued.len() as i64);
        let queued_bytes = self.transaction.as_ref().map_or(0, |transaction| transaction.held_bytes());
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={queued} \
             watch={} qbuf={query_bytes} qbuf-free={query_free_bytes} argv-mem=0 multi-mem={queued_bytes} rbs=0 rbp=0 \
             obl={output_bytes} oll={output_values} omem={output_value_bytes} tot-mem={} events=r cmd={} user=default \
             redir=-1 resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
            self.id,
            self.origin.address,
            self.origin.local_address,
            self.origin.fd,
            self.name,
            seconds_since(self.connected_us),
            seconds_since(self.active_us),
            self.flags(),
            self.database,
            self.watches.len(),
            self.wire.total_bytes + queued_bytes,
            self.last_command.map_or("NULL", Command::name),
            match self.version {
                Version::Resp2 => 2,
                Version::Resp3 => 3,
            },
            self.library_name,
            self.library_version,
            self.wire.received_bytes,
            self.wire.sent_bytes,
            self.commands,
        )
    }

    /// Redis's letters for its state.
    fn flags(&self) -> String {
        let states = [
            (self.is_monitor, 'O'),
            (self.modes & mode::TRANSACTION != 0, 'x'),
            (self.waiting.is_some(), 'b'),
            (self.origin.address.starts_with('/'), 'U'),
            (self.is_kept, 'e'),
            (self.modes & mode::NO_TOUCH != 0, 'T'),
        ];
        let flags: String = states.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }
}

/// All sessions of a core.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    sessions: Slab<Session>,
    last_id: u64,
}

impl Clients {
    /// A session for a new connection.
    pub fn connect(&mut self, origin: ClientOrigin, authenticated: bool, now: Now) -> ClientIndex {
        self.last_id += 1;
        let index = self.sessions.insert(Session {
            database: 0,
            modes: if authenticated { 0 } else { mode::STRANGER },
            version: Version::Resp2,
            last_command: None,
            active_us: now.mono_us,
            id: self.last_id,
            connected_us: now.mono_us,
            origin,
            name: String::new(),
            library_name: String::new(),
            library_version: String::new(),
            commands: 0,
            transaction: None,
            waiting: None,
            was_unblocked: None,
            watches: HashTable::new(),
            is_monitor: false,
            is_kept: false,
            wire: Wire::default(),
            connection: 0,
        });
        ClientIndex(u32::try_from(index).expect("fewer connections than file descriptors"))
    }

    /// Ends a session.
    pub fn disconnect(&mut self, client: ClientIndex) {
        self.sessions.remove(client.0 as usize);
    }

    /// The session of a connected client.
    #[inline]
    pub fn get(&self, client: ClientIndex) -> &Session {
        &self.sessions[client.0 as usize]
    }

    /// The session of a connected client.
    #[inline]
    pub fn get_mut(&mut self, client: ClientIndex) -> &mut Session {
        &mut self.sessions[client.0 as usize]
    }

    /// All clients with their sessions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientIndex, &Session)> {
        self.sessions.iter().map(|(index, session)| (ClientIndex(index as u32), session))
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// All sessions in the order in which they connected.
    pub fn in_order(&self) -> Vec<&Session> {
        let mut sessions: Vec<&Session> = self.sessions.iter().map(|(_, session)| session).collect();
        sessions.sort_unstable_by_key(|session| session.id);
        sessions
    }
}
