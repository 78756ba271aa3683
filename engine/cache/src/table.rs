//! The command table: one line per command.
//!
//! The line registers a command whose function, `Spec` and tests live in its family's file under `commands/`. From it
//! come the enum, dispatch, arity errors, key routing and COMMAND.
//!
//! Invariants
//! - Look-up of a name allocates nothing and compares whole words, not bytes.
//! - Names outside containers consist of lower-case letters and underscores, at most 16 (checked at compile time).

use protocol::Reply;

use crate::answer::Answer;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::commands::{
    acl, bitfield, bitop, bits, client, client_kill, command, conditions, config, connection, debug, exchange, expiry,
    floats, flush, getkeys, info, keys, latency, lcs, many, memory, monitor, moves, numbers, object, pause, pubsub,
    ranges, scan, scripts, server, set, shutdown, slowlog, strings, transaction,
};
use crate::route::padded;
use crate::spec::{Spec, flag};

macro_rules! table {
    ($($variant:ident => $family:ident::$function:ident, $spec:ident;)*) => {
        /// A command or subcommand that the table knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each command is described by its spec")]
        pub enum Command { $($variant),* }

        /// All specs, in the order of `Command`.
        pub(crate) const SPECS: &[Spec] = &[$($family::$spec),*];

        const COMMANDS: &[Command] = &[$(Command::$variant),*];

        /// What runs them, in the order of `Command`. A table of functions instead of one function with all of them
        /// inside: that one would keep registers and stack for the largest.
        static FUNCTIONS: [Function; COMMAND_COUNT] = [$(|cache, call, reply| {
            let start = reply.mark();
            $family::$function(cache, call, reply).settle(cache, call, reply, start)
        }),*];
    };
}

