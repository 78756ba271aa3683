//! Commands as the workload chooses them, and as they go over the wire.
//!
//! A command over keys is a list of touches, one per key, so that the oracle can judge each key by itself.

use bytes::Bytes;

use crate::memcache::Ask;
use crate::reply::Reply;

/// A key in its database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The database.
    pub db: u8,
    /// Its name.
    pub name: Bytes,
}

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetIf {
    /// Always.
    Always,
    /// NX.
    Missing,
    /// XX.
    Exists,
}

/// What SET does to the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// There is none afterwards.
    Never,
    /// KEEPTTL.
    Keep,
    /// EX, in seconds.
    Seconds(u32),
    /// PX, in milliseconds.
    Millis(u32),
    /// PXAT, in Unix milliseconds.
    AtMs(u64),
}

/// When EXPIRE changes a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireIf {
    /// Always.
    Always,
    /// NX.
    None,
    /// XX.
    Any,
    /// GT.
    Later,
    /// LT.
    Earlier,
}

/// What a command does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touch {
    /// GET.
    Get,
    /// SET.
    Set {
        /// What to store.
        value: Bytes,
        /// NX or XX.
        condition: SetIf,
        /// EX and its kin.
        deadline: Deadline,
        /// GET.
        answer_old: bool,
    },
    /// INCRBY and its kin.
    Add(i64),
    /// memcached's incr.
    Incr(u64),
    /// memcached's decr.
    Decr(u64),
    /// APPEND.
    Append(Bytes),
    /// STRLEN.
    Strlen,
    /// DEL of one key, or a part of DEL.
    Delete,
    /// EXISTS of one key, or a part of EXISTS.
    Exists,
    /// EXPIRE in seconds.
    ExpireSeconds(i32, ExpireIf),
    /// PEXPIRE in milliseconds.
    ExpireMillis(i32, ExpireIf),
    /// TTL.
    TtlSeconds,
    /// PTTL.
    TtlMillis,
    /// PERSIST.
    Persist,
    /// TYPE.
    Type,
    /// Part of FLUSHDB.
    Flush,
    /// Part of KEYS: 1 if it was listed.
    Listed,
    /// Part of DBSIZE: an expired one may still count.
    Counted,
}

