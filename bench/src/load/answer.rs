//! What a reply means to the load generator, whatever the protocol.

use std::ops::Range;

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The write was done.
    Stored,
    /// The value of the key.
    Value(&'a [u8]),
    /// The server does not hold the key.
    Miss,
    /// What a read of many keys found.
    Items(Items<'a>),
    /// The server refused; its text without the protocol's frame.
    Refused(&'a [u8]),
}

/// The answers to one read of many keys, in the server's order.
#[derive(Debug)]
pub struct Items<'a> {
    /// Begins with the reply.
    input: &'a [u8],
    spans: &'a [ItemSpan],
}

impl<'a> Items<'a> {
    /// The items that `spans` marks in `input`.
    pub fn new(input: &'a [u8], spans: &'a [ItemSpan]) -> Items<'a> {
        Items { input, spans }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Each item.
    pub fn iter(&self) -> impl Iterator<Item = Item<'a>> {
        let input = self.input;
        let slice = move |span: &Option<Range<usize>>| span.clone().map(|span| &input[span]);
        self.spans.iter().map(move |span| Item { key: slice(&span.key), value: slice(&span.value) })
    }
}

/// What was found counts, not where it lies.
impl PartialEq for Items<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Items<'_> {}

/// One of many answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The key, where the protocol repeats it; elsewhere the item's place says which key is meant.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a miss.
    pub value: Option<&'a [u8]>,
}

/// Where an item lies, from the reply's first byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSpan {
    /// See [`Item::key`].
    pub key: Option<Range<usize>>,
    /// See [`Item::value`].
    pub value: Option<Range<usize>>,
}

/// The first reply of some input.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A whole reply and the bytes it takes.
    Reply(Answer<'a>, usize),
    /// Not yet whole.
    Incomplete,
    /// No reply to a GET or SET begins like this.
    Broken,
}

/// Offset of the first CRLF at or behind `from`.
pub fn find_crlf(input: &[u8], from: usize) -> Option<usize> {
    input.get(from..)?.windows(2).position(|pair| pair == b"\r\n").map(|at| from + at)
}

/// A decimal number and nothing else; lengths above 2^32 are refused.
pub fn parse_length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_usize, |number, digit| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0')))
}

/// A scan of one reply; where it finds items, their places go to the list.
#[cfg(test)]
type ScanReply = for<'a> fn(&'a [u8], &'a mut Vec<ItemSpan>) -> Scan<'a>;

/// Feeds `stream` whole and cut at every place, and expects the same replies each time.
#[cfg(test)]
pub fn check_at_every_cut(scan: ScanReply, stream: &[u8], expected: &[Answer<'_>]) {
    for cut in 0..=stream.len() {
        let mut at = 0;
        let mut replies = 0;
        for end in [cut, stream.len()] {
            loop {
                match scan(&stream[at..end], &mut Vec::new()) {
                    Scan::Reply(answer, consumed) => {
                        assert!(consumed > 0 && at + consumed <= end);
                        assert_eq!(answer, expected[replies], "cut {cut}");
                        at += consumed;
                        replies += 1;
                    }
                    Scan::Incomplete => break,
                    Scan::Broken => panic!("cut {cut}: broken at {at}"),
                }
            }
        }
        assert_eq!((at, replies), (stream.len(), expected.len()), "cut {cut}");
    }
}
