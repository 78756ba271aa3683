//! COMMAND: the table, as client libraries read it.

use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::glob::{self, Case};
use crate::spec::{Keys, Spec, category, flag};
use crate::syntax;
use crate::table::Command;

const COMMAND_BASE: Spec = Spec {
    flags: flag::LOADING | flag::STALE,
    categories: category::CONNECTION,
    tips: &["nondeterministic_output_order"],
    since: "2.8.13",
    complexity: "O(N), N commands",
    ..Spec::PLAIN
};

pub(crate) const COMMAND: Spec =
    Spec { name: "command", arity: -1, summary: "Describes all commands.", ..COMMAND_BASE };

pub(crate) const COMMAND_COUNT: Spec = Spec {
    name: "command|count",
    arity: 2,
    tips: &[],
    summary: "Answers the number of commands.",
    complexity: "O(1)",
    ..COMMAND_BASE
};

pub(crate) const COMMAND_DOCS: Spec = Spec {
    name: "command|docs",
    arity: -2,
    syntax: "[command-name [command-name ...]]",
    since: "7.0.0",
    summary: "Explains commands.",
    ..COMMAND_BASE
};

pub(crate) const COMMAND_INFO: Spec = Spec {
    name: "command|info",
    arity: -2,
    syntax: "[command-name [command-name ...]]",
    summary: "Describes the commands named.",
    ..COMMAND_BASE
};

pub(crate) const COMMAND_LIST: Spec = Spec {
    name: "command|list",
    arity: -2,
    syntax: "[filterby: FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
    since: "7.0.0",
    summary: "Answers the names of commands.",
    ..COMMAND_BASE
};

pub(crate) const COMMAND_HELP: Spec = Spec {
    name: "command|help",
    arity: 2,
    tips: &[],
    since: "5.0.0",
    summary: "Lists the subcommands.",
    complexity: "O(1)",
    ..COMMAND_BASE
};

pub(crate) fn command(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.array(top_level().count());
    top_level().for_each(|command| answer_info(command, reply));
}

pub(crate) fn count(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(top_level().count() as i64);
}

/// Names that one request may ask about. A container with its subcommands takes a tenth of a millisecond, and a request
/// has room for a million names.
const NAMES_MAX: usize = 1024;

/// The names from argument 2 on, if they are not too many.
pub(super) fn names<'a>(call: &Call<'a>) -> Result<&'a [Arg<'a>], Refusal> {
    const TOO_MANY: Refusal = Refusal::text("ERR too many command names, ask for 1024 at most");
    const _: () = assert!(NAMES_MAX == 1024, "the text says how many");
    Some(call.args_from(2)).filter(|names| names.len() <= NAMES_MAX).ok_or(TOO_MANY)
}

