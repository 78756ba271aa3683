//! Facts: what the server knows and INFO prints.

/// The Redis version whose commands we speak. Client libraries switch features on by it.
pub const REDIS_VERSION: &str = "7.4.0";

/// Our own version.
pub const PINION_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Set by the server, at start or whenever it likes; printed by INFO. All zero or empty is valid.
#[derive(Clone, Debug, Default)]
pub struct Facts {
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
