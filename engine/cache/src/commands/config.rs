//! CONFIG: the settings by Redis's names.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::glob::{self, Case};
use crate::spec::{Spec, flag};
use crate::statistics::Statistics;

pub(crate) const CONFIG: Spec = Spec {
    name: "config",
    arity: -2,
    since: "2.0.0",
    summary: "Container of the commands about settings.",
    ..Spec::PLAIN
};

const SUBCOMMAND: Spec =
    Spec { flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE, since: "2.0.0", ..Spec::PLAIN };

pub(crate) const CONFIG_GET: Spec = Spec {
    name: "config|get",
    arity: -3,
    syntax: "parameter [parameter ...]",
    summary: "Answers the settings whose names match the patterns.",
    complexity: "O(N), N patterns",
    ..SUBCOMMAND
};

pub(crate) const CONFIG_SET: Spec = Spec {
    name: "config|set",
    arity: -4,
    syntax: "parameter value [parameter value ...]",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Changes settings, all of them or none.",
    complexity: "O(N), N settings",
    ..SUBCOMMAND
};

pub(crate) const CONFIG_RESETSTAT: Spec = Spec {
    name: "config|resetstat",
    arity: 2,
    flags: SUBCOMMAND.flags | flag::BARRIER,
    summary: "Sets the counters of INFO to zero.",
    ..SUBCOMMAND
};

pub(crate) const CONFIG_REWRITE: Spec = Spec {
    name: "config|rewrite",
    arity: 2,
    since: "2.8.0",
    summary: "Writes the settings in force into the settings file.",
    ..SUBCOMMAND
};

pub(crate) const CONFIG_HELP: Spec = Spec {
    name: "config|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "5.0.0",
    summary: "Lists the subcommands.",
    ..SUBCOMMAND
};

pub(crate) fn get(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let patterns = call.args_from(2);
    let matching = |name: &str| patterns.iter().find(|arg| glob::matches(arg.bytes(), name.as_bytes(), Case::Ignored));
    let mut found: Vec<(&[u8], String)> = Vec::new();
    for name in cache.config.names() {
        let Some(pattern) = matching(name) else { continue };
        let Some(value) = cache.config.get(name) else { continue };
        // A name comes back in the letters in which it was asked for, a pattern's finds in ours.
        let is_name = pattern.bytes().eq_ignore_ascii_case(name.as_bytes());
        found.push((if is_name { pattern.bytes() } else { name.as_bytes() }, value));
    }
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name);
        reply.bulk(value.as_bytes());
    }
}

pub(crate) fn set(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let args = call.args_from(2);
    if !args.len().is_multiple_of(2) {
        return Err(Refusal::SYNTAX);
    }
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks_exact(2) {
        let name = known_name(cache, pair[0].bytes())?;
        if pairs.iter().any(|(other, _)| *other == name) {
            return Err(Refusal::new(failed(name, "duplicate parameter")));
        }
        let value = std::str::from_utf8(pair[1].bytes());
        pairs.push((name, value.map_err(|_| Refusal::new(failed(name, "argument must be UTF-8 text")))?));
    }
    cache.config.set(&pairs).map_err(Refusal::new)?;
    cache.config_changed = true;
    cache.obey_settings();
    reply.ok();
    Ok(())
}

pub(crate) fn resetstat(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    cache.statistics = Statistics::default();
    cache.facts_at_reset = cache.facts.clone();
    reply.ok();
}

pub(crate) fn rewrite(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    cache.config.rewrite().map_err(Refusal::new)?;
    reply.ok();
    Ok(())
}

fn known_name(cache: &Cache, given: &[u8]) -> Result<&'static str, Refusal> {
    let found = cache.config.names().iter().find(|name| name.as_bytes().eq_ignore_ascii_case(given));
    found.copied().ok_or_else(|| {
        let given = String::from_utf8_lossy(given);
        Refusal::new(format!("ERR Unknown option or number of arguments for CONFIG SET - '{given}'"))
    })
}

fn failed(name: &str, reason: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn settings_are_read_by_pattern() {
        check(&[
            ("CONFIG GET maxmemory", "['maxmemory' '67108864']"),
            ("CONFIG GET MaxMemory", "['MaxMemory' '67108864']"),
            ("CONFIG GET MAXMEM*Y", "['maxmemory' '67108864' 'maxmemory-policy' 'allkeys-s3fifo']"),
            ("CONFIG GET *-POLICY MAXMEMORY", "['MAXMEMORY' '67108864' 'maxmemory-policy' 'allkeys-s3fifo']"),
            ("CONFIG GET maxmem*", "['maxmemory' '67108864' 'maxmemory-policy' 'allkeys-s3fifo']"),
            ("CONFIG GET maxmemory require*", "['maxmemory' '67108864' 'requirepass' '']"),
            ("CONFIG GET maxmemory max*y", "['maxmemory' '67108864' 'maxmemory-policy' 'allkeys-s3fifo']"),
            ("CONFIG GET none", "[]"),
            ("HELLO 3", "..."),
            ("CONFIG GET maxmemory", "{'maxmemory' '67108864'}"),
        ]);
    }

    #[test]
    fn settings_change_together_or_not_at_all() {
        let mut rig = Rig::new();
        rig.check(&[
            ("CONFIG SET maxmemory 33554432 maxmemory-policy noeviction", "+OK"),
            ("CONFIG GET maxmemory", "['maxmemory' '33554432']"),
            (
                "CONFIG SET maxmemory 67108864 foo 1",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'",
            ),
            (
                "CONFIG SET maxmemory 67108864 MAXMEMORY 67108864",
                "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter",
            ),
            ("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command"),
            ("CONFIG SET maxmemory 1 x", "-ERR syntax error"),
            (
                "CONFIG SET maxmemory-policy noeviction maxmemory x",
                "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
            ),
            ("CONFIG GET maxmemory", "['maxmemory' '33554432']"),
        ]);
        assert!(rig.cache.take_config_change());
        assert!(!rig.cache.take_config_change());
    }

    #[test]
    fn a_server_without_a_file_has_nothing_to_rewrite() {
        check(&[
            ("CONFIG REWRITE", "-ERR The server is running without a config file"),
            ("CONFIG REWRITE x", "-ERR wrong number of arguments for 'config|rewrite' command"),
        ]);
    }

    #[test]
    fn counters_start_again() {
        let mut rig = Rig::new();
        rig.check(&[("GET k", "nil"), ("CONFIG RESETSTAT", "+OK")]);
        assert!(rig.run("INFO stats").contains("keyspace_misses:0"));
    }
}
