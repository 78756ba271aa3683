//! The protocols that the load generator speaks.

use super::answer::{ItemSpan, Scan};
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

    /// Begins a read of `count` keys: [`Protocol::write_key`] appends each, [`Protocol::end_get_many`] ends it.
    pub fn begin_get_many(self, count: usize, out: &mut Vec<u8>) {
        match self {
            Protocol::Resp => resp::begin_get_many(count, out),
            Protocol::MemcacheText => memcache::begin_get_many(out),
        }
    }

    /// Appends one of many keys.
    pub fn write_key(self, key: &[u8], out: &mut Vec<u8>) {
        match self {
            Protocol::Resp => resp::write_key(key, out),
            Protocol::MemcacheText => memcache::write_key(key, out),
        }
    }

    /// Ends a read of many keys.
    pub fn end_get_many(self, out: &mut Vec<u8>) {
        match self {
            // The number of keys in front is the end of them.
            Protocol::Resp => {}
            Protocol::MemcacheText => memcache::end_get_many(out),
        }
    }

    /// Whether an answer to many keys repeats those that it found; otherwise every key has an answer in its place.
    pub fn names_keys(self) -> bool {
        match self {
            Protocol::Resp => false,
            Protocol::MemcacheText => true,
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

    /// Reads the first reply of `input`, which answers a read of many keys; `spans` is room for its items.
    pub fn scan_items<'a>(self, input: &'a [u8], spans: &'a mut Vec<ItemSpan>) -> Scan<'a> {
        match self {
            Protocol::Resp => resp::scan_items(input, spans),
            Protocol::MemcacheText => memcache::scan_items(input, spans),
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
