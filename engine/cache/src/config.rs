//! Settings: what commands see of them, and those that the cache itself obeys.
//!
//! The server's settings struct implements `Config`; values cross this seam as the text that CONFIG GET prints. Only
//! CONFIG and start-up come here: what the data path needs is parsed once into `InForce`.

use l1::Policy;

/// All settings of the process, by Redis's names.
pub trait Config {
    /// The names of all settings, lower case.
    fn names(&self) -> &[&'static str];

    /// A setting as CONFIG GET prints it: sizes in bytes as a plain number, booleans as `yes` or `no`. `None`: no such
    /// name.
    fn get(&self, name: &str) -> Option<String>;

    /// Changes all `pairs` or none. The names exist and differ from each other. The error is the whole text behind `-`,
    /// as in `ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config`.
    fn set(&mut self, pairs: &[(&str, &str)]) -> Result<(), String>;

    /// Writes the settings in force into the file that they came from. The error is the whole text behind `-`. Without
    /// a file, as here, there is nothing to write.
    fn rewrite(&mut self) -> Result<(), String> {
        Err("ERR The server is running without a config file".to_owned())
    }
}

/// The settings that commands obey.
#[derive(Debug)]
pub(crate) struct InForce {
    /// `requirepass`; `None` if clients need no password.
    pub password: Option<String>,
    /// `proto-max-bulk-len`: the longest string, in bytes.
    pub string_bytes_max: usize,
    /// `memcached-item-size-max`: the longest value that memcached's append and prepend make, in bytes.
    pub item_bytes_max: usize,
    /// `maxmemory` in bytes; 0 for all that the host has.
    pub memory_bytes_max: u64,
    /// `maxmemory-policy`.
    pub policy: Policy,
    /// `slowlog-log-slower-than`; below 0 for never.
    pub slowlog_slower_than_us: i64,
    /// `slowlog-max-len`.
    pub slowlog_count_max: usize,
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`.
    pub latency_percentiles: Vec<f64>,
    /// `latency-monitor-threshold`; 0 for never.
    pub latency_threshold_ms: u64,
    /// `enable-debug-command`.
    pub debug: DebugAccess,
}

/// Who may use DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DebugAccess {
    #[default]
    No,
    Yes,
    /// Clients on this host.
    Local,
}

impl DebugAccess {
    fn parse(name: &str) -> DebugAccess {
        match name {
            "yes" => DebugAccess::Yes,
            "local" => DebugAccess::Local,
            _ => DebugAccess::No,
        }
    }
}

/// Redis's default for `proto-max-bulk-len`.
const STRING_BYTES_MAX_DEFAULT: usize = 512 << 20;

/// memcached's default for `-I`.
const ITEM_BYTES_MAX_DEFAULT: usize = 1 << 20;
/// Redis's defaults of what is watched.
const SLOWLOG_SLOWER_THAN_US_DEFAULT: i64 = 10_000;
const SLOWLOG_COUNT_MAX_DEFAULT: usize = 128;
const PERCENTILES_DEFAULT: &str = "50 99 99.9";

impl InForce {
    /// Reads them. A setting that `config` lacks has its default; the server has checked those that it has.
    pub fn read(config: &dyn Config) -> InForce {
        let number = |name: &str| config.get(name).and_then(|text| text.parse::<u64>().ok());
        InForce {
            password: config.get("requirepass").filter(|password| !password.is_empty()),
            string_bytes_max: number("proto-max-bulk-len")
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(STRING_BYTES_MAX_DEFAULT),
            item_bytes_max: number("memcached-item-size-max")
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(ITEM_BYTES_MAX_DEFAULT),
            memory_bytes_max: number("maxmemory").unwrap_or(0),
            slowlog_slower_than_us: config
                .get("slowlog-log-slower-than")
                .and_then(|text| text.parse().ok())
                .unwrap_or(SLOWLOG_SLOWER_THAN_US_DEFAULT),
            slowlog_count_max: number("slowlog-max-len")
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(SLOWLOG_COUNT_MAX_DEFAULT),
            latency_tracking: config.get("latency-tracking").is_none_or(|text| text != "no"),
            latency_percentiles: percentiles(
                config.get("latency-tracking-info-percentiles").as_deref().unwrap_or(PERCENTILES_DEFAULT),
            ),
            latency_threshold_ms: number("latency-monitor-threshold").unwrap_or(0),
            policy: config.get("maxmemory-policy").and_then(|name| Policy::parse(&name)).unwrap_or_default(),
            debug: config
                .get("enable-debug-command")
                .map_or_else(DebugAccess::default, |name| DebugAccess::parse(&name)),
        }
    }

    /// The limit in bytes that `maxmemory` means on this host.
    pub fn memory_limit(&self, host_memory_bytes: u64) -> u64 {
        match self.memory_bytes_max {
            0 => host_memory_bytes,
            bytes => bytes,
        }
    }
}

fn percentiles(text: &str) -> Vec<f64> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}