pub(crate) fn command_info(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names = names(call)?;
    if names.is_empty() {
        reply.array(top_level().count());
        top_level().for_each(|command| answer_info(command, reply));
        return Ok(());
    }
    reply.array(names.len());
    for arg in names {
        match by_full_name(arg.bytes()) {
            Some(command) => answer_info(command, reply),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(crate) fn docs(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let named: Vec<Command> = match names(call)? {
        [] => top_level().collect(),
        names => names.iter().filter_map(|name| by_full_name(name.bytes())).collect(),
    };
    reply.map(named.len());
    named.into_iter().for_each(|command| answer_docs(command, reply));
    Ok(())
}

pub(crate) fn list(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names: Vec<&str> = match call.args_from(2) {
        [] => Command::all().iter().map(|command| command.name()).collect(),
        [by, kind, value] if by.bytes().eq_ignore_ascii_case(b"filterby") => filtered(kind.bytes(), value.bytes())?,
        _ => return Err(Refusal::SYNTAX),
    };
    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

/// Every container without a subcommand.
pub(crate) fn container(_: &mut Cache, call: &Call<'_>, _: &mut Reply<'_>) -> Result<(), Refusal> {
    Err(Refusal::arity(call.command))
}

/// Every container's HELP: its subcommands, each with its summary.
pub(crate) fn help(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let container = call.command.spec().container().expect("HELP is a subcommand");
    let container = Command::find(container.as_bytes()).expect("a subcommand has its container in the table");
    reply.array(1 + 2 * container.subcommands().count());
    let title = container.name().to_uppercase();
    reply.simple(&format!("{title} <subcommand> [<argument> ...], where the subcommand is one of:"));
    for sub in container.subcommands() {
        let name = sub.name().split_once('|').map_or("", |(_, own)| own);
        reply.simple(&name.to_uppercase());
        reply.simple(&format!("    {}", sub.spec().summary));
    }
}

fn top_level() -> impl Iterator<Item = Command> {
    Command::all().iter().copied().filter(|command| command.spec().container().is_none())
}

/// A command by `name` or a subcommand by `container|name`.
pub(super) fn by_full_name(name: &[u8]) -> Option<Command> {
    match name.iter().position(|&b| b == b'|') {
        None => Command::find(name),
        Some(bar) => Command::find(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}

fn filtered(kind: &[u8], value: &[u8]) -> Result<Vec<&'static str>, Refusal> {
    let all = Command::all().iter().copied();
    let names = all.map(Command::name);
    if kind.eq_ignore_ascii_case(b"pattern") {
        Ok(names.filter(|name| glob::matches(value, name.as_bytes(), Case::Ignored)).collect())
    } else if kind.eq_ignore_ascii_case(b"aclcat") {
        let bit = category::NAMES.iter().find(|(_, name)| name.as_bytes()[1..].eq_ignore_ascii_case(value));
        let bit = bit.map_or(0, |(bit, _)| *bit);
        let all = Command::all().iter();
        Ok(all.filter(|command| command.spec().all_categories() & bit != 0).map(|command| command.name()).collect())
    } else if kind.eq_ignore_ascii_case(b"module") {
        Ok(Vec::new())
    } else {
        Err(Refusal::SYNTAX)
    }
}

fn answer_info(command: Command, reply: &mut Reply<'_>) {
    let spec = command.spec();
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    answer_names(flag::NAMES, spec.flags, reply);
    // Keys that are counted by an argument have no fixed range.
    let range = if spec.keys.count_at > 0 { [0; 3] } else { [spec.keys.first, spec.keys.last, spec.keys.step] };
    range.into_iter().for_each(|number| reply.integer(i64::from(number)));
    answer_names(category::NAMES, spec.all_categories(), reply);
    reply.array(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    answer_key_specifications(spec, reply);
    reply.array(command.subcommands().count());
    command.subcommands().for_each(|sub| answer_info(sub, reply));
}

fn answer_names(names: &[(u32, &str)], bits: u32, reply: &mut Reply<'_>) {
    let set = || names.iter().filter(|(bit, _)| bits & bit != 0);
    reply.set(set().count());
    set().for_each(|(_, name)| reply.simple(name));
}

/// Where the keys are, in the form that Redis 7 gives beside first, last and step.
fn answer_key_specifications(spec: &Spec, reply: &mut Reply<'_>) {
    let keys = spec.keys;
    if keys.first == 0 {
        reply.array(0);
        return;
    }
    // A range counts its last key from the first one, or from the end if it is negative.
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
    if keys.access_first.is_empty() {
        reply.array(1);
        answer_key_specification(keys, keys.first, last, keys.access, reply);
    } else {
        reply.array(2);
        answer_key_specification(keys, keys.first, 0, keys.access_first, reply);
        let last = if keys.last < 0 { keys.last } else { last - keys.step };
        answer_key_specification(keys, keys.first + keys.step, last, keys.access, reply);
    }
}

/// One group of keys that are used alike: from argument `first` on, `last` counted from there.
fn answer_key_specification(keys: Keys, first: i32, last: i32, access: &[&str], reply: &mut Reply<'_>) {
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(access.len());
    access.iter().for_each(|word| reply.simple(word));
    reply.bulk(b"begin_search");
    if keys.count_at > 0 {
        answer_method("index", &[("index", keys.count_at)], reply);
        reply.bulk(b"find_keys");
        answer_method("keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", keys.step)], reply);
    } else {
        answer_method("index", &[("index", first)], reply);
        reply.bulk(b"find_keys");
        answer_method("range", &[("lastkey", last), ("keystep", keys.step), ("limit", 0)], reply);
    }
}

fn answer_method(kind: &str, numbers: &[(&str, i32)], reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(i64::from(*number));
    }
}

fn answer_docs(command: Command, reply: &mut Reply<'_>) {
    let spec = command.spec();
    let subcommands = command.subcommands().count();
    reply.bulk(spec.name.as_bytes());
    reply.map(4 + usize::from(syntax::has_arguments(spec)) + usize::from(subcommands > 0));
    let fields =
        [("summary", spec.summary), ("since", spec.since), ("group", spec.group), ("complexity", spec.complexity)];
    for (field, value) in fields {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if syntax::has_arguments(spec) {
        reply.bulk(b"arguments");
        syntax::answer_arguments(spec, reply);
    }
    if subcommands > 0 {
        reply.bulk(b"subcommands");
        reply.map(subcommands);
        command.subcommands().for_each(|sub| answer_docs(sub, reply));
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    /// A request of a million names took minutes, in one tick.
    #[test]
    fn too_many_names_are_refused() {
        let refusal = "-ERR too many command names, ask for 1024 at most";
        for command in ["COMMAND INFO", "COMMAND DOCS", "LATENCY HISTOGRAM"] {
            check(&[
                (&format!("{command}{}", " client".repeat(1025)), refusal),
                (&format!("{command}{}", " none".repeat(1024)), "..."),
                (&format!("{command}{}", " none".repeat(1025)), refusal),
            ]);
        }
    }

    #[test]
    fn commands_describe_themselves() {
        check(&[
            (
                "COMMAND INFO get none client|id",
                "[['get' :2 [+readonly +fast] :1 :1 :1 [+@read +@string +@fast] [] [['flags' [+RO +access] \
                 'begin_search' ['type' 'index' 'spec' ['index' :1]] 'find_keys' ['type' 'range' 'spec' ['lastkey' :0 \
                 'keystep' :1 'limit' :0]]]] []] nil ['client|id' :2 [+noscript +loading +stale] :0 :0 :0 [+@slow \
                 +@connection] [] [] []]]",
            ),
            (
                "COMMAND INFO MSET",
                "[['mset' :-3 [+write +denyoom] :1 :-1 :2 [+@write +@string +@slow] ['request_policy:multi_shard' \
                 'response_policy:all_succeeded'] [['flags' [+OW +update] 'begin_search' ['type' 'index' 'spec' \
                 ['index' :1]] 'find_keys' ['type' 'range' 'spec' ['lastkey' :-1 'keystep' :2 'limit' :0]]]] []]]",
            ),
            (
                "COMMAND DOCS get nothing",
                "['get' ['summary' 'Answers the value of a key.' 'since' '1.0.0' 'group' 'string' \
                 'complexity' 'O(1)' 'arguments' [['name' 'key' 'type' 'key' 'display_text' 'key' 'key_spec_index' \
                 :0]]]]",
            ),
            ("COMMAND LIST FILTERBY PATTERN *incr*", "['incr' 'incrby' 'incrbyfloat']"),
            ("COMMAND LIST FILTERBY PATTERN config|*t", "['config|get' 'config|set' 'config|resetstat']"),
            ("COMMAND LIST FILTERBY MODULE x", "[]"),
            ("COMMAND LIST FILTERBY FOO x", "-ERR syntax error"),
            ("COMMAND LIST x", "-ERR syntax error"),
            ("COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP."),
        ]);
    }

    #[test]
    fn the_whole_table_is_well_formed() {
        let mut rig = Rig::new();
        let count: usize = rig.run("COMMAND COUNT").trim_start_matches(':').parse().expect("a number");
        let all = rig.run("COMMAND");
        assert_eq!(all, rig.run("COMMAND INFO"));
        assert!(all.contains("'client|setinfo'"));
        let docs = rig.run("COMMAND DOCS");
        assert_eq!(docs.matches("'summary'").count(), rig.run("COMMAND LIST").split(' ').count());
        assert!(count > 30);
        rig.check(&[("HELLO 3", "...")]);
        assert!(rig.run("COMMAND DOCS").starts_with("{'get' {'summary' "));
    }

    #[test]
    fn containers_have_help() {
        let mut rig = Rig::new();
        for container in ["CLIENT", "CONFIG", "COMMAND"] {
            let help = rig.run(&format!("{container} HELP"));
            assert!(help.starts_with(&format!("[+{container} <subcommand>")), "{help}");
            assert!(help.contains(" +HELP +    Lists the subcommands.]"), "{help}");
        }
    }
}
