//! Model: what one key may be, and what a touch may make of it.
//!
//! `touch` is the specification of the commands: from a state, all states that may follow if the server answered as it
//! did. Usually that is one; it is none if the answer is wrong.
//!
//! Absent on purpose: how the server does any of it, and the order of touches, which is the oracle's.

use bytes::Bytes;

use crate::command::{Deadline, ExpireIf, SetIf, Touch};
use crate::reply::Reply;

/// A key's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no such key.
    Missing,
    /// There is.
    Present {
        /// Its value.
        value: Bytes,
        /// Its deadline, in Unix milliseconds.
        expires_at_ms: Option<u64>,
    },
}

/// Which keys may be gone because memory is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicts {
    /// None.
    Nothing,
    /// Those with a deadline.
    Volatile,
    /// Any.
    Anything,
}

/// What the world allows at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The time of the tick.
    pub now_ms: u64,
    /// The same on the clock that is never set, in microseconds.
    pub now_us: u64,
    /// Keys that may be gone.
    pub evicts: Evicts,
    /// Any write may be refused with OOM: memory is small.
    pub refuses: bool,
    /// A reply of many values may be refused: what a client may be owed is limited.
    pub limits_replies: bool,
}

impl State {
    /// True if it may be gone before its time.
    pub fn may_be_evicted(&self, rules: Rules) -> bool {
        match rules.evicts {
            Evicts::Nothing => false,
            Evicts::Volatile => deadline_of(self).is_some(),
            Evicts::Anything => true,
        }
    }

    /// True if the key exists at `now_ms`.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        match self {
            State::Missing => false,
            State::Present { expires_at_ms, .. } => expires_at_ms.is_none_or(|at_ms| at_ms > now_ms),
        }
    }
}

/// A correct answer.
enum Expect {
    Ok,
    Integer(i64),
    Bulk(Bytes),
    Null,
    Simple(&'static str),
    Error(&'static str),
}

impl Expect {
    fn is(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Expect::Ok, Reply::Simple(text)) => &text[..] == b"OK",
            (Expect::Simple(expected), Reply::Simple(text)) => text == expected.as_bytes(),
            (Expect::Integer(expected), Reply::Integer(number)) => number == expected,
            (Expect::Bulk(expected), Reply::Bulk(bytes)) => bytes == expected,
            (Expect::Null, Reply::Null2 | Reply::Null3) => true,
            (Expect::Error(expected), Reply::Error(text)) => text.starts_with(expected.as_bytes()),
            _ => false,
        }
    }
}

/// The states that may follow `state` after `touch` was answered with `reply` (`None`: the answer is unknown).
pub fn touch(state: &State, touch: &Touch, reply: Option<&Reply>, rules: Rules) -> Vec<State> {
    let is = |expected: &Expect| reply.is_none_or(|reply| expected.is(reply));
    let mut views = Vec::new();
    let alive = state.is_alive(rules.now_ms);
    if alive {
        views.push(state.clone());
    }
    if !alive || state.may_be_evicted(rules) {
        views.push(State::Missing);
    }
    let mut next = Vec::new();
    for view in views {
        let (after, expected) = apply(&view, touch, rules.now_ms);
        // What has expired is as good as missing, but DBSIZE counts it until it is removed.
        let same = if alive { view } else { state.clone() };
        let lingers = !alive && after == State::Missing && !matches!(touch, Touch::Delete | Touch::Flush);
        if *touch == Touch::Counted && lingers && same != State::Missing && is(&Expect::Integer(1)) {
            next.push(same.clone());
        }
        if rules.refuses && is_write(touch) && is(&Expect::Error("OOM ")) {
            next.push(same.clone());
        }
        if is(&expected) {
            next.push(if lingers { same } else { after });
        }
    }
    next.dedup();
    next
}

/// True if a touch may need memory.
fn is_write(touch: &Touch) -> bool {
    match touch {
        Touch::Set { .. } | Touch::Add(_) | Touch::Append(_) | Touch::Incr(_) | Touch::Decr(_) => true,
        Touch::ExpireSeconds(..) | Touch::ExpireMillis(..) | Touch::Persist => true,
        Touch::Get | Touch::Strlen | Touch::Delete | Touch::Exists | Touch::TtlSeconds | Touch::TtlMillis => false,
        Touch::Type | Touch::Flush | Touch::Listed | Touch::Counted => false,
    }
}

