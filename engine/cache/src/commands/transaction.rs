//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! What may need memory is refused as a whole while memory is full and nothing may go: a transaction of which some
//! commands run and others answer `-OOM` helps nobody.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::spec::{Keys, Spec, category, flag};

const TRANSACTION: Spec = Spec {
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::ALLOW_BUSY,
    categories: category::TRANSACTION,
    group: "transactions",
    ..Spec::PLAIN
};

pub(crate) const MULTI: Spec = Spec {
    name: "multi",
    arity: 1,
    flags: TRANSACTION.flags | flag::NO_MULTI,
    since: "1.2.0",
    summary: "Begins a transaction: what follows is queued until EXEC.",
    ..TRANSACTION
};

pub(crate) const EXEC: Spec = Spec {
    name: "exec",
    arity: 1,
    // What it ran may have been CLIENT PAUSE or CLIENT KILL.
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::SKIP_SLOWLOG | flag::BARRIER,
    since: "1.2.0",
    summary: "Runs what was queued, unless a watched key has changed.",
    complexity: "that of the commands queued",
    ..TRANSACTION
};

pub(crate) const DISCARD: Spec = Spec {
    name: "discard",
    arity: 1,
    since: "2.0.0",
    summary: "Forgets what was queued and the keys watched.",
    complexity: "O(N), N commands queued",
    ..TRANSACTION
};

pub(crate) const WATCH: Spec = Spec {
    name: "watch",
    arity: -2,
    syntax: "key [key ...]",
    flags: TRANSACTION.flags | flag::NO_MULTI,
    keys: Keys::every(1, &["RO"]),
    since: "2.2.0",
    summary: "Lets the next EXEC run only if these keys stay as they are.",
    complexity: "O(N), N keys",
    ..TRANSACTION
};

pub(crate) const UNWATCH: Spec = Spec {
    name: "unwatch",
    arity: 1,
    since: "2.2.0",
    summary: "Forgets the keys watched.",
    complexity: "O(N), N keys",
    ..TRANSACTION
};

const OUT_OF_MEMORY: Refusal = Refusal::text(
    "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
);

pub(crate) fn multi(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let begun = cache.clients.get_mut(call.client).begin_transaction();
    assert!(begun, "MULTI is refused inside a transaction before it gets here");
    reply.ok();
}

