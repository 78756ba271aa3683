//! Deadlines: EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST.
//!
//! Invariants
//! - A deadline is Unix milliseconds; an item is gone from that millisecond on.
//! - A deadline that is not in the future removes the item at once.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::number;
use crate::shard::Change;
use crate::spec::{ACCESS_READ, ACCESS_UPDATE, Keys, Spec, category, flag};

const DEADLINE: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::FAST,
    categories: category::KEYSPACE,
    keys: Keys::one(ACCESS_UPDATE),
    group: "generic",
    ..Spec::PLAIN
};

pub(crate) const EXPIRE: Spec = Spec {
    name: "expire",
    syntax: "key seconds [condition: NX | XX | GT | LT]",
    summary: "Lets a key expire after so many seconds.",
    ..DEADLINE
};

pub(crate) const PEXPIRE: Spec = Spec {
    name: "pexpire",
    syntax: "key milliseconds [condition: NX | XX | GT | LT]",
    since: "2.6.0",
    summary: "Lets a key expire after so many milliseconds.",
    ..DEADLINE
};

pub(crate) const EXPIREAT: Spec = Spec {
    name: "expireat",
    syntax: "key unix-time-seconds [condition: NX | XX | GT | LT]",
    since: "1.2.0",
    summary: "Lets a key expire at a Unix time in seconds.",
    ..DEADLINE
};

pub(crate) const PEXPIREAT: Spec = Spec {
    name: "pexpireat",
    syntax: "key unix-time-milliseconds [condition: NX | XX | GT | LT]",
    since: "2.6.0",
    summary: "Lets a key expire at a Unix time in milliseconds.",
    ..DEADLINE
};

pub(crate) const PERSIST: Spec = Spec {
    name: "persist",
    arity: 2,
    syntax: "key",
    since: "2.2.0",
    summary: "Takes a key's deadline away.",
    ..DEADLINE
};

pub(crate) const TTL: Spec = Spec {
    name: "ttl",
    arity: 2,
    syntax: "key",
    flags: flag::READONLY | flag::FAST,
    keys: Keys::one(ACCESS_READ),
    tips: &["nondeterministic_output"],
    summary: "Answers the seconds until a key expires; -1 for never, -2 for no such key.",
    ..DEADLINE
};

pub(crate) const PTTL: Spec = Spec {
    name: "pttl",
    since: "2.6.0",
    summary: "Answers the milliseconds until a key expires; -1 for never, -2 for no such key.",
    ..TTL
};

pub(crate) const EXPIRETIME: Spec = Spec {
    name: "expiretime",
    since: "7.0.0",
    tips: &[],
    summary: "Answers when a key expires, in Unix seconds; -1 for never, -2 for no such key.",
    ..TTL
};

pub(crate) const PEXPIRETIME: Spec = Spec {
    name: "pexpiretime",
    summary: "Answers when a key expires, in Unix milliseconds; -1 for never, -2 for no such key.",
    ..EXPIRETIME
};

/// How a deadline is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Unit {
    /// The unit that an option of SET names.
    pub fn of_option(option: &[u8]) -> Option<Unit> {
        let units: [(&[u8], Unit); 4] = [
            (b"ex", Unit::Seconds),
            (b"px", Unit::Milliseconds),
            (b"exat", Unit::UnixSeconds),
            (b"pxat", Unit::UnixMilliseconds),
        ];
        units.iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit)
    }

    /// The Unix milliseconds that `number` of this unit means; `None` if they overflow. May be negative.
    fn deadline_ms(self, number: i64, now_ms: u64) -> Option<i64> {
        let now_ms = i64::try_from(now_ms).expect("the clock is before the year 292278994");
        match self {
            Unit::Seconds => number.checked_mul(1000)?.checked_add(now_ms),
            Unit::Milliseconds => number.checked_add(now_ms),
            Unit::UnixSeconds => number.checked_mul(1000),
            Unit::UnixMilliseconds => Some(number),
        }
    }
}

/// The deadline that SET's `number` means; `None` if it is zero, negative or overflows.
pub(crate) fn set_deadline_ms(number: i64, unit: Unit, now_ms: u64) -> Option<u64> {
    if number <= 0 {
        return None;
    }
    u64::try_from(unit.deadline_ms(number, now_ms)?).ok()
}

pub(crate) fn expire(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    change_deadline(cache, call, Unit::Seconds, reply)
}

pub(crate) fn pexpire(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    change_deadline(cache, call, Unit::Milliseconds, reply)
}

