//! Spec: what the table knows about a command besides its function.
//!
//! One `Spec` gives the arity error, the key routing and everything that COMMAND prints. Names, flags and categories
//! are Redis's, so that client libraries draw the same conclusions.

/// One command, or one subcommand of a container (then the name is `container|sub`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// Lower case.
    pub name: &'static str,
    /// Arguments with the name: exactly so many, or at least so many if negative.
    pub arity: i32,
    /// What follows the name, in the notation of `crate::syntax`; a spec that is built on another has that one's.
    pub syntax: &'static str,
    /// Bits of `flag`.
    pub flags: u32,
    /// Bits of `category`, beyond those that follow from the flags.
    pub categories: u32,
    /// Which arguments are keys.
    pub keys: Keys,
    /// How a cluster client should spread the command and merge the replies.
    pub tips: &'static [&'static str],
    /// Family, as COMMAND DOCS names it.
    pub group: &'static str,
    /// Redis version that introduced it.
    pub since: &'static str,
    /// One line for COMMAND DOCS.
    pub summary: &'static str,
    /// Cost, for COMMAND DOCS.
    pub complexity: &'static str,
}

impl Spec {
    /// The base of every spec: no keys, no flags.
    pub const PLAIN: Spec = Spec {
        name: "",
        arity: 0,
        syntax: "",
        flags: 0,
        categories: 0,
        keys: Keys::NONE,
        tips: &[],
        group: "server",
        since: "1.0.0",
        summary: "",
        complexity: "O(1)",
    };

    /// The name of the container that this is a subcommand of.
    pub fn container(&self) -> Option<&'static str> {
        self.name.split_once('|').map(|(container, _)| container)
    }

    /// All categories: those given, and those that follow from the flags.
    pub fn all_categories(&self) -> u32 {
        let mut all = self.categories;
        let implied: &[(u32, u32)] = &[
            (flag::WRITE, category::WRITE),
            (flag::READONLY, category::READ),
            (flag::ADMIN, category::ADMIN | category::DANGEROUS),
            (flag::FAST, category::FAST),
            (flag::BLOCKING, category::BLOCKING),
            (flag::PUBSUB, category::PUBSUB),
        ];
        for (flag, category) in implied {
            if self.flags & flag != 0 {
                all |= category;
            }
        }
        if self.flags & flag::FAST == 0 {
            all |= category::SLOW;
        }
        all
    }
}

/// Which arguments are keys: every `step`th from `first` to `last`, where -1 is the last argument. None if `first` is
/// 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub first: i32,
    pub last: i32,
    pub step: i32,
    /// The argument that says how many keys follow from `first` on; 0 if none does, then `last` counts.
    pub count_at: i32,
    /// What the command does with them, in the words of Redis's key specifications.
    pub access: &'static [&'static str],
    /// What it does with the first, if that differs.
    pub access_first: &'static [&'static str],
}

impl Keys {
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0, count_at: 0, access: &[], access_first: &[] };

    /// The first argument is the only key.
    pub const fn one(access: &'static [&'static str]) -> Keys {
        Keys::at(1, access)
    }

    /// Argument `index` is the only key.
    pub const fn at(index: i32, access: &'static [&'static str]) -> Keys {
        Keys { first: index, last: index, step: 1, access, ..Keys::NONE }
    }

    /// Arguments 1 and 2 are keys that are used differently.
    pub const fn two(first: &'static [&'static str], second: &'static [&'static str]) -> Keys {
        Keys { first: 1, last: 2, step: 1, access: second, access_first: first, ..Keys::NONE }
    }

    /// Argument `count_at` says how many keys follow it, at every `step`th argument.
    pub const fn counted(count_at: i32, step: i32, access: &'static [&'static str]) -> Keys {
        Keys { first: count_at + 1, last: 0, step, count_at, access, ..Keys::NONE }
    }

    /// Every `step`th argument is a key.
    pub const fn every(step: i32, access: &'static [&'static str]) -> Keys {
        Keys { first: 1, last: -1, step, access, ..Keys::NONE }
    }
}

