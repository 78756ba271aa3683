//! The connection itself: PING, ECHO, SELECT, HELLO, AUTH, RESET, QUIT.

use std::hint::black_box;

use protocol::{Reply, Version};

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::clients::{ClientIndex, DATABASE_COUNT, mode};
use crate::commands::client::check_name;
use crate::facts::REDIS_VERSION;
use crate::number;
use crate::spec::{Spec, category, flag};

const CONNECTION: Spec = Spec {
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::NO_AUTH | flag::ALLOW_BUSY,
    categories: category::CONNECTION,
    group: "connection",
    ..Spec::PLAIN
};

pub(crate) const PING: Spec = Spec {
    name: "ping",
    arity: -1,
    syntax: "[message]",
    flags: flag::FAST,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Answers PONG, or its argument.",
    ..CONNECTION
};

pub(crate) const ECHO: Spec = Spec {
    name: "echo",
    arity: 2,
    syntax: "message",
    flags: flag::LOADING | flag::STALE | flag::FAST,
    summary: "Answers its argument.",
    ..CONNECTION
};

pub(crate) const SELECT: Spec = Spec {
    name: "select",
    arity: 2,
    syntax: "index",
    flags: flag::LOADING | flag::STALE | flag::FAST,
    summary: "Chooses the database of the connection.",
    ..CONNECTION
};

pub(crate) const HELLO: Spec = Spec {
    name: "hello",
    arity: -1,
    syntax: "[arguments: protover [AUTH username password] [SETNAME clientname]]",
    since: "6.0.0",
    summary: "Chooses RESP2 or RESP3; may authenticate and name the connection.",
    ..CONNECTION
};

pub(crate) const AUTH: Spec = Spec {
    name: "auth",
    arity: -2,
    syntax: "[username] password",
    summary: "Authenticates the connection.",
    ..CONNECTION
};

pub(crate) const RESET: Spec =
    Spec { name: "reset", arity: 1, since: "6.2.0", summary: "Makes the connection as good as new.", ..CONNECTION };

pub(crate) const QUIT: Spec =
    Spec { name: "quit", arity: -1, summary: "Closes the connection after the replies owed.", ..CONNECTION };

pub(crate) fn ping(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    match call.args_from(1) {
        [] => reply.simple("PONG"),
        [text] => reply.bulk(text.bytes()),
        _ => return Err(Refusal::arity(call.command)),
    }
    Ok(())
}

pub(crate) fn echo(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    match call.request.args()[1].as_large() {
        Some(large) => reply.large(large),
        None => reply.bulk(call.arg(1)),
    }
}

pub(crate) fn select(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let number = number::parse(call.arg(1)).ok_or(Refusal::NOT_INTEGER)?;
    let number = i32::try_from(number).map_err(|_| Refusal::NOT_INT32)?;
    let database = usize::try_from(number).ok().filter(|&database| database < DATABASE_COUNT);
    let database = database.ok_or(Refusal::text("ERR DB index is out of range"))?;
    cache.clients.get_mut(call.client).select(database);
    reply.ok();
    Ok(())
}

pub(crate) fn quit(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.ok();
    Outcome::Close
}

pub(crate) fn reset(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let authenticated = cache.in_force.password.is_none();
    cache.take_transaction(call.client);
    cache.unwatch(call.client);
    cache.end_monitor(call.client);
    let session = cache.clients.get_mut(call.client);
    session.select(0);
    session.set_name("");
    session.set_version(Version::Resp2);
    session.set_authenticated(authenticated);
    session.set_mode(mode::SILENT | mode::SKIPPED | mode::NO_TOUCH, false);
    reply.set_version(Version::Resp2);
    reply.simple("RESET");
}

