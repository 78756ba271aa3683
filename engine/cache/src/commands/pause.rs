//! Waiting on purpose: CLIENT PAUSE, CLIENT UNPAUSE, WAIT.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::commands::client::SUBCOMMAND;
use crate::job::Job;
use crate::number;
use crate::spec::{Spec, category, flag};

pub(crate) const CLIENT_PAUSE: Spec = Spec {
    name: "client|pause",
    arity: -3,
    syntax: "timeout [mode: WRITE | ALL]",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::BARRIER,
    since: "3.0.0",
    summary: "Holds commands back for so many milliseconds: all, or those that write.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_UNPAUSE: Spec = Spec {
    name: "client|unpause",
    arity: 2,
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    since: "6.2.0",
    summary: "Ends a pause.",
    complexity: "O(N), N connections that wait",
    ..SUBCOMMAND
};

pub(crate) const WAIT: Spec = Spec {
    name: "wait",
    arity: 3,
    syntax: "numreplicas timeout",
    flags: flag::BLOCKING | flag::BARRIER,
    categories: category::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    group: "generic",
    since: "3.0.0",
    summary: "Waits until so many replicas have the writes before it; there are none yet.",
    ..Spec::PLAIN
};

pub(crate) fn pause(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let all = match call.args_from(3) {
        [] => true,
        [mode] if mode.bytes().eq_ignore_ascii_case(b"all") => true,
        [mode] if mode.bytes().eq_ignore_ascii_case(b"write") => false,
        _ => return Err(Refusal::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let until_us = deadline_us(cache, call.arg(2))?;
    cache.pause(until_us, all);
    reply.ok();
    Ok(())
}

pub(crate) fn unpause(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    cache.unpause();
    reply.ok();
}

pub(crate) fn wait(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Refusal> {
    let replicas = number::parse(call.arg(1)).ok_or(Refusal::NOT_INTEGER)?;
    let until_us = deadline_us(cache, call.arg(2))?;
    if replicas <= 0 {
        reply.integer(0);
        return Ok(Outcome::Done);
    }
    let has_end = until_us > cache.now.mono_us;
    Ok(Outcome::Job(Box::new(Job::wait(has_end.then_some(until_us)))))
}

/// The monotonic microsecond that so many milliseconds from now are.
fn deadline_us(cache: &Cache, ms: &[u8]) -> Result<u64, Refusal> {
    let ms = number::parse(ms).ok_or(Refusal::text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Refusal::text("ERR timeout is negative"))?;
    let until_us = ms.checked_mul(1000).and_then(|us| us.checked_add(cache.now.mono_us));
    until_us.ok_or(Refusal::text("ERR timeout is out of range"))
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn bad_timeouts_are_refused_as_in_redis() {
        check(&[
            ("CLIENT PAUSE abc", "-ERR timeout is not an integer or out of range"),
            ("CLIENT PAUSE -1", "-ERR timeout is negative"),
            ("CLIENT PAUSE 10 FOO", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("CLIENT UNPAUSE", "+OK"),
            ("WAIT x 10", "-ERR value is not an integer or out of range"),
            ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
            ("WAIT 1 -1", "-ERR timeout is negative"),
            ("WAIT 0 0", ":0"),
        ]);
    }

    #[test]
    fn a_pause_of_writes_holds_writes_back_until_it_ends() {
        for end in ["CLIENT UNPAUSE", "time"] {
            let mut rig = Rig::new();
            rig.check(&[("SET k 1", "+OK"), ("CLIENT PAUSE 100 WRITE", "+OK"), ("GET k", "'1'")]);
            let writer = rig.switch_client();
            let mut held = rig.begin("SET k 2");
            assert_eq!(rig.go_on(&mut held), None);
            let reader = rig.switch_to(writer);
            rig.check(&[("GET k", "'1'")]);
            assert!(rig.run("CLIENT LIST").contains("flags=b"));
            match end {
                "time" => rig.advance_ms(100),
                _ => rig.check(&[(end, "+OK")]),
            }
            rig.switch_to(reader);
            assert_eq!(rig.go_on(&mut held).as_deref(), Some("+OK"));
            rig.check(&[("GET k", "'2'"), ("SET k 3", "+OK")]);
        }
    }

    #[test]
    fn a_pause_of_all_holds_reads_back_but_not_its_end() {
        let mut rig = Rig::new();
        rig.check(&[("CLIENT PAUSE 1000", "+OK")]);
        let mut held = rig.begin("PING");
        assert_eq!(rig.go_on(&mut held), None);
        rig.check(&[("CLIENT UNPAUSE", "+OK")]);
        assert_eq!(rig.go_on(&mut held).as_deref(), Some("+PONG"));
    }

    #[test]
    fn a_pause_begins_after_the_transaction_that_asks_for_it() {
        let mut rig = Rig::new();
        rig.check(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("CLIENT PAUSE 100 WRITE", "+QUEUED"),
            ("SET b 1", "+QUEUED"),
            ("EXEC", "[+OK +OK +OK]"),
            ("MULTI", "+OK"),
        ]);
        let mut held = rig.begin("SET c 1");
        assert_eq!(rig.go_on(&mut held), None);
        rig.advance_ms(100);
        assert_eq!(rig.go_on(&mut held).as_deref(), Some("+QUEUED"));
        rig.check(&[("EXEC", "[+OK]")]);
    }

    #[test]
    fn nothing_expires_by_itself_while_clients_are_paused() {
        let mut rig = Rig::new();
        rig.check(&[("SET k 1 PX 10", "+OK"), ("CLIENT PAUSE 100 WRITE", "+OK")]);
        rig.advance_ms(50);
        rig.maintain();
        rig.check(&[("DBSIZE", ":1"), ("GET k", "nil")]);
        rig.advance_ms(50);
        rig.maintain();
        rig.check(&[("DBSIZE", ":0")]);
    }

    #[test]
    fn a_wait_for_replicas_ends_by_time_or_by_order() {
        for (end, expected) in [
            ("time", ":0"),
            ("CLIENT UNBLOCK 1", ":0"),
            ("CLIENT UNBLOCK 1 TIMEOUT", ":0"),
            ("CLIENT UNBLOCK 1 ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        ] {
            let mut rig = Rig::new();
            let mut wait = rig.begin("WAIT 1 500");
            assert_eq!(rig.go_on(&mut wait), None);
            let waiter = rig.switch_client();
            match end {
                "time" => rig.advance_ms(500),
                _ => rig.check(&[(end, ":1"), ("CLIENT UNBLOCK 99", ":0"), ("CLIENT UNBLOCK 2", ":0")]),
            }
            rig.switch_to(waiter);
            assert_eq!(rig.go_on(&mut wait).as_deref(), Some(expected), "{end}");
        }
        let mut rig = Rig::new();
        let mut wait = rig.begin("WAIT 1 0");
        rig.advance_ms(10_000_000);
        assert_eq!(rig.go_on(&mut wait), None, "0 is for ever");
    }

    /// A client that wants no replies had its held commands thrown away: what it did not want to read was finished at
    /// once, and a held command had nothing to finish.
    #[test]
    fn who_wants_no_reply_is_held_back_and_runs_afterwards() {
        for (quiet, next) in [("CLIENT REPLY OFF", ""), ("CLIENT REPLY SKIP", "+PONG")] {
            let mut rig = Rig::new();
            let pauser = rig.switch_client();
            rig.check(&[(quiet, "")]);
            let silent = rig.switch_to(pauser);
            rig.check(&[("CLIENT PAUSE 100 WRITE", "+OK")]);
            rig.switch_to(silent);
            let mut held = rig.begin("SET k v");
            assert_eq!(rig.go_on(&mut held), None);
            rig.advance_ms(100);
            assert_eq!(rig.go_on(&mut held).as_deref(), Some(""), "{quiet}");
            rig.check(&[("PING", next)]);
            rig.switch_to(pauser);
            rig.check(&[("GET k", "'v'")]);
        }
    }

    #[test]
    fn a_silent_wait_waits() {
        let mut rig = Rig::new();
        rig.check(&[("CLIENT REPLY SKIP", "")]);
        let mut wait = rig.begin("WAIT 1 50");
        assert_eq!(rig.go_on(&mut wait), None);
        rig.advance_ms(50);
        assert_eq!(rig.go_on(&mut wait).as_deref(), Some(""));
        rig.check(&[("PING", "+PONG")]);
    }

    /// WAIT inside EXEC wrote nothing, so the array of replies was one short and the next reply was taken for its last.
    #[test]
    fn inside_a_transaction_nothing_waits() {
        let mut rig = Rig::new();
        rig.check(&[("MULTI", "+OK"), ("WAIT 1 0", "+QUEUED"), ("WAIT 1 50", "+QUEUED"), ("EXEC", "[:0 :0]")]);
        assert!(!rig.run("CLIENT LIST").contains("flags=b"));
    }

    #[test]
    fn who_is_held_back_cannot_be_unblocked_even_if_it_has_waited_before() {
        let mut rig = Rig::new();
        let mut wait = rig.begin("WAIT 1 10");
        rig.advance_ms(10);
        assert_eq!(rig.go_on(&mut wait).as_deref(), Some(":0"));
        rig.check(&[("CLIENT PAUSE 100 WRITE", "+OK")]);
        let mut held = rig.begin("SET k v");
        let client = rig.switch_client();
        rig.check(&[("CLIENT UNBLOCK 1", ":0")]);
        rig.advance_ms(100);
        rig.switch_to(client);
        assert_eq!(rig.go_on(&mut held).as_deref(), Some("+OK"));
    }
}
