//! Settings: one struct, from which the flags, the file's keys, CONFIG GET and SET, and `--help` follow.
//!
//! A setting is one entry below: its documentation, its field and type, its default as a user would write it, its kind
//! (which gives unit and range), and whether it can be changed while the server runs. Nothing else has to be touched.
//!
//! Invariants
//! - Every value is parsed and checked once; the fields are plain typed values that cost nothing to read.
//! - Flags beat the file, the file beats the defaults.
//! - A refused change leaves every setting as it was.
//!
//! Absent on purpose: the environment, and any process-wide state. Whoever needs a setting is handed it.

mod command_line;
mod cores;
mod error;
mod file;
mod fixed;
mod host;
mod import;
mod kind;
mod live;
mod load;
mod memory;
mod network;
mod percentiles;
mod redis_conf;
mod rewrite;
mod runtime;
mod sample;
mod table;

pub use cores::Cores;
pub use error::{Refusal, SettingsError};
pub use host::{Facts, memory_allowed};
pub use import::{Imported, import};
pub use kind::{Access, Form, LogFormat, LogLevel};
pub use live::Live;
pub use load::{FILE_BYTES_MAX, FileText, Loaded, ReadFile, Startup, load};
pub use network::{BindAddress, OutputLimits};
pub use rewrite::rewritten;
pub use runtime::Runtime;
pub use table::{Change, Setting};

use cache::Policy;
use cores::CoreList;
use fixed::{Fixed, NoShare, Only};
use kind::{Choice, Integer, Path, Seconds, Secret, SecretText, Whole, YesNo};
use memory::{GIB, KIB, MIB, Memory};
use network::{AddressList, Endpoint, OctalMode, OutputLimitClasses};
use percentiles::Percentiles;
use runtime::RuntimeName;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The least `maxmemory`: below it a shard could not hold enough segments to evict sensibly.
pub const MEMORY_BYTES_MIN: u64 = 32 * MIB;

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 512;

/// The longest path of a file, in bytes: Linux's own bound.
const PATH_BYTES_MAX: usize = 4095;

/// The most `maxmemory`: what a user process can map.
const MEMORY_BYTES_MAX: u64 = 128 * 1024 * GIB;

/// Heading of what has one value.
const ONE_VALUE: &str = "One value only (for the tools and files of Redis)";

/// Heading of what is stored and echoed, and does nothing.
const WITHOUT_EFFECT: &str = "Accepted and without effect (Redis tunes its own machinery with them)";

/// Redis's bounds for settings that have no other.
const INT_MAX: u32 = i32::MAX as u32;
const INT_MIN: i64 = i32::MIN as i64;
const LONG_MAX: u64 = i64::MAX as u64;