/// What a touch makes of a state, and the right answer.
fn apply(state: &State, touch: &Touch, now_ms: u64) -> (State, Expect) {
    match touch {
        Touch::Set { value, condition, deadline, answer_old } => {
            set(state, value, *condition, *deadline, *answer_old, now_ms)
        }
        Touch::Add(amount) => add(state, *amount),
        Touch::Incr(delta) => change(state, |number| number.wrapping_add(*delta)),
        Touch::Decr(delta) => change(state, |number| number.saturating_sub(*delta)),
        Touch::Append(tail) => append(state, tail),
        Touch::ExpireSeconds(seconds, condition) => {
            expire(state, now_ms as i64 + i64::from(*seconds) * 1000, *condition, now_ms)
        }
        Touch::ExpireMillis(millis, condition) => expire(state, now_ms as i64 + i64::from(*millis), *condition, now_ms),
        Touch::Persist => persist(state),
        Touch::Delete => (State::Missing, presence(state)),
        Touch::Flush => (State::Missing, Expect::Ok),
        Touch::Exists | Touch::Listed | Touch::Counted => (state.clone(), presence(state)),
        Touch::Get => (state.clone(), value_of(state)),
        Touch::Strlen => (state.clone(), Expect::Integer(bytes_of(state).len() as i64)),
        Touch::TtlSeconds => (state.clone(), ttl(state, |left_ms| (left_ms + 500) / 1000, now_ms)),
        Touch::TtlMillis => (state.clone(), ttl(state, |left_ms| left_ms, now_ms)),
        Touch::Type => {
            let name = if *state == State::Missing { "none" } else { "string" };
            (state.clone(), Expect::Simple(name))
        }
    }
}

fn presence(state: &State) -> Expect {
    Expect::Integer(i64::from(*state != State::Missing))
}

fn value_of(state: &State) -> Expect {
    match state {
        State::Missing => Expect::Null,
        State::Present { value, .. } => Expect::Bulk(value.clone()),
    }
}

fn bytes_of(state: &State) -> &[u8] {
    match state {
        State::Missing => b"",
        State::Present { value, .. } => value,
    }
}

fn deadline_of(state: &State) -> Option<u64> {
    match state {
        State::Missing => None,
        State::Present { expires_at_ms, .. } => *expires_at_ms,
    }
}

fn set(
    state: &State,
    value: &Bytes,
    condition: SetIf,
    deadline: Deadline,
    answer_old: bool,
    now_ms: u64,
) -> (State, Expect) {
    let exists = *state != State::Missing;
    let writes = match condition {
        SetIf::Always => true,
        SetIf::Missing => !exists,
        SetIf::Exists => exists,
    };
    let expected = match (answer_old, writes) {
        (true, _) => value_of(state),
        (false, true) => Expect::Ok,
        (false, false) => Expect::Null,
    };
    if !writes {
        return (state.clone(), expected);
    }
    let expires_at_ms = match deadline {
        Deadline::Never => None,
        Deadline::Keep => deadline_of(state),
        Deadline::Seconds(seconds) => Some(now_ms + u64::from(seconds) * 1000),
        Deadline::Millis(millis) => Some(now_ms + u64::from(millis)),
        Deadline::AtMs(at_ms) => Some(at_ms),
    };
    if expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
        return (State::Missing, expected);
    }
    (State::Present { value: value.clone(), expires_at_ms }, expected)
}

fn add(state: &State, amount: i64) -> (State, Expect) {
    let old = match state {
        State::Missing => Some(0),
        State::Present { value, .. } => number(value),
    };
    let Some(old) = old else {
        return (state.clone(), Expect::Error("ERR value is not an integer or out of range"));
    };
    match old.checked_add(amount) {
        None => (state.clone(), Expect::Error("ERR increment or decrement would overflow")),
        Some(new) => {
            let value = Bytes::from(new.to_string());
            (State::Present { value, expires_at_ms: deadline_of(state) }, Expect::Integer(new))
        }
    }
}

/// memcached's incr and decr: the text keeps at least its length.
fn change(state: &State, new: impl Fn(u64) -> u64) -> (State, Expect) {
    let State::Present { value, expires_at_ms } = state else { return (State::Missing, Expect::Null) };
    let text = String::from_utf8_lossy(value);
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let text = text.split([' ', '\t', '\n', '\r', '\x0b', '\x0c']).next().unwrap_or_default();
    let Ok(old) = text.parse::<u64>() else {
        return (state.clone(), Expect::Error("CLIENT_ERROR cannot increment or decrement non-numeric value"));
    };
    let digits = new(old).to_string();
    let value = Bytes::from(format!("{digits:width$}", width = value.len()));
    (State::Present { value, expires_at_ms: *expires_at_ms }, Expect::Bulk(Bytes::from(digits)))
}

