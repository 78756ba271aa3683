//! The memcached text protocol as a client of get and set speaks it.

use super::answer::{Answer, ItemSpan, Items, Scan, find_crlf, parse_length};

const END: &[u8] = b"END\r\n";
const VALUE: &[u8] = b"VALUE ";

/// Appends `get key`.
pub fn write_get(key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"get ");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\n");
}

/// Begins a `get` of many keys, which follow by [`write_key`]; [`end_get_many`] ends it.
pub fn begin_get_many(out: &mut Vec<u8>) {
    out.extend_from_slice(b"get");
}

/// Appends one key of many.
pub fn write_key(key: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(key);
}

/// Ends a `get` of many keys.
pub fn end_get_many(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends `set key 0 expiry bytes` and the value; `write_value` appends exactly `value_bytes`.
pub fn write_set(
    key: &[u8],
    value_bytes: usize,
    expire_s: Option<u64>,
    out: &mut Vec<u8>,
    write_value: impl FnOnce(&mut Vec<u8>),
) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"set ");
    out.extend_from_slice(key);
    out.extend_from_slice(b" 0 ");
    out.extend_from_slice(digits.format(expire_s.unwrap_or(0)).as_bytes());
    out.push(b' ');
    out.extend_from_slice(digits.format(value_bytes).as_bytes());
    out.extend_from_slice(b"\r\n");
    write_value(out);
    out.extend_from_slice(b"\r\n");
}

/// Reads the first reply.
pub fn scan(input: &[u8]) -> Scan<'_> {
    let Some(end) = find_crlf(input, 0) else {
        return if could_begin_a_reply(input) { Scan::Incomplete } else { Scan::Broken };
    };
    let line = &input[..end];
    if let Some(rest) = line.strip_prefix(VALUE) {
        return scan_value(input, rest, end + 2);
    }
    match line {
        b"STORED" => Scan::Reply(Answer::Stored, end + 2),
        b"END" => Scan::Reply(Answer::Miss, end + 2),
        b"NOT_STORED" | b"ERROR" => Scan::Reply(Answer::Refused(line), end + 2),
        _ if line.starts_with(b"SERVER_ERROR") || line.starts_with(b"CLIENT_ERROR") => {
            Scan::Reply(Answer::Refused(line), end + 2)
        }
        _ => Scan::Broken,
    }
}

/// Every reply begins with a capital letter; cheap, and enough to stop at a stream that is out of step.
fn could_begin_a_reply(input: &[u8]) -> bool {
    input.first().is_none_or(u8::is_ascii_uppercase)
}

/// `rest` is `key flags bytes [cas]`; the value starts at `start` and "END" follows it.
fn scan_value<'a>(input: &'a [u8], rest: &[u8], start: usize) -> Scan<'a> {
    let Some(bytes) = rest.split(|&byte| byte == b' ').nth(2).and_then(parse_length) else { return Scan::Broken };
    let end = start + bytes;
    let Some(trailer) = input.get(end..end + 2 + END.len()) else { return Scan::Incomplete };
    if !trailer.starts_with(b"\r\n") || !trailer.ends_with(END) {
        return Scan::Broken;
    }
    Scan::Reply(Answer::Value(&input[start..end]), end + trailer.len())
}

/// Reads the first reply where it answers a get of many keys: items up to END, or what [`scan`] knows.
pub fn scan_items<'a>(input: &'a [u8], spans: &'a mut Vec<ItemSpan>) -> Scan<'a> {
    let mut at = 0;
    spans.clear();
    while let Some(end) = find_crlf(input, at) {
        let line = &input[at..end];
        let Some(rest) = line.strip_prefix(VALUE) else {
            return match line {
                b"END" => Scan::Reply(Answer::Items(Items::new(input, spans)), end + 2),
                _ => scan_end(&input[at..], at),
            };
        };
        let mut words = rest.split(|byte| *byte == b' ');
        let (Some(key), Some(bytes)) = (words.next(), words.nth(1).and_then(parse_length)) else {
            return Scan::Broken;
        };
        let (key_start, value_start) = (at + VALUE.len(), end + 2);
        let value_end = value_start + bytes;
        match input.get(value_end..value_end + 2) {
            None => return Scan::Incomplete,
            Some(b"\r\n") => {}
            Some(_) => return Scan::Broken,
        }
        let key = Some(key_start..key_start + key.len());
        spans.push(ItemSpan { key, value: Some(value_start..value_end) });
        at = value_end + 2;
    }
    if could_begin_a_reply(&input[at..]) { Scan::Incomplete } else { Scan::Broken }
}

