//! Code in the server: FUNCTION, SCRIPT and MODULE, as far as they are true without any.
//!
//! Clients and test suites list and flush code between their runs. What would load or run code is unknown.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::spec::{Spec, category, flag};

const CONTAINER: Spec = Spec { arity: -2, group: "scripting", ..Spec::PLAIN };

pub(crate) const FUNCTION: Spec =
    Spec { name: "function", since: "7.0.0", summary: "Container of the commands about functions.", ..CONTAINER };

const FUNCTION_BASE: Spec = Spec { flags: flag::NOSCRIPT, categories: category::SCRIPTING, ..FUNCTION };

pub(crate) const FUNCTION_FLUSH: Spec = Spec {
    name: "function|flush",
    syntax: "[flush-type: ASYNC | SYNC]",
    flags: flag::NOSCRIPT | flag::WRITE,
    summary: "Removes all functions, of which there are none.",
    ..FUNCTION_BASE
};

pub(crate) const FUNCTION_LIST: Spec = Spec {
    name: "function|list",
    syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
    summary: "Lists the functions: none.",
    ..FUNCTION_BASE
};

pub(crate) const FUNCTION_STATS: Spec =
    Spec { name: "function|stats", arity: 2, summary: "Answers which function runs: none.", ..FUNCTION_BASE };

pub(crate) const FUNCTION_HELP: Spec = Spec {
    name: "function|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    summary: "Lists the subcommands.",
    ..FUNCTION_BASE
};

pub(crate) const SCRIPT: Spec =
    Spec { name: "script", since: "2.6.0", summary: "Container of the commands about scripts.", ..CONTAINER };

const SCRIPT_BASE: Spec = Spec { flags: flag::NOSCRIPT, categories: category::SCRIPTING, ..SCRIPT };

pub(crate) const SCRIPT_FLUSH: Spec = Spec {
    name: "script|flush",
    syntax: "[flush-type: ASYNC | SYNC]",
    summary: "Removes all scripts, of which there are none.",
    ..SCRIPT_BASE
};

pub(crate) const SCRIPT_EXISTS: Spec = Spec {
    name: "script|exists",
    arity: -3,
    syntax: "sha1 [sha1 ...]",
    summary: "Answers which scripts are known: none.",
    complexity: "O(N), N scripts",
    ..SCRIPT_BASE
};

pub(crate) const SCRIPT_HELP: Spec = Spec {
    name: "script|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "5.0.0",
    summary: "Lists the subcommands.",
    ..SCRIPT_BASE
};

pub(crate) const MODULE: Spec = Spec {
    name: "module",
    group: "server",
    since: "4.0.0",
    summary: "Container of the commands about modules.",
    ..CONTAINER
};

pub(crate) const MODULE_LIST: Spec = Spec {
    name: "module|list",
    arity: 2,
    flags: flag::ADMIN | flag::NOSCRIPT,
    summary: "Lists the modules: none.",
    ..MODULE
};

pub(crate) const MODULE_HELP: Spec = Spec {
    name: "module|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "5.0.0",
    summary: "Lists the subcommands.",
    ..MODULE
};

pub(crate) fn flush(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let is_mode = |text: &[u8]| text.eq_ignore_ascii_case(b"async") || text.eq_ignore_ascii_case(b"sync");
    match call.args_from(2) {
        [] => {}
        [mode] if is_mode(mode.bytes()) => {}
        _ => {
            let name = call.command.name().replace('|', " ").to_uppercase();
            return Err(Refusal::new(format!("ERR {name} only supports SYNC|ASYNC option")));
        }
    }
    reply.ok();
    Ok(())
}

pub(crate) fn list(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.array(0);
}

pub(crate) fn function_stats(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"running_script");
    reply.null();
    reply.bulk(b"engines");
    reply.map(0);
}

pub(crate) fn script_exists(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let scripts = call.args_from(2);
    reply.array(scripts.len());
    scripts.iter().for_each(|_| reply.integer(0));
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn there_is_no_code() {
        check(&[
            ("FUNCTION FLUSH", "+OK"),
            ("FUNCTION FLUSH ASYNC", "+OK"),
            ("FUNCTION FLUSH now", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
            ("FUNCTION LIST WITHCODE", "[]"),
            ("FUNCTION STATS", "['running_script' nil 'engines' []]"),
            ("SCRIPT FLUSH SYNC", "+OK"),
            ("SCRIPT EXISTS a b", "[:0 :0]"),
            ("MODULE LIST", "[]"),
            ("FUNCTION", "-ERR wrong number of arguments for 'function' command"),
            ("SCRIPT LOAD x", "-ERR unknown subcommand 'LOAD'. Try SCRIPT HELP."),
        ]);
        for container in ["FUNCTION", "SCRIPT", "MODULE"] {
            assert!(Rig::new().run(&format!("{container} HELP")).starts_with(&format!("[+{container} <subcommand> ")));
        }
    }
}
