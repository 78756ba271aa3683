//! SET with all its options, and its older forms SETNX, SETEX, PSETEX.

use l1::Put;
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::conditions::Condition;
use crate::commands::expiry::{Unit, set_deadline_ms};
use crate::commands::strings::{reply_value, value_of};
use crate::number;
use crate::shard::Change;
use crate::spec::{ACCESS_INSERT, ACCESS_OVERWRITE, Keys, Spec, category, flag};

pub(crate) const SET: Spec = Spec {
    name: "set",
    arity: -3,
    syntax: "key value \
             [condition: NX | XX | IFEQ comparison-value | IFNE comparison-value | IFDEQ digest | IFDNE digest] \
             [GET] \
             [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds \
             | KEEPTTL]",
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::STRING,
    keys: Keys::one(&["RW", "access", "update", "variable_flags"]),
    group: "string",
    summary: "Sets a key, on conditions and with a deadline if asked to.",
    ..Spec::PLAIN
};

pub(crate) const SETNX: Spec = Spec {
    name: "setnx",
    arity: 3,
    syntax: "key value",
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    keys: Keys::one(ACCESS_INSERT),
    summary: "Sets a key that does not exist.",
    ..SET
};

pub(crate) const SETEX: Spec = Spec {
    name: "setex",
    arity: 4,
    syntax: "key seconds value",
    keys: Keys::one(ACCESS_OVERWRITE),
    since: "2.0.0",
    summary: "Sets a key that expires after so many seconds.",
    ..SET
};

pub(crate) const PSETEX: Spec = Spec {
    name: "psetex",
    syntax: "key milliseconds value",
    since: "2.6.0",
    summary: "Sets a key that expires after so many milliseconds.",
    ..SETEX
};

/// What SET was asked for beside key and value.
struct Options<'a> {
    condition: Condition<'a>,
    deadline: Deadline,
    /// GET: answer the old value.
    answer_old: bool,
}

/// When what is set expires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    Never,
    /// When what was there expires.
    Keep,
    AtMs(u64),
}

#[inline]
pub(crate) fn set(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.len() > 3 {
        return set_with_options(cache, call, reply);
    }
    let put = Put { value: value_of(call.request.args()[2]), expires_at_ms: None, flags: 0 };
    cache.commit(Change::Put { key: call.key(), put })?;
    reply.ok();
    Ok(())
}

pub(crate) fn setnx(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = call.key();
    let is_missing = cache.shards.get(&key, cache.now.unix_ms).is_none();
    if is_missing {
        let put = Put { value: value_of(call.request.args()[2]), expires_at_ms: None, flags: 0 };
        cache.commit(Change::Put { key, put })?;
    }
    reply.integer(i64::from(is_missing));
    Ok(())
}

pub(crate) fn setex(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    set_for(cache, call, Unit::Seconds, reply)
}

pub(crate) fn psetex(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    set_for(cache, call, Unit::Milliseconds, reply)
}

fn set_for(cache: &mut Cache, call: &Call<'_>, unit: Unit, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let number = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    let at_ms = set_deadline_ms(number, unit, cache.now.unix_ms).ok_or_else(|| invalid(call))?;
    let put = Put { value: value_of(call.request.args()[3]), expires_at_ms: Some(at_ms), flags: 0 };
    cache.commit(Change::Put { key: call.key(), put })?;
    reply.ok();
    Ok(())
}