/// What stands in END's place; a server that fails half way leaves it at that.
fn scan_end(rest: &[u8], at: usize) -> Scan<'_> {
    match scan(rest) {
        Scan::Reply(answer, consumed) => Scan::Reply(answer, at + consumed),
        other @ (Scan::Incomplete | Scan::Broken) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::check_at_every_cut;
    use super::*;

    #[test]
    fn replies_are_the_same_at_every_cut() {
        check_at_every_cut(
            |input, _| scan(input),
            concat!(
                "STORED\r\nEND\r\nVALUE k 0 4\r\na\r\nb\r\nEND\r\nVALUE k 0 0\r\n\r\nEND\r\n",
                "SERVER_ERROR out of memory\r\nERROR\r\n",
            )
            .as_bytes(),
            &[
                Answer::Stored,
                Answer::Miss,
                Answer::Value(b"a\r\nb"),
                Answer::Value(b""),
                Answer::Refused(b"SERVER_ERROR out of memory"),
                Answer::Refused(b"ERROR"),
            ],
        );
    }

    #[test]
    fn replies_to_many_keys_are_the_same_at_every_cut() {
        let stream = concat!(
            "VALUE k1 0 4\r\na\r\nb\r\nVALUE k22 7 0 9\r\n\r\nEND\r\nEND\r\n",
            "VALUE k 0 1\r\nx\r\nSERVER_ERROR out of memory\r\nSTORED\r\n",
        )
        .as_bytes();
        let two =
            [ItemSpan { key: Some(6..8), value: Some(14..18) }, ItemSpan { key: Some(26..29), value: Some(37..37) }];
        check_at_every_cut(
            scan_items,
            stream,
            &[
                Answer::Items(Items::new(stream, &two)),
                Answer::Items(Items::new(&stream[44..], &[])),
                Answer::Refused(b"SERVER_ERROR out of memory"),
                Answer::Stored,
            ],
        );
        let items: Vec<_> = Items::new(stream, &two).iter().map(|item| (item.key, item.value)).collect();
        assert_eq!(items, [(Some(b"k1".as_slice()), Some(b"a\r\nb".as_slice())), (Some(b"k22"), Some(b""))]);
    }

    #[test]
    fn foreign_items_are_broken() {
        for input in
            ["+OK\r\n", "VALUE k 0\r\n", "VALUE k 0 1\r\nabc", "VALUE k 0 1\r\na\r\nx", "VALUE k 0 0\r\n\r\nHM\r\n"]
        {
            assert_eq!(scan_items(input.as_bytes(), &mut Vec::new()), Scan::Broken, "{input:?}");
        }
    }

    #[test]
    fn foreign_replies_are_broken() {
        for input in ["+OK\r\n", "x", "VALUE k 0 x\r\n", "VALUE k\r\n", "HELLO\r\n", "VALUE k 0 1\r\nab\r\nEND\r\n"] {
            assert_eq!(scan(input.as_bytes()), Scan::Broken, "{input:?}");
        }
    }

    #[test]
    fn requests_are_written_as_lines() {
        let mut out = Vec::new();
        write_get(b"k1", &mut out);
        begin_get_many(&mut out);
        write_key(b"k1", &mut out);
        write_key(b"k2", &mut out);
        end_get_many(&mut out);
        write_set(b"k", 2, Some(7), &mut out, |out| out.extend_from_slice(b"ab"));
        assert_eq!(String::from_utf8(out).unwrap(), "get k1\r\nget k1 k2\r\nset k 0 7 2\r\nab\r\n");
    }
}
