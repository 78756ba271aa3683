//! What a reply means to the load generator, whatever the protocol.

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The write was done.
    Stored,
    /// The value of the key.
    Value(&'a [u8]),
    /// The server does not hold the key.
    Miss,
    /// The server refused; its text without the protocol's frame.
    Refused(&'a [u8]),
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

/// Feeds `stream` whole, byte by byte and cut at every place, and expects the same replies each time.
#[cfg(test)]
pub fn check_at_every_cut(scan: fn(&[u8]) -> Scan<'_>, stream: &[u8], expected: &[Answer<'_>]) {
    for cut in 0..=stream.len() {
        let mut at = 0;
        let mut replies = 0;
        for end in [cut, stream.len()] {
            loop {
                match scan(&stream[at..end]) {
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
