//! The protocols that the load generator speaks.

use super::answer::Scan;
use super::{memcache, resp};

/// A protocol by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Redis's protocol
    Resp,
    /// memcached's text protocol
    MemcacheText,
}

impl Protocol {
    /// Appends a read of `key`.
    pub fn write_get(self, key: &[u8], out: &mut Vec<u8>) {
        match self {
            Protocol::Resp => resp::write_get(key, out),
            Protocol::MemcacheText => memcache::write_get(key, out),
        }
    }

    /// Appends a write of `key`; `write_value` appends exactly `value_bytes`.
    pub fn write_set(
        self,
        key: &[u8],
        value_bytes: usize,
        expire_s: Option<u64>,
        out: &mut Vec<u8>,
        write_value: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Protocol::Resp => resp::write_set(key, value_bytes, expire_s, out, write_value),
            Protocol::MemcacheText => memcache::write_set(key, value_bytes, expire_s, out, write_value),
        }
    }

    /// Reads the first reply of `input`.
    pub fn scan(self, input: &[u8]) -> Scan<'_> {
        match self {
            Protocol::Resp => resp::scan(input),
            Protocol::MemcacheText => memcache::scan(input),
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Resp => "RESP",
            Protocol::MemcacheText => "memcache text",
        })
    }
}
