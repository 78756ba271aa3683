//! Records: what was written is read, in place changes change nothing else, and hostile bytes are refused.
#![allow(missing_docs)]

use item::{Damage, Draft, Header, Key, Keyspace, Kind, Place, RECORD_BYTES_MAX, Record, Span};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Fields {
    keyspace: u16,
    hash: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    kind: Kind,
    expires_at_ms: Option<u64>,
    flags: u32,
    cas: Option<u64>,
    version: Option<u64>,
}

impl Fields {
    fn draft(&self) -> Draft<'_> {
        Draft {
            key: Key { keyspace: Keyspace(self.keyspace), place: Place { slot: 7, hash: self.hash }, bytes: &self.key },
            kind: self.kind,
            value: &self.value,
            expires_at_ms: self.expires_at_ms,
            flags: self.flags,
            cas: self.cas,
            version: self.version,
        }
    }

    fn check(&self, record: Record<'_>) {
        assert_eq!(record.key(), self.key);
        assert_eq!(record.value(), self.value);
        assert_eq!(record.kind(), self.kind);
        assert_eq!(record.expires_at_ms(), self.expires_at_ms);
        assert_eq!(record.is_volatile(), self.expires_at_ms.is_some());
        assert_eq!(record.flags(), self.flags);
        assert_eq!(record.cas(), self.cas);
        assert_eq!(record.version(), self.version);
        assert_eq!(record.keyspace(), Keyspace(self.keyspace));
        assert_eq!(record.hash_high(), (self.hash >> 32) as u32);
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    let key_bytes = prop_oneof![8 => 0usize..40, 2 => 250usize..260, 1 => 300usize..2000];
    let value_bytes = prop_oneof![8 => 0usize..40, 1 => 0usize..5000];
    let sizes = (key_bytes, value_bytes, any::<u8>());
    let rest =
        (any::<Option<u64>>(), prop_oneof![Just(0u32), any::<u32>()], any::<Option<u64>>(), any::<Option<u64>>());
    let kind = prop_oneof![Just(Kind::Inline), Just(Kind::Stub)];
    (prop_oneof![Just(0u16), any::<u16>()], any::<u64>(), sizes, kind, rest).prop_map(
        |(keyspace, hash, (key, value, fill), kind, (expires_at_ms, flags, cas, version))| Fields {
            keyspace,
            hash,
            key: vec![fill; key],
            value: vec![!fill; value],
            kind,
            expires_at_ms,
            flags,
            cas,
            version,
        },
    )
}

fn encoded(fields: &Fields) -> Vec<u8> {
    // What was there before must not shine through the padding.
    let mut bytes = vec![0xEE; RECORD_BYTES_MAX];
    let span = fields.draft().encode(&mut bytes).expect("the strategy keeps records short");
    assert!(bytes[span.bytes()..].iter().all(|byte| *byte == 0xEE), "nothing is written beyond the span");
    bytes.truncate(span.bytes());
    bytes
}

proptest! {
    #[test]
    fn what_was_written_is_read(fields in fields(), behind in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = encoded(&fields);
        let span = bytes.len();
        prop_assert_eq!(fields.draft().span().map(Span::bytes), Some(span));
        bytes.extend(behind);
        let record = Record::parse(&bytes).expect("it was just written");
        fields.check(record);
        prop_assert_eq!(record.bytes().len(), span);
        prop_assert!(record.fits(&fields.draft()));
    }

    #[test]
    fn every_cut_is_truncated(fields in fields()) {
        let bytes = encoded(&fields);
        for len in [0, 1, 7, 8, bytes.len() / 2, bytes.len() - 1] {
            if len < bytes.len() {
                prop_assert_eq!(Record::parse(&bytes[..len]).err(), Some(Damage::Truncated));
            }
        }
    }

    #[test]
    fn hostile_bytes_are_read_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        units in 0u8..80,
    ) {
        // Half of the spans are made plausible, so that the checks behind the first are reached.
        if bytes.len() >= 8 && units % 2 == 0 {
            let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) & !(0xFFF << 20) | (u64::from(units) << 20);
            bytes[..8].copy_from_slice(&header.to_le_bytes());
        }
        if let Ok(record) = Record::parse(&bytes) {
            let total = record.key().len() + record.value().len() + record.value_start() - record.key().len();
            prop_assert!(total <= record.bytes().len());
            let _ = (record.kind(), record.expires_at_ms(), record.flags(), record.cas(), record.version());
            let _ = (record.keyspace(), record.hash_high(), record.span(), record.header().is_dead());
            let _ = record.is_edited();
            let mut copy = vec![0; RECORD_BYTES_MAX];
            let _ = record.copy_with_deadline(Some(1), &mut copy);
            let _ = record.copy_with_deadline(None, &mut copy);
        }
        Record::kill(&mut bytes);
        Record::set_deadline(&mut bytes, 5);
        Record::set_cas(&mut bytes, 5);
        Record::mark_edited(&mut bytes);
    }

    #[test]
    fn a_dead_record_keeps_its_span(fields in fields()) {
        let mut bytes = encoded(&fields);
        Record::kill(&mut bytes);
        let header = Header::read(&bytes).unwrap();
        prop_assert!(header.is_dead());
        prop_assert_eq!(header.span().map(Span::bytes), Some(bytes.len()));
        prop_assert_eq!(Record::parse(&bytes).map(|record| record.kind()).ok(), Some(Kind::Dead));
    }

    #[test]
    fn a_deadline_changes_in_place_or_by_copy(fields in fields(), deadline in any::<u64>()) {
        let mut bytes = encoded(&fields);
        let mut copy = vec![0xEE; RECORD_BYTES_MAX];
        for wanted in [Some(deadline), None] {
            let span = Record::parse(&bytes).unwrap().copy_with_deadline(wanted, &mut copy).unwrap();
            let expected = Fields { expires_at_ms: wanted, ..fields.clone() };
            prop_assert_eq!(&copy[..span.bytes()], &encoded(&expected)[..]);
        }
        let changed = Record::set_deadline(&mut bytes, deadline);
        prop_assert_eq!(changed, fields.expires_at_ms.is_some());
        let expires_at_ms = fields.expires_at_ms.map(|_| deadline);
        Fields { expires_at_ms, ..fields.clone() }.check(Record::parse(&bytes).unwrap());
    }
}