/// The number that a value is the one decimal text of.
fn number(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

fn append(state: &State, tail: &Bytes) -> (State, Expect) {
    let value = Bytes::from([bytes_of(state), &tail[..]].concat());
    let length = value.len() as i64;
    (State::Present { value, expires_at_ms: deadline_of(state) }, Expect::Integer(length))
}

fn expire(state: &State, at_ms: i64, condition: ExpireIf, now_ms: u64) -> (State, Expect) {
    let State::Present { value, expires_at_ms } = state else { return (State::Missing, Expect::Integer(0)) };
    let old_ms = expires_at_ms.map(|old_ms| old_ms as i64);
    let changes = match condition {
        ExpireIf::Always => true,
        ExpireIf::None => old_ms.is_none(),
        ExpireIf::Any => old_ms.is_some(),
        ExpireIf::Later => old_ms.is_some_and(|old_ms| at_ms > old_ms),
        ExpireIf::Earlier => old_ms.is_none_or(|old_ms| at_ms < old_ms),
    };
    if !changes {
        return (state.clone(), Expect::Integer(0));
    }
    if at_ms <= now_ms as i64 {
        return (State::Missing, Expect::Integer(1));
    }
    (State::Present { value: value.clone(), expires_at_ms: Some(at_ms as u64) }, Expect::Integer(1))
}

fn persist(state: &State) -> (State, Expect) {
    match state {
        State::Present { value, expires_at_ms: Some(_) } => {
            (State::Present { value: value.clone(), expires_at_ms: None }, Expect::Integer(1))
        }
        State::Present { expires_at_ms: None, .. } | State::Missing => (state.clone(), Expect::Integer(0)),
    }
}

fn ttl(state: &State, unit: impl Fn(i64) -> i64, now_ms: u64) -> Expect {
    Expect::Integer(match state {
        State::Missing => -2,
        State::Present { expires_at_ms: None, .. } => -1,
        State::Present { expires_at_ms: Some(at_ms), .. } => unit((at_ms - now_ms) as i64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Rules =
        Rules { now_ms: 1_000, now_us: 0, evicts: Evicts::Nothing, refuses: false, limits_replies: false };

    fn present(value: &'static str, expires_at_ms: Option<u64>) -> State {
        State::Present { value: Bytes::from_static(value.as_bytes()), expires_at_ms }
    }

    fn bulk(value: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn a_wrong_answer_leaves_no_state() {
        let state = present("a", None);
        assert_eq!(touch(&state, &Touch::Get, Some(&bulk("a")), CALM), std::slice::from_ref(&state));
        assert!(touch(&state, &Touch::Get, Some(&bulk("b")), CALM).is_empty());
        assert!(touch(&state, &Touch::Get, Some(&Reply::Null2), CALM).is_empty());
    }

    #[test]
    fn what_has_expired_is_missing_from_its_deadline_on() {
        let at = |expires_at_ms| touch(&present("a", Some(expires_at_ms)), &Touch::Get, Some(&Reply::Null2), CALM);
        assert!(at(1_001).is_empty());
        assert_eq!(at(1_000), [present("a", Some(1_000))], "until upkeep removes it, DBSIZE counts it");
    }

    #[test]
    fn an_evicted_key_does_not_come_back() {
        let rules = Rules { evicts: Evicts::Anything, ..CALM };
        let state = present("a", None);
        assert_eq!(touch(&state, &Touch::Get, Some(&Reply::Null2), rules), [State::Missing]);
        assert!(touch(&State::Missing, &Touch::Get, Some(&bulk("a")), rules).is_empty());
    }

    #[test]
    fn only_a_key_with_a_deadline_is_evicted_if_the_policy_says_so() {
        let rules = Rules { evicts: Evicts::Volatile, ..CALM };
        assert!(touch(&present("a", None), &Touch::Get, Some(&Reply::Null2), rules).is_empty());
        assert_eq!(touch(&present("a", Some(9_000)), &Touch::Get, Some(&Reply::Null2), rules), [State::Missing]);
    }

    #[test]
    fn a_refused_write_leaves_the_old_value() {
        let rules = Rules { refuses: true, ..CALM };
        let refusal = Reply::Error(Bytes::from_static(b"OOM command not allowed"));
        let add = Touch::Add(1);
        assert_eq!(touch(&present("1", None), &add, Some(&refusal), rules), [present("1", None)]);
        assert!(touch(&present("1", None), &add, Some(&refusal), CALM).is_empty());
        assert_eq!(touch(&present("1", None), &add, None, rules), [present("1", None), present("2", None)]);
    }
}
