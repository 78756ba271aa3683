//! CLIENT: what a connection says about itself, and the list of all.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
use crate::clients::{Session, Unblocking, mode};
use crate::commands::client_kill::is_normal;
pub(crate) use crate::commands::command::{container, help};
use crate::number;
use crate::spec::{Spec, category, flag};

pub(crate) const CLIENT: Spec = Spec {
    name: "client",
    arity: -2,
    group: "connection",
    since: "2.4.0",
    summary: "Container of the commands about connections.",
    ..Spec::PLAIN
};

pub(crate) const SUBCOMMAND: Spec = Spec {
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE,
    categories: category::CONNECTION,
    group: "connection",
    ..Spec::PLAIN
};

pub(crate) const CLIENT_ID: Spec =
    Spec { name: "client|id", arity: 2, since: "5.0.0", summary: "Answers the id of the connection.", ..SUBCOMMAND };

pub(crate) const CLIENT_GETNAME: Spec = Spec {
    name: "client|getname",
    arity: 2,
    since: "2.6.9",
    summary: "Answers the name of the connection, null if it has none.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_SETNAME: Spec = Spec {
    name: "client|setname",
    arity: 3,
    syntax: "connection-name",
    since: "2.6.9",
    summary: "Names the connection.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_SETINFO: Spec = Spec {
    name: "client|setinfo",
    arity: 4,
    syntax: "<attr: LIB-NAME libname | LIB-VER libver>",
    since: "7.2.0",
    summary: "Tells the name or version of the client's library.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_LIST: Spec = Spec {
    name: "client|list",
    arity: -2,
    syntax: "[client-type: TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::BARRIER,
    tips: &["nondeterministic_output"],
    since: "2.4.0",
    summary: "Lists the connections.",
    complexity: "O(N), N connections",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_INFO: Spec = Spec {
    name: "client|info",
    arity: 2,
    flags: SUBCOMMAND.flags | flag::BARRIER,
    tips: &["nondeterministic_output"],
    since: "6.2.0",
    summary: "Describes the connection as CLIENT LIST does.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_REPLY: Spec = Spec {
    name: "client|reply",
    arity: 3,
    syntax: "<action: ON | OFF | SKIP>",
    since: "3.2.0",
    summary: "Switches replies on or off, or skips the next one.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_UNBLOCK: Spec = Spec {
    name: "client|unblock",
    arity: -3,
    syntax: "client-id [unblock-type: TIMEOUT | ERROR]",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    since: "5.0.0",
    summary: "Ends the wait of another connection, as if its time were up or with an error.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_NO_EVICT: Spec = Spec {
    name: "client|no-evict",
    arity: 3,
    syntax: "<enabled: ON | OFF>",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    since: "7.0.0",
    summary: "Protects the connection from being closed for want of memory; none is here.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_NO_TOUCH: Spec = Spec {
    name: "client|no-touch",
    arity: 3,
    syntax: "<enabled: ON | OFF>",
    since: "7.2.0",
    summary: "Lets the reads of the connection leave no trace in what is evicted.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_CAPA: Spec = Spec {
    name: "client|capa",
    arity: -3,
    syntax: "capability [capability ...]",
    since: "8.0.0",
    summary: "Tells what the client can do; nothing here depends on it.",
    ..SUBCOMMAND
};

pub(crate) const CLIENT_HELP: Spec = Spec {
    name: "client|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "5.0.0",
    summary: "Lists the subcommands.",
    ..SUBCOMMAND
};

pub(crate) fn id(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(cache.clients.get(call.client).id() as i64);
}

pub(crate) fn getname(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    match cache.clients.get(call.client).name() {
        "" => reply.null(),
        name => reply.bulk(name.as_bytes()),
    }
}

pub(crate) fn setname(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let name = check_name(call.arg(2), "Client names")?;
    cache.clients.get_mut(call.client).set_name(name);
    reply.ok();
    Ok(())
}

pub(crate) fn setinfo(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (option, value) = (call.arg(2), call.arg(3));
    let session = cache.clients.get_mut(call.client);
    if option.eq_ignore_ascii_case(b"lib-name") {
        session.set_library_name(check_name(value, "lib-name")?);
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        session.set_library_version(check_name(value, "lib-ver")?);
    } else {
        let option = String::from_utf8_lossy(option);
        return Err(Refusal::new(format!("ERR Unrecognized option '{option}'")));
    }
    reply.ok();
    Ok(())
}

pub(crate) fn list(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let selection = Selection::parse(call)?;
    let mut text = String::new();
    for session in cache.clients.in_order() {
        if selection.contains(session) {
            text.push_str(&session.line(cache.now));
            text.push('\n');
        }
    }
    reply.verbatim("txt", &text);
    Ok(())
}

pub(crate) fn client_info(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let line = cache.clients.get(call.client).line(cache.now);
    reply.verbatim("txt", &(line + "\n"));
}

pub(crate) fn reply(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let session = cache.clients.get_mut(call.client);
    match call.arg(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            session.set_mode(mode::SILENT | mode::SKIPPED, false);
            reply.ok();
        }
        b"off" => session.set_mode(mode::SILENT, true),
        b"skip" if session.modes() & mode::SILENT == 0 => session.set_mode(mode::SKIP_NEXT, true),
        b"skip" => {}
        _ => return Err(Refusal::SYNTAX),
    }
    Ok(())
}

