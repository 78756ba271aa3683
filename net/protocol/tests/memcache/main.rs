//! How a stream is cut into pieces never changes what is read from it, and what is read is what the oracle reads.

mod driver;
mod oracle;

use driver::Way;
use oracle::Seen;
use pinion_protocol::LARGE_BULK_MIN;
use pinion_protocol::memcache::Limits;
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

fn check(stream: &[u8], cuts: &[prop::sample::Index], limits: &Limits) {
    let expected = oracle::read(stream, limits);
    for way in [Way::Served, Way::Assembled] {
        let seen = driver::read(pieces(stream, cuts), limits, way);
        assert!(seen == expected, "{way:?}: {} requests, {} expected", seen.len(), expected.len());
    }
}

/// Words that mean something to the parser, and others.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let known =
        ["get", "gets", "gat", "set", "add", "cas", "append", "noreply", "k", "0", "1", "5", "-1", "16384", "+1"];
    prop_oneof![
        8 => prop::sample::select(known.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        2 => vec(any::<u8>(), 0..6),
    ]
}

/// A line of any words with any line end, or none.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec!["\r\n", "\n", "\r\r\n", " \r\n", ""]);
    (vec(word(), 0..9), end).prop_map(|(words, end)| [words.join(&b' '), end.as_bytes().to_vec()].concat())
}

/// A storage command whose value is mostly as long as announced, and mostly closed by CRLF.
fn storage() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["set", "add", "replace", "append", "prepend", "cas"]);
    let len = prop_oneof![
        12 => 0usize..12,
        2 => prop::sample::select(vec![900, LARGE_BULK_MIN - 1, LARGE_BULK_MIN, 3 * LARGE_BULK_MIN]),
    ];
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "xy", "\rx", ""]);
    let more = prop::sample::select(vec!["", " noreply", " 7", " 7 noreply"]);
    (name, len, 0usize..3, end, more, any::<u8>()).prop_map(|(name, len, extra, end, more, fill)| {
        let head = format!("{name} key 1 2 {len}{more}\r\n");
        [head.as_bytes(), &vec![fill; len + extra / 2], end.as_bytes()].concat()
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![line(), storage()], 0..12).prop_map(|requests| requests.concat())
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::sample::select(vec![
        Limits::default(),
        Limits { authenticated: false, ..Limits::default() },
        Limits { item_bytes_max: 1024, words_max: 5, ..Limits::default() },
        Limits { large_bytes_max: LARGE_BULK_MIN, ..Limits::default() },
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_pieces_is_what_the_oracle_reads(
        stream in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        limits in limits(),
    ) {
        check(&stream, &cuts, &limits);
    }

    #[test]
    fn a_stream_byte_by_byte_is_what_the_oracle_reads(stream in stream(), limits in limits()) {
        let expected = oracle::read(&stream, &limits);
        prop_assert!(driver::read(stream.chunks(1), &limits, Way::Served) == expected);
    }
}

#[test]
fn long_lines_end_at_the_same_byte_however_they_come() {
    let limits = Limits { request_bytes_max: 70_000, ..Limits::default() };
    for (head, len) in [("delete ", 2048), ("delete ", 2049), ("get ", 2049), ("get ", 70_000), ("get ", 70_001)] {
        let line = [head.as_bytes(), &vec![b'k'; len - head.len()], b"\r\nversion\r\n"].concat();
        let expected = oracle::read(&line, &limits);
        for size in [1, 7, 4096, line.len()] {
            for way in [Way::Served, Way::Assembled] {
                let seen = driver::read(line.chunks(size), &limits, way);
                assert!(seen == expected, "{head} {len} in pieces of {size}: {:?}", seen.len());
            }
        }
        assert!(matches!(expected[0], Seen::Request(..) | Seen::Broken(_)));
    }
}
