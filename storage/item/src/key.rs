//! Keys: their bytes, their keyspace, and the place that routing computed once.
//!
//! Absent on purpose: the hash function. Whoever routes a request hashes its key; all tiers use that result.

/// Where a key belongs: computed once when a command is routed, and used by index, L2 and sketches alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Redis Cluster slot, 0 to 16383.
    pub slot: u16,
    /// Stable seeded 64-bit hash of the key.
    pub hash: u64,
}

impl Place {
    /// The half of the hash that a record and the index keep.
    #[inline]
    pub const fn hash_high(self) -> u32 {
        (self.hash >> 32) as u32
    }
}

/// A small number that stands for a database. Numbers close to 0 are cheapest: stores keep an array over them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Keyspace(pub u16);

/// A key with everything a lookup needs.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The database.
    pub keyspace: Keyspace,
    /// Slot and hash of `bytes`.
    pub place: Place,
    /// The key itself, at most `KEY_BYTES_MAX` long.
    pub bytes: &'a [u8],
}