fn set_with_options(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let now_ms = cache.now.unix_ms;
    let options = Options::parse(call, now_ms)?;
    let key = call.key();
    let old = if options.answer_old { cache.read(&key) } else { cache.shards.peek(&key, now_ms) };
    let wanted = options.condition.holds(old.as_ref().map(|item| item.value.bytes()));
    let old_deadline = old.as_ref().and_then(|item| item.expires_at_ms);
    if options.answer_old {
        match old {
            Some(item) => reply_value(reply, item.value),
            None => reply.null(),
        }
    }
    if wanted {
        let expires_at_ms = match options.deadline {
            Deadline::Never => None,
            Deadline::Keep => old_deadline,
            Deadline::AtMs(at_ms) => Some(at_ms),
        };
        let change = match expires_at_ms {
            Some(at_ms) if at_ms <= now_ms => Change::Remove { key },
            _ => Change::Put { key, put: Put { value: value_of(call.request.args()[2]), expires_at_ms, flags: 0 } },
        };
        cache.commit(change)?;
    }
    match (options.answer_old, wanted) {
        (true, _) => {}
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>, now_ms: u64) -> Result<Options<'a>, Refusal> {
        let (mut condition, mut answer_old) = (Condition::Always, false);
        let mut deadline = DeadlineOption::default();
        let mut rest = call.args_from(3).iter().map(|arg| arg.bytes());
        while let Some(option) = rest.next() {
            if option.eq_ignore_ascii_case(b"get") {
                answer_old = true;
            } else if deadline.take(option, &mut rest, b"keepttl") {
            } else if let Some(given) =
                existence(option).filter(|given| [Condition::Always, *given].contains(&condition))
            {
                condition = given;
            } else if condition == Condition::Always
                && let Some(given) = Condition::of_option(option, &mut rest)?
            {
                condition = given;
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        let keeps = deadline.keeps;
        let deadline = match deadline.resolve(call, now_ms)? {
            Some(at_ms) => Deadline::AtMs(at_ms),
            None if keeps => Deadline::Keep,
            None => Deadline::Never,
        };
        Ok(Options { condition, deadline, answer_old })
    }
}

/// NX and XX.
pub(super) fn existence(option: &[u8]) -> Option<Condition<'static>> {
    if option.eq_ignore_ascii_case(b"nx") {
        Some(Condition::IfMissing)
    } else if option.eq_ignore_ascii_case(b"xx") {
        Some(Condition::IfExists)
    } else {
        None
    }
}

/// EX, PX, EXAT, PXAT with a number, or the word that leaves or takes the deadline: one of them, or the same again.
#[derive(Clone, Copy, Default)]
pub(super) struct DeadlineOption<'a> {
    given: Option<(Unit, &'a [u8])>,
    /// The word was given.
    pub keeps: bool,
}

impl<'a> DeadlineOption<'a> {
    /// Takes `option`, its number from `rest`, or `word`. False if it is none of them, or does not go with the others.
    pub fn take(&mut self, option: &[u8], rest: &mut impl Iterator<Item = &'a [u8]>, word: &[u8]) -> bool {
        if option.eq_ignore_ascii_case(word) && self.given.is_none() {
            self.keeps = true;
            return true;
        }
        let Some(unit) = Unit::of_option(option) else { return false };
        if self.keeps || self.given.is_some_and(|(other, _)| other != unit) {
            return false;
        }
        self.given = rest.next().map(|number| (unit, number));
        self.given.is_some()
    }

    /// The deadline in Unix milliseconds. To be asked last: a syntax error further right goes before a bad number.
    pub fn resolve(self, call: &Call<'_>, now_ms: u64) -> Result<Option<u64>, Refusal> {
        let Some((unit, text)) = self.given else { return Ok(None) };
        let number = number::parse(text).ok_or(Refusal::NOT_INTEGER)?;
        set_deadline_ms(number, unit, now_ms).map(Some).ok_or_else(|| invalid(call))
    }
}

