//! Record: a checked view of one record's bytes.
//!
//! Invariants
//! - A `Record` exists only if all its fields lie inside its span and its span inside the slice, so no accessor can
//!   fail.
//! - The functions that change a record in place never change its span, its key or which fields it has.

use crate::draft::Draft;
use crate::header::{
    CAS, EDITED, EXPIRY, FLAGS, HEADER_BYTES, Header, KEY_SIZE_ESCAPE, KEYSPACE, Kind, Parts, Span, VERSION,
    bytes_of_extensions,
};
use crate::key::Keyspace;

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Fewer bytes than the header or the span asks for.
    Truncated,
    /// Span 0: the end of a run of records.
    End,
    /// A kind that this version does not know.
    Unknown,
    /// Fields and key are longer than the span.
    Overlong,
}

/// A view of one record.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Exactly the span.
    bytes: &'a [u8],
    header: Header,
    key_start: u16,
    value_start: u16,
}

impl<'a> Record<'a> {
    /// Checks and views the record at the start of `bytes`, which may be followed by anything.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Record<'a>, Damage> {
        let header = Header::read(bytes).ok_or(Damage::Truncated)?;
        let span = header.span().ok_or(Damage::End)?;
        let bytes = bytes.get(..span.bytes()).ok_or(Damage::Truncated)?;
        let extensions = header.extensions();
        if header.kind().is_none() {
            return Err(Damage::Unknown);
        }
        let mut key_start = HEADER_BYTES + bytes_of_extensions(extensions);
        let mut key_bytes = header.key_size() as usize;
        if key_bytes == KEY_SIZE_ESCAPE as usize {
            key_bytes = u16::from_le_bytes(array_at(bytes, key_start).ok_or(Damage::Overlong)?) as usize;
            key_start += 2;
        }
        let value_start = key_start + key_bytes;
        if value_start + header.pad() > bytes.len() {
            return Err(Damage::Overlong);
        }
        // Both lie within a span, which is at most 32760.
        Ok(Record { bytes, header, key_start: key_start as u16, value_start: value_start as u16 })
    }

    /// The header.
    #[inline]
    pub fn header(self) -> Header {
        self.header
    }

    /// What the value bytes are.
    #[inline]
    pub fn kind(self) -> Kind {
        self.header.kind().expect("parse refuses unknown kinds")
    }

    /// Length of the record.
    #[inline]
    pub fn span(self) -> Span {
        self.header.span().expect("parse refuses span 0")
    }

    /// The whole record.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        &self.bytes[self.key_start as usize..self.value_start as usize]
    }

    /// The value, or the name of one if this is a stub.
    #[inline]
    pub fn value(self) -> &'a [u8] {
        &self.bytes[self.value_start as usize..self.bytes.len() - self.header.pad()]
    }

    /// Where the value starts, counted from the start of the record.
    #[inline]
    pub fn value_start(self) -> usize {
        self.value_start as usize
    }

    /// The top half of the key's hash.
    #[inline]
    pub fn hash_high(self) -> u32 {
        self.header.hash_high()
    }

    /// Whether the record has a deadline.
    #[inline]
    pub fn is_volatile(self) -> bool {
        self.header.extensions() & EXPIRY != 0
    }

    /// Deadline in unix milliseconds.
    #[inline]
    pub fn expires_at_ms(self) -> Option<u64> {
        if self.is_volatile() { self.field(EXPIRY).map(u64::from_le_bytes) } else { None }
    }

    /// Client flags.
    #[inline]
    pub fn flags(self) -> u32 {
        self.field(FLAGS).map_or(0, u32::from_le_bytes)
    }

    /// Compare-and-swap number.
    #[inline]
    pub fn cas(self) -> Option<u64> {
        self.field(CAS).map(u64::from_le_bytes)
    }

    /// Version.
    #[inline]
    pub fn version(self) -> Option<u64> {
        self.field(VERSION).map(u64::from_le_bytes)
    }

    /// The database.
    #[inline]
    pub fn keyspace(self) -> Keyspace {
        Keyspace(self.field(KEYSPACE).map_or(0, u16::from_le_bytes))
    }

    /// Whether a command changed a part of the value since it was stored as a whole.
    #[inline]
    pub fn is_edited(self) -> bool {
        self.header.extensions() & EDITED != 0
    }

    /// Whether `draft` would have the same span, fields and key size, so that it may overwrite this record in place.
    #[inline]
    pub fn fits(self, draft: &Draft<'_>) -> bool {
        (self.header.extensions() ^ draft.extensions()) & !EDITED == 0
            && self.kind() == draft.kind
            && self.value_start as usize - self.key_start as usize == draft.key.bytes.len()
            && draft.span() == Some(self.span())
    }

    /// The bytes of one optional field, if the record has it.
    #[inline]
    fn field<const N: usize>(self, bit: u8) -> Option<[u8; N]> {
        let extensions = self.header.extensions();
        if extensions & bit == 0 {
            return None;
        }
        // Fields lie in the order of their bits; those below `bit` come before it.
        array_at(self.bytes, HEADER_BYTES + bytes_of_extensions(extensions & (bit - 1)))
    }

    /// Marks the record at the start of `bytes` dead. It keeps its span.
    #[inline]
    pub fn kill(bytes: &mut [u8]) {
        if let Some(header) = Header::read(bytes) {
            bytes[..HEADER_BYTES].copy_from_slice(&header.into_dead().to_bytes());
        }
    }

    /// Marks the value of the record at the start of `bytes` as edited.
    #[inline]
    pub fn mark_edited(bytes: &mut [u8]) {
        if let Some(header) = Header::read(bytes) {
            bytes[..HEADER_BYTES].copy_from_slice(&header.into_edited().to_bytes());
        }
    }

    /// Sets the deadline of the record at the start of `bytes`, which must have one; returns whether it did.
    #[inline]
    pub fn set_deadline(bytes: &mut [u8], deadline_ms: u64) -> bool {
        let volatile = Header::read(bytes).is_some_and(|header| header.extensions() & EXPIRY != 0);
        match bytes.get_mut(HEADER_BYTES..HEADER_BYTES + 8) {
            Some(field) if volatile => {
                field.copy_from_slice(&deadline_ms.to_le_bytes());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Makes a copy of this record with or without a deadline in `into`, which is long enough for both; returns its
    /// span, or `None` if no span holds it.
    pub fn copy_with_deadline(self, deadline_ms: Option<u64>, into: &mut [u8]) -> Option<Span> {
        let keep = bytes_of_extensions(EXPIRY);
        let tail_start = if self.is_volatile() { HEADER_BYTES + keep } else { HEADER_BYTES };
        let tail = &self.bytes[tail_start..self.bytes.len() - self.header.pad()];
        let bytes = HEADER_BYTES + deadline_ms.map_or(0, |_| keep) + tail.len();
        let span = Span::for_bytes(bytes)?;
        let into = into.get_mut(..span.bytes())?;
        let extensions = self.header.extensions() & !EXPIRY | deadline_ms.map_or(0, |_| EXPIRY);
        let header = Header::pack(Parts {
            hash_high: self.hash_high(),
            span,
            pad: (span.bytes() - bytes) as u8,
            key_size: self.header.key_size(),
            kind: self.kind(),
            extensions,
        });
        into[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let mut at = HEADER_BYTES;
        if let Some(deadline) = deadline_ms {
            into[at..at + keep].copy_from_slice(&deadline.to_le_bytes());
            at += keep;
        }
        into[at..bytes].copy_from_slice(tail);
        into[bytes..].fill(0);
        Some(span)
    }
}

impl Record<'_> {
    /// Sets the CAS number of the record at the start of `bytes`, which must have one; returns whether it did.
    pub fn set_cas(bytes: &mut [u8], cas: u64) -> bool {
        let Some(extensions) = Header::read(bytes).map(Header::extensions) else { return false };
        let at = HEADER_BYTES + bytes_of_extensions(extensions & (CAS - 1));
        match bytes.get_mut(at..at + CAS_BYTES) {
            Some(field) if extensions & CAS != 0 => {
                field.copy_from_slice(&cas.to_le_bytes());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Makes a copy of this record, which has no CAS number, with one in `into`; returns its span, or `None` if no span
    /// holds it.
    pub fn copy_with_cas(self, cas: u64, into: &mut [u8]) -> Option<Span> {
        let extensions = self.header.extensions();
        debug_assert!(extensions & CAS == 0, "a number that is there is set in place");
        let at = HEADER_BYTES + bytes_of_extensions(extensions & (CAS - 1));
        let (head, tail) = self.bytes[..self.bytes.len() - self.header.pad()].split_at(at);
        let bytes = head.len() + CAS_BYTES + tail.len();
        let span = Span::for_bytes(bytes)?;
        let into = into.get_mut(..span.bytes())?;
        let header = Header::pack(Parts {
            hash_high: self.hash_high(),
            span,
            pad: (span.bytes() - bytes) as u8,
            key_size: self.header.key_size(),
            kind: self.kind(),
            extensions: extensions | CAS,
        });
        into[..at].copy_from_slice(head);
        into[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        into[at..at + CAS_BYTES].copy_from_slice(&cas.to_le_bytes());
        into[at + CAS_BYTES..bytes].copy_from_slice(tail);
        into[bytes..].fill(0);
        Some(span)
    }
}

/// What a CAS number adds to a record.
const CAS_BYTES: usize = bytes_of_extensions(CAS);

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}
