//! Model: random changes against the oracle, with limits so small that tables split, segments are reclaimed, items are
//! evicted and the wheel cascades every few operations.

use item::Keyspace;
use proptest::prelude::*;

use super::rig::{Known, Rig};
use crate::Policy;

#[derive(Clone, Debug)]
enum Op {
    Put { keyspace: u16, key: u16, size: usize, fill: u8, ttl_ms: Option<u64>, flags: u32 },
    Get { keyspace: u16, key: u16, peek: bool },
    Remove { keyspace: u16, key: u16, release: bool },
    Expire { keyspace: u16, key: u16, ttl_ms: Option<u64> },
    Patch { keyspace: u16, key: u16, fill: u8 },
    Clear { keyspace: u16 },
    Advance { ms: u64 },
    Maintain { entries: usize },
    Policy { number: usize },
    Limit { bytes: u64 },
    Charge { bytes: u64 },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..60, 2 => 60usize..70, 2 => 70usize..600]
}

fn ttls() -> impl Strategy<Value = Option<u64>> {
    let ttl =
        prop_oneof![4 => 1u64..100, 3 => 100u64..10_000, 2 => 10_000u64..1_000_000, 1 => 1_000_000u64..100_000_000_000];
    prop_oneof![1 => Just(None), 1 => ttl.prop_map(Some)]
}

fn ops(keys: u16) -> impl Strategy<Value = Op> {
    let keyspace = prop_oneof![4 => Just(0u16), 1 => 0u16..4];
    let key = 0..keys;
    let at = (keyspace, key);
    prop_oneof![
        40 => (at.clone(), sizes(), any::<u8>(), ttls(), prop_oneof![3 => Just(0u32), 1 => any::<u32>()]).prop_map(
            |((keyspace, key), size, fill, ttl_ms, flags)| Op::Put { keyspace, key, size, fill, ttl_ms, flags }
        ),
        30 => (at.clone(), any::<bool>()).prop_map(|((keyspace, key), peek)| Op::Get { keyspace, key, peek }),
        8 => (at.clone(), any::<bool>())
            .prop_map(|((keyspace, key), release)| Op::Remove { keyspace, key, release }),
        8 => (at.clone(), ttls()).prop_map(|((keyspace, key), ttl_ms)| Op::Expire { keyspace, key, ttl_ms }),
        4 => (at, any::<u8>()).prop_map(|((keyspace, key), fill)| Op::Patch { keyspace, key, fill }),
        1 => (0u16..4).prop_map(|keyspace| Op::Clear { keyspace }),
        6 => prop_oneof![8 => 0u64..50, 4 => 50u64..5_000, 1 => 5_000u64..50_000_000, 1 => 1u64..100_000_000_000]
            .prop_map(|ms| Op::Advance { ms }),
        10 => (1usize..100).prop_map(|entries| Op::Maintain { entries }),
        1 => (0usize..Policy::ALL.len()).prop_map(|number| Op::Policy { number }),
        1 => (40_000u64..200_000).prop_map(|bytes| Op::Limit { bytes }),
        1 => (0u64..20_000).prop_map(|bytes| Op::Charge { bytes }),
    ]
}

fn name(key: u16) -> Vec<u8> {
    // Some keys long enough for the escape of the key size.
    if key % 16 == 5 { format!("{key}-{}", "k".repeat(260)).into_bytes() } else { format!("key-{key}").into_bytes() }
}