fn invalid(call: &Call<'_>) -> Refusal {
    Refusal::new(format!("ERR invalid expire time in '{}' command", call.command.name()))
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn conditions_decide_whether_to_set() {
        check(&[
            ("SET k v XX", "nil"),
            ("SET k v NX", "+OK"),
            ("SET k w NX", "nil"),
            ("SET k w XX", "+OK"),
            ("GET k", "'w'"),
            ("SET k v NX XX", "-ERR syntax error"),
            ("SET k v NX NX", "nil"),
        ]);
    }

    #[test]
    fn get_answers_the_old_value() {
        check(&[
            ("SET k v GET", "nil"),
            ("SET k w GET", "'v'"),
            ("SET k x NX GET", "'w'"),
            ("GET k", "'w'"),
            ("SET k x XX GET", "'w'"),
            ("GET k", "'x'"),
            ("SET none x XX GET", "nil"),
            ("EXISTS none", ":0"),
            ("SET none x NX GET", "nil"),
            ("EXISTS none", ":1"),
        ]);
    }

    #[test]
    fn deadlines_in_every_unit() {
        check(&[
            ("SET k v EX 10", "+OK"),
            ("PTTL k", ":10000"),
            ("SET k v PX 1500", "+OK"),
            ("PTTL k", ":1500"),
            ("SET k v", "+OK"),
            ("PTTL k", ":-1"),
            ("SET k v EXAT 1700000010", "+OK"),
            ("PTTL k", ":10000"),
            ("SET k v PXAT 1700000001234", "+OK"),
            ("PTTL k", ":1234"),
            ("SET k w KEEPTTL", "+OK"),
            ("PTTL k", ":1234"),
            ("GET k", "'w'"),
            ("SET new w KEEPTTL", "+OK"),
            ("PTTL new", ":-1"),
        ]);
    }

    #[test]
    fn a_value_is_gone_at_its_deadline() {
        let mut rig = Rig::new();
        rig.check(&[("SET k v PX 100", "+OK")]);
        rig.advance_ms(99);
        rig.check(&[("GET k", "'v'")]);
        rig.advance_ms(1);
        rig.check(&[
            ("GET k", "nil"),
            ("EXISTS k", ":0"),
            ("SET k w XX", "nil"),
            ("SET k w NX", "+OK"),
            ("TTL k", ":-1"),
        ]);
    }

    #[test]
    fn keepttl_of_an_expired_value_keeps_nothing() {
        let mut rig = Rig::new();
        rig.check(&[("SET k v PX 100", "+OK")]);
        rig.advance_ms(101);
        rig.check(&[("SET k w KEEPTTL GET", "nil"), ("GET k", "'w'"), ("TTL k", ":-1")]);
    }

    #[test]
    fn a_deadline_in_the_past_removes() {
        check(&[
            ("SET k v", "+OK"),
            ("SET k w EXAT 1", "+OK"),
            ("EXISTS k", ":0"),
            ("SET k v", "+OK"),
            ("SET k w PXAT 1699999999999 GET", "'v'"),
            ("EXISTS k", ":0"),
        ]);
    }

    #[test]
    fn older_forms() {
        check(&[
            ("SETNX k v", ":1"),
            ("SETNX k w", ":0"),
            ("GET k", "'v'"),
            ("SETEX k 10 w", "+OK"),
            ("PTTL k", ":10000"),
            ("SETNX k x", ":0"),
            ("PSETEX k 1500 x", "+OK"),
            ("PTTL k", ":1500"),
            ("GET k", "'x'"),
            ("SETEX k 0 y", "-ERR invalid expire time in 'setex' command"),
            ("SETEX k -10 y", "-ERR invalid expire time in 'setex' command"),
            ("SETEX k 9223372036854775807 y", "-ERR invalid expire time in 'setex' command"),
            ("SETEX k x y", "-ERR value is not an integer or out of range"),
            ("PSETEX k 0 y", "-ERR invalid expire time in 'psetex' command"),
            ("SETEX k 10", "-ERR wrong number of arguments for 'setex' command"),
            ("GET k", "'x'"),
        ]);
    }

    #[test]
    fn setnx_takes_the_place_of_what_has_expired() {
        let mut rig = Rig::new();
        rig.check(&[("SETEX k 1 v", "+OK")]);
        rig.advance_ms(1000);
        rig.check(&[("SETNX k w", ":1"), ("GET k", "'w'"), ("TTL k", ":-1")]);
    }

    #[test]
    fn bad_options_are_refused_as_in_redis() {
        check(&[
            ("SET k", "-ERR wrong number of arguments for 'set' command"),
            ("SET k v FOO", "-ERR syntax error"),
            ("SET k v EX", "-ERR syntax error"),
            ("SET k v EX 10 PX 10", "-ERR syntax error"),
            ("SET k v EX 10 KEEPTTL", "-ERR syntax error"),
            ("SET k v KEEPTTL EX 10", "-ERR syntax error"),
            ("SET k v EX x FOO", "-ERR syntax error"),
            ("SET k v EX x", "-ERR value is not an integer or out of range"),
            ("SET k v EX 1.5", "-ERR value is not an integer or out of range"),
            ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
            ("SET k v EX -1", "-ERR invalid expire time in 'set' command"),
            ("SET k v PX 0", "-ERR invalid expire time in 'set' command"),
            ("SET k v EXAT 0", "-ERR invalid expire time in 'set' command"),
            ("SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
            ("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
            ("SET k v EX 9223372036854775808", "-ERR value is not an integer or out of range"),
            ("SET k v PXAT 9223372036854775807", "+OK"),
            ("SET k v EX 10 EX 20", "+OK"),
            ("TTL k", ":20"),
        ]);
    }
}
