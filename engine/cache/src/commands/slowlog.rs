//! SLOWLOG: the commands that were slow.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::number;
use crate::spec::{Spec, flag};

pub(crate) const SLOWLOG: Spec = Spec {
    name: "slowlog",
    arity: -2,
    since: "2.2.12",
    summary: "Container of the commands about slow commands.",
    ..Spec::PLAIN
};

const SUBCOMMAND: Spec = Spec { flags: flag::ADMIN | flag::LOADING | flag::STALE, since: "2.2.12", ..Spec::PLAIN };

pub(crate) const SLOWLOG_GET: Spec = Spec {
    name: "slowlog|get",
    arity: -2,
    syntax: "[count]",
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    summary: "Answers the newest entries of the slow log.",
    complexity: "O(N), N entries",
    ..SUBCOMMAND
};

pub(crate) const SLOWLOG_LEN: Spec = Spec {
    name: "slowlog|len",
    arity: 2,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    summary: "Answers how many entries the slow log has.",
    ..SUBCOMMAND
};

pub(crate) const SLOWLOG_RESET: Spec = Spec {
    name: "slowlog|reset",
    arity: 2,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Empties the slow log.",
    complexity: "O(N), N entries",
    ..SUBCOMMAND
};

pub(crate) const SLOWLOG_HELP: Spec = Spec {
    name: "slowlog|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "6.2.0",
    summary: "Lists the subcommands.",
    ..SUBCOMMAND
};

/// Entries that GET answers unless it is told how many.
const COUNT_DEFAULT: usize = 10;
const BAD_COUNT: Refusal = Refusal::text("ERR count should be greater than or equal to -1");

pub(crate) fn get(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let count = match call.args_from(2) {
        [] => COUNT_DEFAULT,
        [count] => match number::parse(count.bytes()) {
            Some(-1) => usize::MAX,
            count => count.and_then(|count| usize::try_from(count).ok()).ok_or(BAD_COUNT)?,
        },
        _ => return Err(Refusal::arity(call.command)),
    };
    let count = count.min(cache.slowlog.len());
    reply.array(count);
    for entry in cache.slowlog.entries().take(count) {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_seconds as i64);
        reply.integer(entry.spent_us as i64);
        reply.array(entry.asked.args.len());
        entry.asked.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.asked.address.as_bytes());
        reply.bulk(entry.asked.client_name.as_bytes());
    }
    Ok(())
}

pub(crate) fn len(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(cache.slowlog.len() as i64);
}

pub(crate) fn reset(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    cache.slowlog.reset();
    reply.ok();
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    /// The commands in the log, newest first.
    fn logged(rig: &mut Rig) -> Vec<String> {
        let entries = rig.cache.slowlog.entries();
        entries
            .map(|entry| entry.asked.args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn a_threshold_of_0_logs_everything() {
        let mut rig = Rig::with(&[("slowlog-log-slower-than", "0")]);
        rig.check(&[
            ("CLIENT SETNAME me", "+OK"),
            ("SET k v", "+OK"),
            ("SLOWLOG LEN", ":2"),
            (
                "SLOWLOG GET 2",
                "[[:2 :1700000000 :0 ['SLOWLOG' 'LEN'] '127.0.0.1:50001' 'me'] \
                 [:1 :1700000000 :0 ['SET' 'k' 'v'] '127.0.0.1:50001' 'me']]",
            ),
            ("SLOWLOG RESET", "+OK"),
            ("SLOWLOG LEN", ":1"),
            ("SLOWLOG GET 0", "[]"),
        ]);
        assert_eq!(logged(&mut rig), ["SLOWLOG GET 0", "SLOWLOG LEN", "SLOWLOG RESET"]);
        rig.run("CONFIG SET slowlog-log-slower-than -1");
        rig.run("GET k");
        assert_eq!(logged(&mut rig).len(), 3, "switched off, it logs not even who did it");
    }

    #[test]
    fn a_long_command_is_logged_once_when_it_is_done() {
        let mut rig = Rig::new();
        for i in 0..5000 {
            rig.run(&format!("SET key:{i} v"));
        }
        rig.run("CONFIG SET slowlog-log-slower-than 0");
        rig.run("SLOWLOG RESET");
        let (slices, _) = rig.run_as_job("KEYS nothing*");
        assert!(slices > 1, "{slices}");
        assert_eq!(logged(&mut rig), ["KEYS nothing*", "SLOWLOG RESET"]);
        assert!(rig.run("INFO commandstats").contains("cmdstat_keys:calls=1,"));
    }

    /// A command began where the one before it had ended, whatever came in between.
    #[test]
    fn what_is_queued_or_refused_is_not_time_of_the_next_command() {
        for untimed in ["SET k v", "FOO", "GET"] {
            let mut rig = Rig::with(&[("slowlog-log-slower-than", "500")]);
            rig.batch(&["MULTI"]);
            let queuing = rig.switch_client();
            rig.cache.begin_batch();
            rig.check(&[("PING", "+PONG")]);
            let other = rig.switch_to(queuing);
            rig.check(&[(untimed, "...")]);
            rig.advance_stopwatch(1_000_000);
            rig.switch_to(other);
            rig.check(&[("PING", "+PONG")]);
            rig.cache.end_batch();
            assert!(logged(&mut rig).is_empty(), "{untimed}: {:?}", logged(&mut rig));
        }
    }

    #[test]
    fn what_exec_does_before_its_commands_is_not_time_of_the_first() {
        let mut rig = Rig::with(&[("slowlog-log-slower-than", "0")]);
        rig.check(&[("MULTI", "+OK"), ("PING", "+QUEUED")]);
        rig.use_stopwatch(1000);
        rig.batch(&["EXEC"]);
        let text = rig.run("INFO commandstats");
        // Read when the batch begins, before PING, after it, and when EXEC ends.
        for line in ["cmdstat_ping:calls=1,usec=1,", "cmdstat_exec:calls=1,usec=3,"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn the_log_has_a_bound() {
        let mut rig = Rig::with(&[("slowlog-log-slower-than", "0"), ("slowlog-max-len", "10")]);
        for _ in 0..100 {
            rig.run("PING");
        }
        rig.check(&[("SLOWLOG LEN", ":10"), ("CONFIG SET slowlog-max-len 3", "+OK"), ("SLOWLOG LEN", ":3")]);
        let held_bytes = rig.cache.slowlog.held_bytes();
        assert!((1..2000).contains(&held_bytes), "{held_bytes}");
        rig.check(&[("CONFIG SET slowlog-max-len 0", "+OK"), ("PING", "+PONG"), ("SLOWLOG LEN", ":0")]);
        assert_eq!(rig.cache.slowlog.held_bytes(), 0);
    }

    #[test]
    fn counts_must_be_counts() {
        check(&[
            ("SLOWLOG GET", "[]"),
            ("SLOWLOG GET -1", "[]"),
            ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
            ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
            ("SLOWLOG GET 1 2", "-ERR wrong number of arguments for 'slowlog|get' command"),
            ("SLOWLOG", "-ERR wrong number of arguments for 'slowlog' command"),
            ("SLOWLOG FOO", "-ERR unknown subcommand 'FOO'. Try SLOWLOG HELP."),
        ]);
    }
}
