//! Expiring: the wheel removes what is due, soon, and does not grow without bound.

use super::rig::{Known, Rig};

fn known(expires_at_ms: Option<u64>) -> Known {
    Known { value: b"value".to_vec(), expires_at_ms, flags: 0 }
}

#[test]
fn volatile_items_go_within_two_ticks_of_their_deadline() {
    for ttl_ms in [1u64, 9, 500, 2_047, 2_049, 5_000, 130_000, 140_000, 9_000_000, 600_000_000, 40_000_000_000] {
        let mut rig = Rig::new(4_000_000);
        rig.maintain(100);
        let deadline = rig.now_ms + ttl_ms;
        rig.put(0, b"volatile", known(Some(deadline))).unwrap();
        rig.put(0, b"persistent", known(None)).unwrap();
        // Time goes on in steps, as upkeep sees it; in large ones first.
        while rig.now_ms < deadline - 1 {
            rig.now_ms = (rig.now_ms + (deadline - rig.now_ms).div_ceil(7)).min(deadline - 1);
            rig.settle();
            assert_eq!(rig.oracle.len(), 2, "too early, ttl {ttl_ms}");
        }
        rig.now_ms = deadline + 8;
        rig.settle();
        assert_eq!(rig.oracle.len(), 1, "too late, ttl {ttl_ms}");
        rig.audit();
    }
}

#[test]
fn lag_of_many_deadlines_stays_within_a_tick_when_upkeep_keeps_pace() {
    let mut rig = Rig::new(4_000_000);
    rig.maintain(100);
    for number in 0..5_000u64 {
        let deadline = rig.now_ms + 10 + number * 3 % 7_000;
        rig.put(0, format!("key-{number}").as_bytes(), known(Some(deadline))).unwrap();
    }
    while !rig.oracle.is_empty() {
        rig.now_ms += 1;
        while rig.maintain(64) {}
    }
    for store in &rig.stores {
        assert!(store.lag().count() > 0 && store.lag().quantile_ms(1.0) <= 15, "{:?}", store.lag());
    }
}

#[test]
fn a_later_deadline_keeps_the_item_and_an_earlier_one_shortens_it() {
    let mut rig = Rig::new(4_000_000);
    rig.maintain(100);
    let start = rig.now_ms;
    for (name, first, second) in [(&b"later"[..], 100, 5_000), (b"earlier", 5_000, 100)] {
        rig.put(0, name, known(Some(start + first))).unwrap();
        let key = rig.key(0, name);
        let (memory, store) = rig.store_of(&key);
        assert_eq!(store.set_expiry(memory, &key, Some(start + second)), Ok(true));
        rig.oracle.get_mut(&(0, name.to_vec())).unwrap().expires_at_ms = Some(start + second);
    }
    rig.now_ms = start + 120;
    rig.settle();
    assert!(rig.check(0, b"later", true));
    assert!(!rig.oracle.contains_key(&(0, b"earlier".to_vec())));
    rig.now_ms = start + 5_020;
    rig.settle();
    assert!(rig.oracle.is_empty());
}

#[test]
fn set_with_deadline_and_delete_in_a_loop_leaves_the_wheel_bounded() {
    let mut rig = Rig::new(4_000_000);
    rig.maintain(100);
    for round in 0..100_000u64 {
        let name = format!("key-{}", round % 50);
        rig.put(0, name.as_bytes(), known(Some(rig.now_ms + 3_600_000))).unwrap();
        let key = rig.key(0, name.as_bytes());
        let (memory, store) = rig.store_of(&key);
        assert!(store.remove(memory, &key));
        rig.oracle.clear();
        rig.maintain(64);
    }
    rig.settle();
    for store in &rig.stores {
        assert!(store.alarm_count() < 1500, "{}", store.alarm_count());
    }
    rig.audit();
}

#[test]
fn alternating_deadlines_leave_the_wheel_bounded() {
    let mut rig = Rig::new(4_000_000);
    rig.maintain(100);
    for round in 0..50_000u64 {
        // Every second one is earlier than the one before, and needs an alarm of its own.
        let deadline = rig.now_ms + if round % 2 == 0 { 7_200_000 } else { 3_600_000 };
        rig.put(0, b"key", known(Some(deadline))).unwrap();
        rig.maintain(64);
    }
    rig.settle();
    assert!(rig.stores.iter().all(|store| store.alarm_count() < 2500));
    rig.audit();
}
