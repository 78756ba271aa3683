//! MONITOR: every command that any client runs, as text.

use protocol::Reply;

use crate::cache::Cache;
use crate::call::Call;
use crate::spec::{Spec, flag};

pub(crate) const MONITOR: Spec = Spec {
    name: "monitor",
    arity: 1,
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    summary: "Shows every command that any client runs, until RESET or the end of the connection.",
    ..Spec::PLAIN
};

pub(crate) fn monitor(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    cache.begin_monitor(call.client);
    reply.ok();
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::rig::Rig;

    /// What monitors have got since the last call.
    fn shown(rig: &mut Rig) -> Vec<String> {
        let mut text = Vec::new();
        for effect in rig.cache.take_effects() {
            if let Effect::Send(_, bytes) = effect {
                text.extend_from_slice(&bytes);
            }
        }
        let text = String::from_utf8(text).expect("lines are text");
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_monitor_sees_commands_and_where_they_come_from() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK")]);
        rig.switch_client();
        rig.check(&[
            ("SELECT 3", "+OK"),
            ("SET k 'a \"b\\\t\u{1}'", "+OK"),
            ("CONFIG GET port", "..."),
            ("FOO", "..."),
        ]);
        assert_eq!(
            shown(&mut rig),
            [
                "+1700000000.000000 [0 127.0.0.1:50002] \"SELECT\" \"3\"",
                "+1700000000.000000 [3 127.0.0.1:50002] \"SET\" \"k\" \"a \\\"b\\\\\\t\\x01\"",
            ],
            "administration and unknown commands are not shown"
        );
    }

    #[test]
    fn a_monitor_sees_a_transaction_when_it_runs_and_no_password() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK"), ("MULTI", "+OK"), ("PING", "+QUEUED")]);
        assert_eq!(shown(&mut rig).len(), 1);
        rig.check(&[("EXEC", "[+PONG]"), ("AUTH default secret", "+OK"), ("HELLO 3 AUTH default secret", "...")]);
        let lines = shown(&mut rig);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].ends_with("\"PING\"") && lines[1].ends_with("\"EXEC\""), "what runs, then EXEC: {lines:?}");
        assert!(lines[2].ends_with("\"AUTH\" \"(redacted)\" \"(redacted)\""), "{lines:?}");
        assert!(!lines.concat().contains("secret"));
    }

    #[test]
    fn a_monitor_that_ends_gets_nothing_more() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK"), ("PING", "+PONG"), ("RESET", "+RESET"), ("PING", "+PONG")]);
        assert!(shown(&mut rig).is_empty(), "a line behind +RESET would be taken for the next answer");
        rig.check(&[("MONITOR", "+OK"), ("PING", "+PONG")]);
        rig.reconnect();
        rig.check(&[("PING", "+PONG")]);
        assert!(shown(&mut rig).is_empty(), "what waited for it is forgotten too");
    }

    #[test]
    fn a_flood_is_thinned_out_and_says_so() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK")]);
        for _ in 0..10_000 {
            rig.check(&[("PING", "+PONG")]);
        }
        assert_eq!(shown(&mut rig).len(), 4000);
        rig.advance_ms(1000);
        rig.check(&[("PING", "+PONG")]);
        let lines = shown(&mut rig);
        assert!(lines[0].ends_with("[0 pinion] \"monitor\" \"skipped\" \"6000\""), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }

    /// Until EXEC is done nobody fetches the lines of what it runs: those of 4 MB took 64 MB, for four monitors.
    #[test]
    fn a_long_transaction_does_not_pile_up_lines() {
        let mut rig = Rig::new();
        for _ in 0..4 {
            rig.check(&[("MONITOR", "+OK")]);
            rig.switch_client();
        }
        rig.check(&[("MULTI", "+OK")]);
        let set = format!("SET k {}", "\u{1}".repeat(4000));
        for _ in 0..1000 {
            rig.check(&[(&set, "+QUEUED")]);
        }
        rig.check(&[("EXEC", "...")]);
        let lines = shown(&mut rig);
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
        rig.check(&[("PING", "+PONG")]);
        let (left_out, line_count) = (&shown(&mut rig)[0], lines.len() / 4);
        let skipped = 1002 - line_count;
        assert!(left_out.ends_with(&format!("\"skipped\" \"{skipped}\"")), "{left_out}, {line_count}");
    }

    #[test]
    fn commands_are_shown_again_some_at_a_time() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK")]);
        let flood = |rig: &mut Rig, count| (0..count).for_each(|_| rig.check(&[("PING", "+PONG")]));
        flood(&mut rig, 4001);
        assert_eq!(shown(&mut rig).len(), 4000);
        rig.advance_ms(4);
        flood(&mut rig, 10);
        assert!(shown(&mut rig).is_empty(), "there are lines for 80 only");
        rig.advance_ms(1);
        flood(&mut rig, 101);
        let lines = shown(&mut rig);
        assert!(lines[0].ends_with("\"skipped\" \"11\""), "{lines:?}");
        assert_eq!(lines.len(), 101);
        rig.advance_ms(5);
        rig.check(&[("CONFIG RESETSTAT", "+OK")]);
        rig.advance_ms(1);
        flood(&mut rig, 1);
        assert!(shown(&mut rig)[0].ends_with("\"skipped\" \"1\""), "the one that found no line left");
        rig.switch_client();
        rig.check(&[("MONITOR", "+OK"), ("RESET", "+RESET")]);
        flood(&mut rig, 1);
        assert!(!shown(&mut rig).is_empty(), "the first one still monitors");
    }

    /// EXEC's own line, which comes last, found no line left once more and forgot those that ran before it.
    #[test]
    fn commands_of_a_transaction_that_uses_up_the_lines_are_counted() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK"), ("MULTI", "+OK")]);
        (0..5000).for_each(|_| rig.check(&[("PING", "+QUEUED")]));
        rig.check(&[("EXEC", "...")]);
        assert_eq!(shown(&mut rig).len(), 4000, "MULTI and 3999 of PING");
        rig.advance_ms(10);
        rig.check(&[("PING", "+PONG")]);
        let lines = shown(&mut rig);
        assert!(lines[0].ends_with("\"skipped\" \"1002\""), "{lines:?}");
    }

    #[test]
    fn a_line_is_bounded_however_many_arguments_there_are() {
        let mut rig = Rig::new();
        rig.check(&[("MONITOR", "+OK")]);
        let monitor = rig.switch_client();
        let values: String = (0..100).map(|i| format!(" k{i} {}", "v".repeat(4000))).collect();
        rig.check(&[(&format!("MSET{values}"), "+OK")]);
        let effects = rig.cache.take_effects();
        let [crate::Effect::Send(client, line)] = &effects[..] else { panic!("one line: {effects:?}") };
        assert_eq!(*client, monitor);
        assert!(line.len() < 128 * 1024, "{}", line.len());
        assert!(line.ends_with(b" more arguments)\r\n"));
    }
}
