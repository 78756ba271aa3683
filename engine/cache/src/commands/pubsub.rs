//! PUBSUB: who listens to which channel, as far as it is true without channels.
//!
//! Monitoring and client libraries ask. What would subscribe or publish is unknown.

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::spec::{Spec, flag};

pub(crate) const PUBSUB: Spec = Spec {
    name: "pubsub",
    arity: -2,
    group: "pubsub",
    since: "2.8.0",
    summary: "Container of the commands about channels.",
    ..Spec::PLAIN
};

const SUBCOMMAND: Spec = Spec { flags: flag::PUBSUB | flag::LOADING | flag::STALE, ..PUBSUB };

pub(crate) const PUBSUB_CHANNELS: Spec = Spec {
    name: "pubsub|channels",
    syntax: "[pattern]",
    summary: "Lists the channels that somebody listens to: none.",
    complexity: "O(N), N channels",
    ..SUBCOMMAND
};

pub(crate) const PUBSUB_NUMPAT: Spec = Spec {
    name: "pubsub|numpat",
    arity: 2,
    summary: "Answers how many patterns of channels somebody listens to: none.",
    ..SUBCOMMAND
};

pub(crate) const PUBSUB_NUMSUB: Spec = Spec {
    name: "pubsub|numsub",
    syntax: "[channel [channel ...]]",
    summary: "Answers how many clients listen to channels: none.",
    complexity: "O(N), N channels",
    ..SUBCOMMAND
};

pub(crate) const PUBSUB_SHARDCHANNELS: Spec = Spec {
    name: "pubsub|shardchannels",
    since: "7.0.0",
    summary: "Lists the channels of slots that somebody listens to: none.",
    ..PUBSUB_CHANNELS
};

pub(crate) const PUBSUB_SHARDNUMSUB: Spec = Spec {
    name: "pubsub|shardnumsub",
    syntax: "[shardchannel [shardchannel ...]]",
    since: "7.0.0",
    summary: "Answers how many clients listen to channels of slots: none.",
    ..PUBSUB_NUMSUB
};

pub(crate) const PUBSUB_HELP: Spec = Spec {
    name: "pubsub|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    since: "6.2.0",
    summary: "Lists the subcommands.",
    ..PUBSUB
};

/// The channels whose names match a pattern, if one is given.
pub(crate) fn channels(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    if call.len() > 3 {
        let name = String::from_utf8_lossy(call.arg(1));
        let text = format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP.");
        return Err(Refusal::new(text));
    }
    reply.array(0);
    Ok(())
}

/// Each channel asked for, and how many clients listen to it.
pub(crate) fn numsub(_: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let channels = call.args_from(2);
    reply.array(2 * channels.len());
    for channel in channels {
        reply.bulk(channel.bytes());
        reply.integer(0);
    }
}

pub(crate) fn numpat(_: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    reply.integer(0);
}

#[cfg(test)]
mod tests {
    use crate::rig::{Rig, check};

    #[test]
    fn nobody_listens_to_anything() {
        check(&[
            ("PUBSUB CHANNELS", "[]"),
            ("PUBSUB CHANNELS news.*", "[]"),
            (
                "PUBSUB CHANNELS a b",
                "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
            ),
            ("PUBSUB NUMSUB", "[]"),
            ("PUBSUB NUMSUB a b", "['a' :0 'b' :0]"),
            ("PUBSUB NUMPAT", ":0"),
            ("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command"),
            ("PUBSUB SHARDCHANNELS", "[]"),
            ("PUBSUB SHARDNUMSUB a", "['a' :0]"),
            ("PUBSUB", "-ERR wrong number of arguments for 'pubsub' command"),
            ("PUBSUB FOO", "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP."),
        ]);
        assert!(Rig::new().run("PUBSUB HELP").starts_with("[+PUBSUB <subcommand> "));
    }
}
