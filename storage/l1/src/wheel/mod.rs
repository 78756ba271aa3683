//! Wheel: when to look at which volatile item again.
//!
//! A hierarchical timer wheel of eight-byte alarms. An alarm names items by keyspace, slot and hash, not by location:
//! moving a record leaves it valid, and a stale one finds nothing.
//!
//! ```text
//!   level      list covers     lists    reaches
//!   near       8 ms (a tick)   512      this span of 2.048 s and the next
//!   upper 0    2.048 s         128      this span of 131 s and the next
//!   upper 1    131 s           128      this span of 2.3 h and the next
//!   upper 2    2.3 h           128      this span of 6.2 d and the next
//!   upper 3    6.2 d           128      this span of 398 d and the next
//!   beyond     -               1        everything later
//! ```
//!
//! Each level reaches one span further than needed, so the list of the next span can move down at any time during the
//! present one: cascades are spread over it, and forced only at its end.
//!
//! Invariants
//! - Every volatile record has an alarm that rings at its deadline or before.
//! - An alarm that was taken out is placed again at the item's deadline, or dropped if there is none.
//! - Before time enters a span, every alarm of that span is in a near list or in the level that covers it.
//!
//! Absent on purpose: deadlines. The record has the one that counts; so a later deadline costs nothing here.

mod list;

use crate::allocation::rounded;
use list::{CHUNK_BYTES, List};

/// Milliseconds of a tick.
const TICK_MS: u64 = 8;
const NEAR_LISTS: usize = 512;
const NEAR_SPAN_BITS: u32 = 8;
const UPPER_LEVELS: usize = 4;
const UPPER_LISTS: usize = 128;
const UPPER_SPAN_BITS: u32 = 6;

/// What an alarm names: every volatile item with this keyspace, slot and hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Alarm(u64);

impl Alarm {
    const SLOT_SHIFT: u32 = 32;
    const SLOT_BITS: u32 = 14;
    const KEYSPACE_SHIFT: u32 = Alarm::SLOT_SHIFT + Alarm::SLOT_BITS;

    pub(crate) fn new(keyspace: u16, slot: u16, hash_high: u32) -> Alarm {
        debug_assert!(slot < 1 << Alarm::SLOT_BITS);
        Alarm(
            (u64::from(keyspace) << Alarm::KEYSPACE_SHIFT)
                | (u64::from(slot) << Alarm::SLOT_SHIFT)
                | u64::from(hash_high),
        )
    }

    pub(crate) fn keyspace(self) -> u16 {
        (self.0 >> Alarm::KEYSPACE_SHIFT) as u16
    }

    pub(crate) fn slot(self) -> u16 {
        (self.0 >> Alarm::SLOT_SHIFT) as u16 & ((1 << Alarm::SLOT_BITS) - 1)
    }

    pub(crate) fn hash_high(self) -> u32 {
        self.0 as u32
    }
}

/// A list of the wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spot {
    Near(usize),
    Upper(usize, usize),
    Beyond,
}

/// The lists. Made when the first alarm is set.
struct Lists {
    near: [List; NEAR_LISTS],
    upper: [[List; UPPER_LISTS]; UPPER_LEVELS],
}

/// The alarms of one store.
#[derive(Default)]
pub(crate) struct Wheel {
    lists: Option<Box<Lists>>,
    /// One bit per near list that is not empty.
    near_filled: [u64; NEAR_LISTS / 64],
    /// Alarms in the near lists, and in each upper level.
    near_len: usize,
    upper_len: [usize; UPPER_LEVELS],
    beyond: List,
    /// Former `beyond`, looked through again as time enters another span of 398 days.
    beyond_due: List,
    beyond_len: usize,
    /// Where a purge is: the next list to look through, and what is left of the present one.
    purge_next: Option<usize>,
    purging: List,
    purging_len: usize,
    /// The tick whose near list is being emptied; all earlier ones are empty.
    current: u64,
    chunks: usize,
}

impl Wheel {
    /// Alarms set.
    pub(crate) fn len(&self) -> usize {
        self.near_len + self.upper_len.iter().sum::<usize>() + self.beyond_len + self.purging_len
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks * CHUNK_BYTES + if self.lists.is_some() { rounded(size_of::<Lists>()) } else { 0 }
    }

