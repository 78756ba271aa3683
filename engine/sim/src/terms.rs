//! Terms: the settings of a seed's server, and what they allow it to do to its clients.

use std::time::Duration;

use cache::Config;
use protocol::memcache;
use protocol::resp::Limits;
use rand::RngExt;
use rand::rngs::StdRng;
use server::node::ConnectionLimits;

use crate::memcache::ITEM_BYTES_MAX;
use crate::model::Evicts;
use crate::weather::pick;

/// Memory that holds everything a seed ever stores, in bytes.
const MEMORY_GENEROUS: u64 = 256 << 20;
/// Memory that does not, in bytes.
const MEMORY_TINY: u64 = 2 << 20;

/// Policies, each of another kind.
const POLICIES: &[&str] = &[
    "allkeys-s3fifo",
    "allkeys-s3fifo",
    "noeviction",
    "volatile-s3fifo",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-random",
];

/// The settings of a seed's server.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Clients that come and go.
    pub clients: usize,
    /// Connections that are served at the same time.
    pub clients_max: usize,
    /// Silent clients are closed after this time.
    pub idle: Option<Duration>,
    /// Unsent replies that close a connection, in bytes.
    pub unsent_hard_bytes: Option<usize>,
    /// Unsent replies that close it if they stay for a while, in bytes, and how long.
    pub unsent_soft: Option<(usize, Duration)>,
    /// Unsent replies that pause it, in bytes.
    pub unsent_pause_bytes: usize,
    /// Longest value that is stored, in bytes.
    pub large_bytes_max: usize,
    /// `maxmemory`, in bytes.
    pub memory_bytes: u64,
    /// `maxmemory-policy`.
    pub policy: &'static str,
    /// `requirepass`.
    pub password: Option<&'static str>,
    /// The server is stopped while clients are busy.
    pub drains_busy: bool,
    /// Clients pause, kill and unblock each other.
    pub is_rough: bool,
}

impl Terms {
    /// The terms of some seed.
    pub fn random(rng: &mut StdRng) -> Terms {
        let is_tiny = rng.random_bool(0.2);
        let clients = rng.random_range(1..crate::workload::CLIENTS_MAX);
        Terms {
            clients,
            clients_max: if rng.random_bool(0.1) { rng.random_range(1..=clients) } else { 1000 },
            idle: rng.random_bool(0.2).then(|| Duration::from_millis(rng.random_range(200..5_000))),
            unsent_hard_bytes: rng.random_bool(0.15).then(|| rng.random_range(2_000..200_000)),
            unsent_soft: rng.random_bool(0.1).then(|| (rng.random_range(1_000..100_000), Duration::from_millis(500))),
            unsent_pause_bytes: pick(rng, &[100, 20_000, 1 << 20]),
            large_bytes_max: 200_000,
            memory_bytes: if is_tiny { MEMORY_TINY } else { MEMORY_GENEROUS },
            policy: if is_tiny { pick(rng, POLICIES) } else { pick(rng, &["allkeys-s3fifo", "noeviction"]) },
            password: rng.random_bool(0.1).then_some("correct horse"),
            drains_busy: rng.random_bool(0.2),
            is_rough: rng.random_bool(0.3),
        }
    }

    /// Keys that may be gone.
    pub fn evicts(&self) -> Evicts {
        match self.policy {
            _ if self.memory_bytes != MEMORY_TINY => Evicts::Nothing,
            "noeviction" => Evicts::Nothing,
            policy if policy.starts_with("volatile-") => Evicts::Volatile,
            _ => Evicts::Anything,
        }
    }

    /// True if any write may be refused.
    pub fn refuses(&self) -> bool {
        self.memory_bytes == MEMORY_TINY
    }

    /// True if a client that does not read is closed.
    pub fn limits_output(&self) -> bool {
        self.unsent_hard_bytes.is_some() || self.unsent_soft.is_some()
    }

    /// What connections obey.
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            clients_max: self.clients_max,
            idle: self.idle,
            unsent_pause_bytes: self.unsent_pause_bytes,
            unsent_hard_bytes: self.unsent_hard_bytes,
            unsent_soft_bytes: self.unsent_soft.map(|(bytes, _)| bytes),
            unsent_soft_time: self.unsent_soft.map_or(Duration::ZERO, |(_, time)| time),
            protected_mode: true,
            password_set: self.password.is_some(),
            // The share of memory that the server's own settings give it.
            incoming_bytes_max: usize::try_from(self.memory_bytes / 4).expect("sizes fit"),
            requests: Limits { large_bytes_max: self.large_bytes_max, ..Limits::default() },
            memcache_requests: memcache::Limits {
                item_bytes_max: ITEM_BYTES_MAX,
                large_bytes_max: self.large_bytes_max,
                ..memcache::Limits::default()
            },
        }
    }
}

/// The names that the cache asks for.
const NAMES: &[&str] = &["maxmemory", "maxmemory-policy", "proto-max-bulk-len", "requirepass"];

impl Config for Terms {
    fn names(&self) -> &[&'static str] {
        NAMES
    }

    fn get(&self, name: &str) -> Option<String> {
        match name {
            "maxmemory" => Some(self.memory_bytes.to_string()),
            "maxmemory-policy" => Some(self.policy.to_owned()),
            "proto-max-bulk-len" => Some(Limits::default().bulk_bytes_max.to_string()),
            "requirepass" => Some(self.password.unwrap_or_default().to_owned()),
            _ => None,
        }
    }

    fn set(&mut self, pairs: &[(&str, &str)]) -> Result<(), String> {
        match pairs {
            [("maxmemory", bytes)] => {
                self.memory_bytes = bytes.parse().map_err(|_| "ERR CONFIG SET failed - no number".to_owned())?;
                Ok(())
            }
            _ => Err("ERR CONFIG SET failed - a simulated server's other settings stay".to_owned()),
        }
    }
}
