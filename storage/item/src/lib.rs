//! pinion-item: the packed record that both storage tiers share.
//!
//! One record is one key with its value, in one run of bytes that is a multiple of eight long. L1 appends records to
//! its segments, L2 writes the same bytes to disk, so a record moves between the tiers by copying.
//!
//! ```text
//!  byte 0                                                                      span * 8
//!  +--------+--------+-------+-----+---------+----------+----------+-----+-------+-----+
//!  | header | expiry | flags | cas | version | keyspace | key size | key | value | pad |
//!  |   8    |  0/8   |  0/4  | 0/8 |   0/8   |   0/2    |   0/2    |     |       | 0-7 |
//!  +--------+--------+-------+-----+---------+----------+----------+-----+-------+-----+
//!
//!  header, a little-endian u64:
//!   63           32 31         20 19   17 16           9 8    6 5             0
//!  +---------------+-------------+-------+--------------+------+---------------+
//!  |  hash, 32     |  span, 12   | pad 3 | key size, 8  | kind | extensions, 6 |
//!  +---------------+-------------+-------+--------------+------+---------------+
//!
//!  hash        the top half of `Place::hash`
//!  span        length of the whole record in units of 8 bytes, 1 to 4095
//!  pad         unused bytes at the end
//!  key size    0 to 254, or 255: the size follows as a u16 before the key
//!  kind        0 dead, 1 inline string, 2 stub (the value bytes name a value elsewhere), 3 to 7 reserved
//!  extensions  bit 0 expiry (unix ms, u64), 1 flags (u32), 2 CAS (u64), 3 version (u64), 4 keyspace (u16),
//!              5 edited (no field): a command changed a part of the value after it was stored
//! ```
//!
//! Every number is little-endian and may lie at any alignment. The size of the value is what is left over.
//!
//! Invariants
//! - No bytes, however hostile, make [`Record::parse`] panic or reach beyond the slice it was given: L2 reads records
//!   back from disks that lie.
//! - A dead record keeps its span, so a walk over a run of records needs nothing but the records.
//! - The keyspace field is absent for keyspace 0, flags for 0: the common item costs eight bytes of header and padding.
//!
//! Absent on purpose: checksums (L2 puts its own around what it writes) and any knowledge of where records live.
#![forbid(unsafe_code)]

mod draft;
mod header;
mod key;
mod record;

pub use draft::Draft;
pub use header::{Header, Kind, Span};
pub use key::{Key, Keyspace, Place};
pub use record::{Damage, Record};

/// Longest key, in bytes. The commands refuse longer ones.
pub const KEY_BYTES_MAX: usize = 16 * 1024;

/// Longest value that may lie inside a record, in bytes. A store may choose a lower bound, see `l1`.
pub const INLINE_VALUE_BYTES_MAX: usize = 16 * 1024;

/// Longest record, in bytes: the largest span.
pub const RECORD_BYTES_MAX: usize = Span::MAX.bytes();

/// Most bytes that header, optional fields and key-size escape take.
pub const PREFIX_BYTES_MAX: usize = 8 + 8 + 4 + 8 + 8 + 2 + 2;

// A stub (at most 8 bytes of value) fits with the longest key and every optional field.
const _: () = assert!(PREFIX_BYTES_MAX + KEY_BYTES_MAX + 8 <= RECORD_BYTES_MAX);