pub(crate) fn expireat(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    change_deadline(cache, call, Unit::UnixSeconds, reply)
}

pub(crate) fn pexpireat(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    change_deadline(cache, call, Unit::UnixMilliseconds, reply)
}

pub(crate) fn persist(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = call.key();
    let volatile = cache.shards.peek(&key, cache.now.unix_ms).is_some_and(|item| item.expires_at_ms.is_some());
    // Making room for the change may evict the very item: then there is none to persist.
    let persisted = volatile && cache.commit(Change::Expire { key, at_ms: None })?;
    reply.integer(i64::from(persisted));
    Ok(())
}

/// Seconds are rounded to the nearest.
const HALF_SECOND_MS: i64 = 500;

pub(crate) fn ttl(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    answer_deadline(cache, call, reply, |at_ms, now_ms| (at_ms - now_ms + HALF_SECOND_MS) / 1000);
}

pub(crate) fn pttl(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    answer_deadline(cache, call, reply, |at_ms, now_ms| at_ms - now_ms);
}

pub(crate) fn expiretime(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    answer_deadline(cache, call, reply, |at_ms, _| at_ms / 1000 + i64::from(at_ms % 1000 >= HALF_SECOND_MS));
}

pub(crate) fn pexpiretime(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    answer_deadline(cache, call, reply, |at_ms, _| at_ms);
}

/// Answers what `in_unit` makes of the key's deadline and the time now, in Unix milliseconds.
fn answer_deadline(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>, in_unit: impl FnOnce(i64, i64) -> i64) {
    let signed = |ms: u64| i64::try_from(ms).expect("deadlines and clocks are within i64");
    let now_ms = cache.now.unix_ms;
    reply.integer(match cache.shards.peek(&call.key(), now_ms).map(|item| item.expires_at_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => in_unit(signed(at_ms), signed(now_ms)),
    });
}

