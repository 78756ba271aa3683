//! What `Reply` writes, `parse_reply` reads and `skip_reply` skips; and no bytes make a reader panic.

use bytes::Bytes;
use pinion_protocol::resp::reply::{Value, parse_reply, skip_reply};
use pinion_protocol::{Reply, Spliced, Version};
use proptest::collection::vec;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let text = vec(any::<u8>(), 0..1200).prop_map(Bytes::from);
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(|text| Value::Simple(Bytes::from(text))),
        "[A-Z]{1,8} [ -~]{0,20}".prop_map(|text| Value::Error(Bytes::from(text))),
        any::<i64>().prop_map(Value::Integer),
        (0i64..2000).prop_map(Value::Integer),
        text.prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        "[ -~]{0,20}".prop_map(|text| Value::Verbatim { format: *b"txt", text: Bytes::from(text) }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec(inner.clone(), 0..6).prop_map(Value::Push),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn write(reply: &mut Reply<'_>, value: &Value) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("the strategies make ASCII");
    match value {
        Value::Simple(line) => reply.simple(&text(line)),
        Value::Error(line) => reply.error(&text(line)),
        Value::Integer(number) => reply.integer(*number),
        Value::Bulk(bytes) if bytes.len() % 2 == 0 => reply.bulk(bytes),
        Value::Bulk(bytes) => reply.large(bytes),
        Value::Null => reply.null(),
        Value::Double(number) => reply.double(*number),
        Value::Boolean(answer) => reply.boolean(*answer),
        Value::Verbatim { format, text: body } => {
            reply.verbatim(std::str::from_utf8(format).expect("`txt`"), &text(body))
        }
        Value::BigNumber(digits) => reply.raw(&[b"(", &digits[..], b"\r\n"].concat()),
        Value::Array(values) => {
            reply.array(values.len());
            values.iter().for_each(|value| write(reply, value));
        }
        Value::Set(values) => {
            reply.set(values.len());
            values.iter().for_each(|value| write(reply, value));
        }
        Value::Push(values) => {
            reply.push(values.len());
            values.iter().for_each(|value| write(reply, value));
        }
        Value::Map(pairs) => {
            reply.map(pairs.len());
            for (key, value) in pairs {
                write(reply, key);
                write(reply, value);
            }
        }
    }
}

fn encode(value: &Value, version: Version) -> Vec<u8> {
    let (mut bytes, mut splices) = (Vec::new(), Vec::new());
    write(&mut Reply::new(&mut bytes, &mut splices, version), value);
    // From the last to the first, so that earlier offsets stay right.
    for Spliced { at, value } in splices.into_iter().rev() {
        bytes.splice(at..at, value);
    }
    bytes
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in value(), cut in any::<prop::sample::Index>()) {
        let wire = encode(&value, Version::Resp3);
        prop_assert_eq!(skip_reply(&wire), Ok(Some(wire.len())));
        prop_assert_eq!(parse_reply(&wire), Ok(Some((value, wire.len()))));
        let cut = &wire[..cut.index(wire.len())];
        prop_assert_eq!((parse_reply(cut), skip_reply(cut)), (Ok(None), Ok(None)));
    }

    #[test]
    fn the_old_dialect_is_one_reply_too(value in value()) {
        let wire = encode(&value, Version::Resp2);
        prop_assert_eq!(skip_reply(&wire), Ok(Some(wire.len())));
        prop_assert!(matches!(parse_reply(&wire), Ok(Some((_, len))) if len == wire.len()));
    }

    #[test]
    fn random_bytes_never_panic_a_reader(
        input in prop_oneof![
            vec(any::<u8>(), 0..60),
            vec(prop::sample::select(b"+-:$*%~>_#,=!|(0123459\r\n\r\ntx:".to_vec()), 0..60),
        ],
    ) {
        match parse_reply(&input) {
            Ok(found) => prop_assert_eq!(skip_reply(&input), Ok(found.map(|(_, len)| len))),
            Err(_) => { let _ = skip_reply(&input); }
        }
    }
}
