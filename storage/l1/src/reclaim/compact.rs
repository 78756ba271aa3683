//! Compact: wins segments back by copying the live records out of those that have the fewest.
//!
//! A victim's records go to the survivor segment of their own chain, which takes over the victim's age, so compaction
//! hardly disturbs the FIFO order.
//!
//! Invariants
//! - A write of n bytes pays for looking at n / (1 - utilisation) bytes of the victim, with a margin: over time that
//!   wins more segments than writes take.
//! - A victim has at least [`DEAD_DIVISOR`]-th of dead bytes: fuller segments are not worth copying, the memory is
//!   full.

use super::{Victim, Walk};
use crate::log::{ChainId, State, Stream};
use crate::memory::Memory;
use crate::store::{Find, Store};

/// Segments compared in one search for a victim.
const SEARCH_MAX: usize = 1024;
/// A segment with fewer dead bytes than this part of it is not compacted.
const DEAD_DIVISOR: usize = 32;
/// Bytes looked at for a byte written, at most: what a victim with the fewest dead bytes asks for.
const PRICE_MAX: usize = DEAD_DIVISOR;

/// Does compaction worth a write of `bytes`.
pub(super) fn pay<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S], bytes: usize) {
    // Beyond two segments the credit would only make one later call do too much.
    let credit_max = 2 * memory.segment_bytes();
    let Some(mut victim) = current_victim(memory, stores) else { return };
    memory.cursors.compact_credit = (memory.cursors.compact_credit + bytes * victim.price).min(credit_max);
    while memory.cursors.compact_credit > 0 {
        let Some(looked_at) = advance(memory, stores, &mut victim.walk) else {
            memory.cursors.victim = None;
            return;
        };
        memory.cursors.compact_credit = memory.cursors.compact_credit.saturating_sub(looked_at);
    }
    memory.cursors.victim = Some(victim);
}

/// Compacts one whole segment, or the rest of the present one; false if that wins nothing.
pub(super) fn segment<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S]) -> bool {
    let Some(mut victim) = current_victim(memory, stores) else { return false };
    while advance(memory, stores, &mut victim.walk).is_some() {}
    memory.cursors.victim = None;
    !victim.walk.is_current(stores[victim.walk.store].as_mut())
}

/// Merges the two segments of a chain that take appends, if they fit in one: the last resort when memory is so small
/// that open segments use it up. False if no chain has such a pair.
pub(super) fn open_segments<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S]) -> bool {
    for (index, store) in stores.iter_mut().enumerate() {
        let log = &mut store.as_mut().log;
        let Some(open) = ChainId::ALL.into_iter().find_map(|chain| log.mergeable(chain, memory.segment_bytes())) else {
            continue;
        };
        let serial = log.segment(open).serial;
        if log.seal(memory, open) {
            let mut walk = Walk { store: index, segment: open, serial, unit: 0 };
            while advance(memory, stores, &mut walk).is_some() {}
        }
        return true;
    }
    false
}

/// Looks at the next record of a victim and copies it if it is live. Returns how many bytes that were; `None` once the
/// victim is gone, or if there is nowhere to copy to.
fn advance<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S], walk: &mut Walk) -> Option<usize> {
    let store = stores[walk.store].as_mut();
    if !walk.is_current(store) {
        return None;
    }
    let segment = store.log.segment(walk.segment);
    let (age, written) = (segment.age, segment.written);
    let next = match store.walk(memory, walk.segment, walk.unit) {
        Find::End => unreachable!("a sealed segment goes back with its last live record"),
        Find::Skip(next) => next,
        Find::Live(located, next) => {
            let stream = Stream::Survivors { age, written };
            if !store.relocate(memory, &located, located.chain, stream, located.frequency) {
                return None;
            }
            memory.account.statistics.compacted_items += 1;
            next
        }
    };
    let looked_at = (next - walk.unit) as usize * 8;
    walk.unit = next;
    Some(looked_at)
}

/// The segment being compacted, or the cheapest that a search finds. `None`: all are nearly full.
fn current_victim<S: AsMut<Store>>(memory: &mut Memory, stores: &mut [S]) -> Option<Victim> {
    let is_current = |victim: &Victim, stores: &mut [S]| {
        stores.get_mut(victim.walk.store).is_some_and(|store| victim.walk.is_current(store.as_mut()))
    };
    if let Some(victim) = memory.cursors.victim.filter(|victim| is_current(victim, stores)) {
        return Some(victim);
    }
    let least_dead = (memory.segment_bytes() / DEAD_DIVISOR) as u32;
    let (mut index, mut number) = memory.cursors.search;
    let total: usize = stores.iter_mut().map(|store| store.as_mut().log.number_bound()).sum();
    let mut best: Option<(usize, Walk)> = None;
    for _ in 0..SEARCH_MAX.min(total + stores.len()) {
        index = if index < stores.len() { index } else { 0 };
        let log = &stores[index].as_mut().log;
        if number >= log.number_bound() {
            (index, number) = (index + 1, 0);
            continue;
        }
        if let Some((segment_number, segment)) = log.segment_if_used(number)
            && segment.state == State::Sealed
            && !memory.cursors.is_evicting(index, segment_number)
        {
            let dead = segment.dead_bytes();
            if dead as u32 >= least_dead && best.as_ref().is_none_or(|(most, _)| dead > *most) {
                let walk = Walk { store: index, segment: segment_number, serial: segment.serial, unit: 0 };
                best = Some((dead, walk));
            }
        }
        number += 1;
    }
    memory.cursors.search = (index, number);
    let (dead, walk) = best?;
    // A quarter more than what is used up.
    Some(Victim { walk, price: (memory.segment_bytes() * 5 / 4).div_ceil(dead).min(PRICE_MAX) })
}
