//! Report: the numbers of a cache at one moment, copied for a reader on another thread.
//!
//! Made only when somebody asks. It holds plain numbers, some hundred bytes per command that was called, and no text
//! but names.

use l1::Usage;

use crate::cache::Cache;
use crate::clients::DATABASE_COUNT;
use crate::durations::DurationBuckets;
use crate::facts::Facts;
use crate::table::Command;

/// The numbers of a cache.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the server told the cache about the process.
    pub facts: Facts,
    /// How the memory is used.
    pub usage: Usage,
    /// Time since the start, in microseconds.
    pub uptime_us: u64,
    /// Memory in use, in bytes.
    pub used_bytes: u64,
    /// The most of it so far, in bytes.
    pub used_bytes_max: u64,
    /// Clients connected.
    pub clients: u64,
    /// Keys that a read found.
    pub keyspace_hits: u64,
    /// Keys that a read did not find.
    pub keyspace_misses: u64,
    /// Requests of memcached's protocol.
    pub memcache_requests: u64,
    /// Time that they took, in nanoseconds.
    pub memcache_spent_ns: u64,
    /// Keys that memcached's get and gets found.
    pub memcache_hits: u64,
    /// Keys that memcached's get and gets did not find.
    pub memcache_misses: u64,
    /// Keys removed because their time had come.
    pub expired_keys: u64,
    /// Keys removed to make room.
    pub evicted_keys: u64,
    /// From deadlines to removals, in milliseconds: half of them were not longer.
    pub expiry_lag_p50_ms: u64,
    /// The same for 99 percent.
    pub expiry_lag_p99_ms: u64,
    /// Entries of the slow log.
    pub slowlog_entries: u64,
    /// Databases with keys.
    pub databases: Vec<DatabaseReport>,
    /// Commands that were called or refused.
    pub commands: Vec<CommandReport>,
    /// Error replies by code.
    pub errors: Vec<(String, u64)>,
}

/// The numbers of a database.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseReport {
    /// Its index, as in SELECT.
    pub index: usize,
    /// Keys in it.
    pub keys: u64,
    /// Those with a deadline.
    pub volatile_keys: u64,
}

/// The numbers of a command.
#[derive(Clone, Copy, Debug)]
pub struct CommandReport {
    /// Its name, as `container|sub` for a subcommand.
    pub name: &'static str,
    /// Calls, with or without success.
    pub calls: u64,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Calls that ended with an error.
    pub failed: u64,
    /// Calls by time; `None` if none was counted so, since `latency-tracking` is off.
    pub durations: Option<DurationBuckets>,
    /// Time of the calls that are counted in `durations`, in nanoseconds.
    pub tracked_ns: u64,
}

impl Cache {
    /// Everything there is to count at this moment.
    pub fn report(&self) -> Report {
        let (statistics, lag) = (&self.statistics, self.shards.expiry_lag());
        let (memcache_hits, memcache_misses) = self.memcache.reads();
        let used_bytes = self.shards.memory().accounted_bytes();
        Report {
            facts: self.facts.clone(),
            usage: self.usage(),
            uptime_us: self.now.mono_us.saturating_sub(self.facts.started_us),
            used_bytes,
            used_bytes_max: self.used_bytes_max.max(used_bytes),
            clients: self.client_count() as u64,
            keyspace_hits: statistics.keyspace_hits,
            keyspace_misses: statistics.keyspace_misses,
            memcache_requests: statistics.memcache_requests,
            memcache_spent_ns: statistics.memcache_spent_ns,
            memcache_hits,
            memcache_misses,
            expired_keys: statistics.expired_keys,
            evicted_keys: statistics.evicted_keys,
            expiry_lag_p50_ms: lag.quantile_ms(0.5),
            expiry_lag_p99_ms: lag.quantile_ms(0.99),
            slowlog_entries: self.slowlog.len() as u64,
            databases: (0..DATABASE_COUNT).filter_map(|index| self.database_report(index)).collect(),
            commands: Command::all().iter().filter_map(|&command| self.command_report(command)).collect(),
            errors: statistics.errors.iter().map(|(code, count)| (code.clone(), *count)).collect(),
        }
    }

    fn database_report(&self, index: usize) -> Option<DatabaseReport> {
        let keyspace = self.shards.keyspace(index);
        let (keys, volatile_keys) = (self.shards.len(keyspace), self.shards.volatile_len(keyspace));
        (keys > 0).then_some(DatabaseReport { index, keys, volatile_keys })
    }

    fn command_report(&self, command: Command) -> Option<CommandReport> {
        let (statistics, index) = (&self.statistics, command.index());
        let (calls, rejected) = (statistics.calls[index], statistics.rejected[index]);
        (calls + rejected > 0).then(|| CommandReport {
            name: command.name(),
            calls,
            rejected,
            failed: statistics.failed[index],
            durations: statistics.durations[index].as_ref().map(|durations| durations.by_power()),
            tracked_ns: statistics.spent_ns[index] - statistics.untracked_ns[index],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::Rig;

    /// A histogram's sum had the time of calls that its counts lacked.
    #[test]
    fn times_of_calls_that_were_not_tracked_are_left_out_of_the_sum_too() {
        let mut rig = Rig::new();
        rig.use_stopwatch(1000);
        rig.run("CONFIG RESETSTAT");
        for tracking in ["yes", "no", "yes"] {
            rig.run(&format!("CONFIG SET latency-tracking {tracking}"));
            rig.batch(&["GET k", "GET k", "GET k"]);
        }
        let report = rig.cache.report();
        let get = report.commands.iter().find(|command| command.name == "get").expect("it was called");
        let tracked = get.durations.expect("it was on").iter().sum::<u64>();
        assert_eq!((get.calls, tracked, get.tracked_ns), (9, 6, 2000), "two readings of the clock around each three");
    }

    #[test]
    fn a_report_holds_what_was_counted() {
        let mut rig = Rig::new();
        rig.check(&[
            ("SET k v EX 100", "+OK"),
            ("GET k", "'v'"),
            ("GET x", "nil"),
            ("GET", "..."),
            ("INFO server", "..."),
        ]);
        let report = rig.cache.report();
        assert_eq!((report.keyspace_hits, report.keyspace_misses, report.clients), (1, 1, 1));
        let [database] = report.databases[..] else { panic!("{:?}", report.databases) };
        assert_eq!((database.index, database.keys, database.volatile_keys), (0, 1, 1));
        let get = report.commands.iter().find(|command| command.name == "get").expect("it was called");
        assert_eq!((get.calls, get.rejected, get.failed), (2, 1, 0));
        assert_eq!(get.durations.expect("tracking is on").iter().sum::<u64>(), 2);
        assert_eq!(report.errors, [("ERR".to_owned(), 1)]);
        assert!(report.commands.iter().all(|command| command.name != "keys"));
    }
}