/// Flags with Redis's names.
pub(crate) mod flag {
    pub const WRITE: u32 = 1;
    pub const READONLY: u32 = 1 << 1;
    /// May grow memory: refused when it is full.
    pub const DENYOOM: u32 = 1 << 2;
    pub const ADMIN: u32 = 1 << 3;
    pub const NOSCRIPT: u32 = 1 << 4;
    pub const LOADING: u32 = 1 << 5;
    pub const STALE: u32 = 1 << 6;
    pub const FAST: u32 = 1 << 7;
    /// Allowed before authentication.
    pub const NO_AUTH: u32 = 1 << 8;
    pub const ALLOW_BUSY: u32 = 1 << 9;
    /// Not to be queued in a transaction.
    pub const NO_MULTI: u32 = 1 << 10;
    /// May wait.
    pub const BLOCKING: u32 = 1 << 11;
    /// Its keys are found by looking at more than their positions.
    pub const MOVABLEKEYS: u32 = 1 << 12;
    /// Not shown by MONITOR.
    pub const SKIP_MONITOR: u32 = 1 << 13;
    /// Not shown by SLOWLOG.
    pub const SKIP_SLOWLOG: u32 = 1 << 14;
    /// Its keys may be missing.
    pub const NO_MANDATORY_KEYS: u32 = 1 << 15;
    pub const PUBSUB: u32 = 1 << 16;
    /// Allowed while clients are paused although it looks like a write, or the other way round.
    pub const MAY_REPLICATE: u32 = 1 << 17;
    /// Ours, never printed: what comes behind it on its connection waits until it has run.
    pub const BARRIER: u32 = 1 << 31;

    /// Names in the order in which COMMAND INFO prints them.
    pub const NAMES: &[(u32, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (NOSCRIPT, "noscript"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (ALLOW_BUSY, "allow_busy"),
        (NO_MULTI, "no_multi"),
        (BLOCKING, "blocking"),
        (MOVABLEKEYS, "movablekeys"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (PUBSUB, "pubsub"),
        (MAY_REPLICATE, "may_replicate"),
    ];
}

/// ACL categories with Redis's names.
pub(crate) mod category {
    pub const KEYSPACE: u32 = 1;
    pub const READ: u32 = 1 << 1;
    pub const WRITE: u32 = 1 << 2;
    pub const STRING: u32 = 1 << 3;
    pub const ADMIN: u32 = 1 << 4;
    pub const FAST: u32 = 1 << 5;
    pub const SLOW: u32 = 1 << 6;
    pub const DANGEROUS: u32 = 1 << 7;
    pub const CONNECTION: u32 = 1 << 8;
    pub const BITMAP: u32 = 1 << 9;
    pub const BLOCKING: u32 = 1 << 10;
    pub const TRANSACTION: u32 = 1 << 11;
    pub const SCRIPTING: u32 = 1 << 13;
    pub const PUBSUB: u32 = 1 << 12;

    /// Names in the order in which COMMAND INFO prints them.
    pub const NAMES: &[(u32, &str)] = &[
        (KEYSPACE, "@keyspace"),
        (READ, "@read"),
        (WRITE, "@write"),
        (STRING, "@string"),
        (BITMAP, "@bitmap"),
        (PUBSUB, "@pubsub"),
        (ADMIN, "@admin"),
        (FAST, "@fast"),
        (SLOW, "@slow"),
        (BLOCKING, "@blocking"),
        (DANGEROUS, "@dangerous"),
        (CONNECTION, "@connection"),
        (TRANSACTION, "@transaction"),
        (SCRIPTING, "@scripting"),
    ];
}

/// Reads the value.
pub(crate) const ACCESS_READ: &[&str] = &["RO", "access"];
/// Asks only whether the key exists, or for what is not its value.
pub(crate) const ACCESS_METADATA: &[&str] = &["RO"];
/// Writes without reading.
pub(crate) const ACCESS_OVERWRITE: &[&str] = &["OW", "update"];
/// Reads and writes.
pub(crate) const ACCESS_MODIFY: &[&str] = &["RW", "access", "update"];
/// Changes what is not the value.
pub(crate) const ACCESS_UPDATE: &[&str] = &["RW", "update"];
/// Adds to the value.
pub(crate) const ACCESS_INSERT: &[&str] = &["RW", "insert"];
/// Reads the value and removes the key.
pub(crate) const ACCESS_TAKE: &[&str] = &["RW", "access", "delete"];
/// Removes the key.
pub(crate) const ACCESS_DELETE: &[&str] = &["RM", "delete"];
