//! Evict: judges the oldest record of a queue.
//!
//! ```text
//!   no walk, or its segment is gone: take the oldest segment of the queue over all stores, seal it
//!   record dead or cleared           -> next
//!   expired                          -> remove
//!   verdict Keep                     -> copy to the young end of main
//!   verdict Evict                    -> remove, and remember in the ghost table if told so
//! ```
//! Once the last record was judged the segment has no live byte and goes back by itself.

use super::Walk;
use crate::eviction::ghost::ghost_hash;
use crate::eviction::{Order, Scope, Verdict};
use crate::log::{ChainId, Lifetime, Queue, Stream};
use crate::memory::Memory;
use crate::store::{Cause, Departure, Find, Located, Store};

/// Dead records that one step passes: a few cache lines.
const SKIPS_MAX: usize = 16;

/// Judges one record, or passes some dead ones. False if the policy in force leaves nothing to evict.
pub(super) fn step<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    departed: &mut dyn FnMut(usize, Departure<'_>),
) -> bool {
    let (scope, order) = (memory.policy().scope(), memory.order());
    if order == Order::NearestDeadline {
        return nearest_deadline(memory, stores, departed);
    }
    // Once begun, a queue is judged until something leaves it, as the paper has it: a record that moves from small to
    // main must not send eviction after it at once.
    let preferred = memory.cursors.evicting.unwrap_or_else(|| order.victim_queue(&memory.balance(scope)));
    let other = if preferred == Queue::Small { Queue::Main } else { Queue::Small };
    let Some((queue, mut walk)) = [preferred, other]
        .into_iter()
        .find_map(|queue| current_walk(memory, stores, scope, queue).map(|walk| (queue, walk)))
    else {
        return false;
    };
    for _ in 0..SKIPS_MAX {
        let store = stores[walk.store].as_mut();
        if !walk.is_current(store) {
            break;
        }
        match store.walk(memory, walk.segment, walk.unit) {
            Find::Skip(next) => walk.unit = next,
            Find::End => unreachable!("a sealed segment goes back with its last live record"),
            Find::Live(located, next) => {
                let index = walk.store;
                let has_left = judge(memory, store, &located, &mut |departure| departed(index, departure));
                memory.cursors.evicting = if has_left { None } else { Some(queue) };
                walk.unit = next;
                break;
            }
        }
    }
    memory.cursors.evict[queue as usize] = Some(walk);
    true
}

/// Judges a live record at the old end of its queue; whether it has to go.
fn judge(memory: &mut Memory, store: &mut Store, located: &Located, departed: &mut dyn FnMut(Departure<'_>)) -> bool {
    if located.expires_at_ms.is_some_and(|deadline| deadline <= memory.now_ms()) {
        memory.account.statistics.expired_items += 1;
        store.depart_located(memory, located, Cause::Expired, departed);
        return true;
    }
    let verdict = memory.order().verdict(located.chain.queue, located.frequency, memory.promotion_threshold());
    let remember = match verdict {
        Verdict::Keep { frequency } => {
            let chain = ChainId { queue: Queue::Main, ..located.chain };
            if store.relocate(memory, located, chain, Stream::Head, frequency) {
                memory.account.statistics.kept_items += 1;
                return false;
            }
            // No segment to copy to, not even a reserved one: it has to go.
            false
        }
        Verdict::Evict { remember } => remember,
    };
    let hash = ghost_hash(located.keyspace, located.slot, located.hash_high);
    store.depart_located(memory, located, Cause::Evicted, departed);
    memory.note_eviction(remember.then_some(hash), located.weight, store.total_len());
    true
}

/// The walk at the old end of a queue, begun anew if its segment is gone. `None`: the queue has no segment in scope.
fn current_walk<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S], scope: Scope, queue: Queue) -> Option<Walk> {
    let walk = memory.cursors.evict[queue as usize].filter(|walk| {
        stores.get_mut(walk.store).is_some_and(|store| {
            let store = store.as_mut();
            walk.is_current(store) && is_in_scope(scope, store.log.segment(walk.segment).chain.lifetime)
        })
    });
    if walk.is_some() {
        return walk;
    }
    let lifetimes = [Lifetime::Volatile, Lifetime::Persistent];
    // Ends: each turn returns or gives a segment without live records back.
    loop {
        let mut oldest = None;
        for (index, store) in stores.iter_mut().enumerate() {
            for lifetime in lifetimes.into_iter().filter(|lifetime| is_in_scope(scope, *lifetime)) {
                let found = store.as_mut().log.oldest(ChainId { queue, lifetime });
                let candidate = found.map(|(age, segment)| (age, index, segment));
                oldest = [oldest, candidate].into_iter().flatten().min();
            }
        }
        let (_, index, segment) = oldest?;
        let log = &mut stores[index].as_mut().log;
        let serial = log.segment(segment).serial;
        if log.seal(memory, segment) {
            return Some(Walk { store: index, segment, serial, unit: 0 });
        }
    }
}

fn is_in_scope(scope: Scope, lifetime: Lifetime) -> bool {
    match scope {
        Scope::Nothing => false,
        Scope::Volatile => lifetime == Lifetime::Volatile,
        Scope::All => true,
    }
}

/// Evicts the item with the nearest deadline of all stores.
fn nearest_deadline<S: AsMut<Store>>(
    memory: &mut Memory,
    stores: &mut [S],
    departed: &mut dyn FnMut(usize, Departure<'_>),
) -> bool {
    let ticks = stores.iter_mut().enumerate().filter_map(|(index, store)| {
        let tick = store.as_mut().wheel.nearest_tick()?;
        Some((tick, index))
    });
    let Some((_, index)) = ticks.min() else { return false };
    stores[index].as_mut().evict_nearest(memory, &mut |departure| departed(index, departure))
}
