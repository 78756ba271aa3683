//! Clients: one session per connection, and what CLIENT LIST says about it.
//!
//! Invariants
//! - A `ClientIndex` is valid from `connect` to `disconnect`; ids are never used twice.
//!
//! Absent on purpose: sockets and buffers. The server tells what it knows through `Session::wire`.

use protocol::Version;
use slab::Slab;

use crate::table::Command;
use crate::time::Now;

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
}

/// One client's state between commands.
#[derive(Debug)]
pub struct Session {
    database: u8,
    authenticated: bool,
    version: Version,
    last_command: Option<Command>,
    active_us: u64,
    id: u64,
    connected_us: u64,
    origin: ClientOrigin,
    name: String,
    library_name: String,
    library_version: String,
    /// Kept up to date by the server, for CLIENT LIST.
    pub wire: Wire,
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
        self.authenticated
    }

    /// The database it has selected.
    #[inline]
    pub fn database(&self) -> usize {
        usize::from(self.database)
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
        self.authenticated = authenticated;
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
        let Wire { query_bytes, query_free_bytes, output_bytes, output_values, output_value_bytes, total_bytes } =
            self.wire;
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi=-1 watch=0 \
             qbuf={query_bytes} qbuf-free={query_free_bytes} argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={output_bytes} \
             oll={output_values} omem={output_value_bytes} tot-mem={total_bytes} events=r cmd={} user=default redir=-1 \
             resp={} lib-name={} lib-ver={}",
            self.id,
            self.origin.address,
            self.origin.local_address,
            self.origin.fd,
            self.name,
            seconds_since(self.connected_us),
            seconds_since(self.active_us),
            if self.origin.address.starts_with('/') { "U" } else { "N" },
            self.database,
            self.last_command.map_or("NULL", Command::name),
            match self.version {
                Version::Resp2 => 2,
                Version::Resp3 => 3,
            },
            self.library_name,
            self.library_version,
        )
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
            authenticated,
            version: Version::Resp2,
            last_command: None,
            active_us: now.mono_us,
            id: self.last_id,
            connected_us: now.mono_us,
            origin,
            name: String::new(),
            library_name: String::new(),
            library_version: String::new(),
            wire: Wire::default(),
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
