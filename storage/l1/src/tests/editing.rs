//! Editing: the mark of an edit stays with the value until it is stored anew.

use super::rig::{Known, Rig};

fn is_edited(rig: &mut Rig) -> bool {
    rig.audit();
    let (key, now_ms) = (rig.key(0, b"key"), rig.now_ms);
    let (_, store) = rig.store_of(&key);
    store.is_edited(&key, now_ms)
}

#[test]
fn a_mark_stays_until_the_value_is_put() {
    // Odd lengths are handed over as refcounted values; the rig's segments keep long ones on the heap.
    for len in [4, 5, 1000, 1001] {
        let mut rig = Rig::new(4_000_000);
        let known = Known { value: vec![b'v'; len], expires_at_ms: None, flags: 0 };
        let key = rig.key(0, b"key");
        assert!(!rig.store_of(&key).1.mark_edited(&key), "there is no item");
        rig.put(0, b"key", known.clone()).unwrap();
        assert!(!is_edited(&mut rig));
        let (memory, store) = rig.store_of(&key);
        assert_eq!(store.write_in_place(memory, &key, 0, b"v"), Ok(true));
        assert!(is_edited(&mut rig), "the same byte was written");
        for deadline in [Some(6_000_000), None] {
            let (memory, store) = rig.store_of(&key);
            store.set_expiry(memory, &key, deadline).unwrap();
            store.set_cas(memory, &key, 9).unwrap();
            rig.oracle.get_mut(&(0, b"key".to_vec())).unwrap().expires_at_ms = deadline;
            assert!(is_edited(&mut rig), "neither a deadline nor a number is a new value");
        }
        rig.put(0, b"key", known).unwrap();
        assert!(!is_edited(&mut rig));
        assert!(rig.store_of(&key).1.mark_edited(&key));
        assert!(is_edited(&mut rig));
    }
}
