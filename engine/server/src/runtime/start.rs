//! From settings to a running core: what is checked before the first client, and the block that is printed.
//!
//! Order matters: settings, then descriptors, listeners and memory, then the ring inside the pinned thread. Whatever
//! fails is one line on standard error and exit code 1.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use uring::Socket;

use crate::node::ConnectionLimits;
use crate::reactor::Listener;
use crate::runtime::listen::{self, TcpOptions, UnixListener};
use crate::settings::Settings;

use protocol::resp::Limits;
use protocol::{Protocol, memcache};

/// Listening sockets and what must live as long as they do.
#[derive(Debug, Default)]
pub struct Listening {
    /// For the reactor.
    pub listeners: Vec<Listener>,
    /// The descriptors that `listeners` name, in the same order.
    pub sockets: Vec<OwnedFd>,
    /// Remove the unix sockets' files at the end.
    pub unix: Vec<UnixListener>,
}

/// Opens every listening socket that the settings ask for.
///
/// # Errors
/// One line that says what and how to mend it.
pub fn listen(settings: &Settings) -> Result<Listening, String> {
    let mut listening = Listening::default();
    for (protocol, port, flag) in
        [(Protocol::Resp, settings.port, "--port"), (Protocol::Memcache, settings.memcached_port, "--memcached-port")]
    {
        if port != 0 {
            listening.tcp(settings, protocol, port, flag)?;
        }
    }
    for (protocol, path, flag) in [
        (Protocol::Resp, &settings.unixsocket, "--unixsocket"),
        (Protocol::Memcache, &settings.memcached_unixsocket, "--memcached-unixsocket"),
    ] {
        if let Some(path) = path {
            listening.unix(settings, protocol, path, flag)?;
        }
    }
    if listening.listeners.is_empty() {
        return Err("none of the addresses in bind exists on this host; name one with --bind".to_owned());
    }
    Ok(listening)
}