    /// Sets an alarm that rings at `deadline_ms` or a little later. `now_ms` is where an empty wheel starts.
    pub(crate) fn set(&mut self, alarm: Alarm, deadline_ms: u64, now_ms: u64) {
        if self.len() == 0 {
            self.current = now_ms / TICK_MS;
        }
        let spot = self.spot_of(deadline_ms);
        self.push(spot, alarm);
    }

    /// An alarm that is due at `now_ms`, or has to move down a level before time can go on. `None`: nothing rings now.
    pub(crate) fn ring(&mut self, now_ms: u64) -> Option<Alarm> {
        let now = now_ms / TICK_MS;
        if self.len() == 0 {
            self.current = self.current.max(now);
            return None;
        }
        if now + (NEAR_LISTS as u64) < self.current {
            // The clock was set back. Lists are met early now, which only sets their alarms again.
            self.current = now;
        }
        while self.current <= now {
            if let Some(alarm) = self.pop(Spot::Near(self.current as usize % NEAR_LISTS)) {
                return Some(alarm);
            }
            if self.current == now {
                return None;
            }
            let next = self.next_stop().min(now);
            if next >> NEAR_SPAN_BITS != self.current >> NEAR_SPAN_BITS {
                if let Some(alarm) = self.cascade() {
                    return Some(alarm);
                }
                self.enter_span(next);
            }
            self.current = next;
        }
        None
    }

    /// An alarm of the next span of some level, to be placed again where it belongs. `None`: nothing has to move yet.
    pub(crate) fn cascade(&mut self) -> Option<Alarm> {
        if self.beyond_len > 0
            && let Some((alarm, is_used_up)) = self.beyond_due.pop()
        {
            self.chunks -= usize::from(is_used_up);
            self.beyond_len -= 1;
            return Some(Alarm(alarm));
        }
        (0..UPPER_LEVELS).rev().find_map(|level| {
            if self.upper_len[level] == 0 {
                return None;
            }
            let next_unit = (self.current >> upper_shift(level)) + 1;
            self.pop(Spot::Upper(level, next_unit as usize % UPPER_LISTS))
        })
    }

    /// Whether `ring` may have something to do at `now_ms`.
    pub(crate) fn is_behind(&self, now_ms: u64) -> bool {
        let now = now_ms / TICK_MS;
        self.len() > 0 && (self.current < now || (self.current == now && self.is_near_filled(now)))
    }

    /// Whether `cascade` has something to move.
    pub(crate) fn has_cascade(&self) -> bool {
        let Some(lists) = &self.lists else { return false };
        !self.beyond_due.is_empty()
            || (0..UPPER_LEVELS).any(|level| {
                let next_unit = (self.current >> upper_shift(level)) + 1;
                !lists.upper[level][next_unit as usize % UPPER_LISTS].is_empty()
            })
    }