pub(crate) fn unblock(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let how = match call.args_from(3) {
        [] => Unblocking::Timeout,
        [reason] if reason.bytes().eq_ignore_ascii_case(b"timeout") => Unblocking::Timeout,
        [reason] if reason.bytes().eq_ignore_ascii_case(b"error") => Unblocking::Error,
        _ => return Err(Refusal::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = number::parse(call.arg(2)).ok_or(Refusal::NOT_INTEGER)?;
    // Who is held back by a pause does not wait for anything that could end early.
    let is_blocked = |session: &Session| i64::try_from(session.id()) == Ok(id) && session.may_be_unblocked();
    let found = cache.clients.iter().find(|(_, session)| is_blocked(session)).map(|(client, _)| client);
    if let Some(client) = found {
        cache.clients.get_mut(client).unblock(how);
        cache.wakes += 1;
    }
    reply.integer(i64::from(found.is_some()));
    Ok(())
}

pub(crate) fn no_evict(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    cache.clients.get_mut(call.client).is_kept = on_or_off(call.arg(2))?;
    reply.ok();
    Ok(())
}

pub(crate) fn no_touch(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let on = on_or_off(call.arg(2))?;
    cache.clients.get_mut(call.client).set_mode(mode::NO_TOUCH, on);
    reply.ok();
    Ok(())
}

pub(crate) fn capa(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.ok();
}

fn on_or_off(word: &[u8]) -> Result<bool, Refusal> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Refusal::SYNTAX),
    }
}

/// A name that fits in one word of CLIENT LIST; `what` stands in the error.
pub(crate) fn check_name<'a>(name: &'a [u8], what: &str) -> Result<&'a str, Refusal> {
    let refusal = || Refusal::new(format!("ERR {what} cannot contain spaces, newlines or special characters."));
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(refusal());
    }
    std::str::from_utf8(name).map_err(|_| refusal())
}

/// Which clients CLIENT LIST lists.
enum Selection {
    All,
    None,
    /// Sorted: a request has room for a million of them, to be held against every client.
    Ids(Vec<u64>),
}

