//! The requests: every command with its forms, the replies that each may get, and the error codes it may get.
//!
//! Replies, any of those named: `ok`, `simple`, `int`, `bulk`, `nil`, `array`, `map`, `double`, `bool`; `value` is a
//! bulk string that belongs to the first key, `values` an array of such or nulls for all keys. What only a connection's
//! state explains (MULTI, MONITOR, CLIENT REPLY and the like) is in `conversation.rs`.
//!
//! Invariant: -OOM may answer any request, since what all ask together has a bound too; it needs no mention.

/// Any reply that is no error.
const ANY: &str = "ok simple int bulk nil array map double bool";

/// A form of a command.
#[derive(Debug)]
pub struct Template {
    /// As COMMAND LIST has it.
    pub name: &'static str,
    /// How often, next to the others of its table; 0 for once in a while.
    pub weight: u32,
    /// The words; `Draw::expand` reads them.
    pub text: &'static str,
    /// Replies.
    pub replies: &'static str,
    /// Codes of errors.
    pub codes: &'static str,
}

const fn form(
    name: &'static str,
    weight: u32,
    text: &'static str,
    replies: &'static str,
    codes: &'static str,
) -> Template {
    Template { name, weight, text, replies, codes }
}

/// On shared keys, by anybody, also inside transactions and without reply.
pub const SHARED: &[Template] = &[
    form("get", 60, "GET $v", "value nil", ""),
    form("get", 10, "GET $m", "bulk nil", ""),
    form("set", 50, "SET $v $value [NX|XX] [EX $secs|PX $ms|KEEPTTL|EXAT $at|PXAT $atms]", "ok nil", ""),
    form("set", 10, "SET $v $value [NX|XX] GET [EX $secs|PX $ms]", "value nil", ""),
    form("set", 10, "SET $m $blob [PX $ms]", "ok", ""),
    form("set", 2, "SET $v $value IFEQ $blob", "ok nil", "ERR"),
    form("set", 1, "SET $m $blob (NX XX|EX 0|PX -1|EX a|KEEPTTL PX 5|FOO)", "", "ERR"),
    form("setnx", 5, "SETNX $v $value", "int", ""),
    form("setex", 8, "SETEX $v $secs $value", "ok", ""),
    form("psetex", 8, "PSETEX $v $ms $value", "ok", ""),
    form("getset", 5, "GETSET $v $value", "value nil", ""),
    form("getdel", 5, "GETDEL $v", "value nil", ""),
    form("getex", 5, "GETEX $v [EX $secs|PX $ms|PERSIST|EXAT $at|PXAT $atms]", "value nil", ""),
    form("delex", 2, "DELEX $m [IFEQ $blob|IFNE $blob]", "int", "ERR"),
    form("delifeq", 2, "DELIFEQ $m $blob", "int", ""),
    form("digest", 2, "DIGEST $m", "bulk nil", ""),
    form("mget", 8, "MGET {$v}", "values", "ERR"),
    form("mget", 1, "MGET {$v} {$v} {$v} {$v} {$v} {$v} {$v} {$v}", "values", "ERR"),
    form("mset", 5, "MSET {$v $value}", "ok", ""),
    form("msetnx", 2, "MSETNX {$v $value}", "int", ""),
    form("msetex", 3, "MSETEX $pairs [NX|XX] [EX $secs|PX $ms|KEEPTTL]", "int", ""),
    form("append", 5, "APPEND $m $blob", "int", "ERR"),
    form("strlen", 3, "STRLEN (v:1|$m|$n)", "int", ""),
    form("setrange", 4, "SETRANGE $m $offset $blob", "int", "ERR"),
    form("getrange", 4, "GETRANGE ($v|$m) $index $index", "bulk", ""),
    form("substr", 1, "SUBSTR $m $index $index", "bulk", ""),
    form("incr", 8, "INCR $n", "int", "ERR"),
    form("decr", 3, "DECR $n", "int", "ERR"),
    form("incrby", 5, "INCRBY $n $int", "int", "ERR"),
    form("decrby", 3, "DECRBY $n $int", "int", "ERR"),
    form("incrbyfloat", 3, "INCRBYFLOAT $n $float", "bulk", "ERR"),
    form("lcs", 1, "LCS $n $n [LEN|IDX|IDX MINMATCHLEN 2|IDX WITHMATCHLEN]", "bulk int map array", "ERR"),
    form("setbit", 3, "SETBIT $m $bit $bool", "int", ""),
    form("getbit", 3, "GETBIT $m $bit", "int", ""),
    form("bitcount", 2, "BITCOUNT ($m|$v) [$index $index [BIT|BYTE]]", "int", ""),
    form("bitpos", 2, "BITPOS $m $bool [$index [$index [BIT|BYTE]]]", "int", ""),
    form("bitop", 1, "BITOP (AND|OR|XOR) $m {$m}", "int", "ERR"),
    form("bitop", 1, "BITOP (NOT $m $m|DIFF $m $m $m|DIFF1 $m $m $m|ANDOR $m $m $m|ONE $m $m)", "int", "ERR"),
    form("bitfield", 3, "BITFIELD $m {(GET $type $bit|SET $type $bit 1|INCRBY $type $bit 3)}", "array", "ERR"),
    form("bitfield", 1, "BITFIELD $m OVERFLOW (WRAP|SAT|FAIL) INCRBY $type $bit 100", "array", "ERR"),
    form("bitfield_ro", 2, "BITFIELD_RO $m {GET $type $bit}", "array", ""),
    form("del", 6, "DEL {($v|$m|$n)}", "int", ""),
    form("unlink", 3, "UNLINK {($v|$m|$n)}", "int", ""),
    form("exists", 4, "EXISTS {($v|$m)}", "int", ""),
    form("touch", 3, "TOUCH {($v|$m)}", "int", ""),
    form("type", 3, "TYPE ($v|$m)", "simple", ""),
    form("rename", 2, "RENAME $m $m", "ok", "ERR"),
    form("renamenx", 2, "RENAMENX $m $m", "int", "ERR"),
    form("copy", 3, "COPY $m $m [DB $db] [REPLACE]", "int", "ERR"),
    form("move", 3, "MOVE ($v|$m) $db", "int", "ERR"),
    form("randomkey", 1, "RANDOMKEY", "bulk nil", ""),
    form("expire", 3, "EXPIRE ($v|$m) $secs [NX|XX|GT|LT]", "int", ""),
    form("pexpire", 4, "PEXPIRE ($v|$m) $ms [NX|XX|GT|LT]", "int", ""),
    form("expireat", 2, "EXPIREAT ($v|$m) $at", "int", ""),
    form("pexpireat", 2, "PEXPIREAT ($v|$m) $atms", "int", ""),
    form("ttl", 3, "TTL ($v|$m)", "int", ""),
    form("pttl", 3, "PTTL ($v|$m)", "int", ""),
    form("expiretime", 1, "EXPIRETIME ($v|$m)", "int", ""),
    form("pexpiretime", 1, "PEXPIRETIME ($v|$m)", "int", ""),
    form("persist", 2, "PERSIST ($v|$m)", "int", ""),
    form("object|encoding", 1, "OBJECT ENCODING ($v|$m)", "bulk nil", "ERR"),
    form("object|freq", 1, "OBJECT FREQ ($v|$m)", "int nil", "ERR"),
    form("object|idletime", 1, "OBJECT IDLETIME ($v|$m)", "int nil", "ERR"),
    form("object|refcount", 1, "OBJECT REFCOUNT ($v|$m)", "int nil", "ERR"),
    form("memory|usage", 1, "MEMORY USAGE ($v|$m) [SAMPLES 5]", "int nil", ""),
    form("dbsize", 1, "DBSIZE", "int", ""),
];