table! {
    Get => strings::get, GET;
    Set => set::set, SET;
    Setnx => set::setnx, SETNX;
    Setex => set::setex, SETEX;
    Psetex => set::psetex, PSETEX;
    Getset => exchange::getset, GETSET;
    Getdel => exchange::getdel, GETDEL;
    Getex => exchange::getex, GETEX;
    Delex => conditions::delex, DELEX;
    Delifeq => conditions::delifeq, DELIFEQ;
    Digest => conditions::digest, DIGEST;
    Mget => strings::mget, MGET;
    Mset => strings::mset, MSET;
    Msetnx => many::msetnx, MSETNX;
    Msetex => many::msetex, MSETEX;
    Append => strings::append, APPEND;
    Strlen => strings::strlen, STRLEN;
    Setrange => ranges::setrange, SETRANGE;
    Getrange => ranges::getrange, GETRANGE;
    Substr => ranges::getrange, SUBSTR;
    Incr => numbers::incr, INCR;
    Decr => numbers::decr, DECR;
    Incrby => numbers::incrby, INCRBY;
    Decrby => numbers::decrby, DECRBY;
    Incrbyfloat => floats::incrbyfloat, INCRBYFLOAT;
    Lcs => lcs::lcs, LCS;
    Setbit => bits::setbit, SETBIT;
    Getbit => bits::getbit, GETBIT;
    Bitcount => bits::bitcount, BITCOUNT;
    Bitpos => bits::bitpos, BITPOS;
    Bitop => bitop::bitop, BITOP;
    Bitfield => bitfield::bitfield, BITFIELD;
    BitfieldRo => bitfield::bitfield, BITFIELD_RO;
    Del => keys::del, DEL;
    Unlink => keys::del, UNLINK;
    Exists => keys::exists, EXISTS;
    Type => keys::type_of, TYPE;
    Touch => keys::touch, TOUCH;
    Rename => moves::rename, RENAME;
    Renamenx => moves::renamenx, RENAMENX;
    Copy => moves::copy, COPY;
    Move => moves::move_key, MOVE;
    Randomkey => scan::randomkey, RANDOMKEY;
    Expire => expiry::expire, EXPIRE;
    Pexpire => expiry::pexpire, PEXPIRE;
    Expireat => expiry::expireat, EXPIREAT;
    Pexpireat => expiry::pexpireat, PEXPIREAT;
    Ttl => expiry::ttl, TTL;
    Pttl => expiry::pttl, PTTL;
    Expiretime => expiry::expiretime, EXPIRETIME;
    Pexpiretime => expiry::pexpiretime, PEXPIRETIME;
    Persist => expiry::persist, PERSIST;
    Scan => scan::scan, SCAN;
    Keys => scan::keys, KEYS;
    Dbsize => flush::dbsize, DBSIZE;
    Flushdb => flush::flushdb, FLUSHDB;
    Flushall => flush::flushall, FLUSHALL;
    Swapdb => flush::swapdb, SWAPDB;
    Multi => transaction::multi, MULTI;
    Exec => transaction::exec, EXEC;
    Discard => transaction::discard, DISCARD;
    Watch => transaction::watch, WATCH;
    Unwatch => transaction::unwatch, UNWATCH;
    Select => connection::select, SELECT;
    Ping => connection::ping, PING;
    Echo => connection::echo, ECHO;
    Hello => connection::hello, HELLO;
    Auth => connection::auth, AUTH;
    Quit => connection::quit, QUIT;
    Reset => connection::reset, RESET;
    Info => info::info, INFO;
    Object => object::container, OBJECT;
    ObjectEncoding => object::encoding, OBJECT_ENCODING;
    ObjectFreq => object::freq, OBJECT_FREQ;
    ObjectIdletime => object::idletime, OBJECT_IDLETIME;
    ObjectRefcount => object::refcount, OBJECT_REFCOUNT;
    ObjectHelp => object::help, OBJECT_HELP;
    Memory => memory::container, MEMORY;
    MemoryUsage => memory::usage, MEMORY_USAGE;
    MemoryStats => memory::stats, MEMORY_STATS;
    MemoryDoctor => memory::doctor, MEMORY_DOCTOR;
    MemoryMallocStats => memory::malloc_stats, MEMORY_MALLOC_STATS;
    MemoryPurge => memory::purge, MEMORY_PURGE;
    MemoryHelp => memory::help, MEMORY_HELP;
    Time => server::time, TIME;
    Lastsave => server::lastsave, LASTSAVE;
    Role => server::role, ROLE;
    Lolwut => server::lolwut, LOLWUT;
    Waitaof => server::waitaof, WAITAOF;
    Replicaof => server::replicaof, REPLICAOF;
    Slaveof => server::replicaof, SLAVEOF;
    Save => server::save, SAVE;
    Bgsave => server::bgsave, BGSAVE;
    Bgrewriteaof => server::bgrewriteaof, BGREWRITEAOF;
    Cluster => server::cluster_container, CLUSTER;
    ClusterInfo => server::cluster, CLUSTER_INFO;
    ClusterKeyslot => server::cluster, CLUSTER_KEYSLOT;
    ClusterMyid => server::cluster, CLUSTER_MYID;
    ClusterNodes => server::cluster, CLUSTER_NODES;
    ClusterReset => server::cluster, CLUSTER_RESET;
    ClusterShards => server::cluster, CLUSTER_SHARDS;
    ClusterSlots => server::cluster, CLUSTER_SLOTS;
    ClusterHelp => server::cluster_help, CLUSTER_HELP;
    Readonly => server::cluster, READONLY;
    Readwrite => server::cluster, READWRITE;
    Function => scripts::container, FUNCTION;
    FunctionFlush => scripts::flush, FUNCTION_FLUSH;
    FunctionList => scripts::list, FUNCTION_LIST;
    FunctionStats => scripts::function_stats, FUNCTION_STATS;
    FunctionHelp => scripts::help, FUNCTION_HELP;
    Script => scripts::container, SCRIPT;
    ScriptFlush => scripts::flush, SCRIPT_FLUSH;
    ScriptExists => scripts::script_exists, SCRIPT_EXISTS;
    ScriptHelp => scripts::help, SCRIPT_HELP;
    Module => scripts::container, MODULE;
    ModuleList => scripts::list, MODULE_LIST;
    ModuleHelp => scripts::help, MODULE_HELP;
    Pubsub => pubsub::container, PUBSUB;
    PubsubChannels => pubsub::channels, PUBSUB_CHANNELS;
    PubsubNumpat => pubsub::numpat, PUBSUB_NUMPAT;
    PubsubNumsub => pubsub::numsub, PUBSUB_NUMSUB;
    PubsubShardchannels => pubsub::channels, PUBSUB_SHARDCHANNELS;
    PubsubShardnumsub => pubsub::numsub, PUBSUB_SHARDNUMSUB;
    PubsubHelp => pubsub::help, PUBSUB_HELP;
    Acl => acl::container, ACL;
    AclWhoami => acl::whoami, ACL_WHOAMI;
    AclUsers => acl::users, ACL_USERS;
    AclCat => acl::cat, ACL_CAT;
    AclHelp => acl::help, ACL_HELP;
    Debug => debug::debug, DEBUG;
    Command => command::command, COMMAND;
    CommandCount => command::count, COMMAND_COUNT;
    CommandDocs => command::docs, COMMAND_DOCS;
    CommandGetkeys => getkeys::getkeys, COMMAND_GETKEYS;
    CommandGetkeysandflags => getkeys::getkeysandflags, COMMAND_GETKEYSANDFLAGS;
    CommandInfo => command::command_info, COMMAND_INFO;
    CommandList => command::list, COMMAND_LIST;
    CommandHelp => command::help, COMMAND_HELP;
    Config => config::container, CONFIG;
    ConfigGet => config::get, CONFIG_GET;
    ConfigSet => config::set, CONFIG_SET;
    ConfigResetstat => config::resetstat, CONFIG_RESETSTAT;
    ConfigRewrite => config::rewrite, CONFIG_REWRITE;
    ConfigHelp => config::help, CONFIG_HELP;
    Slowlog => slowlog::container, SLOWLOG;
    SlowlogGet => slowlog::get, SLOWLOG_GET;
    SlowlogLen => slowlog::len, SLOWLOG_LEN;
    SlowlogReset => slowlog::reset, SLOWLOG_RESET;
    SlowlogHelp => slowlog::help, SLOWLOG_HELP;
    Latency => latency::container, LATENCY;
    LatencyLatest => latency::latest, LATENCY_LATEST;
    LatencyHistory => latency::history, LATENCY_HISTORY;
    LatencyReset => latency::reset, LATENCY_RESET;
    LatencyGraph => latency::graph, LATENCY_GRAPH;
    LatencyDoctor => latency::doctor, LATENCY_DOCTOR;
    LatencyHistogram => latency::histogram, LATENCY_HISTOGRAM;
    LatencyHelp => latency::help, LATENCY_HELP;
    Client => client::container, CLIENT;
    ClientId => client::id, CLIENT_ID;
    ClientGetname => client::getname, CLIENT_GETNAME;
    ClientSetname => client::setname, CLIENT_SETNAME;
    ClientSetinfo => client::setinfo, CLIENT_SETINFO;
    ClientList => client::list, CLIENT_LIST;
    ClientInfo => client::client_info, CLIENT_INFO;
    ClientKill => client_kill::kill, CLIENT_KILL;
    ClientReply => client::reply, CLIENT_REPLY;
    ClientPause => pause::pause, CLIENT_PAUSE;
    ClientUnpause => pause::unpause, CLIENT_UNPAUSE;
    ClientUnblock => client::unblock, CLIENT_UNBLOCK;
    ClientNoEvict => client::no_evict, CLIENT_NO_EVICT;
    ClientNoTouch => client::no_touch, CLIENT_NO_TOUCH;
    ClientCapa => client::capa, CLIENT_CAPA;
    ClientHelp => client::help, CLIENT_HELP;
    Monitor => monitor::monitor, MONITOR;
    Wait => pause::wait, WAIT;
    Shutdown => shutdown::shutdown, SHUTDOWN;
}