/// NX, XX, GT, LT: when a deadline may change.
#[derive(Clone, Copy, Default)]
struct Conditions {
    only_if_none: bool,
    only_if_any: bool,
    only_later: bool,
    only_earlier: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Conditions, Refusal> {
        let mut conditions = Conditions::default();
        for arg in call.args_from(3) {
            let option = arg.bytes();
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => conditions.only_if_none = true,
                b"xx" => conditions.only_if_any = true,
                b"gt" => conditions.only_later = true,
                b"lt" => conditions.only_earlier = true,
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(Refusal::new(format!("ERR Unsupported option {option}")));
                }
            }
        }
        let Conditions { only_if_none, only_if_any, only_later, only_earlier } = conditions;
        if only_if_none && (only_if_any || only_later || only_earlier) {
            return Err(Refusal::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if only_later && only_earlier {
            return Err(Refusal::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether `old` may become `new`. No deadline counts as later than any.
    fn allow(self, old: Option<u64>, new: i64) -> bool {
        // Deadlines come from `i64`, so the conversion keeps their order.
        let old = old.map(|at_ms| i64::try_from(at_ms).unwrap_or(i64::MAX));
        !(self.only_if_none && old.is_some()
            || self.only_if_any && old.is_none()
            || self.only_later && old.is_none_or(|old| new <= old)
            || self.only_earlier && old.is_some_and(|old| new >= old))
    }
}

fn change_deadline(cache: &mut Cache, call: &Call<'_>, unit: Unit, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let conditions = Conditions::parse(call)?;
    let number = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let now_ms = cache.now.unix_ms;
    let Some(at_ms) = unit.deadline_ms(number, now_ms) else {
        return Err(Refusal::new(format!("ERR invalid expire time in '{}' command", call.command.name())));
    };
    let key = call.key();
    let old = cache.shards.peek(&key, now_ms).map(|item| item.expires_at_ms);
    let Some(old_deadline) = old.filter(|old| conditions.allow(*old, at_ms)) else {
        reply.integer(0);
        return Ok(());
    };
    let change = match u64::try_from(at_ms) {
        Ok(at_ms) if at_ms > now_ms => Change::Expire { key, at_ms: Some(at_ms) },
        Ok(_) | Err(_) => Change::Remove { key },
    };
    debug_assert!(old_deadline.is_none_or(|at_ms| at_ms > now_ms), "an expired item was found");
    let changed = cache.commit(change)?;
    reply.integer(i64::from(changed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn deadlines_are_set_read_and_removed() {
        check(&[
            ("TTL k", ":-2"),
            ("PTTL k", ":-2"),
            ("EXPIRE k 10", ":0"),
            ("PERSIST k", ":0"),
            ("SET k v", "+OK"),
            ("TTL k", ":-1"),
            ("PERSIST k", ":0"),
            ("EXPIRE k 10", ":1"),
            ("PTTL k", ":10000"),
            ("PEXPIRE k 1499", ":1"),
            ("TTL k", ":1"),
            ("PEXPIRE k 1500", ":1"),
            ("TTL k", ":2"),
            ("EXPIREAT k 1700000100", ":1"),
            ("PTTL k", ":100000"),
            ("PEXPIREAT k 1700000000001", ":1"),
            ("PTTL k", ":1"),
            ("PERSIST k", ":1"),
            ("TTL k", ":-1"),
            ("GET k", "'v'"),
        ]);
    }

    #[test]
    fn a_deadline_in_the_past_removes() {
        check(&[
            ("MSET a 1 b 2 c 3 d 4", "+OK"),
            ("EXPIRE a 0", ":1"),
            ("EXPIRE b -1", ":1"),
            ("EXPIREAT c 1", ":1"),
            ("PEXPIREAT d 1700000000000", ":1"),
            ("DBSIZE", ":0"),
        ]);
    }

    #[test]
    fn conditions_decide_whether_to_change() {
        check(&[
            ("SET k v", "+OK"),
            ("EXPIRE k 10 XX", ":0"),
            ("EXPIRE k 10 GT", ":0"),
            ("EXPIRE k 10 NX", ":1"),
            ("EXPIRE k 20 NX", ":0"),
            ("EXPIRE k 20 LT", ":0"),
            ("EXPIRE k 10 LT", ":0"),
            ("EXPIRE k 10 GT", ":0"),
            ("EXPIRE k 20 GT", ":1"),
            ("TTL k", ":20"),
            ("EXPIRE k 15 xx lt", ":1"),
            ("TTL k", ":15"),
            ("EXPIRE k -1 GT", ":0"),
            ("PERSIST k", ":1"),
            ("EXPIRE k 10 LT", ":1"),
            ("PERSIST k", ":1"),
            ("EXPIRE k 10 XX LT", ":0"),
        ]);
    }

    #[test]
    fn bad_deadlines_are_refused_as_in_redis() {
        check(&[
            ("SET k v", "+OK"),
            ("EXPIRE k", "-ERR wrong number of arguments for 'expire' command"),
            ("EXPIRE k x", "-ERR value is not an integer or out of range"),
            ("EXPIRE k 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
            ("EXPIRE k 10 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
            ("EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible"),
            ("EXPIRE k 10 FOO", "-ERR Unsupported option FOO"),
            ("EXPIRE k x FOO", "-ERR Unsupported option FOO"),
            ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
            ("EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command"),
            ("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
            ("EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command"),
            ("TTL k", ":-1"),
            ("PEXPIREAT k 9223372036854775807", ":1"),
            ("PTTL k", ":9223370336854775807"),
        ]);
    }

    #[test]
    fn a_later_deadline_replaces_an_earlier_one() {
        let mut rig = Rig::new();
        rig.check(&[("SET k v PX 100", "+OK"), ("PEXPIRE k 1000", ":1")]);
        rig.advance_ms(999);
        rig.check(&[("GET k", "'v'"), ("PERSIST k", ":1")]);
        rig.advance_ms(10_000);
        rig.check(&[("GET k", "'v'"), ("DBSIZE", ":1")]);
    }

    #[test]
    fn upkeep_removes_what_nobody_reads() {
        let mut rig = Rig::new();
        for i in 0..100 {
            rig.check(&[(&format!("SET k{i} v PX {}", 1 + i), "+OK")]);
        }
        rig.check(&[("SET stays v", "+OK"), ("DBSIZE", ":101")]);
        rig.advance_ms(200);
        rig.maintain();
        rig.check(&[("DBSIZE", ":1")]);
    }

    /// To round it by adding half a second overflowed.
    #[test]
    fn the_last_deadline_is_told_in_seconds() {
        check(&[
            ("SET k v", "+OK"),
            ("PEXPIREAT k 9223372036854775807", ":1"),
            ("PEXPIRETIME k", ":9223372036854775807"),
            ("EXPIRETIME k", ":9223372036854776"),
            ("PEXPIREAT k 9223372036854775499", ":1"),
            ("EXPIRETIME k", ":9223372036854775"),
        ]);
    }
}