table::settings! {
    "Network" {
        /// TCP port to listen on; 0 listens on none.
        port: u16 = "6379" in Whole::<u16>(0..=65535), AtStart;

        /// Addresses to listen on, separated by blanks: "*" is every IPv4 address, "::*" every IPv6 address, and a
        /// leading "-" skips an address that this host does not have.
        bind: Vec<BindAddress> = "127.0.0.1" in AddressList, AtStart;

        /// Unix socket to listen on besides TCP.
        unixsocket: Option<PathBuf> = "" in Path { bytes_max: network::UNIX_PATH_BYTES_MAX }, AtStart;

        /// Permissions of the unix socket, in octal; 0 leaves them to the umask.
        unixsocketperm: u32 = "0" in OctalMode, AtStart;

        /// TCP port for memcached's text protocol, on the addresses of bind; 0 listens on none.
        memcached_port: u16 = "11211" in Whole::<u16>(0..=65535), AtStart;

        /// Unix socket for memcached's text protocol, with the permissions of unixsocketperm.
        memcached_unixsocket: Option<PathBuf> = "" in Path { bytes_max: network::UNIX_PATH_BYTES_MAX }, AtStart;

        /// Largest item that a memcached client may store: key, value and about 60 bytes.
        memcached_item_size_max: u64 = "1mb" in Memory { range: KIB..=GIB, zero: false }, AnyTime;

        /// Connections that the kernel holds for us until they are accepted.
        tcp_backlog: u32 = "511" in Whole::<u32>(1..=65535), AtStart;

        /// Seconds without traffic after which TCP probes a client; 0 never probes.
        tcp_keepalive: Duration = "300" in Seconds(0..=32767), AnyTime;

        /// Seconds after which an idle client is closed; 0 never closes one.
        timeout: Duration = "0" in Seconds(0..=i32::MAX as u64), AnyTime;
    }

    "Clients" {
        /// Clients served at the same time; one more is told so and closed.
        maxclients: u32 = "10000" in Whole::<u32>(1..=1_000_000), AnyTime;

        /// Password that clients give with AUTH; empty asks for none.
        requirepass: Secret = "" in SecretText { bytes_max: PASSWORD_BYTES_MAX }, AnyTime;

        /// File whose first line is the password, instead of requirepass; it is read once, at start.
        requirepass_file: Option<PathBuf> = "" in Path { bytes_max: PATH_BYTES_MAX }, AtStart;

        /// Serves only loopback clients as long as there is no password.
        protected_mode: bool = "yes" in YesNo, AnyTime;

        /// Who may use DEBUG, which is for tests: nobody, every client, or clients on this host.
        enable_debug_command: Access = "no" in Choice::<Access>::new(), AtStart;

        /// Longest single argument of a request.
        proto_max_bulk_len: u64 = "512mb" in Memory { range: MIB..=GIB, zero: false }, AnyTime;

        /// All arguments of one request together, or a quarter of maxmemory if that is less: what is longer gets -OOM.
        client_query_buffer_limit: u64 = "1gb" in Memory { range: MIB..=GIB, zero: false }, AnyTime;

        /// Bounds on unsent replies, as "normal HARD SOFT SECONDS": above SOFT bytes we stop reading from the client,
        /// until it reads or has stalled for about a second; above HARD bytes, or after SECONDS above SOFT, it is
        /// closed. 0 switches a bound off.
        client_output_buffer_limit: OutputLimits = "normal 1gb 1mb 0" in OutputLimitClasses, AnyTime;
    }

    "Memory" {
        /// Memory of the whole process, from 32mb at the start; 0 takes half of what this host or its cgroup allows.
        maxmemory: u64 = "0" in Memory { range: 1..=MEMORY_BYTES_MAX, zero: true }, AnyTime;

        /// What goes when memory is full.
        maxmemory_policy: Policy = "allkeys-s3fifo" in Choice::<Policy>::new(), AnyTime;
    }

    "Process" {
        /// CPU cores to run on, such as "2" or "0-3,8"; "auto" takes the first one that this process may use. This
        /// release runs one core.
        cores: Cores = "auto" in CoreList { count_max: 1 }, AtStart;

        /// What the core runs on: "uring" is our own ring; "glommio" is that runtime's executor, for comparison, in a
        /// binary that was built with it.
        runtime: Runtime = "uring" in RuntimeName, AtStart;

        /// Microseconds that an idle core looks for work before it sleeps, at most; 0 sleeps at once.
        spin_us: u32 = "20" in Whole::<u32>(0..=1000), AnyTime;

        /// How much is logged to standard error.
        loglevel: LogLevel = "notice" in Choice::<LogLevel>::new(), AnyTime;

        /// How its lines are written: text for people, or a JSON object each for what collects logs.
        log_format: LogFormat = "text" in Choice::<LogFormat>::new(), AtStart;
    }

    "Insight" {
        /// Address and port that /metrics and /healthz are served on over HTTP; "" serves none. Beyond loopback anybody
        /// who reaches the port may read them.
        metrics_bind: Option<SocketAddr> = "127.0.0.1:9121" in Endpoint, AtStart;

        /// Commands that take as many microseconds or longer go to SLOWLOG; 0 logs all, -1 none. Below 1000 every
        /// command is timed by itself, which costs each some tens of nanoseconds.
        slowlog_log_slower_than: i64 = "10000" in Integer(-1..=i64::MAX), AnyTime;

        /// Entries that SLOWLOG keeps, the newest: some hundred bytes each, at most 5 KiB.
        slowlog_max_len: u64 = "128" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Keeps a histogram of each command's times, for INFO latencystats and LATENCY HISTOGRAM.
        latency_tracking: bool = "yes" in YesNo, AnyTime;

        /// Percentiles that INFO latencystats prints.
        latency_tracking_info_percentiles: Vec<f64> = "50 99 99.9" in Percentiles, AnyTime;

        /// Events that take as many milliseconds or longer are kept for LATENCY LATEST and HISTORY; 0 keeps none.
        latency_monitor_threshold: u64 = "0" in Whole::<u64>(0..=LONG_MAX), AnyTime;
    }

    ONE_VALUE {
        /// Databases that SELECT reaches.
        databases: Fixed = "16" in Only { value: "16", mend: "every database costs nothing until it is used" }, AtStart;

        /// Background mode.
        daemonize: Fixed = "no" in Only { value: "no", mend: "start it with systemd, or with & in a shell" }, AtStart;

        /// Log file.
        logfile: Fixed = "" in Only { value: "", mend: "logs go to standard error; redirect it" }, AtStart;

        /// Threads that only do I/O.
        io_threads: Fixed = "1" in Only { value: "1", mend: "the setting cores says how many cores work" }, AtStart;

        /// Snapshots.
        save: Fixed = "" in Only { value: "", mend: "Pinion writes no snapshots" }, AnyTime;

        /// Append-only file.
        appendonly: Fixed = "no" in Only { value: "no", mend: "Pinion writes no append-only file" }, AnyTime;

        /// Server whose copy this one is.
        replicaof: Fixed = "" in Only { value: "", mend: "Pinion copies no other server" }, AtStart;

        /// User for the server that is copied.
        masteruser: Fixed = "" in Only { value: "", mend: "Pinion copies no other server" }, AnyTime;

        /// Password for the server that is copied.
        masterauth: Fixed = "" in Only { value: "", mend: "Pinion copies no other server" }, AnyTime;

        /// Replicas that a write needs.
        min_replicas_to_write: Fixed = "0" in Only { value: "0", mend: "Pinion has no replicas" }, AnyTime;

        /// Redis Cluster.
        cluster_enabled: Fixed = "no" in Only { value: "no", mend: "this release is one node" }, AtStart;

        /// TLS port.
        tls_port: Fixed = "0" in Only { value: "0", mend: "put a proxy that ends TLS before it" }, AnyTime;

        /// Password of the TLS key.
        tls_key_file_pass: Fixed = "" in Only { value: "", mend: "put a proxy that ends TLS before it" }, AnyTime;

        /// Password of the TLS key for outgoing connections.
        tls_client_key_file_pass: Fixed =
            "" in Only { value: "", mend: "put a proxy that ends TLS before it" }, AnyTime;

        /// Events on changes of keys.
        notify_keyspace_events: Fixed = "" in Only { value: "", mend: "Pinion publishes no events" }, AnyTime;

        /// Memory of all clients together above which some are closed.
        maxmemory_clients: Fixed =
            "0" in NoShare { mend: "what clients may hold follows from maxmemory" }, AnyTime;
    }

    WITHOUT_EFFECT {
        /// Keys looked at per eviction.
        maxmemory_samples: u32 = "5" in Whole::<u32>(1..=64), AnyTime;

        /// Effort of an eviction.
        maxmemory_eviction_tenacity: u32 = "10" in Whole::<u32>(0..=100), AnyTime;

        /// How the use count of LFU grows.
        lfu_log_factor: u32 = "10" in Whole::<u32>(0..=INT_MAX), AnyTime;

        /// Minutes after which the use count of LFU shrinks.
        lfu_decay_time: u32 = "1" in Whole::<u32>(0..=INT_MAX), AnyTime;

        /// Evicted values are freed later.
        lazyfree_lazy_eviction: bool = "yes" in YesNo, AnyTime;

        /// Expired values are freed later.
        lazyfree_lazy_expire: bool = "yes" in YesNo, AnyTime;

        /// Overwritten values are freed later.
        lazyfree_lazy_server_del: bool = "yes" in YesNo, AnyTime;

        /// DEL frees later, like UNLINK.
        lazyfree_lazy_user_del: bool = "yes" in YesNo, AnyTime;

        /// FLUSHALL frees later, like FLUSHALL ASYNC.
        lazyfree_lazy_user_flush: bool = "yes" in YesNo, AnyTime;

        /// Effort of removing expired keys.
        active_expire_effort: u32 = "1" in Whole::<u32>(1..=10), AnyTime;

        /// Memory is compacted while the server runs.
        activedefrag: bool = "no" in YesNo, AnyTime;

        /// Hash tables are resized while the server is idle.
        activerehashing: bool = "yes" in YesNo, AnyTime;

        /// Rounds of upkeep per second.
        hz: u32 = "10" in Whole::<u32>(1..=500), AnyTime;

        /// More rounds of upkeep with more clients.
        dynamic_hz: bool = "yes" in YesNo, AnyTime;

        /// Fields of a hash that is one block.
        hash_max_listpack_entries: u64 = "512" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Longest value of a hash that is one block.
        hash_max_listpack_value: u64 = "64" in Memory { range: 0..=LONG_MAX, zero: true }, AnyTime;

        /// Size of a list's blocks: entries, or a class of bytes below 0.
        list_max_listpack_size: i64 = "-2" in Integer(INT_MIN..=INT_MAX as i64), AnyTime;

        /// Blocks at a list's ends that are not compressed.
        list_compress_depth: u32 = "0" in Whole::<u32>(0..=INT_MAX), AnyTime;

        /// Members of a set of integers that is one block.
        set_max_intset_entries: u64 = "512" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Members of a set that is one block.
        set_max_listpack_entries: u64 = "128" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Longest member of a set that is one block.
        set_max_listpack_value: u64 = "64" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Members of a sorted set that is one block.
        zset_max_listpack_entries: u64 = "128" in Whole::<u64>(0..=LONG_MAX), AnyTime;

        /// Longest member of a sorted set that is one block.
        zset_max_listpack_value: u64 = "64" in Memory { range: 0..=LONG_MAX, zero: true }, AnyTime;

        /// Bytes of a sparse HyperLogLog.
        hll_sparse_max_bytes: u64 = "3000" in Memory { range: 0..=LONG_MAX, zero: true }, AnyTime;

        /// Bytes of a stream's block.
        stream_node_max_bytes: u64 = "4kb" in Memory { range: 0..=LONG_MAX, zero: true }, AnyTime;

        /// Entries of a stream's block.
        stream_node_max_entries: u64 = "100" in Whole::<u64>(0..=LONG_MAX), AnyTime;
    }
}