type Function = fn(&mut Cache, &Call<'_>, &mut Reply<'_>) -> Outcome;

/// Runs the command of `call`.
#[inline]
pub(crate) fn dispatch(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    FUNCTIONS[call.command.index()](cache, call, reply)
}

/// Commands and subcommands in the table.
pub(crate) const COMMAND_COUNT: usize = SPECS.len();

impl Command {
    /// Everything the table knows about it.
    pub(crate) fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }

    /// Its name, lower case; subcommands as `container|sub`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Index in per-command tables.
    #[inline]
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// What routing needs to know about it.
    #[inline]
    pub(crate) fn shape(self) -> Shape {
        SHAPES[self as usize]
    }

    /// All commands, containers and subcommands included.
    pub(crate) fn all() -> &'static [Command] {
        COMMANDS
    }

    /// The subcommands of a container.
    pub(crate) fn subcommands(self) -> impl Iterator<Item = Command> {
        COMMANDS.iter().copied().filter(move |sub| sub.spec().container() == Some(self.name()))
    }

    /// The subcommand `name` of this container, in any case.
    #[cold]
    pub(crate) fn subcommand(self, name: &[u8]) -> Option<Command> {
        self.subcommands().find(|sub| {
            let own = sub.name().split_once('|').map_or("", |(_, own)| own);
            own.as_bytes().eq_ignore_ascii_case(name)
        })
    }

    /// The command `name`, in any case; containers yes, subcommands no.
    #[inline]
    pub(crate) fn find(name: &[u8]) -> Option<Command> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let word = padded(name) | LOWER_CASE;
        let mut at = bucket(word);
        loop {
            let command = BUCKETS[at]?;
            // Padding equals leading zeros of a longer name, hence the length.
            if WORDS[command as usize] == word && command.shape().name_bytes as usize == name.len() {
                return Some(command);
            }
            at = (at + 1) % BUCKET_COUNT;
        }
    }
}

