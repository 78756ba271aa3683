//! RESP as a client of GET, MGET and SET speaks it.

use super::answer::{Answer, ItemSpan, Items, Scan, find_crlf, parse_length};

/// Appends `GET key`.
pub fn write_get(key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
    write_key(key, out);
}

/// Begins an `MGET` of `count` keys, which follow by [`write_key`].
pub fn begin_get_many(count: usize, out: &mut Vec<u8>) {
    out.push(b'*');
    out.extend_from_slice(itoa::Buffer::new().format(count + 1).as_bytes());
    out.extend_from_slice(b"\r\n$4\r\nMGET\r\n");
}

/// Appends one key of an `MGET`.
pub fn write_key(key: &[u8], out: &mut Vec<u8>) {
    write_bulk_header(key.len(), out);
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\n");
}

/// Appends `SET key value [EX seconds]`; `write_value` appends exactly `value_bytes`.
pub fn write_set(
    key: &[u8],
    value_bytes: usize,
    expire_s: Option<u64>,
    out: &mut Vec<u8>,
    write_value: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(if expire_s.is_some() { b"*5\r\n$3\r\nSET\r\n" } else { b"*3\r\n$3\r\nSET\r\n" });
    write_key(key, out);
    write_bulk_header(value_bytes, out);
    write_value(out);
    if let Some(seconds) = expire_s {
        let mut digits = itoa::Buffer::new();
        let seconds = digits.format(seconds).as_bytes();
        out.extend_from_slice(b"\r\n$2\r\nEX\r\n");
        write_bulk_header(seconds.len(), out);
        out.extend_from_slice(seconds);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_bulk_header(bytes: usize, out: &mut Vec<u8>) {
    out.push(b'$');
    out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Reads the first reply. Neither GET nor SET answers with an array, so one is taken for a broken stream.
pub fn scan(input: &[u8]) -> Scan<'_> {
    let Some(&kind) = input.first() else { return Scan::Incomplete };
    if !b"+-$_".contains(&kind) {
        return Scan::Broken;
    }
    let Some(end) = find_crlf(input, 1) else { return Scan::Incomplete };
    let line = &input[1..end];
    match kind {
        b'+' => Scan::Reply(Answer::Stored, end + 2),
        b'-' => Scan::Reply(Answer::Refused(line), end + 2),
        b'_' => Scan::Reply(Answer::Miss, end + 2),
        _ if line == b"-1" => Scan::Reply(Answer::Miss, end + 2),
        _ => scan_bulk(input, line, end + 2),
    }
}

fn scan_bulk<'a>(input: &'a [u8], digits: &[u8], start: usize) -> Scan<'a> {
    let Some(bytes) = parse_length(digits) else { return Scan::Broken };
    let end = start + bytes;
    match input.get(end..end + 2) {
        None => Scan::Incomplete,
        Some(b"\r\n") => Scan::Reply(Answer::Value(&input[start..end]), end + 2),
        Some(_) => Scan::Broken,
    }
}

/// Reads the first reply where it answers an MGET: an array of values and nils, or what [`scan`] knows.
pub fn scan_items<'a>(input: &'a [u8], spans: &'a mut Vec<ItemSpan>) -> Scan<'a> {
    if input.first().is_some_and(|kind| *kind != b'*') {
        return scan(input);
    }
    let Some(end) = find_crlf(input, 1) else { return Scan::Incomplete };
    let Some(count) = parse_length(&input[1..end]) else { return Scan::Broken };
    let mut at = end + 2;
    spans.clear();
    for _ in 0..count {
        match scan(&input[at..]) {
            Scan::Reply(Answer::Value(value), consumed) => {
                let end = at + consumed - 2;
                spans.push(ItemSpan { key: None, value: Some(end - value.len()..end) });
                at += consumed;
            }
            Scan::Reply(Answer::Miss, consumed) => {
                spans.push(ItemSpan { key: None, value: None });
                at += consumed;
            }
            Scan::Incomplete => return Scan::Incomplete,
            Scan::Broken | Scan::Reply(Answer::Stored | Answer::Refused(_) | Answer::Items(_), _) => {
                return Scan::Broken;
            }
        }
    }
    Scan::Reply(Answer::Items(Items::new(input, spans)), at)
}

#[cfg(test)]
mod tests {
    use super::super::answer::check_at_every_cut;
    use super::*;

    #[test]
    fn replies_are_the_same_at_every_cut() {
        check_at_every_cut(
            |input, _| scan(input),
            b"+OK\r\n$-1\r\n$0\r\n\r\n$4\r\na\r\nb\r\n_\r\n-OOM command not allowed\r\n$1\r\nx\r\n",
            &[
                Answer::Stored,
                Answer::Miss,
                Answer::Value(b""),
                Answer::Value(b"a\r\nb"),
                Answer::Miss,
                Answer::Refused(b"OOM command not allowed"),
                Answer::Value(b"x"),
            ],
        );
    }

    #[test]
    fn replies_to_many_keys_are_the_same_at_every_cut() {
        let stream = b"*3\r\n$1\r\na\r\n$-1\r\n$4\r\nb\r\nb\r\n*0\r\n-OOM no\r\n+OK\r\n*1\r\n_\r\n";
        let found = |value| ItemSpan { key: None, value: Some(value) };
        let missed = || ItemSpan { key: None, value: None };
        let three = [found(8..9), missed(), found(20..24)];
        check_at_every_cut(
            scan_items,
            stream,
            &[
                Answer::Items(Items::new(stream, &three)),
                Answer::Items(Items::new(&stream[26..], &[])),
                Answer::Refused(b"OOM no"),
                Answer::Stored,
                Answer::Items(Items::new(&stream[44..], &[missed()])),
            ],
        );
        let values: Vec<_> = Items::new(stream, &three).iter().map(|item| item.value).collect();
        assert_eq!(values, [Some(b"a".as_slice()), None, Some(b"b\r\nb")]);
    }

    #[test]
    fn foreign_items_are_broken() {
        for input in ["*x\r\n", "*-1\r\n", "*1\r\n+OK\r\n", "*1\r\n*1\r\n", "*1\r\n-ERR\r\n", "*1\r\n:1\r\n", ":1\r\n"]
        {
            assert_eq!(scan_items(input.as_bytes(), &mut Vec::new()), Scan::Broken, "{input:?}");
        }
    }

    #[test]
    fn foreign_replies_are_broken() {
        for input in ["*1\r\n", ":1\r\n", "x", "\r\n", "$x\r\n", "$99999999999\r\n", "$1\r\nabc", "$-2\r\n"] {
            assert_eq!(scan(input.as_bytes()), Scan::Broken, "{input:?}");
        }
    }

    #[test]
    fn requests_are_written_as_arrays() {
        let mut out = Vec::new();
        write_get(b"k1", &mut out);
        begin_get_many(2, &mut out);
        write_key(b"k1", &mut out);
        write_key(b"key:2", &mut out);
        write_set(b"k", 2, None, &mut out, |out| out.extend_from_slice(b"ab"));
        write_set(b"k", 0, Some(10), &mut out, |_| {});
        let expected = concat!(
            "*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n",
            "*3\r\n$4\r\nMGET\r\n$2\r\nk1\r\n$5\r\nkey:2\r\n",
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nab\r\n",
            "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$2\r\nEX\r\n$2\r\n10\r\n",
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