impl Settings {
    /// A password that was set since is not the file's any more.
    fn drop_stale_file(&mut self) {
        if !self.requirepass.is_from_file() {
            self.requirepass_file = None;
        }
    }

    /// The password that is there already stays the file's, if it is: who writes back what was read changes nothing.
    fn keep_password_file(&mut self, before: &Settings) {
        if before.requirepass.is_from_file() && before.requirepass.expose() == self.requirepass.expose() {
            self.requirepass = before.requirepass.clone();
        }
    }

    /// Refuses a start with less memory than a shard needs. A running server may go below: it evicts what it may, and
    /// refuses writes.
    fn require_memory(&self) -> Result<(), (&'static str, Refusal)> {
        if self.maxmemory >= MEMORY_BYTES_MIN {
            return Ok(());
        }
        let least = memory::shown(MEMORY_BYTES_MIN);
        let what = format!("{} bytes are too little", self.maxmemory);
        Err(("maxmemory", Refusal::new(what, format!("set it to {least} or more"))))
    }

    /// Puts in what only this host can tell, and refuses what this host cannot do.
    ///
    /// Afterwards `maxmemory` is a number of bytes, never 0.
    fn settle(&mut self, facts: &Facts) -> Result<(), (&'static str, Refusal)> {
        self.drop_stale_file();
        if self.maxmemory == 0 {
            self.maxmemory = facts.memory_bytes / 2;
            if self.maxmemory < MEMORY_BYTES_MIN {
                let what = format!("half of the {} bytes that this host allows is too little", facts.memory_bytes);
                let least = memory::shown(MEMORY_BYTES_MIN);
                let mend = format!("give the process twice {least}, or set it to {least}");
                return Err(("maxmemory", Refusal::new(what, mend)));
            }
        }
        if self.maxclients > facts.clients_max {
            let most = facts.clients_max;
            let what =
                format!("The operating system is not able to handle the specified number of clients, try with {most}");
            return Err((
                "maxclients",
                Refusal::new(what, "or raise the limit of open files (ulimit -n, LimitNOFILE=)"),
            ));
        }
        let has_port = self.port != 0 || self.memcached_port != 0;
        if !has_port && self.unixsocket.is_none() && self.memcached_unixsocket.is_none() {
            let what = "port and memcached-port are 0, and there is no unix socket: nobody could connect";
            return Err(("port", Refusal::new(what, "set one of them")));
        }
        Ok(())
    }
}