fn apply(rig: &mut Rig, op: &Op) {
    match *op {
        Op::Put { keyspace, key, size, fill, ttl_ms, flags } => {
            let expires_at_ms = ttl_ms.map(|ttl| rig.now_ms + ttl);
            let before = rig.oracle.get(&(keyspace, name(key))).cloned();
            let known = Known { value: vec![fill; size], expires_at_ms, flags };
            if rig.put(keyspace, &name(key), known).is_err() && before.is_some() {
                // Either it is still there as it was, or it was evicted to make room, which the oracle heard.
                rig.check(keyspace, &name(key), true);
            }
            rig.check(keyspace, &name(key), true);
        }
        Op::Get { keyspace, key, peek } => {
            rig.check(keyspace, &name(key), peek);
        }
        Op::Remove { keyspace, key, release } => {
            let bytes = name(key);
            let key = rig.key(keyspace, &bytes);
            let (memory, store) = rig.store_of(&key);
            let removed = if release { store.release(memory, &key) } else { store.remove(memory, &key) };
            assert_eq!(removed, rig.oracle.remove(&(keyspace, bytes)).is_some());
        }
        Op::Expire { keyspace, key, ttl_ms } => {
            let bytes = name(key);
            let deadline = ttl_ms.map(|ttl| rig.now_ms + ttl);
            let _ = rig.make_room(400);
            let key = rig.key(keyspace, &bytes);
            let (memory, store) = rig.store_of(&key);
            let result = store.set_expiry(memory, &key, deadline);
            let known = rig.oracle.get_mut(&(keyspace, bytes.clone()));
            if let Ok(found) = result {
                assert_eq!(found, known.is_some());
                if let Some(known) = known {
                    known.expires_at_ms = deadline;
                }
            }
            rig.check(keyspace, &bytes, true);
        }
        Op::Patch { keyspace, key, fill } => {
            let bytes = name(key);
            write_in_place(rig, keyspace, &bytes, fill);
            rig.check(keyspace, &bytes, false);
        }
        Op::Clear { keyspace } => {
            for store in &mut rig.stores {
                store.clear(&mut rig.memory, Keyspace(keyspace));
            }
            rig.oracle.retain(|(number, _), _| *number != keyspace);
        }
        Op::Advance { ms } => rig.now_ms += ms,
        Op::Maintain { entries } => {
            rig.maintain(entries);
        }
        Op::Policy { number } => rig.memory.set_policy(Policy::ALL[number]),
        Op::Limit { bytes } => rig.memory.set_limit(bytes),
        Op::Charge { bytes } => rig.memory.charge(bytes),
    }
}

/// Writes over an item's value from the middle to a little past its end, where it lies.
fn write_in_place(rig: &mut Rig, keyspace: u16, bytes: &[u8], fill: u8) {
    let at = rig.oracle.get(&(keyspace, bytes.to_vec())).map_or(0, |known| known.value.len() / 2);
    let patch = vec![fill ^ 1; at + usize::from(fill % 4)];
    let (key, now_ms) = (rig.key(keyspace, bytes), rig.now_ms);
    let (memory, store) = rig.store_of(&key);
    if store.peek(&key, now_ms).is_some() && store.write_in_place(memory, &key, at, &patch) == Ok(true) {
        let value = &mut rig.oracle.get_mut(&(keyspace, bytes.to_vec())).expect("it was found").value;
        value.resize((at + patch.len()).max(value.len()), 0);
        value[at..at + patch.len()].copy_from_slice(&patch);
    }
}

fn run(limit_bytes: u64, collide: bool, ops: &[Op]) {
    let mut rig = Rig::new(limit_bytes);
    rig.collide = collide;
    for (step, op) in ops.iter().enumerate() {
        apply(&mut rig, op);
        if step % 16 == 0 {
            rig.audit();
        }
    }
    rig.settle();
    rig.audit();
    let now_ms = rig.now_ms;
    // A deadline within the present tick of the wheel may still stand.
    rig.oracle.retain(|_, known| known.expires_at_ms.is_none_or(|deadline| !(now_ms - 8..=now_ms).contains(&deadline)));
    assert!(rig.oracle.values().all(|known| known.expires_at_ms.is_none_or(|deadline| deadline > now_ms)));
    let keys: Vec<(u16, Vec<u8>)> = rig.oracle.keys().cloned().collect();
    for (keyspace, key) in keys {
        assert!(rig.check(keyspace, &key, false));
    }
    for keyspace in 0..4 {
        apply(&mut rig, &Op::Clear { keyspace });
    }
    rig.settle();
    rig.audit();
    let usage = rig.memory.usage();
    assert_eq!((usage.live_bytes, usage.heap_bytes, usage.segments_used), (0, 0, 0));
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn store_agrees_with_the_oracle_under_tiny_limits(
        limit in 40_000u64..120_000,
        collide in proptest::bool::weighted(0.2),
        ops in proptest::collection::vec(ops(400), 1..1200),
    ) {
        run(limit, collide, &ops);
    }

    #[test]
    fn store_agrees_with_the_oracle_when_nothing_is_short(
        collide in proptest::bool::weighted(0.2),
        ops in proptest::collection::vec(ops(60), 1..600),
    ) {
        let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Limit { .. })).collect();
        run(4_000_000, collide, &ops);
    }
}