/// About the server and the connection; safe from anybody at any time, also inside transactions.
pub const CALM: &[Template] = &[
    form("ping", 10, "PING", "simple", ""),
    form("ping", 3, "PING $word", "bulk", ""),
    form("echo", 10, "ECHO $blob", "bulk", ""),
    form("time", 3, "TIME", "array", ""),
    form("lastsave", 1, "LASTSAVE", "int", ""),
    form("role", 1, "ROLE", "array", ""),
    form("lolwut", 1, "LOLWUT", "bulk", ""),
    form("scan", 3, "SCAN $cursor [MATCH $glob] [COUNT $count] [TYPE string]", "array", ""),
    form("keys", 0, "KEYS $glob", "array", "ERR"),
    form("wait", 1, "WAIT $bool $moment", "int", "UNBLOCKED"),
    form("info", 2, "INFO", "bulk", ""),
    form("info", 2, "INFO (all|memory|stats|clients|commandstats|errorstats|latencystats|cpu|keyspace)", "bulk", ""),
    form("command", 0, "COMMAND", "array", ""),
    form("command|count", 1, "COMMAND COUNT", "int", ""),
    form("command|list", 1, "COMMAND LIST [FILTERBY (PATTERN g*|ACLCAT string|MODULE none)]", "array", ""),
    form("command|info", 1, "COMMAND INFO {(get|set|none|client)}", "array", ""),
    form("command|docs", 1, "COMMAND DOCS [get] [none]", "map array", ""),
    form("command|getkeys", 2, "COMMAND GETKEYS (MSET a b c d|GET a|PING|GET)", "array", "ERR"),
    form("command|getkeysandflags", 1, "COMMAND GETKEYSANDFLAGS (MSET a b c d|GET a|PING)", "array", "ERR"),
    form("command|help", 1, "COMMAND HELP", "array", ""),
    form("config|get", 2, "CONFIG GET (max*|timeout|*) [hz]", "map array", ""),
    form("config|help", 1, "CONFIG HELP", "array", ""),
    form("client|id", 3, "CLIENT ID", "int", ""),
    form("client|getname", 2, "CLIENT GETNAME", "bulk nil", ""),
    form("client|setname", 2, "CLIENT SETNAME $word", "ok", ""),
    form("client|setinfo", 1, "CLIENT SETINFO (lib-name soak|lib-ver 1.0|lib-foo 1)", "ok", "ERR"),
    form("client|info", 2, "CLIENT INFO", "bulk", ""),
    form("client|list", 1, "CLIENT LIST [TYPE normal|ID $id $id]", "bulk", ""),
    form("client|no-evict", 1, "CLIENT NO-EVICT (ON|OFF)", "ok", ""),
    form("client|no-touch", 2, "CLIENT NO-TOUCH (ON|OFF)", "ok", ""),
    form("client|capa", 1, "CLIENT CAPA redirect", "ok", ""),
    form("client|unblock", 2, "CLIENT UNBLOCK $id [TIMEOUT|ERROR]", "int", ""),
    form("client|trackinginfo", 1, "CLIENT TRACKINGINFO", "map array", ""),
    form("client|getredir", 1, "CLIENT GETREDIR", "int", ""),
    form("client|help", 1, "CLIENT HELP", "array", ""),
    form("slowlog|get", 1, "SLOWLOG GET [$count|-1]", "array", ""),
    form("slowlog|len", 1, "SLOWLOG LEN", "int", ""),
    form("slowlog|help", 1, "SLOWLOG HELP", "array", ""),
    form("latency|latest", 1, "LATENCY LATEST", "array", ""),
    form("latency|history", 1, "LATENCY HISTORY command", "array", ""),
    form("latency|graph", 1, "LATENCY GRAPH command", "bulk", "ERR"),
    form("latency|doctor", 1, "LATENCY DOCTOR", "bulk", ""),
    form("latency|histogram", 1, "LATENCY HISTOGRAM [get] [none]", "map array", ""),
    form("latency|help", 1, "LATENCY HELP", "array", ""),
    form("memory|stats", 1, "MEMORY STATS", "map array", ""),
    form("memory|doctor", 1, "MEMORY DOCTOR", "bulk", ""),
    form("memory|malloc-stats", 0, "MEMORY MALLOC-STATS", "bulk", ""),
    form("memory|purge", 1, "MEMORY PURGE", "ok", ""),
    form("memory|help", 1, "MEMORY HELP", "array", ""),
    form("acl|whoami", 1, "ACL WHOAMI", "bulk", ""),
    form("acl|users", 1, "ACL USERS", "array", ""),
    form("acl|cat", 1, "ACL CAT [string|nothing]", "array", "ERR"),
    form("acl|help", 1, "ACL HELP", "array", ""),
    form("cluster|info", 1, "CLUSTER INFO", "bulk", "ERR"),
    form("cluster|keyslot", 1, "CLUSTER KEYSLOT a", "int", "ERR"),
    form("cluster|myid", 1, "CLUSTER MYID", "bulk", "ERR"),
    form("cluster|nodes", 1, "CLUSTER NODES", "bulk", "ERR"),
    form("cluster|reset", 0, "CLUSTER RESET", "", "ERR"),
    form("cluster|shards", 1, "CLUSTER SHARDS", "array", "ERR"),
    form("cluster|slots", 1, "CLUSTER SLOTS", "array", "ERR"),
    form("cluster|help", 1, "CLUSTER HELP", "array", ""),
    form("readonly", 1, "READONLY", "ok", "ERR"),
    form("readwrite", 1, "READWRITE", "ok", "ERR"),
    form("function|flush", 1, "FUNCTION FLUSH [ASYNC|SYNC]", "ok", ""),
    form("function|list", 1, "FUNCTION LIST [WITHCODE]", "array", ""),
    form("function|stats", 1, "FUNCTION STATS", "map array", ""),
    form("function|help", 1, "FUNCTION HELP", "array", ""),
    form("script|flush", 1, "SCRIPT FLUSH [ASYNC|SYNC]", "ok", ""),
    form("script|exists", 1, "SCRIPT EXISTS {$word}", "array", ""),
    form("script|help", 1, "SCRIPT HELP", "array", ""),
    form("module|list", 1, "MODULE LIST", "array", ""),
    form("module|help", 1, "MODULE HELP", "array", ""),
    form("pubsub|channels", 1, "PUBSUB CHANNELS [$word]", "array", ""),
    form("pubsub|numpat", 1, "PUBSUB NUMPAT", "int", ""),
    form("pubsub|numsub", 1, "PUBSUB NUMSUB {$word}", "array", ""),
    form("pubsub|shardchannels", 1, "PUBSUB SHARDCHANNELS", "array", ""),
    form("pubsub|shardnumsub", 1, "PUBSUB SHARDNUMSUB {$word}", "array", ""),
    form("pubsub|help", 1, "PUBSUB HELP", "array", ""),
    form("object|help", 1, "OBJECT HELP", "array", ""),
    form("auth", 1, "AUTH [default] wrong", "ok", "ERR WRONGPASS"),
];

