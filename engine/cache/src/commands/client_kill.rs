//! CLIENT KILL, and the filters that say which clients are meant.

use protocol::{Arg, Reply};

use crate::answer::Refusal;
use crate::cache::{Cache, Outcome};
use crate::call::Call;
use crate::clients::{ClientIndex, Session};
use crate::commands::client::SUBCOMMAND;
use crate::effect::Effect;
use crate::number;
use crate::spec::{Spec, flag};
use crate::time::Now;

pub(crate) const CLIENT_KILL: Spec = Spec {
    name: "client|kill",
    arity: -3,
    syntax: "<filter: old-format: ip:port | new-format: <[ID client-id] \
             | [client-type: TYPE <NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB>] | [USER username] \
             | [addr: ADDR ip:port] | [laddr: LADDR ip:port] | [SKIPME <YES | NO>] | [MAXAGE maxage]> ...>",
    // Nothing of those that it closes runs after it.
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::BARRIER,
    since: "2.4.0",
    summary: "Closes connections: the one with an address, or all that pass the filters.",
    complexity: "O(N), N connections",
    ..SUBCOMMAND
};

/// What a client must be to be meant; everything that is `None` is not asked.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    /// True: normal clients. Others do not exist.
    is_normal: Option<bool>,
    age_min_seconds: Option<u64>,
}

impl Filter<'_> {
    fn passes(&self, session: &Session, now: Now) -> bool {
        let age_seconds = now.mono_us.saturating_sub(session.connected_us()) / 1_000_000;
        self.id.is_none_or(|id| session.id() == id)
            && self.address.is_none_or(|address| session.origin().address.as_bytes() == address)
            && self.local_address.is_none_or(|address| session.origin().local_address.as_bytes() == address)
            && self.is_normal.unwrap_or(true)
            && self.age_min_seconds.is_none_or(|least| age_seconds >= least)
    }
}

pub(crate) fn kill(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Refusal> {
    if let [address] = call.args_from(2) {
        let filter = Filter { address: Some(address.bytes()), ..Filter::default() };
        let found = matching(cache, &filter);
        if found.is_empty() {
            return Err(Refusal::text("ERR No such client"));
        }
        reply.ok();
        return Ok(close(cache, call.client, &found));
    }
    let (filter, skips_me) = parse(call.args_from(2))?;
    let mut found = matching(cache, &filter);
    if skips_me {
        found.retain(|client| *client != call.client);
    }
    reply.integer(found.len() as i64);
    Ok(close(cache, call.client, &found))
}

fn matching(cache: &Cache, filter: &Filter<'_>) -> Vec<ClientIndex> {
    let passing = cache.clients.iter().filter(|(_, session)| filter.passes(session, cache.now));
    passing.map(|(client, _)| client).collect()
}

/// The one that asks gets its reply first.
fn close(cache: &mut Cache, own: ClientIndex, clients: &[ClientIndex]) -> Outcome {
    for client in clients.iter().filter(|client| **client != own) {
        cache.effects.push(Effect::Close(*client));
    }
    if clients.contains(&own) { Outcome::Close } else { Outcome::Done }
}

fn parse<'a>(args: &'a [Arg<'a>]) -> Result<(Filter<'a>, bool), Refusal> {
    let (mut filter, mut skips_me) = (Filter::default(), true);
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::SYNTAX);
    }
    for [name, value] in pairs {
        let value = value.bytes();
        match name.bytes().to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = number::parse(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                filter.id = Some(id.ok_or(Refusal::text("ERR client-id should be greater than 0"))?);
            }
            b"addr" => filter.address = Some(value),
            b"laddr" => filter.local_address = Some(value),
            b"type" => filter.is_normal = Some(is_normal(value)?),
            b"user" if value == b"default" => {}
            b"user" => {
                let user = String::from_utf8_lossy(value);
                return Err(Refusal::new(format!("ERR No such user '{user}'")));
            }
            b"maxage" => {
                let age = number::parse(value).ok_or(Refusal::text("ERR maxage is not an integer or out of range"))?;
                let age = u64::try_from(age).ok().filter(|age| *age > 0);
                filter.age_min_seconds = Some(age.ok_or(Refusal::text("ERR maxage should be greater than 0"))?);
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => skips_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => skips_me = false,
            _ => return Err(Refusal::SYNTAX),
        }
    }
    Ok((filter, skips_me))
}

/// Whether a client type is that of all clients, or one that none has.
pub(super) fn is_normal(kind: &[u8]) -> Result<bool, Refusal> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"primary" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => {
            let kind = String::from_utf8_lossy(kind);
            Err(Refusal::new(format!("ERR Unknown client type '{kind}'")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rig::Rig;
    use crate::{ClientIndex, Effect};

    #[test]
    fn filters_choose_who_is_closed() {
        let own = "127.0.0.1:50001";
        let table: &[(&str, &str, &[u32])] = &[
            ("CLIENT KILL 127.0.0.1:50002", "+OK", &[1]),
            ("CLIENT KILL ID 2", ":1", &[1]),
            ("CLIENT KILL ID 99", ":0", &[]),
            ("CLIENT KILL ADDR 127.0.0.1:50003 TYPE normal USER default", ":1", &[2]),
            ("CLIENT KILL TYPE normal", ":2", &[1, 2]),
            ("CLIENT KILL TYPE normal SKIPME no", ":3", &[1, 2]),
            ("CLIENT KILL TYPE pubsub", ":0", &[]),
            ("CLIENT KILL LADDR 127.0.0.1:6379", ":2", &[1, 2]),
            ("CLIENT KILL MAXAGE 1", ":1", &[1]),
            ("CLIENT KILL MAXAGE 100", ":0", &[]),
            (&format!("CLIENT KILL {own}"), "+OK", &[]),
        ];
        for (command, expected, closed) in table {
            let mut rig = Rig::new();
            rig.connect_another();
            rig.advance_ms(1500);
            rig.connect_another();
            rig.check(&[(command, expected)]);
            let closed: Vec<Effect> = closed.iter().map(|client| Effect::Close(ClientIndex(*client))).collect();
            assert_eq!(rig.cache.take_effects(), closed, "{command}");
        }
    }

    #[test]
    fn bad_filters_are_refused_as_in_redis() {
        crate::rig::check(&[
            ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
            ("CLIENT KILL 000.123.321.567:0000", "-ERR No such client"),
            ("CLIENT KILL ID 10 FOO", "-ERR syntax error"),
            ("CLIENT KILL FOO bar", "-ERR syntax error"),
            ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
            ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
            ("CLIENT KILL SKIPME x", "-ERR syntax error"),
            ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
            ("CLIENT KILL MAXAGE -1", "-ERR maxage should be greater than 0"),
        ]);
    }
}
