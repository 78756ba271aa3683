//! Reply: answers of the text protocol, onto the end of a connection's output.
//!
//! Invariants
//! - Every call appends one complete line, or one `VALUE` block with its value.
//!
//! Absent on purpose: which line answers what; the cache knows that.

use bytes::Bytes;

use crate::{Reply, Spliced};

/// Bytes of a `VALUE` line beside its key, and of the line end behind the value: the word, four spaces, flags, size,
/// CAS number and two CRLF.
const VALUE_LINE_BYTES_MAX: usize = 5 + 4 + 10 + 20 + 20 + 2 + 2;

impl Reply<'_> {
    /// A line; its CRLF is added here.
    #[inline]
    pub fn memcache_line(&mut self, text: &[u8]) {
        self.bytes.reserve(text.len() + 2);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A number on a line of its own.
    #[inline]
    pub fn memcache_number(&mut self, value: u64) {
        self.memcache_line(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A statistic: its name and value.
    pub fn memcache_stat(&mut self, name: &str, value: &str) {
        for part in ["STAT ", name, " ", value, "\r\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    /// A value under its key, copied.
    #[inline]
    pub fn memcache_value(&mut self, key: &[u8], flags: u32, cas: Option<u64>, value: &[u8]) {
        self.bytes.reserve(VALUE_LINE_BYTES_MAX + key.len() + value.len());
        self.memcache_header(key, flags, cas, value.len());
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A value under its key that goes out by reference.
    pub fn memcache_large(&mut self, key: &[u8], flags: u32, cas: Option<u64>, value: &Bytes) {
        self.memcache_header(key, flags, cas, value.len());
        self.spliced_bytes += value.len();
        self.splices.push(Spliced { at: self.bytes.len(), value: value.clone() });
        self.bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn memcache_header(&mut self, key: &[u8], flags: u32, cas: Option<u64>, value_bytes: usize) {
        self.bytes.extend_from_slice(b"VALUE ");
        self.bytes.extend_from_slice(key);
        if flags == 0 {
            self.bytes.extend_from_slice(b" 0 ");
        } else {
            self.bytes.push(b' ');
            self.bytes.extend_from_slice(itoa::Buffer::new().format(flags).as_bytes());
            self.bytes.push(b' ');
        }
        self.bytes.extend_from_slice(itoa::Buffer::new().format(value_bytes).as_bytes());
        if let Some(cas) = cas {
            self.bytes.push(b' ');
            self.bytes.extend_from_slice(itoa::Buffer::new().format(cas).as_bytes());
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn check(write: impl Fn(&mut Reply<'_>), expected: &str) {
        let (mut bytes, mut splices) = (b"before".to_vec(), Vec::new());
        write(&mut Reply::new(&mut bytes, &mut splices, Version::Resp2));
        let (mut wire, mut from) = (Vec::new(), 0);
        for splice in &splices {
            wire.extend_from_slice(&bytes[from..splice.at]);
            wire.extend_from_slice(&splice.value);
            from = splice.at;
        }
        wire.extend_from_slice(&bytes[from..]);
        assert_eq!(String::from_utf8_lossy(&wire[6..]), expected);
    }

    #[test]
    fn answers_are_lines_and_values() {
        check(|r| r.memcache_line(b"STORED"), "STORED\r\n");
        check(|r| r.memcache_number(u64::MAX), "18446744073709551615\r\n");
        check(|r| r.memcache_stat("pid", "7"), "STAT pid 7\r\n");
        check(|r| r.memcache_value(b"k", 0, None, b"v"), "VALUE k 0 1\r\nv\r\n");
        check(|r| r.memcache_value(b"k", u32::MAX, Some(9), b""), "VALUE k 4294967295 0 9\r\n\r\n");
        let large = Bytes::from_static(b"large");
        check(
            |r| {
                r.memcache_large(b"a", 1, Some(2), &large);
                r.memcache_value(b"b", 0, None, b"x");
            },
            "VALUE a 1 5 2\r\nlarge\r\nVALUE b 0 1\r\nx\r\n",
        );
    }
}