/// The part of a spec that every request needs, small enough to stay cached.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Fewest arguments, name included.
    pub args_min: u32,
    /// Most arguments.
    pub args_max: u32,
    /// The argument that is the first key; 0 if none is.
    pub first_key: u8,
    /// True if what comes behind it on its connection must wait until it has run.
    pub is_barrier: bool,
    /// True if argument 1 may name a subcommand.
    pub is_container: bool,
    /// Length of the name.
    name_bytes: u8,
    /// Arguments, name included, from which on it has a time of its own; 0 for always.
    timed_from: u32,
}

impl Shape {
    /// True if a request of `args` arguments, name included, is timed by itself instead of sharing its batch's time.
    #[inline]
    pub fn is_timed(self, args: usize) -> bool {
        args >= self.timed_from as usize
    }

    /// True if a request of `args` arguments, name included, has the right number.
    #[inline]
    pub fn takes(self, args: usize) -> bool {
        (self.args_min as usize..=self.args_max as usize).contains(&args)
    }
}

const NAME_BYTES_MAX: usize = 16;

/// Makes letters lower case. Other bytes change too, but none becomes a letter.
const LOWER_CASE: u128 = u128::from_ne_bytes([0x20; 16]);

/// At most half full, so a probe is short.
const BUCKET_COUNT: usize = (COMMAND_COUNT * 2).next_power_of_two() * 2;

#[inline]
const fn bucket(word: u128) -> usize {
    // An odd multiplier of high entropy: Knuth's golden ratio, 64 bits.
    let mixed = (word as u64 ^ (word >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - BUCKET_COUNT.trailing_zeros())) as usize
}

static WORDS: [u128; COMMAND_COUNT] = words();
static BUCKETS: [Option<Command>; BUCKET_COUNT] = buckets();
static SHAPES: [Shape; COMMAND_COUNT] = shapes();

const fn is_subcommand(spec: &Spec) -> bool {
    let name = spec.name.as_bytes();
    let mut i = 0;
    while i < name.len() {
        if name[i] == b'|' {
            return true;
        }
        i += 1;
    }
    false
}

const fn words() -> [u128; COMMAND_COUNT] {
    let mut words = [0; COMMAND_COUNT];
    let mut i = 0;
    while i < COMMAND_COUNT {
        if !is_subcommand(&SPECS[i]) {
            words[i] = word_of(SPECS[i].name.as_bytes());
        }
        i += 1;
    }
    words
}

const fn word_of(name: &[u8]) -> u128 {
    assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
    let mut word = 0u128;
    let mut i = 0;
    while i < name.len() {
        // An underscore becomes the byte that DEL stays: such a misspelling is found, and nothing else is.
        assert!(name[i].is_ascii_lowercase() || name[i] == b'_');
        word = word << 8 | name[i] as u128;
        i += 1;
    }
    word | LOWER_CASE
}

const fn buckets() -> [Option<Command>; BUCKET_COUNT] {
    let words = words();
    let mut buckets = [None; BUCKET_COUNT];
    let mut i = 0;
    while i < COMMAND_COUNT {
        if words[i] != 0 {
            let mut at = bucket(words[i]);
            while buckets[at].is_some() {
                at = (at + 1) % BUCKET_COUNT;
            }
            buckets[at] = Some(COMMANDS[i]);
        }
        i += 1;
    }
    buckets
}

