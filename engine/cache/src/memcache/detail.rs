//! Detail: counters by key prefix, for `stats detail`. A prefix is what stands before the first colon.

use std::collections::BTreeMap;

/// Prefixes that are counted each for itself; more are not counted, since clients choose them.
const PREFIXES_MAX: usize = 4096;

/// What happened to a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Get { is_hit: bool },
    Set,
    Delete,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// Counters by prefix.
#[derive(Debug, Default)]
pub(super) struct Detail {
    prefixes: BTreeMap<Vec<u8>, Counts>,
}

impl Detail {
    /// Counts an event. Keys without a prefix are not counted.
    pub fn note(&mut self, key: &[u8], event: Event) {
        let Some(colon) = key.iter().position(|&byte| byte == b':') else { return };
        let prefix = &key[..colon];
        let is_full = self.prefixes.len() >= PREFIXES_MAX;
        if is_full && !self.prefixes.contains_key(prefix) {
            return;
        }
        let counts = self.prefixes.entry(prefix.to_vec()).or_default();
        match event {
            Event::Get { is_hit } => {
                counts.gets += 1;
                counts.hits += u64::from(is_hit);
            }
            Event::Set => counts.sets += 1,
            Event::Delete => counts.deletes += 1,
        }
    }

    /// Calls `each` with the line of every prefix.
    pub fn for_each_line(&self, mut each: impl FnMut(&[u8])) {
        for (prefix, Counts { gets, hits, sets, deletes }) in &self.prefixes {
            let counts = format!(" get {gets} hit {hits} set {sets} del {deletes}");
            each(&[b"PREFIX ", &prefix[..], counts.as_bytes()].concat());
        }
    }

    /// Forgets all prefixes.
    pub fn clear(&mut self) {
        self.prefixes.clear();
    }
}