/// What touches all, and containers without a subcommand: rare, never inside transactions.
pub const RARE: &[Template] = &[
    form("flushdb", 4, "FLUSHDB [ASYNC|SYNC]", "ok", ""),
    form("flushall", 1, "FLUSHALL [ASYNC|SYNC]", "ok", ""),
    form("swapdb", 6, "SWAPDB $swapped $swapped", "ok", ""),
    form("config|set", 6, "CONFIG SET hz (10|50|100)", "ok", ""),
    form("config|set", 6, "CONFIG SET slowlog-log-slower-than (0|1000|10000)", "ok", "ERR"),
    form("config|set", 6, "CONFIG SET latency-monitor-threshold (0|1|100)", "ok", "ERR"),
    form(
        "config|set",
        6,
        "CONFIG SET maxmemory-policy (allkeys-s3fifo|allkeys-lru|allkeys-lfu|allkeys-random)",
        "ok",
        "",
    ),
    form(
        "config|set",
        2,
        "CONFIG SET maxmemory-policy (noeviction|volatile-lru|volatile-ttl|volatile-s3fifo)",
        "ok",
        "",
    ),
    form("config|set", 6, "CONFIG SET maxmemory $limit", "ok", ""),
    form("config|set", 2, "CONFIG SET (no-such-setting 1|hz abc|maxmemory-policy foo)", "", "ERR"),
    form("acl", 1, "ACL", "", "ERR"),
    form("client", 1, "CLIENT", "", "ERR"),
    form("cluster", 1, "CLUSTER", "", "ERR"),
    form("config", 1, "CONFIG", "", "ERR"),
    form("function", 1, "FUNCTION", "", "ERR"),
    form("latency", 1, "LATENCY", "", "ERR"),
    form("memory", 1, "MEMORY", "", "ERR"),
    form("module", 1, "MODULE", "", "ERR"),
    form("object", 1, "OBJECT", "", "ERR"),
    form("pubsub", 1, "PUBSUB", "", "ERR"),
    form("script", 1, "SCRIPT", "", "ERR"),
    form("slowlog", 1, "SLOWLOG", "", "ERR"),
    form("config|resetstat", 3, "CONFIG RESETSTAT", "ok", ""),
    form("config|rewrite", 1, "CONFIG REWRITE", "ok", "ERR"),
    form("save", 1, "SAVE", "", "ERR"),
    form("bgsave", 1, "BGSAVE [SCHEDULE|now]", "", "ERR"),
    form("bgrewriteaof", 1, "BGREWRITEAOF", "", "ERR"),
    form("replicaof", 1, "REPLICAOF (NO ONE|localhost 1)", "ok", "ERR"),
    form("slaveof", 1, "SLAVEOF (NO ONE|localhost 1)", "ok", "ERR"),
    form("waitaof", 1, "WAITAOF $bool $bool $moment", "array", "ERR"),
    form("slowlog|reset", 3, "SLOWLOG RESET", "ok", ""),
    form("latency|reset", 3, "LATENCY RESET", "int", ""),
    form("client|pause", 1, "CLIENT PAUSE $moment (WRITE|ALL)", "ok", ""),
    form("client|unpause", 4, "CLIENT UNPAUSE", "ok", ""),
    form(
        "client|kill",
        2,
        "CLIENT KILL (TYPE replica|ADDR 1.2.3.4:5|MAXAGE 1000000|USER default MAXAGE 1000000)",
        "int",
        "",
    ),
    form("client|kill", 2, "CLIENT KILL (1.2.3.4:5|ID 0|TYPE foo|ID)", "", "ERR"),
    form("debug", 4, "DEBUG (SLEEP 0|SLEEP 0.01|SET-ACTIVE-EXPIRE 1|HELP|POPULATE $moment m:p)", "ok array", "ERR"),
    form(
        "debug",
        4,
        "DEBUG PROTOCOL (string|integer|double|null|array|set|map|bignum|true|false|verbatim)",
        ANY,
        "ERR",
    ),
    form("debug", 2, "DEBUG (OBJECT $m|SDSLEN $m|STRINGMATCH-LEN 100 a*b)", "ok simple int", "ERR"),
    form("debug", 2, "DEBUG DIGEST-VALUE {$m}", "array", "ERR"),
    form("debug", 0, "DEBUG DIGEST", "simple bulk", "ERR"),
    form("debug", 1, "DEBUG (NO-SUCH-THING|SLEEP|SLEEP x|ERROR soak)", "", "ERR soak"),
];