const fn shapes() -> [Shape; COMMAND_COUNT] {
    let mut shapes = [Shape {
        args_min: 0,
        args_max: 0,
        first_key: 0,
        is_barrier: false,
        is_container: false,
        name_bytes: 0,
        timed_from: 0,
    }; COMMAND_COUNT];
    let mut i = 0;
    while i < COMMAND_COUNT {
        let spec = &SPECS[i];
        shapes[i] = Shape {
            args_min: spec.arity.unsigned_abs(),
            args_max: if spec.arity < 0 { u32::MAX } else { spec.arity.unsigned_abs() },
            first_key: spec.keys.first as u8,
            is_barrier: spec.flags & flag::BARRIER != 0,
            is_container: is_container(spec.name.as_bytes()),
            name_bytes: spec.name.len() as u8,
            timed_from: timed_from(spec),
        };
        i += 1;
    }
    shapes
}

/// A few keys are as quick as one.
const SHARED_KEYS_MAX: u32 = 15;

/// What takes the same time whatever the data shares its time with its batch, and so do few keys.
const fn timed_from(spec: &Spec) -> u32 {
    let is_constant = matches!(spec.complexity.as_bytes(), b"O(1)");
    let is_servers = matches!(spec.group.as_bytes(), b"server");
    if is_servers {
        0
    } else if is_constant {
        u32::MAX
    } else if spec.keys.first > 0 && spec.keys.last < 0 {
        1 + (SHARED_KEYS_MAX + 1) * spec.keys.step.unsigned_abs()
    } else {
        0
    }
}

/// True if some subcommand's name begins with `name` and a bar.
const fn is_container(name: &[u8]) -> bool {
    let mut i = 0;
    while i < COMMAND_COUNT {
        let other = SPECS[i].name.as_bytes();
        if other.len() > name.len() && other[name.len()] == b'|' && starts_with(other, name) {
            return true;
        }
        i += 1;
    }
    false
}

const fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    let mut i = 0;
    while i < prefix.len() {
        if text[i] != prefix[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for command in Command::all().iter().copied() {
            let (container, sub) = match command.name().split_once('|') {
                None => (command.name(), None),
                Some((container, sub)) => (container, Some(sub)),
            };
            let found = Command::find(container.to_uppercase().as_bytes()).expect("found");
            match sub {
                None => assert_eq!(found, command),
                Some(sub) => {
                    assert!(found.shape().is_container);
                    assert_eq!(found.subcommand(sub.to_uppercase().as_bytes()), Some(command));
                }
            }
        }
    }

    #[test]
    fn near_misses_are_not_found() {
        for name in
            ["", "ge", "gett", "\0get", "g\x05t", "config|get", "configget", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaa"]
        {
            assert_eq!(Command::find(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn what_depends_on_its_data_has_a_time_of_its_own() {
        let check = |name: &str, args: usize, expected: bool| {
            let command = Command::all().iter().find(|command| command.name() == name).expect("a command");
            assert_eq!(command.shape().is_timed(args), expected, "{name} with {args} arguments");
        };
        check("get", 2, false);
        check("set", 1000, false);
        check("incr", 2, false);
        check("ping", 1, false);
        check("mget", 16, false);
        check("mget", 17, true);
        check("mset", 32, false);
        check("mset", 33, true);
        check("keys", 2, true);
        check("scan", 2, true);
        check("info", 1, true);
        check("flushall", 1, true);
        check("config|set", 4, true);
        check("client|list", 2, true);
        check("client|id", 2, false);
    }

    #[test]
    fn specs_are_whole() {
        for spec in SPECS {
            assert!(!spec.summary.is_empty() && spec.summary.len() < 100, "{}", spec.name);
            assert!(spec.arity != 0, "{}", spec.name);
            let keys = spec.keys;
            assert!((0..=3).contains(&keys.first), "{}: the first key is near the name", spec.name);
            assert!(keys.first < spec.arity.abs() || spec.flags & flag::NO_MANDATORY_KEYS != 0, "{}", spec.name);
            assert!(keys.count_at == 0 || spec.flags & flag::MOVABLEKEYS != 0, "{}", spec.name);
        }
    }
}
