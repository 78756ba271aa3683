//! How a stream is cut into pieces never changes what is read from it, and what is read is what the oracle reads.

mod driver;
mod oracle;

use bytes::Bytes;
use driver::Way;
use oracle::Seen;
use pinion_protocol::LARGE_BULK_MIN;
use pinion_protocol::resp::Limits;
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of `stream` between sorted `cuts`; equal cuts make empty pieces.
fn pieces<'s>(stream: &'s [u8], cuts: &[prop::sample::Index]) -> Vec<&'s [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.sort_unstable();
    let starts = std::iter::once(0).chain(at.iter().copied());
    let ends = at.iter().copied().chain(std::iter::once(stream.len()));
    starts.zip(ends).map(|(start, end)| &stream[start..end]).collect()
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        20 => 0usize..12,
        4 => prop::sample::select(vec![99usize, 100, 101, 999, 1000, 1001]),
        1 => prop::sample::select(vec![LARGE_BULK_MIN - 1, LARGE_BULK_MIN, LARGE_BULK_MIN + 1, 3 * LARGE_BULK_MIN]),
    ];
    (len, any::<u8>()).prop_map(|(len, first)| (0..len).map(|i| first.wrapping_add(i as u8)).collect())
}

fn line() -> impl Strategy<Value = Bytes> {
    let byte = prop::sample::select(b"ab\"\"'\\x0fn \t\r\x0b\0*$".to_vec());
    (vec(byte, 0..24), prop::bool::weighted(0.9)).prop_map(|(mut line, ended)| {
        line.extend_from_slice(if ended { b"\n" } else { b"" });
        Bytes::from(line)
    })
}

fn garbage() -> impl Strategy<Value = Bytes> {
    let garbage =
        prop_oneof![
            vec(prop::sample::select(b"*$$0123459-\r\n\r\nx\"' ".to_vec()), 0..24),
            vec(any::<u8>(), 0..24),
            prop::sample::select(vec![
                &b"*0\r\n"[..],
                b"*-5\r\n",
                b"*3\r\n$-1\r\n",
                b"*12\r\n$1\r\na\r\n",
                b"*1\r\n$16385\r\n",
                b"*2\r\n$1\r\na\r\n$1048577\r\n",
                b"*1\r\n$00\r\n",
                b"*9223372036854775808\r\n",
                b"*1\r\n$4\r\nPINGxx",
            ])
            .prop_map(<[u8]>::to_vec),
            (prop::sample::select(vec![&b"*"[..], b"*1\r\n$", b"get "]), 65_500usize..65_600)
                .prop_map(|(head, len)| [head, &vec![b'7'; len]].concat()),
        ];
    garbage.prop_map(Bytes::from)
}

fn stream() -> impl Strategy<Value = Bytes> {
    let request = vec(word(), 1..6).prop_map(|words| Bytes::from(encode(&words)));
    vec(prop_oneof![8 => request, 3 => line(), 1 => garbage()], 0..12)
        .prop_map(|elements| Bytes::from(elements.concat()))
}

fn limits() -> impl Strategy<Value = Limits> {
    let full = Limits::default();
    prop_oneof![
        4 => Just(full),
        1 => Just(Limits { authenticated: false, ..full }),
        1 => Just(Limits { large_bytes_max: LARGE_BULK_MIN, ..full }),
        1 => Just(Limits { bulk_bytes_max: 999, args_max: 3, inline_bytes_max: 12, ..full }),
    ]
}

/// Both ways of reading `stream` in these pieces see what the oracle sees.
fn check(stream: &[u8], cuts: &[prop::sample::Index], limits: &Limits) -> Result<(), TestCaseError> {
    let expected = oracle::read(stream, limits);
    for way in [Way::Served, Way::Assembled] {
        same(&driver::read(pieces(stream, cuts), limits, way), &expected)?;
    }
    Ok(())
}

fn same(got: &[Seen], expected: &[Seen]) -> Result<(), TestCaseError> {
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        prop_assert!(got == expected, "request {}: got {}, expected {}", at, shown(got), shown(expected));
    }
    prop_assert_eq!(got.len(), expected.len());
    Ok(())
}

fn shown(seen: &Seen) -> String {
    match seen {
        Seen::Request(words) => words.iter().map(|word| format!("{} ", word.escape_ascii())).collect(),
        Seen::Oversized => "an oversized request".to_owned(),
        Seen::Broken(text) => text.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(stream in stream(), cuts in vec(any::<prop::sample::Index>(), 0..12), limits in limits()) {
        check(&stream, &cuts, &limits)?;
    }

    #[test]
    fn single_bytes_change_nothing(stream in vec(prop_oneof![line(), garbage()], 0..4), limits in limits()) {
        let stream = stream.concat();
        let expected = oracle::read(&stream, &limits);
        same(&driver::read(stream.chunks(1), &limits, Way::Served), &expected)?;
    }

    #[test]
    fn random_bytes_are_read_without_panic(stream in vec(any::<u8>(), 0..200), limits in limits()) {
        check(&stream, &[], &limits)?;
    }

    #[test]
    fn damaged_requests_are_read_alike(
        words in vec(vec(word(), 1..4), 1..4),
        damage in vec((any::<prop::sample::Index>(), prop::sample::select(b"*$-0159\r\nx\"".to_vec())), 1..4),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        limits in limits(),
    ) {
        let mut stream: Vec<u8> = words.iter().flat_map(|words| encode(words)).collect();
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        check(&stream, &cuts, &limits)?;
    }
}

#[test]
fn a_million_arguments_in_small_pieces_are_one_request() {
    let words: Vec<Vec<u8>> =
        std::iter::once(b"MSET".to_vec()).chain((0..1_000_000u32).map(|i| i.to_string().into_bytes())).collect();
    let stream = encode(&words);
    let seen = driver::read(stream.chunks(4096), &Limits::default(), Way::Served);
    assert!(seen == [Seen::Request(words)]);
}