/// On keys of the connection's own: the model knows the replies.
pub const OWN: &[(&str, u32, &str)] = &[
    ("set", 30, "SET $x $blob [NX|XX] [GET] [EX $secs|PX $ms|KEEPTTL]"),
    ("set", 10, "SET $x $int"),
    ("get", 30, "GET $x"),
    ("setnx", 3, "SETNX $x $blob"),
    ("setex", 3, "SETEX $x $secs $blob"),
    ("psetex", 5, "PSETEX $x $ms $blob"),
    ("getset", 4, "GETSET $x $blob"),
    ("getdel", 4, "GETDEL $x"),
    ("getex", 4, "GETEX $x [EX $secs|PX $ms|PERSIST]"),
    ("append", 6, "APPEND $x $blob"),
    ("strlen", 5, "STRLEN $x"),
    ("setrange", 5, "SETRANGE $x $offset $blob"),
    ("getrange", 6, "GETRANGE $x $index $index"),
    ("substr", 2, "SUBSTR $x $index $index"),
    ("incr", 5, "INCR $x"),
    ("decr", 3, "DECR $x"),
    ("incrby", 4, "INCRBY $x $int"),
    ("decrby", 3, "DECRBY $x $int"),
    ("setbit", 3, "SETBIT $x $bit $bool"),
    ("getbit", 4, "GETBIT $x $bit"),
    ("bitcount", 3, "BITCOUNT $x"),
    ("del", 3, "DEL $x"),
    ("unlink", 2, "UNLINK $x"),
    ("exists", 4, "EXISTS $x"),
    ("touch", 2, "TOUCH $x"),
    ("type", 2, "TYPE $x"),
    ("expire", 2, "EXPIRE $x $secs"),
    ("pexpire", 3, "PEXPIRE $x $ms"),
    ("persist", 2, "PERSIST $x"),
    ("ttl", 3, "TTL $x"),
    ("pttl", 3, "PTTL $x"),
    ("rename", 2, "RENAME $x $x"),
    ("copy", 2, "COPY $x $x REPLACE"),
    ("mget", 4, "MGET {$x}"),
    ("mset", 3, "MSET {$x $blob}"),
];

