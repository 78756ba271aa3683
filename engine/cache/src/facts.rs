//! Facts: what the server knows and INFO prints.

/// The Redis version whose commands we speak. Client libraries switch features on by it.
pub const REDIS_VERSION: &str = "7.4.0";

/// Our own version.
pub const PINION_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Set by the server, at start or whenever it likes; printed by INFO. All zero or empty is valid.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the core's loop did.
    pub tick: TickFacts,
    /// Process id.
    pub process_id: u32,
    /// Port of the first TCP listener, or 0.
    pub tcp_port: u16,
    /// 40 hex digits that differ in every run.
    pub run_id: String,
    /// Kernel name and release.
    pub os: String,
    /// Path of our binary.
    pub executable: String,
    /// Path of the settings file, or empty.
    pub config_file: String,
    /// `Now::mono_us` at start.
    pub started_us: u64,
    /// Resident set size of the process, in bytes.
    pub rss_bytes: u64,
    /// Memory of the host, in bytes.
    pub host_memory_bytes: u64,
    /// CPU time in the kernel, in microseconds.
    pub cpu_system_us: u64,
    /// CPU time in our code, in microseconds.
    pub cpu_user_us: u64,
    /// `maxclients`.
    pub clients_max: u64,
    /// Connections accepted since start.
    pub connections_received: u64,
    /// Connections refused because of `maxclients` or protected mode.
    pub connections_rejected: u64,
    /// Bytes received since start.
    pub net_input_bytes: u64,
    /// Bytes sent since start.
    pub net_output_bytes: u64,
    /// Clients closed over their output limit.
    pub output_limit_disconnections: u64,
    /// Requests that broke the protocol.
    pub protocol_errors: u64,
}

/// Batches by size: entry `i` counts those of 2^i requests and more, below 2^(i+1).
pub const BATCH_SIZES: usize = 6;

/// What the core's loop did since the start. A tick is one turn of it, the wait for work not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickFacts {
    /// Turns.
    pub ticks: u64,
    /// All of them together, in nanoseconds.
    pub length_sum_ns: u64,
    /// Half of them were not longer, in nanoseconds.
    pub length_p50_ns: u64,
    /// 99 percent of them were not longer, in nanoseconds.
    pub length_p99_ns: u64,
    /// The longest, in nanoseconds.
    pub length_max_ns: u64,
    /// Ticks by length: entry `i` counts those above 2^(i-1) ns, up to 2^i ns.
    pub lengths: crate::DurationBuckets,
    /// Batches of requests by size.
    pub batches: [u64; BATCH_SIZES],
    /// Requests in batches.
    pub batched_requests: u64,
    /// System calls into the ring.
    pub enters: u64,
    /// Times that the core looked for work before it slept.
    pub spins: u64,
    /// Those that found some.
    pub spins_with_work: u64,
    /// Times that it slept.
    pub sleeps: u64,
    /// Times that the provided buffers ran out (ENOBUFS).
    pub buffer_shortages: u64,
    /// Provided buffers.
    pub buffers: u64,
    /// Most of them that were filled at once within the last tenth of a second.
    pub buffers_used_max: u64,
}
