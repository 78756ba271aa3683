//! Numbering: CAS numbers come and go without a trace in anything else.

use bytes::Bytes;

use super::rig::{Known, Rig};
use crate::{Put, Value};

/// The number of an item, after an audit.
fn number(rig: &mut Rig, name: &[u8]) -> Option<u64> {
    rig.audit();
    let (key, now_ms) = (rig.key(0, name), rig.now_ms);
    let (_, store) = rig.store_of(&key);
    store.cas(&key, now_ms)
}

fn set_number(rig: &mut Rig, name: &[u8], number: u64) -> bool {
    let key = rig.key(0, name);
    let (memory, store) = rig.store_of(&key);
    store.set_cas(memory, &key, number).unwrap()
}

#[test]
fn a_number_stays_until_the_value_is_written() {
    // Odd lengths are handed over as refcounted values; the rig's segments keep long ones on the heap.
    for (len, expires_at_ms) in
        [(4, None), (5, None), (1000, None), (1001, None), (4, Some(5_000_000)), (1001, Some(5_000_000))]
    {
        let mut rig = Rig::new(4_000_000);
        let known = Known { value: vec![b'v'; len], expires_at_ms, flags: 7 };
        assert!(!set_number(&mut rig, b"key", 1), "there is no item");
        rig.put(0, b"key", known.clone()).unwrap();
        assert_eq!(number(&mut rig, b"key"), None);
        for wanted in [1, u64::MAX] {
            assert!(set_number(&mut rig, b"key", wanted));
            assert_eq!(number(&mut rig, b"key"), Some(wanted));
        }
        for deadline in [Some(6_000_000), None, Some(7_000_000)] {
            let key = rig.key(0, b"key");
            let (memory, store) = rig.store_of(&key);
            store.set_expiry(memory, &key, deadline).unwrap();
            rig.oracle.get_mut(&(0, b"key".to_vec())).unwrap().expires_at_ms = deadline;
            assert_eq!(number(&mut rig, b"key"), Some(u64::MAX), "a deadline is no write");
        }
        rig.put(0, b"key", known).unwrap();
        assert_eq!(number(&mut rig, b"key"), None, "a write of the same value is one");
    }
}

#[test]
fn a_number_is_refused_when_memory_is_full_and_the_item_stays() {
    let mut rig = Rig::new(4_000_000);
    rig.memory.set_policy(crate::Policy::NoEviction);
    let mut count = 0;
    let put = |rig: &mut Rig, count: u32| {
        let known = Known { value: vec![b'v'; 100], expires_at_ms: None, flags: 0 };
        rig.put(0, format!("key-{count}").as_bytes(), known).is_ok()
    };
    while put(&mut rig, count) {
        count += 1;
    }
    let key = rig.key(0, b"key-0");
    let now_ms = rig.now_ms;
    let (memory, store) = rig.store_of(&key);
    let refused = (0..count).any(|_| store.set_cas(memory, &key, 1).is_err());
    let item = store.peek(&key, now_ms).unwrap();
    assert_eq!((item.value.bytes(), store.cas(&key, now_ms).is_none()), (&[b'v'; 100][..], refused));
    let large = Put { value: Value::Large(Bytes::from_static(b"x")), expires_at_ms: None, flags: 0 };
    assert!(store.put(memory, &key, &large).is_ok(), "a shorter value goes in");
    rig.oracle.get_mut(&(0, b"key-0".to_vec())).unwrap().value = b"x".to_vec();
    rig.audit();
}