impl Listening {
    fn tcp(&mut self, settings: &Settings, protocol: Protocol, port: u16, flag: &'static str) -> Result<(), String> {
        let keepalive = (!settings.tcp_keepalive.is_zero()).then_some(settings.tcp_keepalive);
        let options = TcpOptions { backlog: settings.tcp_backlog, keepalive, flag };
        for bind in &settings.bind {
            let address = SocketAddr::new(bind.ip, port);
            match listen::tcp(address, options) {
                Ok(socket) => self.add(socket, address.to_string(), protocol),
                Err(_) if bind.optional => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn unix(&mut self, settings: &Settings, protocol: Protocol, path: &Path, flag: &'static str) -> Result<(), String> {
        let (socket, guard) = listen::unix(path, settings.unixsocketperm, settings.tcp_backlog, flag)?;
        self.add(socket, format!("{}:0", path.display()), protocol);
        self.unix.push(guard);
        Ok(())
    }

    fn add(&mut self, socket: OwnedFd, address: String, protocol: Protocol) {
        self.listeners.push(Listener { socket: Socket(socket.as_raw_fd()), address, protocol });
        self.sockets.push(socket);
    }
}

/// Arguments of one request, as Redis before 7.
const ARGS_MAX: usize = 1024 * 1024;
/// An inline request, as Redis.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Everything that clients are sending may take this share of the memory limit.
const INCOMING_SHARE: u64 = 4;
/// One request may take this share of the memory limit before it executes.
const REQUEST_SHARE: u64 = 4;
/// But this much in any case: an operator can raise the limit again.
const REQUEST_BYTES_MIN: u64 = 64 * 1024;
/// One value may take this share of the memory limit.
const LARGE_VALUE_SHARE: u64 = 8;

/// What connections obey, from the settings in force.
pub fn connection_limits(settings: &Settings) -> ConnectionLimits {
    let output = &settings.client_output_buffer_limit;
    let large_bytes_max = settings.proto_max_bulk_len.min(settings.maxmemory / LARGE_VALUE_SHARE);
    let request_bytes_max = (settings.maxmemory / REQUEST_SHARE).max(REQUEST_BYTES_MIN);
    let request_bytes_max = request_bytes_max.min(settings.client_query_buffer_limit);
    ConnectionLimits {
        clients_max: settings.maxclients as usize,
        idle: (!settings.timeout.is_zero()).then_some(settings.timeout),
        unsent_pause_bytes: bound(output.soft_bytes).unwrap_or(usize::MAX),
        unsent_hard_bytes: bound(output.hard_bytes),
        unsent_soft_bytes: if output.soft_time.is_zero() { None } else { bound(output.soft_bytes) },
        unsent_soft_time: output.soft_time,
        protected_mode: settings.protected_mode,
        incoming_bytes_max: bytes(settings.maxmemory / INCOMING_SHARE),
        password_set: settings.requirepass.expose().is_some(),
        requests: Limits {
            bulk_bytes_max: bytes(settings.proto_max_bulk_len),
            large_bytes_max: bytes(large_bytes_max),
            request_bytes_max: bytes(request_bytes_max),
            args_max: ARGS_MAX,
            inline_bytes_max: INLINE_BYTES_MAX,
            authenticated: false,
        },
        memcache_requests: memcache::Limits {
            item_bytes_max: bytes(settings.memcached_item_size_max),
            large_bytes_max: bytes(large_bytes_max),
            request_bytes_max: bytes(request_bytes_max),
            words_max: ARGS_MAX,
            authenticated: false,
        },
    }
}

fn bound(value: u64) -> Option<usize> {
    (value != 0).then(|| bytes(value))
}

fn bytes(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The block that is printed once the server is ready.
pub struct StartBlock<'a> {
    /// The kernel and its ring.
    pub ring: &'a dyn fmt::Display,
    /// The core we are pinned to, and how many the host has.
    pub core: Option<usize>,
    /// CPUs that the process may use.
    pub cores_allowed: usize,
    /// Settings in force.
    pub settings: &'a Settings,
    /// Memory that the host or its cgroup allows, in bytes.
    pub host_bytes: u64,
    /// Shards of the core.
    pub shards: usize,
    /// Addresses that are listened on.
    pub listeners: &'a [Listener],
}

impl fmt::Display for StartBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings;
        writeln!(f, "Pinion {}: a thread-per-core cache on io_uring", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  kernel   {}", self.ring)?;
        match self.core {
            Some(core) => write!(f, "  core     {core}, of {} allowed", self.cores_allowed)?,
            None => write!(f, "  core     not pinned: this host does not allow it")?,
        }
        match settings.spin_us {
            0 => writeln!(f, "; sleeps at once when idle")?,
            us => writeln!(f, "; spins up to {us} us before it sleeps")?,
        }
        let (limit, host) = (binary(settings.maxmemory), binary(self.host_bytes));
        writeln!(f, "  memory   {limit} of {host} allowed, {} shards", self.shards)?;
        writeln!(f, "  policy   {}", settings.maxmemory_policy.name())?;
        let access = match (settings.requirepass.expose(), settings.protected_mode) {
            (Some(_), _) => "with a password",
            (None, true) => "without a password: only clients on this host are served (protected mode)",
            (None, false) => "WITHOUT A PASSWORD, protected mode off: whoever reaches this port is served",
        };
        writeln!(f, "  access   {access}")?;
        let served = |protocol| {
            let listeners = self.listeners.iter().filter(move |listener| listener.protocol == protocol);
            listeners.map(|listener| listener.address.as_str()).collect::<Vec<_>>().join(", ")
        };
        match (served(Protocol::Resp).as_str(), served(Protocol::Memcache).as_str()) {
            (resp, "") => writeln!(f, "  ready    {resp}"),
            ("", memcached) => writeln!(f, "  ready    memcached {memcached}"),
            (resp, memcached) => writeln!(f, "  ready    {resp}; memcached {memcached}"),
        }
    }
}

/// Bytes as people read them.
fn binary(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{:.1} {name}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes} B")
}
