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
mod kind;
mod live;
mod load;
mod memory;
mod network;
mod rewrite;
mod sample;
mod table;

pub use cores::Cores;
pub use error::{Refusal, SettingsError};
pub use host::{Facts, memory_allowed};
pub use kind::{Form, LogFormat, LogLevel};
pub use live::Live;
pub use load::{FILE_BYTES_MAX, FileText, Loaded, ReadFile, Startup, load};
pub use network::{BindAddress, OutputLimits};
pub use table::{Change, Setting};

use cache::Policy;
use cores::CoreList;
use fixed::{Fixed, Only};
use kind::{Choice, Path, Seconds, Secret, SecretText, Whole, YesNo};
use memory::{GIB, MIB, Memory};
use network::{AddressList, OctalMode, OutputLimitClasses};
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

        /// Longest single argument of a request.
        proto_max_bulk_len: u64 = "512mb" in Memory { range: MIB..=GIB, zero: false }, AnyTime;

        /// Bounds on unsent replies, as "normal HARD SOFT SECONDS": above SOFT bytes we stop reading from the client,
        /// until it reads or has stalled for about a second; above HARD bytes, or after SECONDS above SOFT, it is
        /// closed. 0 switches a bound off.
        client_output_buffer_limit: OutputLimits = "normal 1gb 1mb 0" in OutputLimitClasses, AnyTime;
    }

    "Memory" {
        /// Memory of the whole process; 0 takes half of what this host or its cgroup allows.
        maxmemory: u64 = "0" in Memory { range: MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX, zero: true }, AnyTime;

        /// What goes when memory is full.
        maxmemory_policy: Policy = "allkeys-s3fifo" in Choice::<Policy>::new(), AnyTime;
    }

    "Process" {
        /// CPU cores to run on, such as "2" or "0-3,8"; "auto" takes the first one that this process may use. This
        /// release runs one core.
        cores: Cores = "auto" in CoreList { count_max: 1 }, AtStart;

        /// Microseconds that an idle core looks for work before it sleeps, at most; 0 sleeps at once.
        spin_us: u32 = "20" in Whole::<u32>(0..=1000), AnyTime;

        /// How much is logged to standard error.
        loglevel: LogLevel = "notice" in Choice::<LogLevel>::new(), AnyTime;

        /// How its lines are written: text for people, or a JSON object each for what collects logs.
        log_format: LogFormat = "text" in Choice::<LogFormat>::new(), AtStart;
    }

    "One value only (for the tools and files of Redis)" {
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
    }
}

impl Settings {
    /// A password that was set since is not the file's any more.
    fn drop_stale_file(&mut self) {
        if !self.requirepass.is_from_file() {
            self.requirepass_file = None;
        }
    }

    /// Puts in what only this host can tell, and refuses what this host cannot do.
    ///
    /// Afterwards `maxmemory` is a number of bytes, never 0.
    fn settle(&mut self, facts: &Facts) -> Result<(), (&'static str, Refusal)> {
        self.drop_stale_file();
        if self.maxmemory == 0 {
            self.maxmemory = facts.memory_bytes / 2;
        }
        if self.maxmemory < MEMORY_BYTES_MIN {
            let what = format!("half of the {} bytes that this host allows is too little", facts.memory_bytes);
            let least = memory::shown(MEMORY_BYTES_MIN);
            return Err((
                "maxmemory",
                Refusal::new(what, format!("give the process twice {least}, or set it to {least}")),
            ));
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
        if self.port == 0 && self.unixsocket.is_none() {
            let what = "0 listens on no TCP port, and there is no unixsocket: nobody could connect";
            return Err(("port", Refusal::new(what, "set one of the two")));
        }
        Ok(())
    }
}