impl Selection {
    fn parse(call: &Call<'_>) -> Result<Selection, Refusal> {
        let args = call.args_from(2);
        match args {
            [] => Ok(Selection::All),
            [option, kind] if option.bytes().eq_ignore_ascii_case(b"type") => {
                Ok(if is_normal(kind.bytes())? { Selection::All } else { Selection::None })
            }
            [option, ids @ ..] if option.bytes().eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
                let id = |text: &[u8]| number::parse(text).and_then(|id| u64::try_from(id).ok()).filter(|&id| id > 0);
                let ids: Option<Vec<u64>> = ids.iter().map(|arg| id(arg.bytes())).collect();
                let mut ids = ids.ok_or(Refusal::text("ERR Invalid client ID"))?;
                ids.sort_unstable();
                Ok(Selection::Ids(ids))
            }
            _ => Err(Refusal::SYNTAX),
        }
    }

    fn contains(&self, session: &Session) -> bool {
        match self {
            Selection::All => true,
            Selection::None => false,
            Selection::Ids(ids) => ids.binary_search(&session.id()).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn a_connection_describes_itself() {
        check(&[
            ("CLIENT ID", ":1"),
            ("CLIENT GETNAME", "nil"),
            ("CLIENT SETNAME bob", "+OK"),
            ("CLIENT GETNAME", "'bob'"),
            ("CLIENT SETNAME 'b b'", "-ERR Client names cannot contain spaces, newlines or special characters."),
            ("CLIENT SETNAME ''", "+OK"),
            ("CLIENT GETNAME", "nil"),
            ("CLIENT SETINFO LIB-NAME test", "+OK"),
            ("CLIENT SETINFO lib-ver 1.0", "+OK"),
            ("CLIENT SETINFO lib-ver '1 0'", "-ERR lib-ver cannot contain spaces, newlines or special characters."),
            ("CLIENT SETINFO foo 1.0", "-ERR Unrecognized option 'foo'"),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
            ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ]);
    }

    #[test]
    fn replies_are_switched_off_and_on() {
        check(&[
            ("CLIENT REPLY OFF", ""),
            ("PING", ""),
            ("FOO", ""),
            ("KEYS *", ""),
            ("CLIENT REPLY SKIP", ""),
            ("CLIENT REPLY ON", "+OK"),
            ("PING", "+PONG"),
            ("CLIENT REPLY SKIP", ""),
            ("FOO", ""),
            ("PING", "+PONG"),
            ("CLIENT REPLY SKIP", ""),
            ("CLIENT REPLY ON", "+OK"),
            ("CLIENT REPLY OFF", ""),
            ("RESET", "+RESET"),
            ("PING", "+PONG"),
            ("CLIENT REPLY FOO", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn a_read_without_touch_leaves_no_trace() {
        let mut rig = Rig::new();
        let frequency = |rig: &mut Rig| rig.run("OBJECT FREQ k");
        rig.check(&[("SET k v", "+OK"), ("CLIENT NO-TOUCH ON", "+OK"), ("CLIENT NO-TOUCH x", "-ERR syntax error")]);
        let before = frequency(&mut rig);
        rig.check(&[("GET k", "'v'"), ("GET k", "'v'")]);
        assert_eq!(frequency(&mut rig), before);
        rig.check(&[("CLIENT NO-TOUCH OFF", "+OK"), ("CLIENT NO-EVICT ON", "+OK")]);
        assert!(rig.run("CLIENT LIST").contains("flags=e "));
        rig.check(&[("CLIENT NO-EVICT x", "-ERR syntax error")]);
    }

    #[test]
    fn the_list_has_one_line_per_client() {
        let mut rig = Rig::new();
        rig.check(&[("CLIENT SETNAME bob", "+OK"), ("SELECT 3", "+OK")]);
        rig.advance_ms(2500);
        rig.check(&[(
            "CLIENT LIST",
            "'id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:6379 fd=8 name=bob age=2 idle=0 flags=N db=3 sub=0 psub=0 \
             ssub=0 multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 \
             tot-mem=0 events=r cmd=client|list user=default redir=-1 resp=2 lib-name= \
             lib-ver= tot-net-in=0 tot-net-out=0 tot-cmds=3\n'",
        )]);
        rig.connect_another();
        let both = rig.run("CLIENT LIST");
        assert_eq!(both.matches("id=").count(), 2);
        assert!(both.contains("cmd=NULL"));
        rig.check(&[
            ("CLIENT LIST TYPE pubsub", "''"),
            ("CLIENT LIST ID 7", "''"),
            ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID"),
            ("CLIENT LIST ID", "-ERR syntax error"),
            ("CLIENT LIST FOO", "-ERR syntax error"),
        ]);
        assert!(rig.run("CLIENT LIST ID 2 3").starts_with("'id=2 "));
        assert!(rig.run("CLIENT INFO").starts_with("'id=1 "));
    }
}