pub(crate) fn auth(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    match call.args_from(1) {
        [_] if cache.in_force.password.is_none() => {
            return Err(Refusal::text(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        [password] => authenticate(cache, call.client, DEFAULT_USER, password.bytes())?,
        [user, password] => authenticate(cache, call.client, user.bytes(), password.bytes())?,
        _ => return Err(Refusal::SYNTAX),
    }
    reply.ok();
    Ok(())
}

/// What HELLO was asked for beside the version.
#[derive(Default)]
struct Greeting<'a> {
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

pub(crate) fn hello(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let version = match call.args_from(1).first() {
        None => None,
        Some(text) => Some(parse_version(text.bytes())?),
    };
    let greeting = Greeting::parse(call)?;
    if let Some((user, password)) = greeting.credentials {
        authenticate(cache, call.client, user, password)?;
    }
    let needs_password = cache.in_force.password.is_some();
    let session = cache.clients.get_mut(call.client);
    if needs_password && !session.is_authenticated() {
        return Err(Refusal::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = greeting.name {
        session.set_name(check_name(name, "Client names")?);
    }
    if let Some(version) = version {
        session.set_version(version);
        reply.set_version(version);
    }
    answer_hello(session.id(), reply);
    Ok(())
}

fn answer_hello(id: u64, reply: &mut Reply<'_>) {
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(match reply.version() {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    });
    reply.bulk(b"id");
    reply.integer(id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

fn parse_version(text: &[u8]) -> Result<Version, Refusal> {
    match number::parse(text) {
        Some(2) => Ok(Version::Resp2),
        Some(3) => Ok(Version::Resp3),
        Some(_) => Err(Refusal::text("NOPROTO unsupported protocol version")),
        None => Err(Refusal::text("ERR Protocol version is not an integer or out of range")),
    }
}

impl<'a> Greeting<'a> {
    fn parse(call: &Call<'a>) -> Result<Greeting<'a>, Refusal> {
        let mut greeting = Greeting::default();
        let mut rest = call.args_from(2);
        while let [option, values @ ..] = rest {
            match (option.bytes().to_ascii_lowercase().as_slice(), values) {
                (b"auth", [user, password, others @ ..]) => {
                    greeting.credentials = Some((user.bytes(), password.bytes()));
                    rest = others;
                }
                (b"setname", [name, others @ ..]) => {
                    greeting.name = Some(name.bytes());
                    rest = others;
                }
                _ => {
                    let option = String::from_utf8_lossy(option.bytes());
                    return Err(Refusal::new(format!("ERR Syntax error in HELLO option '{option}'")));
                }
            }
        }
        Ok(greeting)
    }
}

const DEFAULT_USER: &[u8] = b"default";

/// Authenticates a client. Without a password every password of the default user is right, as in Redis.
pub(crate) fn authenticate(
    cache: &mut Cache,
    client: ClientIndex,
    user: &[u8],
    password: &[u8],
) -> Result<(), Refusal> {
    let right_password = match &cache.in_force.password {
        None => true,
        Some(expected) => equal_in_constant_time(expected.as_bytes(), password),
    };
    if !(user == DEFAULT_USER && right_password) {
        return Err(Refusal::text("WRONGPASS invalid username-password pair or user is disabled."));
    }
    cache.clients.get_mut(client).set_authenticated(true);
    Ok(())
}

/// Compares in a time that depends on the length of `given` alone, so that timing tells nothing about `expected`.
fn equal_in_constant_time(expected: &[u8], given: &[u8]) -> bool {
    assert!(!expected.is_empty(), "an empty password means none");
    let mut difference = expected.len() ^ given.len();
    for (i, byte) in given.iter().enumerate() {
        difference |= usize::from(black_box(byte ^ expected[i % expected.len()]));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn the_connection_answers() {
        check(&[
            ("PING", "+PONG"),
            ("PING hello", "'hello'"),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
            ("ECHO hello", "'hello'"),
            ("ECHO", "-ERR wrong number of arguments for 'echo' command"),
            ("QUIT", "+OK"),
        ]);
    }

    #[test]
    fn databases_are_selected() {
        check(&[
            ("SELECT 15", "+OK"),
            ("SELECT 16", "-ERR DB index is out of range"),
            ("SELECT -1", "-ERR DB index is out of range"),
            ("SELECT x", "-ERR value is not an integer or out of range"),
            ("SELECT 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
            ("RESET", "+RESET"),
            ("SET k v", "+OK"),
            ("SELECT 0", "+OK"),
            ("GET k", "'v'"),
        ]);
    }

    #[test]
    fn hello_chooses_the_dialect() {
        let fields = "'server' 'redis' 'version' '7.4.0'";
        let rest = "'mode' 'standalone' 'role' 'master' 'modules' []";
        check(&[
            ("HELLO", &format!("[{fields} 'proto' :2 'id' :1 {rest}]")),
            ("HELLO 3", &format!("{{{fields} 'proto' :3 'id' :1 {rest}}}")),
            ("GET none", "null"),
            ("HELLO", &format!("{{{fields} 'proto' :3 'id' :1 {rest}}}")),
            ("HELLO 2", &format!("[{fields} 'proto' :2 'id' :1 {rest}]")),
            ("GET none", "nil"),
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            ("HELLO 1", "-NOPROTO unsupported protocol version"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
            ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
            ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
            ("GET none", "nil"),
            ("HELLO 2 SETNAME bob AUTH default any", "..."),
            ("CLIENT GETNAME", "'bob'"),
            ("HELLO 2 SETNAME 'b b'", "-ERR Client names cannot contain spaces, newlines or special characters."),
        ]);
    }

    #[test]
    fn without_a_password_nobody_is_asked() {
        check(&[
            (
                "AUTH x",
                "-ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
            ("AUTH default x", "+OK"),
            ("AUTH other x", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH a b c", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn a_password_guards_everything() {
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
        let mut rig = Rig::with(&[("requirepass", "secret")]);
        rig.check(&[
            ("GET k", "-NOAUTH Authentication required."),
            ("PING", "-NOAUTH Authentication required."),
            ("FOO", "-ERR unknown command 'FOO', with args beginning with: "),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("AUTH wrong", wrong),
            ("AUTH secre", wrong),
            ("AUTH secrett", wrong),
            ("AUTH secretsecret", wrong),
            ("AUTH ''", wrong),
            ("AUTH other secret", wrong),
            (
                "HELLO 3",
                "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                 <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time",
            ),
            ("HELLO 3 AUTH default wrong", wrong),
            ("GET k", "-NOAUTH Authentication required."),
            ("AUTH secret", "+OK"),
            ("GET k", "nil"),
            ("RESET", "+RESET"),
            ("GET k", "-NOAUTH Authentication required."),
            ("AUTH default secret", "+OK"),
            ("GET k", "nil"),
            ("QUIT", "+OK"),
        ]);
    }

    #[test]
    fn hello_authenticates() {
        let mut rig = Rig::with(&[("requirepass", "secret")]);
        rig.check(&[("HELLO 3 AUTH default secret", "..."), ("GET k", "null")]);
    }

    #[test]
    fn a_new_password_binds_new_clients_only() {
        let mut rig = Rig::new();
        rig.check(&[("CONFIG SET requirepass secret", "+OK"), ("GET k", "nil")]);
        rig.reconnect();
        rig.check(&[("GET k", "-NOAUTH Authentication required."), ("AUTH secret", "+OK")]);
        rig.reconnect();
        rig.change_setting("requirepass", "");
        rig.check(&[("GET k", "nil")]);
    }

    #[test]
    fn unknown_commands_are_quoted_as_in_redis() {
        let long = "x".repeat(200);
        check(&[
            ("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
            ("foo", "-ERR unknown command 'foo', with args beginning with: "),
            (
                &format!("foo {long} b"),
                &format!("-ERR unknown command 'foo', with args beginning with: '{}' ", &long[..128]),
            ),
            (&format!("{long} b"), &format!("-ERR unknown command '{}', with args beginning with: 'b' ", &long[..128])),
            (
                &format!("foo {} {long} b", &long[..100]),
                &format!("-ERR unknown command 'foo', with args beginning with: '{}' '{}' ", &long[..100], &long[..25]),
            ),
            ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP."),
            ("CONFIG", "-ERR wrong number of arguments for 'config' command"),
            ("config get", "-ERR wrong number of arguments for 'config|get' command"),
        ]);
    }
}