pub(crate) fn exec(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Refusal> {
    let Some(transaction) = cache.take_transaction(call.client) else {
        return Err(Refusal::text("ERR EXEC without MULTI"));
    };
    let room = match transaction.grows && !transaction.aborted {
        true => cache.shards.make_room_for_all(transaction.held_bytes() as u64, 1, &mut cache.statistics),
        false => Ok(()),
    };
    // After room was made: a watched key may have had to go.
    let unchanged = cache.unwatch(call.client);
    if transaction.aborted {
        return Err(Refusal::text("EXECABORT Transaction discarded because of previous errors."));
    }
    room.map_err(|_| OUT_OF_MEMORY)?;
    if !unchanged {
        reply.null_array();
        return Ok(Outcome::Done);
    }
    cache.timing.note_gap();
    reply.array(transaction.queued.len());
    let mut outcome = Outcome::Done;
    for queued in &transaction.queued {
        if let Outcome::Close = queued.with(|request| cache.execute_queued(call.client, request, reply)) {
            outcome = Outcome::Close;
        }
    }
    Ok(outcome)
}

pub(crate) fn discard(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if cache.take_transaction(call.client).is_none() {
        return Err(Refusal::text("ERR DISCARD without MULTI"));
    }
    cache.unwatch(call.client);
    reply.ok();
    Ok(())
}

pub(crate) fn watch(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    call.check_keys(1)?;
    let keys = call.args_from(1);
    if !cache.may_hold(keys.len(), keys.iter().map(|key| key.bytes().len()).sum()) {
        return Err(Refusal::NO_ROOM);
    }
    for arg in keys {
        let key = item::Key { keyspace: call.keyspace, place: cache.shards.place(arg.bytes()), bytes: arg.bytes() };
        cache.watch(call.client, &key);
    }
    reply.ok();
    Ok(())
}

pub(crate) fn unwatch(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    cache.unwatch(call.client);
    reply.ok();
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    const OUT_OF_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

    #[test]
    fn what_is_queued_runs_at_exec() {
        check(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("INCR a", "+QUEUED"),
            ("GET a", "+QUEUED"),
            ("INCR", "-ERR wrong number of arguments for 'incr' command"),
            ("EXEC", ABORTED),
            ("EXISTS a", ":0"),
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("INCR a", "+QUEUED"),
            ("SET b x", "+QUEUED"),
            ("INCR b", "+QUEUED"),
            ("SELECT 3", "+QUEUED"),
            ("GET a", "+QUEUED"),
            ("KEYS *", "+QUEUED"),
            ("EXEC", "[+OK :2 +OK -ERR value is not an integer or out of range +OK nil []]"),
            ("SELECT 0", "+OK"),
            ("GET a", "'2'"),
            ("MULTI", "+OK"),
            ("EXEC", "[]"),
        ]);
    }

    #[test]
    fn out_of_place_commands_are_refused_as_in_redis() {
        check(&[
            ("EXEC", "-ERR EXEC without MULTI"),
            ("DISCARD", "-ERR DISCARD without MULTI"),
            ("MULTI", "+OK"),
            ("MULTI", "-ERR Command not allowed inside a transaction"),
            ("EXEC", ABORTED),
            ("MULTI", "+OK"),
            ("WATCH k", "-ERR Command not allowed inside a transaction"),
            ("EXEC", ABORTED),
            ("MULTI", "+OK"),
            ("FOO", "..."),
            ("DISCARD", "+OK"),
            ("PING", "+PONG"),
            ("MULTI", "+OK"),
            ("UNWATCH", "+QUEUED"),
            ("PING", "+QUEUED"),
            ("EXEC", "[+OK +PONG]"),
        ]);
    }

    /// EXEC with an argument was refused like any command, and the client stayed in its transaction: what it sent next
    /// was queued.
    #[test]
    fn a_malformed_exec_ends_the_transaction() {
        let refusal = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
        let mut rig = Rig::new();
        rig.check(&[
            ("EXEC now", refusal),
            ("WATCH k", "+OK"),
            ("SET k v", "+OK"),
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("EXEC now", refusal),
            ("EXISTS a", ":0"),
            ("EXEC", "-ERR EXEC without MULTI"),
            ("MULTI", "+OK"),
            ("DISCARD now", "-ERR wrong number of arguments for 'discard' command"),
            ("EXEC", ABORTED),
            ("MULTI", "+OK"),
            ("PING", "+QUEUED"),
            ("EXEC", "[+PONG]"),
        ]);
        assert_eq!(rig.cache.holdings(), crate::Holdings::default());
    }

    #[test]
    fn exec_in_a_full_memory_runs_what_needs_none_and_nothing_of_the_rest() {
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "noeviction")]);
        rig.check(&[("SET n 1", "+OK")]);
        for length in [10_000, 100, 1] {
            let value = "v".repeat(length);
            let _ = (0..).find(|i| rig.run(&format!("SET key:{length}:{i} {value}")) == OUT_OF_MEMORY);
        }
        let refused = format!("-EXECABORT Transaction discarded because of: {}", &OUT_OF_MEMORY[1..]);
        rig.check(&[
            ("MULTI", "+OK"),
            ("GET n", "+QUEUED"),
            ("EXPIRE n 10", "+QUEUED"),
            ("EXEC", "..."),
            ("MULTI", "+OK"),
            ("SET n 2", "+QUEUED"),
            ("DEL n", "+QUEUED"),
            ("EXEC", &refused),
            ("PING", "+PONG"),
            ("GET n", "'1'"),
            ("FLUSHALL", "+OK"),
            ("MULTI", "+OK"),
            ("SET n 2", "+QUEUED"),
            ("EXEC", "[+OK]"),
            // A limit that no eviction reaches, although there is something to evict.
            ("CONFIG SET maxmemory-policy allkeys-lru", "+OK"),
            ("MULTI", "+OK"),
            ("SET n 3", "+QUEUED"),
        ]);
        let queuing = rig.switch_client();
        rig.check(&[("CONFIG SET maxmemory 1", "+OK")]);
        rig.switch_to(queuing);
        rig.check(&[("EXEC", &refused)]);
    }

    /// Keys were compared first, so what went to make room for the commands was no change.
    #[test]
    fn a_watched_key_that_is_evicted_for_exec_is_a_change() {
        let mut rig = Rig::with(&[("maxmemory", "8388608"), ("maxmemory-policy", "volatile-ttl")]);
        let value = "v".repeat(10_000);
        rig.check(&[(&format!("SET watched {} EX 10", "v".repeat(200_000)), "+OK")]);
        let mut filled = 0;
        while rig.cache.usage().charged_bytes + 50_000 < rig.cache.usage().threshold_bytes {
            filled += 1;
            rig.check(&[(&format!("SET fill:{filled} {value}"), "+OK")]);
        }
        rig.check(&[("EXISTS watched", ":1"), ("WATCH watched", "+OK"), ("MULTI", "+OK")]);
        for i in 0..10 {
            rig.check(&[(&format!("SET key:{i} {value}"), "+QUEUED")]);
        }
        rig.check(&[("EXEC", "nil"), ("EXISTS watched", ":0"), ("EXISTS key:0", ":0")]);
    }

    /// `change` is done by another client between WATCH and MULTI.
    #[track_caller]
    fn check_watch(before: &[&str], change: &[&str], expected: &str) {
        let mut rig = Rig::new();
        before.iter().for_each(|command| drop(rig.run(command)));
        rig.check(&[("WATCH k other", "+OK")]);
        let watcher = rig.switch_client();
        for command in change {
            match command.strip_prefix("wait ") {
                Some(ms) => rig.advance_ms(ms.parse().expect("a number")),
                None => drop(rig.run(command)),
            }
        }
        rig.switch_to(watcher);
        rig.check(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", expected)]);
        rig.check(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "[+PONG]")]);
    }

    #[test]
    fn exec_runs_only_if_watched_keys_stayed_as_they_were() {
        let (runs, fails) = ("[+PONG]", "nil");
        check_watch(&["SET k 1"], &[], runs);
        check_watch(&["SET k 1"], &["GET k", "SET x 1", "EXPIRE x 1"], runs);
        check_watch(&["SET k 1"], &["SET k 1"], fails);
        check_watch(&["SET k 1"], &["INCR k"], fails);
        check_watch(&["SET k 1"], &["APPEND k x"], fails);
        check_watch(&["SET k 1"], &["APPEND k ''"], fails);
        check_watch(&["SET k 1"], &["SETRANGE k 0 ''", "SETBIT k 7 1"], runs);
        check_watch(&["SET k 1"], &["EXPIRE k 100"], fails);
        check_watch(&["SET k 1"], &["DEL k"], fails);
        check_watch(&["SET k 1"], &["DEL k", "SET k 1"], fails);
        check_watch(&["SET k 1"], &["FLUSHALL"], fails);
        check_watch(&["SET k 1"], &["FLUSHALL", "SET k 1"], fails);
        check_watch(&["SET k 1"], &["SELECT 1", "SET k 2", "FLUSHDB"], runs);
        check_watch(&[], &["FLUSHALL", "DEL k"], runs);
        check_watch(&[], &["SET k 1"], fails);
        check_watch(&[], &["SET k 1", "DEL k"], fails);
    }

    #[test]
    fn expiry_between_watch_and_exec_is_a_change_and_before_it_is_none() {
        let (runs, fails) = ("[+PONG]", "nil");
        check_watch(&["SET k 1 PX 10"], &["wait 5"], runs);
        check_watch(&["SET k 1 PX 10"], &["wait 10"], fails);
        check_watch(&["SET k 1 PX 10"], &["wait 10", "SET k 1"], fails);
        let mut rig = Rig::new();
        rig.check(&[("SET k 1 PX 10", "+OK")]);
        rig.advance_ms(10);
        rig.check(&[("WATCH k", "+OK"), ("DEL k", ":0"), ("FLUSHALL", "+OK")]);
        rig.maintain();
        rig.check(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", runs)]);
    }

    #[test]
    fn a_watch_ends_with_exec_discard_unwatch_reset_and_the_client() {
        for end in ["UNWATCH", "RESET"] {
            check(&[("WATCH k", "+OK"), (end, "..."), ("SET k 1", "+OK"), ("MULTI", "+OK"), ("EXEC", "[]")]);
        }
        check(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("DISCARD", "+OK"), ("SET k 1", "+OK"), ("MULTI", "+OK")]);
        let mut rig = Rig::new();
        rig.check(&[("WATCH k k2", "+OK"), ("MULTI", "+OK"), ("SET k 1", "+QUEUED")]);
        rig.reconnect();
        rig.check(&[("GET k", "nil")]);
        assert_eq!(rig.cache.transaction_bytes, 0);
    }

    #[test]
    fn the_database_of_a_watched_key_is_remembered() {
        check(&[
            ("SELECT 5", "+OK"),
            ("SET k 30", "+OK"),
            ("WATCH k", "+OK"),
            ("SELECT 1", "+OK"),
            ("SET k 10", "+OK"),
            ("MULTI", "+OK"),
            ("EXEC", "[]"),
        ]);
    }

    #[test]
    fn a_transaction_has_a_largest_size() {
        let mut rig = Rig::with(&[("maxmemory", "33554432")]);
        let value = "v".repeat(1 << 20);
        rig.check(&[("MULTI", "+OK")]);
        for _ in 0..4 {
            rig.check(&[(&format!("SET k {value}"), "...")]);
        }
        rig.check(&[("EXEC", ABORTED), ("EXISTS k", ":0")]);
        assert_eq!(rig.cache.transaction_bytes, 0);
    }

    /// A value that there was no room to receive was refused, and EXEC ran the rest.
    #[test]
    fn a_request_that_was_too_large_to_be_kept_aborts_the_transaction() {
        let mut rig = Rig::new();
        rig.check(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
        assert_eq!(rig.refuse_oversized(), OUT_OF_MEMORY);
        rig.check(&[("SET b 1", "+QUEUED"), ("EXEC", ABORTED), ("EXISTS a b", ":0")]);
        rig.check(&[("CLIENT REPLY SKIP", "")]);
        assert_eq!(rig.refuse_oversized(), "");
        rig.check(&[("PING", "+PONG"), ("CLIENT REPLY OFF", "")]);
        assert_eq!(rig.refuse_oversized(), "");
    }

    /// Looking through the keys that are watched already made WATCH of a million keys take minutes.
    #[test]
    fn many_keys_are_watched_in_linear_time_up_to_a_limit() {
        let mut rig = Rig::with(&[("maxmemory", "134217728")]);
        let keys: String = (0..50_000).map(|i| format!(" k{i}")).collect();
        rig.check(&[(&format!("WATCH{keys}"), "+OK"), (&format!("WATCH{keys}"), "+OK")]);
        assert!(rig.run("CLIENT INFO").contains(" watch=50000 "));
        rig.check(&[("SET k49999 1", "+OK"), ("MULTI", "+OK"), ("EXEC", "nil")]);
        assert_eq!(rig.cache.transaction_bytes, 0);
        let long = "x".repeat(16_000);
        let refused = (0..10_000).find(|i| rig.run(&format!("WATCH {i}{long}")) == OUT_OF_MEMORY);
        assert!(refused.is_some(), "what a client watches is bounded");
    }
}