/// Commands that `conversation.rs` sends by itself, since they change what follows.
pub const OF_CONVERSATIONS: &[&str] = &[
    "select",
    "hello",
    "reset",
    "quit",
    "multi",
    "exec",
    "discard",
    "watch",
    "unwatch",
    "monitor",
    "client|reply",
    "client|kill",
];

/// Never sent, whatever else is: it would end the run.
pub const NEVER: &[&str] = &["shutdown"];

/// True if something here sends it.
pub fn covers(name: &str) -> bool {
    [SHARED, CALM, RARE].iter().any(|table| table.iter().any(|template| template.name == name))
        || OWN.iter().any(|(own, _, _)| *own == name)
        || OF_CONVERSATIONS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::draw::Draw;

    #[test]
    fn every_template_expands_to_its_command() {
        let mut draw = Draw::new(1, 1);
        let own = OWN.iter().map(|(name, _, text)| (*name, *text));
        let tables = [SHARED, CALM, RARE].into_iter().flatten().map(|form| (form.name, form.text));
        for (name, text) in tables.chain(own) {
            for _ in 0..20 {
                let mut words = Vec::new();
                draw.expand(text, &mut words);
                let spoken: Vec<&str> = name.split('|').collect();
                for (word, spoken) in words.iter().zip(spoken) {
                    assert!(word.eq_ignore_ascii_case(spoken.as_bytes()), "{name}: {text}");
                }
            }
        }
    }

    #[test]
    fn what_ends_the_server_is_never_sent() {
        assert!(NEVER.iter().all(|name| !covers(name)));
    }
}
