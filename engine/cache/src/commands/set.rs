//! SET with all its options.

use l1::Put;
use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::commands::expiry::{Unit, set_deadline_ms};
use crate::commands::strings::{reply_value, value_of};
use crate::number;
use crate::shard::Change;
use crate::spec::{Keys, Spec, category, flag};

pub(crate) const SET: Spec = Spec {
    name: "set",
    arity: -3,
    flags: flag::WRITE | flag::DENYOOM,
    categories: category::STRING,
    keys: Keys::one(&["RW", "access", "update", "variable_flags"]),
    group: "string",
    summary: "Sets a key, on conditions and with a deadline if asked to.",
    ..Spec::PLAIN
};

/// What SET was asked for beside key and value.
struct Options {
    condition: Condition,
    deadline: Deadline,
    /// GET: answer the old value.
    answer_old: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfMissing,
    IfExists,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Never,
    Keep,
    AtMs(u64),
}

#[inline]
pub(crate) fn set(cache: &mut Cache, call: Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.len() > 3 {
        return set_with_options(cache, call, reply);
    }
    let put = Put { value: value_of(call.request.args()[2]), expires_at_ms: None, flags: 0 };
    cache.commit(Change::Put { key: call.key(), put })?;
    reply.ok();
    Ok(())
}

fn set_with_options(cache: &mut Cache, call: Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let now_ms = cache.now.unix_ms;
    let options = Options::parse(call, now_ms)?;
    let key = call.key();
    let old = if options.answer_old { cache.read(&key) } else { cache.shards.peek(&key, now_ms) };
    let exists = old.is_some();
    let old_deadline = old.as_ref().and_then(|item| item.expires_at_ms);
    if options.answer_old {
        match old {
            Some(item) => reply_value(reply, item.value),
            None => reply.null(),
        }
    }
    let wanted = match options.condition {
        Condition::Always => true,
        Condition::IfMissing => !exists,
        Condition::IfExists => exists,
    };
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

impl Options {
    fn parse(call: Call<'_>, now_ms: u64) -> Result<Options, Refusal> {
        let mut options = Options { condition: Condition::Always, deadline: Deadline::Never, answer_old: false };
        // The deadline's number is read last: a syntax error further right goes first.
        let mut given_deadline: Option<(Unit, &[u8])> = None;
        let mut rest = call.args_from(3).iter().map(|arg| arg.bytes());
        while let Some(option) = rest.next() {
            if option.eq_ignore_ascii_case(b"nx") && options.condition != Condition::IfExists {
                options.condition = Condition::IfMissing;
            } else if option.eq_ignore_ascii_case(b"xx") && options.condition != Condition::IfMissing {
                options.condition = Condition::IfExists;
            } else if option.eq_ignore_ascii_case(b"get") {
                options.answer_old = true;
            } else if option.eq_ignore_ascii_case(b"keepttl") && given_deadline.is_none() {
                options.deadline = Deadline::Keep;
            } else if let Some(unit) = Unit::of_option(option)
                && given_deadline.is_none_or(|(other, _)| other == unit)
                && options.deadline != Deadline::Keep
            {
                given_deadline = Some((unit, rest.next().ok_or(Refusal::SYNTAX)?));
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        if let Some((unit, text)) = given_deadline {
            let number = number::parse(text).ok_or(Refusal::NOT_INTEGER)?;
            options.deadline = Deadline::AtMs(set_deadline_ms(number, unit, now_ms).ok_or_else(|| invalid(call))?);
        }
        Ok(options)
    }
}

fn invalid(call: Call<'_>) -> Refusal {
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
