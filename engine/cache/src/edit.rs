//! Edit: changes a part of a string.
//!
//! Invariants
//! - What is refused (`-OOM`) leaves the old value.
//! - A string that is changed within its length is changed where it lies, unless a reply still sends it. One that grows
//!   in small steps is copied once per size class of the allocator.
//! - An edit keeps deadline and flags, and marks the value as edited.

use bytes::Bytes;
use item::{INLINE_VALUE_BYTES_MAX, Key};
use l1::{Put, Stored, Value};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::shard::Change;

/// Writes `bytes` over the string of `key` from `at` on; answers its new length. A string that is too short, or does
/// not exist, is filled up with zeroes. The caller has compared `at + bytes.len()` with the longest string allowed.
pub(crate) fn write_at(cache: &mut Cache, key: &Key<'_>, at: usize, bytes: &[u8]) -> Result<usize, Refusal> {
    let end = at + bytes.len();
    let Some(old) = cache.shards.get(key, cache.now.unix_ms) else {
        write_whole(cache, key, end, at, bytes)?;
        return Ok(end);
    };
    let (old_length, is_large) = (old.value.bytes().len(), matches!(old.value, Stored::Large(_)));
    let length = old_length.max(end);
    let may_fit = is_large || length == old_length;
    if may_fit && cache.commit(Change::Write { key: *key, at, bytes })? {
        if length > old_length {
            // The store has admitted it already; this is the share of reclaim that it owes.
            let _ = cache.shards.make_room(length - old_length, &mut cache.statistics);
        }
    } else {
        write_whole(cache, key, length, at, bytes)?;
    }
    Ok(length)
}

/// Stores a copy of the string, `length` bytes of it, with the change.
fn write_whole(cache: &mut Cache, key: &Key<'_>, length: usize, at: usize, bytes: &[u8]) -> Result<(), Refusal> {
    if length > cache.value_bytes_max() {
        return Err(Refusal::NO_ROOM);
    }
    let old = cache.shards.peek(key, cache.now.unix_ms);
    let (expires_at_ms, flags) = old.as_ref().map_or((None, 0), |item| (item.expires_at_ms, item.flags));
    let old = old.map_or(&[][..], |item| item.value.bytes());
    let value = if length > INLINE_VALUE_BYTES_MAX {
        let mut whole = spacious_copy(old, length);
        whole[at..at + bytes.len()].copy_from_slice(bytes);
        Value::Large(Bytes::from(whole))
    } else {
        let whole = &mut cache.scratch;
        whole.clear();
        whole.extend_from_slice(old);
        whole.resize(length, 0);
        whole[at..at + bytes.len()].copy_from_slice(bytes);
        Value::Inline(whole)
    };
    let put = Put { value, expires_at_ms, flags };
    cache.shards.commit(Change::Put { key: *key, put }, &mut cache.statistics)?;
    mark(cache, key)
}

/// Marks the string of `key`, if there is one, as edited, which is all that an edit does that changes no byte.
pub(crate) fn mark(cache: &mut Cache, key: &Key<'_>) -> Result<(), Refusal> {
    cache.commit(Change::MarkEdited { key: *key })?;
    Ok(())
}

/// `old` and zeroes, `length` bytes together. A string that grew once has room to grow again.
fn spacious_copy(old: &[u8], length: usize) -> Vec<u8> {
    if old.is_empty() {
        // The kernel's zeroes, as far as they are not written.
        return vec![0; length];
    }
    let mut whole = Vec::with_capacity(if length > old.len() { l1::spacious(length) } else { length });
    whole.extend_from_slice(old);
    whole.resize(length, 0);
    whole
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::rig::Rig;

    fn address(rig: &mut Rig) -> usize {
        rig.splices("GET k")[0].as_ptr() as usize
    }

    #[test]
    fn a_large_string_is_changed_where_it_lies() {
        let mut rig = Rig::new();
        rig.set_large("k", &Bytes::from(vec![b'x'; 1 << 20]));
        let before = address(&mut rig);
        rig.check(&[("SETRANGE k 1000000 abc", ":1048576"), ("GETRANGE k 999999 1000003", "'xabcx'")]);
        assert_eq!(address(&mut rig), before);
    }

    #[test]
    fn a_reply_under_way_keeps_the_string_it_was_given() {
        let mut rig = Rig::new();
        rig.set_large("k", &Bytes::from(vec![b'x'; 100_000]));
        let reply = rig.splices("GET k");
        rig.check(&[("SETRANGE k 0 abc", ":100000"), ("GETRANGE k 0 3", "'abcx'")]);
        assert!(reply[0].iter().all(|&b| b == b'x'));
        let part = rig.splices("GETRANGE k 0 50000");
        rig.check(&[("SETRANGE k 0 def", ":100000"), ("GETRANGE k 0 3", "'defx'")]);
        assert_eq!(&part[0][..4], b"abcx");
    }

    #[test]
    fn a_large_string_grows_without_a_copy_each_time() {
        let mut rig = Rig::new();
        rig.check(&[("SETRANGE k 999999 x", ":1000000"), ("APPEND k y", ":1000001")]);
        let before = address(&mut rig);
        rig.check(&[("APPEND k z", ":1000002"), ("SETRANGE k 1000004 !", ":1000005")]);
        assert_eq!(address(&mut rig), before);
        rig.check(&[("GETRANGE k -7 -1", "'\0xyz\0\0!'")]);
        let charged = rig.cache.usage().heap_bytes;
        rig.check(&[("APPEND k ''", ":1000005"), ("SETRANGE k 1040000 x", ":1040001")]);
        assert!(rig.cache.usage().heap_bytes >= charged + 36_000, "growth in place is charged");
        rig.check(&[("DEL k", ":1")]);
        assert_eq!(rig.cache.usage().heap_bytes, 0);
    }

    #[test]
    fn an_edit_keeps_the_deadline() {
        let mut rig = Rig::new();
        rig.check(&[
            ("SET k abc EX 10", "+OK"),
            ("SETRANGE k 1 x", ":3"),
            ("SETRANGE k 20000 x", ":20001"),
            ("SETRANGE k 1 y", ":20001"),
            ("TTL k", ":10"),
        ]);
        rig.advance_ms(10_000);
        rig.check(&[("SETRANGE k 1 z", ":2"), ("GET k", "'\0z'"), ("TTL k", ":-1")]);
    }

    #[test]
    fn growth_beyond_memory_is_refused_and_changes_nothing() {
        let refusal = "-OOM command not allowed when used memory > 'maxmemory'.";
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "noeviction")]);
        rig.check(&[
            ("SET k abc", "+OK"),
            ("SETRANGE k 500000000 x", refusal),
            ("SETRANGE none 500000000 x", refusal),
            ("STRLEN k", ":3"),
            ("EXISTS none", ":0"),
        ]);
        let grow = |rig: &mut Rig, length: usize| rig.run(&format!("SETRANGE k {} x", length - 1));
        let stopped = (1..).map(|step| step * 50_000).find(|length| grow(&mut rig, *length) == refusal);
        let length = stopped.expect("memory ends") - 50_000;
        assert!(length + 50_000 > rig.cache.value_bytes_max(), "{length}");
        rig.check(&[("STRLEN k", &format!(":{length}")), ("GETRANGE k 0 2", "'abc'")]);
    }
}
