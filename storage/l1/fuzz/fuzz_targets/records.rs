//! Records: any bytes are a record whose fields lie inside them, or are refused.

#![no_main]

use item::{RECORD_BYTES_MAX, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(record) = Record::parse(input) else { return };
    let fields = record.value_start() + record.value().len();
    assert!(fields <= record.bytes().len() && record.bytes().len() <= input.len());
    let mut copy = [0; RECORD_BYTES_MAX];
    for deadline in [Some(7), None] {
        let Some(span) = record.copy_with_deadline(deadline, &mut copy) else { continue };
        let copied = Record::parse(&copy[..span.bytes()]).expect("a copy of a record is a record");
        assert_eq!((copied.key(), copied.value()), (record.key(), record.value()));
        assert_eq!((copied.flags(), copied.cas(), copied.version()), (record.flags(), record.cas(), record.version()));
        assert_eq!((copied.keyspace(), copied.expires_at_ms()), (record.keyspace(), deadline));
    }
});
