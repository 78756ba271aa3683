//! ACL: who may do what, as far as it is true with one user, `default`, who may do all.
//!
//! Absent on purpose: other users. What would make one is unknown.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::spec::{Spec, category, flag};
use crate::table::Command;

pub(crate) const ACL: Spec = Spec {
    name: "acl",
    arity: -2,
    since: "6.0.0",
    summary: "Container of the commands about users and categories.",
    ..Spec::PLAIN
};

const SUBCOMMAND: Spec = Spec { arity: 2, flags: flag::NOSCRIPT | flag::LOADING | flag::STALE, ..ACL };

pub(crate) const ACL_WHOAMI: Spec =
    Spec { name: "acl|whoami", summary: "Answers the user of the connection.", ..SUBCOMMAND };

pub(crate) const ACL_USERS: Spec = Spec {
    name: "acl|users",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    summary: "Lists the users: default.",
    ..SUBCOMMAND
};

pub(crate) const ACL_CAT: Spec = Spec {
    name: "acl|cat",
    arity: -2,
    syntax: "[category]",
    summary: "Lists the categories, or the commands of one.",
    complexity: "O(N), N commands",
    ..SUBCOMMAND
};

pub(crate) const ACL_HELP: Spec =
    Spec { name: "acl|help", flags: flag::LOADING | flag::STALE, summary: "Lists the subcommands.", ..SUBCOMMAND };

pub(crate) fn whoami(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.bulk(b"default");
}

pub(crate) fn users(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.array(1);
    reply.bulk(b"default");
}

pub(crate) fn cat(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names: Vec<&str> = match call.args_from(2) {
        [] => category::NAMES.iter().map(|(_, name)| &name[1..]).collect(),
        [wanted] => {
            let found =
                category::NAMES.iter().find(|(_, name)| name.as_bytes()[1..].eq_ignore_ascii_case(wanted.bytes()));
            let Some((bit, _)) = found else {
                let wanted = String::from_utf8_lossy(wanted.bytes());
                return Err(Refusal::new(format!("ERR Unknown category '{wanted}'")));
            };
            let members = Command::all().iter().filter(|command| command.spec().all_categories() & bit != 0);
            members.map(|command| command.name()).collect()
        }
        _ => return Err(Refusal::arity(call.command)),
    };
    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn there_is_one_user() {
        check(&[
            ("ACL WHOAMI", "'default'"),
            ("ACL USERS", "['default']"),
            ("ACL CAT nothing", "-ERR Unknown category 'nothing'"),
            ("ACL", "-ERR wrong number of arguments for 'acl' command"),
        ]);
        let mut rig = Rig::new();
        assert!(rig.run("ACL CAT").contains("'string'"));
        assert!(rig.run("ACL CAT STRING").contains("'get'"));
        assert!(rig.run("ACL HELP").starts_with("[+ACL <subcommand> "));
    }
}