    /// When `ring` or `cascade` will have something to do, in unix milliseconds; `None`: no alarm is set.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        if self.has_cascade() {
            return Some(self.current * TICK_MS);
        }
        self.nearest().map(|(spot, start)| match spot {
            Spot::Near(_) => start * TICK_MS,
            // A list moves down from the start of the span before its own.
            Spot::Upper(level, _) => start.saturating_sub(1 << upper_shift(level)).max(self.current) * TICK_MS,
            Spot::Beyond => (((self.current >> BEYOND_SHIFT) + 1) << BEYOND_SHIFT) * TICK_MS,
        })
    }

    /// The tick at which the list with the nearest alarms starts.
    pub(crate) fn nearest_tick(&self) -> Option<u64> {
        self.nearest().map(|(_, start)| start)
    }

    /// Takes an alarm out of the list with the nearest ones, and tells which list that was.
    pub(crate) fn pop_nearest(&mut self) -> Option<(Alarm, Spot)> {
        let (spot, _) = self.nearest()?;
        self.pop(spot).map(|alarm| (alarm, spot))
    }

    /// The list where an alarm for this deadline belongs now.
    pub(crate) fn spot_of(&self, deadline_ms: u64) -> Spot {
        let tick = deadline_ms.div_ceil(TICK_MS).max(self.current);
        let spans_ahead = |shift: u32| (tick >> shift) - (self.current >> shift);
        if spans_ahead(NEAR_SPAN_BITS) <= 1 {
            return Spot::Near(tick as usize % NEAR_LISTS);
        }
        let level = (0..UPPER_LEVELS).find(|level| spans_ahead(upper_shift(*level) + UPPER_SPAN_BITS) <= 1);
        level.map_or(Spot::Beyond, |level| Spot::Upper(level, (tick >> upper_shift(level)) as usize % UPPER_LISTS))
    }

    /// Whether a purge is under way.
    pub(crate) fn is_purging(&self) -> bool {
        self.purge_next.is_some()
    }

    /// Begins to look through all lists for alarms that nothing needs any more.
    pub(crate) fn begin_purge(&mut self) {
        self.purge_next = Some(0);
    }

    /// Takes up to `count_max` alarms out for inspection, sorted and without duplicates; the caller sets those again
    /// that are needed. Empty once with `is_purging` false: the purge is done.
    pub(crate) fn purge(&mut self, count_max: usize) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        // Every turn takes an alarm or goes on to the next list.
        while alarms.len() < count_max {
            if let Some((alarm, is_used_up)) = self.purging.pop() {
                self.chunks -= usize::from(is_used_up);
                self.purging_len -= 1;
                alarms.push(Alarm(alarm));
            } else if !self.detach_next() {
                break;
            }
        }
        alarms.sort_unstable();
        alarms.dedup();
        alarms
    }

    /// Frees up to `count_max` chunks of a wheel that nothing needs any more; true while there are more.
    pub(crate) fn dismantle(&mut self, count_max: usize) -> bool {
        let mut left = count_max;
        let upper = self.lists.as_mut().map(|lists| (&mut lists.near, &mut lists.upper));
        let lists = upper.into_iter().flat_map(|(near, upper)| near.iter_mut().chain(upper.iter_mut().flatten()));
        for list in lists.chain([&mut self.beyond, &mut self.beyond_due, &mut self.purging]) {
            left -= list.drop_chunks(left);
        }
        self.chunks -= count_max - left;
        left == 0
    }

    /// Every alarm.
    #[cfg(test)]
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        let lists = self.lists.iter().flat_map(|lists| lists.near.iter().chain(lists.upper.iter().flatten()));
        let all = lists.chain([&self.beyond, &self.beyond_due, &self.purging]);
        all.flat_map(List::iter).map(Alarm).collect()
    }

    fn push(&mut self, spot: Spot, alarm: Alarm) {
        let lists = self.lists.get_or_insert_with(Lists::new);
        let is_new_chunk = match spot {
            Spot::Near(index) => {
                self.near_len += 1;
                self.near_filled[index / 64] |= 1 << (index % 64);
                lists.near[index].push(alarm.0)
            }
            Spot::Upper(level, index) => {
                self.upper_len[level] += 1;
                lists.upper[level][index].push(alarm.0)
            }
            Spot::Beyond => {
                self.beyond_len += 1;
                self.beyond.push(alarm.0)
            }
        };
        self.chunks += usize::from(is_new_chunk);
    }

    fn pop(&mut self, spot: Spot) -> Option<Alarm> {
        let lists = self.lists.as_mut()?;
        let (alarm, is_used_up) = match spot {
            Spot::Near(index) => {
                let popped = lists.near[index].pop()?;
                self.near_len -= 1;
                if lists.near[index].is_empty() {
                    self.near_filled[index / 64] &= !(1 << (index % 64));
                }
                popped
            }
            Spot::Upper(level, index) => {
                let popped = lists.upper[level][index].pop()?;
                self.upper_len[level] -= 1;
                popped
            }
            Spot::Beyond => {
                let popped = self.beyond.pop().or_else(|| self.beyond_due.pop())?;
                self.beyond_len -= 1;
                popped
            }
        };
        self.chunks -= usize::from(is_used_up);
        Some(Alarm(alarm))
    }

    /// The next tick at which something may have to happen: a filled near list of this span, or the end of the largest
    /// span that nothing below it fills.
    fn next_stop(&self) -> u64 {
        let end_of_span = |shift: u32| ((self.current >> shift) + 1) << shift;
        if self.near_len > 0 {
            let end = end_of_span(NEAR_SPAN_BITS);
            return (self.current + 1..end).find(|tick| self.is_near_filled(*tick)).unwrap_or(end);
        }
        let lowest = (0..UPPER_LEVELS).find(|level| self.upper_len[*level] > 0);
        end_of_span(lowest.map_or(BEYOND_SHIFT, upper_shift))
    }

    fn is_near_filled(&self, tick: u64) -> bool {
        let index = tick as usize % NEAR_LISTS;
        self.near_filled[index / 64] & (1 << (index % 64)) != 0
    }

    /// Notes that time leaves the span of `current` for that of `next`.
    fn enter_span(&mut self, next: u64) {
        if next >> BEYOND_SHIFT != self.current >> BEYOND_SHIFT && self.beyond_due.is_empty() {
            self.beyond_due = std::mem::take(&mut self.beyond);
        }
    }

    /// The first list with alarms, in the order of time, and the tick at which it starts.
    fn nearest(&self) -> Option<(Spot, u64)> {
        let lists = self.lists.as_ref()?;
        if self.near_len > 0 {
            let mut ticks = self.current..((self.current >> NEAR_SPAN_BITS) + 2) << NEAR_SPAN_BITS;
            if let Some(tick) = ticks.find(|tick| self.is_near_filled(*tick)) {
                return Some((Spot::Near(tick as usize % NEAR_LISTS), tick));
            }
        }
        for level in (0..UPPER_LEVELS).filter(|level| self.upper_len[*level] > 0) {
            let unit = self.current >> upper_shift(level);
            let filled = (unit..unit + UPPER_LISTS as u64)
                .find(|unit| !lists.upper[level][*unit as usize % UPPER_LISTS].is_empty());
            if let Some(unit) = filled {
                return Some((Spot::Upper(level, unit as usize % UPPER_LISTS), unit << upper_shift(level)));
            }
        }
        (self.beyond_len > 0).then_some((Spot::Beyond, u64::MAX >> NEAR_SPAN_BITS))
    }

    /// Detaches the next list of a purge; false at the end.
    fn detach_next(&mut self) -> bool {
        let (Some(next), Some(lists)) = (self.purge_next, self.lists.as_mut()) else {
            self.purge_next = None;
            return false;
        };
        self.purge_next = Some(next + 1);
        let before = self.near_len + self.upper_len.iter().sum::<usize>() + self.beyond_len;
        if next < NEAR_LISTS {
            self.purging = std::mem::take(&mut lists.near[next]);
            self.near_filled[next / 64] &= !(1 << (next % 64));
            self.near_len -= self.purging.len();
        } else if next < NEAR_LISTS + UPPER_LEVELS * UPPER_LISTS {
            let (level, index) = ((next - NEAR_LISTS) / UPPER_LISTS, (next - NEAR_LISTS) % UPPER_LISTS);
            self.purging = std::mem::take(&mut lists.upper[level][index]);
            self.upper_len[level] -= self.purging.len();
        } else if next == NEAR_LISTS + UPPER_LEVELS * UPPER_LISTS {
            self.purging = std::mem::take(&mut self.beyond);
            self.beyond_len -= self.purging.len();
        } else {
            self.purge_next = None;
            return false;
        }
        self.purging_len = before - (self.near_len + self.upper_len.iter().sum::<usize>() + self.beyond_len);
        true
    }
}

/// Bits of a tick below the unit that a list of this upper level covers.
const fn upper_shift(level: usize) -> u32 {
    NEAR_SPAN_BITS + level as u32 * UPPER_SPAN_BITS
}

/// Bits of a tick below the span in which `beyond` is looked through once.
const BEYOND_SHIFT: u32 = upper_shift(UPPER_LEVELS);

impl Lists {
    fn new() -> Box<Lists> {
        Box::new(Lists {
            near: [const { List::EMPTY }; NEAR_LISTS],
            upper: [const { [const { List::EMPTY }; UPPER_LISTS] }; UPPER_LEVELS],
        })
    }
}
