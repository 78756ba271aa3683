//! Header: the eight bytes that every record starts with.
//!
//! Invariants
//! - Only this file knows where the bits are.
//! - A header of all zeros has span 0 and ends a run of records.

/// Length of a record in units of eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(u16);

impl Span {
    /// The longest record.
    pub const MAX: Span = Span(0xFFF);

    /// The shortest span that holds `bytes`, or `None` if no record can.
    #[inline]
    pub const fn for_bytes(bytes: usize) -> Option<Span> {
        let units = bytes.div_ceil(8);
        if units >= 1 && units <= Span::MAX.0 as usize { Some(Span(units as u16)) } else { None }
    }

    /// The length in bytes.
    #[inline]
    pub const fn bytes(self) -> usize {
        self.0 as usize * 8
    }

    /// The length in units of eight bytes.
    #[inline]
    pub const fn units(self) -> u16 {
        self.0
    }
}

/// What the value bytes of a record are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Overwritten or removed; only the span still counts.
    Dead = 0,
    /// The value itself.
    Inline = 1,
    /// A name for a value that lives elsewhere.
    Stub = 2,
}

/// The first eight bytes of a record, decoded on demand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header(u64);

pub(crate) const EXPIRY: u8 = 1;
pub(crate) const FLAGS: u8 = 1 << 1;
pub(crate) const CAS: u8 = 1 << 2;
pub(crate) const VERSION: u8 = 1 << 3;
pub(crate) const KEYSPACE: u8 = 1 << 4;
/// A mark, not a field: it takes no bytes.
pub(crate) const EDITED: u8 = 1 << 5;

pub(crate) const HEADER_BYTES: usize = 8;
/// The key-size value that says: the size follows as a u16.
pub(crate) const KEY_SIZE_ESCAPE: u8 = 255;

const EXTENSIONS_MASK: u64 = 0x3F;
const KIND_SHIFT: u32 = 6;
const KIND_MASK: u64 = 0x7;
const KEY_SIZE_SHIFT: u32 = 9;
const PAD_SHIFT: u32 = 17;
const PAD_MASK: u64 = 0x7;
const SPAN_SHIFT: u32 = 20;
const SPAN_MASK: u64 = 0xFFF;
const HASH_SHIFT: u32 = 32;

const _: () = assert!(SPAN_MASK == Span::MAX.0 as u64);

/// Bytes that the optional fields take, for every set of extensions.
const EXTENSION_BYTES: [u8; 64] = extension_bytes();

const fn extension_bytes() -> [u8; 64] {
    let mut table = [0u8; 64];
    let mut set = 0;
    while set < 64 {
        let mut bytes = 0;
        if set as u8 & EXPIRY != 0 {
            bytes += 8;
        }
        if set as u8 & FLAGS != 0 {
            bytes += 4;
        }
        if set as u8 & CAS != 0 {
            bytes += 8;
        }
        if set as u8 & VERSION != 0 {
            bytes += 8;
        }
        if set as u8 & KEYSPACE != 0 {
            bytes += 2;
        }
        table[set] = bytes;
        set += 1;
    }
    table
}

/// What a header says, as numbers; the input of [`Header::pack`].
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub hash_high: u32,
    pub span: Span,
    pub pad: u8,
    pub key_size: u8,
    pub kind: Kind,
    pub extensions: u8,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if there are fewer than eight.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let raw = bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Header(u64::from_le_bytes(*raw)))
    }

    /// Length of the record, or `None` if this header ends a run of records.
    #[inline]
    pub const fn span(self) -> Option<Span> {
        let units = ((self.0 >> SPAN_SHIFT) & SPAN_MASK) as u16;
        if units == 0 { None } else { Some(Span(units)) }
    }

    /// What the value bytes are, or `None` for a reserved number.
    #[inline]
    pub const fn kind(self) -> Option<Kind> {
        match (self.0 >> KIND_SHIFT) & KIND_MASK {
            0 => Some(Kind::Dead),
            1 => Some(Kind::Inline),
            2 => Some(Kind::Stub),
            _ => None,
        }
    }

    /// Whether the record was overwritten or removed.
    #[inline]
    pub const fn is_dead(self) -> bool {
        (self.0 >> KIND_SHIFT) & KIND_MASK == Kind::Dead as u64
    }

    /// The top half of the key's hash.
    #[inline]
    pub const fn hash_high(self) -> u32 {
        (self.0 >> HASH_SHIFT) as u32
    }

    #[inline]
    pub(crate) const fn extensions(self) -> u8 {
        (self.0 & EXTENSIONS_MASK) as u8
    }

    #[inline]
    pub(crate) const fn key_size(self) -> u8 {
        (self.0 >> KEY_SIZE_SHIFT) as u8
    }

    #[inline]
    pub(crate) const fn pad(self) -> usize {
        ((self.0 >> PAD_SHIFT) & PAD_MASK) as usize
    }

    #[inline]
    pub(crate) const fn pack(parts: Parts) -> Header {
        Header(
            ((parts.hash_high as u64) << HASH_SHIFT)
                | ((parts.span.0 as u64) << SPAN_SHIFT)
                | ((parts.pad as u64 & PAD_MASK) << PAD_SHIFT)
                | ((parts.key_size as u64) << KEY_SIZE_SHIFT)
                | ((parts.kind as u64) << KIND_SHIFT)
                | (parts.extensions as u64 & EXTENSIONS_MASK),
        )
    }

    #[inline]
    pub(crate) const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        self.0.to_le_bytes()
    }

    /// The same header, marked as that of a value that was edited.
    #[inline]
    pub(crate) const fn into_edited(self) -> Header {
        Header(self.0 | EDITED as u64)
    }

    /// The same header, marked dead.
    #[inline]
    pub(crate) const fn into_dead(self) -> Header {
        Header(self.0 & !(KIND_MASK << KIND_SHIFT))
    }
}

/// Bytes that the optional fields of this set take.
#[inline]
pub(crate) const fn bytes_of_extensions(set: u8) -> usize {
    EXTENSION_BYTES[(set & EXTENSIONS_MASK as u8) as usize] as usize
}
