//! COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a command are keys, for proxies and cluster clients.

use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::number;
use crate::spec::{ACCESS_MODIFY, ACCESS_OVERWRITE, ACCESS_READ, Keys, Spec, category, flag};
use crate::table::Command;

pub(crate) const COMMAND_GETKEYS: Spec = Spec {
    name: "command|getkeys",
    arity: -3,
    syntax: "command [arg [arg ...]]",
    flags: flag::LOADING | flag::STALE,
    categories: category::CONNECTION,
    since: "2.8.13",
    summary: "Answers the keys among the arguments of a command.",
    complexity: "O(N), N arguments",
    ..Spec::PLAIN
};

pub(crate) const COMMAND_GETKEYSANDFLAGS: Spec = Spec {
    name: "command|getkeysandflags",
    since: "7.0.0",
    summary: "Answers the keys among the arguments of a command, and what it does with each.",
    ..COMMAND_GETKEYS
};

const INVALID_ARGUMENTS: Refusal = Refusal::text("ERR Invalid arguments specified for command");

/// The word in `Keys::access` that says that the arguments decide.
const VARIABLE: &str = "variable_flags";

pub(crate) fn getkeys(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let args = call.args_from(2);
    let positions = positions(command_of(args)?.spec().keys, args)?;
    reply.array(positions.len());
    positions.into_iter().for_each(|at| reply.bulk(args[at].bytes()));
    Ok(())
}

pub(crate) fn getkeysandflags(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let args = call.args_from(2);
    let keys = command_of(args)?.spec().keys;
    let positions = positions(keys, args)?;
    reply.array(positions.len());
    for at in positions {
        let is_first = at == keys.first as usize && !keys.access_first.is_empty();
        let access = access(if is_first { keys.access_first } else { keys.access }, args);
        reply.array(2);
        reply.bulk(args[at].bytes());
        reply.set(access.len());
        access.iter().for_each(|word| reply.simple(word));
    }
    Ok(())
}

/// The command that `args` begin with, if it takes that many and has keys.
fn command_of(args: &[Arg<'_>]) -> Result<Command, Refusal> {
    const UNKNOWN: Refusal = Refusal::text("ERR Invalid command specified");
    let (name, rest) = args.split_first().ok_or(UNKNOWN)?;
    let mut command = Command::find(name.bytes()).ok_or(UNKNOWN)?;
    if command.shape().is_container
        && let Some(sub) = rest.first()
    {
        command = command.subcommand(sub.bytes()).ok_or(UNKNOWN)?;
    }
    if command.spec().keys.first == 0 {
        return Err(Refusal::text("ERR The command has no key arguments"));
    }
    if !command.shape().takes(args.len()) {
        return Err(Refusal::text("ERR Invalid number of arguments specified for command"));
    }
    Ok(command)
}

/// The indexes of the keys among `args`.
fn positions(keys: Keys, args: &[Arg<'_>]) -> Result<Vec<usize>, Refusal> {
    let (first, step) = (keys.first as usize, keys.step as usize);
    let last = if keys.count_at > 0 {
        let count = args.get(keys.count_at as usize).and_then(|count| number::parse(count.bytes()));
        let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
        // The arguments bound it, so nothing overflows.
        let count = count.filter(|&count| count <= args.len()).ok_or(INVALID_ARGUMENTS)?;
        first + (count - 1) * step
    } else if keys.last < 0 {
        args.len() - keys.last.unsigned_abs() as usize
    } else {
        keys.last as usize
    };
    if last >= args.len() {
        return Err(INVALID_ARGUMENTS);
    }
    Ok((first..=last).step_by(step).collect())
}

/// What these arguments make of `access`: SET that also gets reads, BITFIELD that only gets does not write.
fn access(access: &'static [&'static str], args: &[Arg<'_>]) -> &'static [&'static str] {
    if !access.contains(&VARIABLE) {
        return access;
    }
    let names = |word: &str| args[2..].iter().any(|arg| arg.bytes().eq_ignore_ascii_case(word.as_bytes()));
    if args[0].bytes().eq_ignore_ascii_case(b"set") {
        return if names("get") { ACCESS_MODIFY } else { ACCESS_OVERWRITE };
    }
    if names("set") || names("incrby") { ACCESS_MODIFY } else { ACCESS_READ }
}

#[cfg(test)]
mod tests {
    use crate::rig::check;

    #[test]
    fn keys_are_found_among_the_arguments() {
        check(&[
            ("COMMAND GETKEYS get key", "['key']"),
            ("COMMAND GETKEYS mset a 1 b 2", "['a' 'b']"),
            ("COMMAND GETKEYS rename a b", "['a' 'b']"),
            ("COMMAND GETKEYS copy a b DB 1", "['a' 'b']"),
            ("COMMAND GETKEYS memory usage key SAMPLES 1", "['key']"),
            ("COMMAND GETKEYS object ENCODING key", "['key']"),
            ("COMMAND GETKEYS foo key", "-ERR Invalid command specified"),
            ("COMMAND GETKEYS memory foo key", "-ERR Invalid command specified"),
            ("COMMAND GETKEYS memory", "-ERR The command has no key arguments"),
            ("COMMAND GETKEYS ping", "-ERR The command has no key arguments"),
            ("COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command"),
            ("COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command"),
        ]);
    }

    #[test]
    fn each_key_has_its_access() {
        check(&[
            ("COMMAND GETKEYSANDFLAGS set k1 v1", "[['k1' [+OW +update]]]"),
            ("COMMAND GETKEYSANDFLAGS set k1 v1 EX 10 get", "[['k1' [+RW +access +update]]]"),
            ("COMMAND GETKEYSANDFLAGS mset k1 v1 k2 v2", "[['k1' [+OW +update]] ['k2' [+OW +update]]]"),
            ("COMMAND GETKEYSANDFLAGS rename a b", "[['a' [+RW +access +delete]] ['b' [+OW +update]]]"),
        ]);
    }
}