proptest! {
    #[test]
    fn a_cas_number_changes_in_place_or_by_copy(fields in fields(), number in any::<u64>()) {
        let mut bytes = encoded(&fields);
        let wanted = Fields { cas: Some(number), ..fields.clone() };
        if fields.cas.is_none() {
            let mut copy = vec![0xEE; RECORD_BYTES_MAX];
            let span = Record::parse(&bytes).unwrap().copy_with_cas(number, &mut copy).unwrap();
            prop_assert_eq!(&copy[..span.bytes()], &encoded(&wanted)[..]);
        }
        prop_assert_eq!(Record::set_cas(&mut bytes, number), fields.cas.is_some());
        let expected = if fields.cas.is_some() { wanted } else { fields };
        prop_assert_eq!(bytes, encoded(&expected));
    }
}

proptest! {
    #[test]
    fn the_mark_of_an_edit_goes_with_the_value_and_with_nothing_else(fields in fields(), number in any::<u64>()) {
        let mut bytes = encoded(&fields);
        prop_assert!(!Record::parse(&bytes).unwrap().is_edited());
        Record::mark_edited(&mut bytes);
        let record = Record::parse(&bytes).unwrap();
        fields.check(record);
        prop_assert!(record.is_edited());
        prop_assert!(record.fits(&fields.draft()), "the mark takes no bytes");
        let mut copy = vec![0xEE; RECORD_BYTES_MAX];
        for deadline in [Some(number), None] {
            record.copy_with_deadline(deadline, &mut copy).unwrap();
            let copied = Record::parse(&copy).unwrap();
            prop_assert!(copied.is_edited());
            Fields { expires_at_ms: deadline, ..fields.clone() }.check(copied);
        }
        if fields.cas.is_none() {
            record.copy_with_cas(number, &mut copy).unwrap();
            let copied = Record::parse(&copy).unwrap();
            prop_assert!(copied.is_edited());
            Fields { cas: Some(number), ..fields.clone() }.check(copied);
        }
        fields.draft().encode(&mut bytes).unwrap();
        prop_assert_eq!(bytes, encoded(&fields));
    }
}

#[test]
fn only_equal_layouts_fit_in_place() {
    let base = Fields {
        keyspace: 0,
        hash: 1,
        key: b"key".to_vec(),
        value: b"value".to_vec(),
        kind: Kind::Inline,
        expires_at_ms: None,
        flags: 0,
        cas: None,
        version: None,
    };
    let bytes = encoded(&base);
    let record = Record::parse(&bytes).unwrap();
    for (other, fits) in [
        (Fields { value: b"other".to_vec(), ..base.clone() }, true),
        // 3 + 5 bytes and 3 + 1 take the same span beside a header of 8.
        (Fields { value: b"v".to_vec(), ..base.clone() }, true),
        (Fields { value: b"a longer value".to_vec(), ..base.clone() }, false),
        (Fields { expires_at_ms: Some(1), ..base.clone() }, false),
        (Fields { flags: 1, ..base.clone() }, false),
        (Fields { kind: Kind::Stub, ..base.clone() }, false),
    ] {
        assert_eq!(record.fits(&other.draft()), fits, "{other:?}");
    }
}

#[test]
fn what_no_span_holds_is_refused_and_writes_nothing() {
    let key = vec![1; 20_000];
    let fields = Fields {
        keyspace: 3,
        hash: 9,
        key,
        value: vec![2; 20_000],
        kind: Kind::Inline,
        expires_at_ms: None,
        flags: 0,
        cas: None,
        version: None,
    };
    let mut bytes = vec![0xEE; 50_000];
    assert_eq!(fields.draft().encode(&mut bytes), None);
    assert!(bytes.iter().all(|byte| *byte == 0xEE));
    let short = Fields { key: vec![1; 10], value: vec![2; 10], ..fields };
    assert_eq!(short.draft().encode(&mut bytes[..24]), None);
    assert!(bytes.iter().all(|byte| *byte == 0xEE));
}

#[test]
fn the_common_item_costs_a_header_and_padding() {
    let fields = Fields {
        keyspace: 0,
        hash: 9,
        key: vec![1; 15],
        value: vec![2; 64],
        kind: Kind::Inline,
        expires_at_ms: None,
        flags: 0,
        cas: None,
        version: None,
    };
    assert_eq!(fields.draft().span().map(Span::bytes), Some(88));
}
