//! Draft: a record before it is written.
//!
//! Invariants
//! - [`Draft::encode`] fills exactly [`Draft::span`] bytes, padding included, so a run of records has no stale bytes.
//! - Two drafts of equal span and equal extensions lay their fields out alike, which is what an overwrite in place
//!   needs.
//! - A draft has no mark of an edit: a record that is written anew, in place of an edited one too, has none.

use crate::header::{
    CAS, EXPIRY, FLAGS, HEADER_BYTES, Header, KEY_SIZE_ESCAPE, KEYSPACE, Kind, Parts, Span, VERSION,
    bytes_of_extensions,
};
use crate::key::Key;

/// Everything that goes into one record.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The key; its keyspace and the top half of its hash are part of the record.
    pub key: Key<'a>,
    /// What `value` is. Never `Kind::Dead`.
    pub kind: Kind,
    /// The value, or the name of one.
    pub value: &'a [u8],
    /// Deadline in unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// Client flags (memcached); 0 takes no space.
    pub flags: u32,
    /// Compare-and-swap number.
    pub cas: Option<u64>,
    /// Version, when the key has one.
    pub version: Option<u64>,
}

impl Draft<'_> {
    /// Bytes before padding.
    #[inline]
    pub fn bytes(&self) -> usize {
        let escape = if self.key.bytes.len() >= KEY_SIZE_ESCAPE as usize { 2 } else { 0 };
        HEADER_BYTES + bytes_of_extensions(self.extensions()) + escape + self.key.bytes.len() + self.value.len()
    }

    /// Length of the record, or `None` if it would be longer than a record can be.
    #[inline]
    pub fn span(&self) -> Option<Span> {
        Span::for_bytes(self.bytes())
    }

    /// Which optional fields the record has.
    #[inline]
    pub(crate) fn extensions(&self) -> u8 {
        let mut set = 0;
        if self.expires_at_ms.is_some() {
            set |= EXPIRY;
        }
        if self.flags != 0 {
            set |= FLAGS;
        }
        if self.cas.is_some() {
            set |= CAS;
        }
        if self.version.is_some() {
            set |= VERSION;
        }
        if self.key.keyspace.0 != 0 {
            set |= KEYSPACE;
        }
        set
    }

    /// Writes the record to the start of `into` and returns its span. `None`, with `into` untouched, if the record does
    /// not fit in `into` or in any span.
    #[inline]
    pub fn encode(&self, into: &mut [u8]) -> Option<Span> {
        debug_assert!(self.kind != Kind::Dead, "a dead record is made by Record::kill");
        let bytes = self.bytes();
        let span = Span::for_bytes(bytes)?;
        let into = into.get_mut(..span.bytes())?;
        let key_bytes = self.key.bytes.len();
        let escaped = key_bytes >= KEY_SIZE_ESCAPE as usize;
        let header = Header::pack(Parts {
            hash_high: self.key.place.hash_high(),
            span,
            pad: (span.bytes() - bytes) as u8,
            key_size: if escaped { KEY_SIZE_ESCAPE } else { key_bytes as u8 },
            kind: self.kind,
            extensions: self.extensions(),
        });
        let mut cursor = Cursor { into, at: 0 };
        cursor.put(&header.to_bytes());
        if header.extensions() | u8::from(escaped) != 0 {
            self.encode_fields(&mut cursor, escaped);
        }
        cursor.put(self.key.bytes);
        cursor.put(self.value);
        cursor.pad();
        Some(span)
    }

    fn encode_fields(&self, cursor: &mut Cursor<'_>, escaped: bool) {
        if let Some(deadline) = self.expires_at_ms {
            cursor.put(&deadline.to_le_bytes());
        }
        if self.flags != 0 {
            cursor.put(&self.flags.to_le_bytes());
        }
        if let Some(cas) = self.cas {
            cursor.put(&cas.to_le_bytes());
        }
        if let Some(version) = self.version {
            cursor.put(&version.to_le_bytes());
        }
        if self.key.keyspace.0 != 0 {
            cursor.put(&self.key.keyspace.0.to_le_bytes());
        }
        if escaped {
            // A key longer than a u16 has no span: `encode` returned before.
            cursor.put(&(self.key.bytes.len() as u16).to_le_bytes());
        }
    }
}

/// Writes front to back; the caller has checked that everything fits.
struct Cursor<'a> {
    into: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.into[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn pad(&mut self) {
        for byte in &mut self.into[self.at..] {
            *byte = 0;
        }
    }
}
