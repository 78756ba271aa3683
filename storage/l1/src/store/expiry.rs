//! Expiry: what the wheel's alarms do.
//!
//! An alarm names items by keyspace, slot and hash. When it rings, those of them whose own deadline has passed are
//! removed; for the rest it is set again, once, at the nearest of their deadlines. So a deadline that was moved later
//! costs nothing until the old one rings, and two keys with the same hash cannot multiply alarms.

use item::Keyspace;

use super::{Budget, Cause, Departure, Store};
use crate::index::Position;
use crate::log::Location;
use crate::memory::Memory;
use crate::wheel::{Alarm, Spot, Wheel};

/// Alarms beyond twice the volatile items before a purge pays: eight kilobytes.
const PURGE_SLACK: usize = 1024;

/// Alarms looked at in one step of a purge, and for each alarm that was set since the last one: a round must end
/// although alarms come in meanwhile.
const PURGE_STEP: usize = 64;
const PURGES_PER_ALARM: usize = 4;

/// Alarms that upkeep answers for each that was set: one rings once, after it has moved down four levels at most.
const ANSWERS_PER_ALARM: usize = 8;

/// The volatile item with the nearest deadline of those that an alarm names.
struct Named {
    deadline_ms: u64,
    position: Position,
    location: Location,
}

impl Store {
    /// Upkeep, a bounded part of it: removes what has expired, moves alarms down the wheel, frees what was cleared.
    /// Returns whether there is more to do now.
    pub fn maintain(
        &mut self,
        memory: &mut Memory,
        now_ms: u64,
        budget: Budget,
        mut departed: impl FnMut(Departure<'_>),
    ) -> bool {
        memory.set_now(now_ms);
        memory.sweep_orphans();
        // What writes have set, upkeep has to keep pace with, whatever its budget.
        let armed = std::mem::take(&mut self.armed);
        let mut left = budget.entries.max(1) + ANSWERS_PER_ALARM * armed;
        while left > 0
            && let Some(alarm) = self.change_wheel(memory, |wheel, _| wheel.ring(now_ms))
        {
            left -= 1;
            self.answer(memory, alarm, now_ms, &mut departed);
        }
        while left > 0
            && let Some(alarm) = self.change_wheel(memory, |wheel, _| wheel.cascade())
        {
            left -= 1;
            self.answer(memory, alarm, now_ms, &mut departed);
        }
        let is_purging = self.purge_step(memory, PURGE_STEP + PURGES_PER_ALARM * armed);
        let is_sweeping = self.sweep(memory, left.clamp(1, budget.entries.max(1)));
        memory.trim(1);
        is_purging || is_sweeping || self.wheel.is_behind(now_ms) || self.wheel.has_cascade()
    }

    /// When `maintain` will have something to do, in unix milliseconds; `None`: not before the next change.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if !self.retired.is_empty() || self.wheel.is_purging() { Some(0) } else { self.wheel.next_ms() }
    }

    /// Removes the item with the nearest deadline, if one step finds it; false when there is no volatile item.
    pub(crate) fn evict_nearest(&mut self, memory: &mut Memory, departed: &mut dyn FnMut(Departure<'_>)) -> bool {
        let Some((alarm, spot)) = self.change_wheel(memory, |wheel, _| wheel.pop_nearest()) else { return false };
        if let Some(named) = self.nearest_named(alarm) {
            if self.wheel.spot_of(named.deadline_ms) == spot || spot == Spot::Beyond {
                self.depart(memory, alarm, &named, Cause::Evicted, departed);
                memory.note_eviction(None, 0, 0);
            }
            if let Some(next) = self.nearest_named(alarm) {
                self.set_alarm(memory, alarm, next.deadline_ms);
            }
        }
        true
    }

    /// Changes the wheel and charges what that allocated. The second argument is the time of the last upkeep.
    #[inline]
    pub(super) fn change_wheel<R>(&mut self, memory: &mut Memory, change: impl FnOnce(&mut Wheel, u64) -> R) -> R {
        let before = self.wheel.bytes() as u64;
        let result = change(&mut self.wheel, memory.now_ms());
        memory.account.wheel_bytes = memory.account.wheel_bytes + self.wheel.bytes() as u64 - before;
        result
    }

    /// Removes what an alarm names and what has expired; sets it again for the rest.
    fn answer(&mut self, memory: &mut Memory, alarm: Alarm, now_ms: u64, departed: &mut dyn FnMut(Departure<'_>)) {
        while let Some(named) = self.nearest_named(alarm) {
            if named.deadline_ms > now_ms {
                self.set_alarm(memory, alarm, named.deadline_ms);
                return;
            }
            self.lag.record(now_ms - named.deadline_ms);
            self.depart(memory, alarm, &named, Cause::Expired, departed);
        }
    }

    fn depart(
        &mut self,
        memory: &mut Memory,
        alarm: Alarm,
        named: &Named,
        cause: Cause,
        departed: &mut dyn FnMut(Departure<'_>),
    ) {
        let record = self.log.record(named.location).expect("the index names records");
        departed(Departure { key: record.key(), keyspace: Keyspace(alarm.keyspace()), slot: alarm.slot(), cause });
        if cause == Cause::Expired {
            memory.account.statistics.expired_items += 1;
        }
        let (keyspace, slot, hash_high) = (alarm.keyspace(), alarm.slot(), alarm.hash_high());
        self.remove_entry(memory, keyspace, slot, hash_high, named.position, named.location);
    }

    fn nearest_named(&self, alarm: Alarm) -> Option<Named> {
        let local = usize::from(alarm.slot().wrapping_sub(self.slots.start));
        let table = self.keyspaces.get(usize::from(alarm.keyspace()))?.slots.get(local)?.table(alarm.hash_high());
        let mut nearest: Option<(u64, Location)> = None;
        table.find(&self.lines, alarm.hash_high(), |entry| {
            let record = self.log.record(entry.location()).filter(|record| record.hash_high() == alarm.hash_high());
            if let Some(deadline) = record.and_then(|record| record.expires_at_ms())
                && nearest.is_none_or(|(best, _)| deadline < best)
            {
                nearest = Some((deadline, entry.location()));
            }
            false
        });
        let (deadline_ms, location) = nearest?;
        let position = table.find(&self.lines, alarm.hash_high(), |entry| entry.location() == location)?;
        Some(Named { deadline_ms, position, location })
    }

    /// A step of the purge that drops alarms without items once they are the majority; true while one is under way.
    fn purge_step(&mut self, memory: &mut Memory, count_max: usize) -> bool {
        let wanted = self.volatile_total() as usize;
        if !self.wheel.is_purging() {
            // Alarms of one item in different lists survive a purge; do not begin another before as many came again.
            if self.wheel.len() <= (wanted * 2 + PURGE_SLACK).max(self.purge_at) {
                return false;
            }
            self.wheel.begin_purge();
        }
        for alarm in self.change_wheel(memory, |wheel, _| wheel.purge(count_max)) {
            if let Some(named) = self.nearest_named(alarm) {
                self.set_alarm(memory, alarm, named.deadline_ms);
            }
        }
        if !self.wheel.is_purging() {
            self.purge_at = self.wheel.len() + self.wheel.len() / 2;
        }
        self.wheel.is_purging()
    }
}