impl Touch {
    /// True if it may change the key.
    pub fn writes(&self) -> bool {
        match self {
            Touch::Set { .. } | Touch::Add(_) | Touch::Append(_) | Touch::Delete | Touch::Flush => true,
            Touch::Incr(_) | Touch::Decr(_) => true,
            Touch::ExpireSeconds(..) | Touch::ExpireMillis(..) | Touch::Persist => true,
            Touch::Get | Touch::Strlen | Touch::Exists | Touch::TtlSeconds | Touch::TtlMillis => false,
            Touch::Type | Touch::Listed | Touch::Counted => false,
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One key.
    One(Key, Touch),
    /// MGET.
    Mget(Vec<Key>),
    /// MSET.
    Mset(Vec<(Key, Bytes)>),
    /// DEL, or UNLINK.
    Delete(Vec<Key>, &'static str),
    /// EXISTS of several keys.
    Exists(Vec<Key>),
    /// FLUSHDB of a database.
    Flush(u8),
    /// DBSIZE of a database.
    Size(u8),
    /// KEYS * of a database.
    Keys(u8),
    /// SCAN of a database: cursor and COUNT.
    Scan(u8, u64, u32),
    /// SELECT.
    Select(u8),
    /// PING, with or without text.
    Ping(Option<Bytes>),
    /// ECHO.
    Echo(Bytes),
    /// HELLO 2 or HELLO 3.
    Hello(u8),
    /// CLIENT ID.
    ClientId,
    /// CLIENT SETNAME.
    SetName(Bytes),
    /// CLIENT GETNAME.
    GetName,
    /// RESET.
    Reset,
    /// MULTI.
    Multi,
    /// A command between MULTI and EXEC.
    Queued(Box<Command>),
    /// EXEC.
    Exec,
    /// DISCARD.
    Discard,
    /// WATCH.
    Watch(Vec<Key>),
    /// UNWATCH.
    Unwatch,
    /// CLIENT PAUSE: milliseconds, and whether reads are held back too.
    Pause(u32, bool),
    /// CLIENT UNPAUSE.
    Unpause,
    /// CLIENT KILL ADDR.
    Kill(String),
    /// WAIT for one replica: milliseconds; 0 is for ever.
    Wait(u32),
    /// CLIENT UNBLOCK.
    Unblock(u64),
    /// MONITOR.
    Monitor,
    /// CLIENT REPLY OFF or SKIP, which has no reply.
    Hush(&'static str),
    /// CLIENT REPLY ON.
    Loud,
    /// A command whose reply is not wanted.
    Silent(Box<Command>),
    /// A request of memcached's protocol.
    Memcache(Ask),
    /// QUIT.
    Quit,
    /// A request whose answer is an error that begins so.
    Wrong(Vec<Bytes>, &'static str),
    /// A request whose answer only has to be well-formed.
    Any(Vec<Bytes>),
    /// What an EXEC ran, for the oracle: its commands, the watched keys with what was read of them, and the tick from
    /// which on they were watched.
    Ran(Vec<Command>, Vec<(Key, Reply)>, u64),
    /// An EXEC that ran nothing, for the oracle: the keys watched, and from which tick on.
    NotRun(Vec<Key>, u64),
    /// No request at all: these bytes break the protocol, the answer is an error, then the connection closes.
    Broken(Bytes),
}

impl Command {
    /// Arguments on the wire, name first.
    pub fn args(&self) -> Vec<Bytes> {
        match self {
            Command::One(key, touch) => touch_args(key, touch),
            Command::Mget(keys) => with_keys("MGET", keys),
            Command::Mset(pairs) => {
                let pairs = pairs.iter().flat_map(|(key, value)| [key.name.clone(), value.clone()]);
                std::iter::once(Bytes::from_static(b"MSET")).chain(pairs).collect()
            }
            Command::Delete(keys, name) => with_keys(name, keys),
            Command::Exists(keys) => with_keys("EXISTS", keys),
            Command::Flush(_) => words(&["FLUSHDB"]),
            Command::Size(_) => words(&["DBSIZE"]),
            Command::Keys(_) => words(&["KEYS", "*"]),
            Command::Scan(_, cursor, count) => words(&["SCAN", &cursor.to_string(), "COUNT", &count.to_string()]),
            Command::Select(db) => words(&["SELECT", &db.to_string()]),
            Command::Ping(None) => words(&["PING"]),
            Command::Ping(Some(text)) => vec![Bytes::from_static(b"PING"), text.clone()],
            Command::Echo(text) => vec![Bytes::from_static(b"ECHO"), text.clone()],
            Command::Hello(version) => words(&["HELLO", &version.to_string()]),
            Command::ClientId => words(&["CLIENT", "ID"]),
            Command::SetName(name) => {
                vec![Bytes::from_static(b"CLIENT"), Bytes::from_static(b"SETNAME"), name.clone()]
            }
            Command::GetName => words(&["CLIENT", "GETNAME"]),
            Command::Reset => words(&["RESET"]),
            Command::Multi => words(&["MULTI"]),
            Command::Queued(command) | Command::Silent(command) => command.args(),
            Command::Exec => words(&["EXEC"]),
            Command::Discard => words(&["DISCARD"]),
            Command::Watch(keys) => with_keys("WATCH", keys),
            Command::Unwatch => words(&["UNWATCH"]),
            Command::Pause(ms, true) => words(&["CLIENT", "PAUSE", &ms.to_string()]),
            Command::Pause(ms, false) => words(&["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]),
            Command::Unpause => words(&["CLIENT", "UNPAUSE"]),
            Command::Kill(address) => words(&["CLIENT", "KILL", "ADDR", address]),
            Command::Wait(ms) => words(&["WAIT", "1", &ms.to_string()]),
            Command::Unblock(id) => words(&["CLIENT", "UNBLOCK", &id.to_string(), "ERROR"]),
            Command::Monitor => words(&["MONITOR"]),
            Command::Hush(how) => words(&["CLIENT", "REPLY", how]),
            Command::Loud => words(&["CLIENT", "REPLY", "ON"]),
            Command::Quit => words(&["QUIT"]),
            Command::Wrong(args, _) | Command::Any(args) => args.clone(),
            Command::Broken(_) | Command::Ran(..) | Command::NotRun(..) | Command::Memcache(_) => Vec::new(),
        }
    }

    /// True if the server answers it.
    pub fn is_answered(&self) -> bool {
        match self {
            Command::Hush(_) | Command::Silent(_) => false,
            Command::Memcache(ask) => ask.is_answered(),
            _ => true,
        }
    }

    /// True if it may change a key.
    pub fn writes(&self) -> bool {
        match self {
            Command::One(_, touch) => touch.writes(),
            Command::Mset(_) | Command::Delete(..) | Command::Flush(_) => true,
            Command::Queued(command) => command.writes(),
            Command::Ran(commands, ..) => commands.iter().any(Command::writes),
            _ => false,
        }
    }

    /// The request as bytes.
    pub fn encode(&self) -> Vec<u8> {
        if let Command::Broken(bytes) = self {
            return bytes.to_vec();
        }
        if let Command::Memcache(ask) = self {
            return ask.encode();
        }
        let args = self.args();
        let mut wire = format!("*{}\r\n", args.len()).into_bytes();
        for arg in &args {
            wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            wire.extend_from_slice(arg);
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }

    /// The request as an inline command, if its arguments can be written so.
    pub fn encode_inline(&self) -> Option<Vec<u8>> {
        let args = self.args();
        let plain = |arg: &Bytes| !arg.is_empty() && arg.len() < 64 && arg.iter().all(u8::is_ascii_alphanumeric);
        (!args.is_empty() && args.iter().all(plain)).then(|| [&args.join(&b' ')[..], b"\r\n"].concat())
    }
}

fn words(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn with_keys(name: &str, keys: &[Key]) -> Vec<Bytes> {
    words(&[name]).into_iter().chain(keys.iter().map(|key| key.name.clone())).collect()
}

fn touch_args(key: &Key, touch: &Touch) -> Vec<Bytes> {
    let of = |name: &str, rest: &[&str]| {
        let mut args = vec![Bytes::copy_from_slice(name.as_bytes()), key.name.clone()];
        args.extend(words(rest));
        args
    };
    match touch {
        Touch::Get => of("GET", &[]),
        Touch::Set { value, condition, deadline, answer_old } => {
            let mut args = of("SET", &[]);
            args.push(value.clone());
            args.extend(set_options(*condition, *deadline, *answer_old));
            args
        }
        Touch::Add(1) => of("INCR", &[]),
        Touch::Add(-1) => of("DECR", &[]),
        Touch::Add(amount) if *amount < 0 && amount % 2 == 0 => of("DECRBY", &[&amount.unsigned_abs().to_string()]),
        Touch::Add(amount) => of("INCRBY", &[&amount.to_string()]),
        Touch::Append(tail) => {
            let mut args = of("APPEND", &[]);
            args.push(tail.clone());
            args
        }
        Touch::Strlen => of("STRLEN", &[]),
        Touch::Delete => of("DEL", &[]),
        Touch::Exists => of("EXISTS", &[]),
        Touch::ExpireSeconds(seconds, condition) => expire_args(of("EXPIRE", &[&seconds.to_string()]), *condition),
        Touch::ExpireMillis(millis, condition) => expire_args(of("PEXPIRE", &[&millis.to_string()]), *condition),
        Touch::TtlSeconds => of("TTL", &[]),
        Touch::TtlMillis => of("PTTL", &[]),
        Touch::Persist => of("PERSIST", &[]),
        Touch::Type => of("TYPE", &[]),
        Touch::Flush | Touch::Listed | Touch::Counted => unreachable!("parts of commands over a whole database"),
        Touch::Incr(_) | Touch::Decr(_) => unreachable!("memcached's own"),
    }
}

fn set_options(condition: SetIf, deadline: Deadline, answer_old: bool) -> Vec<Bytes> {
    let mut options = match condition {
        SetIf::Always => Vec::new(),
        SetIf::Missing => words(&["NX"]),
        SetIf::Exists => words(&["XX"]),
    };
    options.extend(match deadline {
        Deadline::Never => Vec::new(),
        Deadline::Keep => words(&["KEEPTTL"]),
        Deadline::Seconds(seconds) => words(&["EX", &seconds.to_string()]),
        Deadline::Millis(millis) => words(&["PX", &millis.to_string()]),
        Deadline::AtMs(at_ms) => words(&["PXAT", &at_ms.to_string()]),
    });
    if answer_old {
        options.extend(words(&["GET"]));
    }
    options
}

fn expire_args(mut args: Vec<Bytes>, condition: ExpireIf) -> Vec<Bytes> {
    args.extend(match condition {
        ExpireIf::Always => Vec::new(),
        ExpireIf::None => words(&["NX"]),
        ExpireIf::Any => words(&["XX"]),
        ExpireIf::Later => words(&["GT"]),
        ExpireIf::Earlier => words(&["LT"]),
    });
    args
}
