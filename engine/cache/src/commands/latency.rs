//! LATENCY: slow events of the last time, and how long each command takes.

use std::fmt::Write;

use protocol::Reply;

use crate::answer::Refusal;
use crate::cache::Cache;
use crate::call::Call;
pub(crate) use crate::commands::command::{container, help};
use crate::latency::{Event, Sample, Series};
use crate::spec::{Spec, flag};
use crate::table::Command;

pub(crate) const LATENCY: Spec = Spec {
    name: "latency",
    arity: -2,
    since: "2.8.13",
    summary: "Container of the commands about latency.",
    ..Spec::PLAIN
};

const TIPS: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const SUBCOMMAND: Spec = Spec {
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    since: "2.8.13",
    tips: TIPS,
    ..Spec::PLAIN
};

pub(crate) const LATENCY_LATEST: Spec = Spec {
    name: "latency|latest",
    arity: 2,
    summary: "Answers the latest and the worst time of every slow event.",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_HISTORY: Spec = Spec {
    name: "latency|history",
    arity: 3,
    syntax: "event",
    summary: "Answers when an event was slow, and how slow.",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_RESET: Spec = Spec {
    name: "latency|reset",
    arity: -2,
    syntax: "[event [event ...]]",
    tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
    summary: "Forgets slow events, all of them or those named.",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_GRAPH: Spec = Spec {
    name: "latency|graph",
    arity: 3,
    syntax: "event",
    summary: "Draws the slow times of an event.",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_DOCTOR: Spec = Spec {
    name: "latency|doctor",
    arity: 2,
    summary: "Says in words which events were slow and what helps.",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_HISTOGRAM: Spec = Spec {
    name: "latency|histogram",
    arity: -2,
    syntax: "[command [command ...]]",
    since: "7.0.0",
    summary: "Answers how many calls of each command took how long.",
    complexity: "O(N), N commands",
    ..SUBCOMMAND
};

pub(crate) const LATENCY_HELP: Spec = Spec {
    name: "latency|help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    tips: &[],
    summary: "Lists the subcommands.",
    ..SUBCOMMAND
};

pub(crate) fn latest(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    let seen = cache.latency.seen();
    reply.array(seen.clone().count());
    for (event, series) in seen {
        let Sample { unix_seconds, ms } = *series.latest().expect("it was seen");
        reply.array(4);
        reply.bulk(event.name().as_bytes());
        [unix_seconds, ms, series.ms_max].into_iter().for_each(|number| reply.integer(number as i64));
    }
}

pub(crate) fn history(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let Some(event) = Event::parse(call.arg(2)) else { return reply.array(0) };
    let samples = cache.latency.series(event).samples();
    reply.array(samples.len());
    for Sample { unix_seconds, ms } in samples {
        reply.array(2);
        reply.integer(*unix_seconds as i64);
        reply.integer(*ms as i64);
    }
}

pub(crate) fn reset(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) {
    let events: Vec<Event> = match call.args_from(2) {
        [] => Event::ALL.to_vec(),
        names => names.iter().filter_map(|name| Event::parse(name.bytes())).collect(),
    };
    let reset = events.into_iter().filter(|&event| cache.latency.reset(event)).count();
    reply.integer(reset as i64);
}

pub(crate) fn graph(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let event = Event::parse(call.arg(2)).filter(|&event| cache.latency.series(event).latest().is_some());
    let Some(event) = event else {
        let name = String::from_utf8_lossy(call.arg(2));
        return Err(Refusal::new(format!("ERR No samples available for event '{name}'")));
    };
    reply.verbatim("txt", &drawn(event, cache.latency.series(event), cache.now.unix_ms / 1000));
    Ok(())
}

pub(crate) fn doctor(cache: &mut Cache, _: &Call<'_>, reply: &mut Reply<'_>) {
    let mut text = String::new();
    diagnose(cache, &mut text).expect("writing to a string succeeds");
    reply.verbatim("txt", &text);
}

pub(crate) fn histogram(cache: &mut Cache, call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let mut commands: Vec<Command> = Vec::new();
    match super::command::names(call)? {
        [] => commands.extend(Command::all()),
        names => names.iter().for_each(|name| add_named(name.bytes(), &mut commands)),
    }
    let durations = &cache.statistics.durations;
    commands.retain(|command| durations[command.index()].is_some());
    reply.map(commands.len());
    for command in commands {
        let Some(durations) = &durations[command.index()] else { continue };
        reply.bulk(command.name().as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(durations.count() as i64);
        reply.bulk(b"histogram_usec");
        let counts = durations.cumulative_us();
        reply.map(counts.len());
        for (us, calls) in counts {
            reply.integer(us as i64);
            reply.integer(calls as i64);
        }
    }
    Ok(())
}

/// A command, or a container's subcommands and the container itself, each once.
fn add_named(name: &[u8], commands: &mut Vec<Command>) {
    let Some(command) = super::command::by_full_name(name) else { return };
    for command in command.subcommands().chain([command]) {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
}

/// Columns of a graph: the newest samples.
const COLUMNS_MAX: usize = 80;
/// Rows of a graph.
const ROWS: u64 = 4;

/// A bar per sample, as high as it was slow between the lowest and the highest, and under it how long ago that was.
fn drawn(event: Event, series: &Series, now_seconds: u64) -> String {
    let samples: Vec<&Sample> = series.samples().collect();
    let samples = &samples[samples.len().saturating_sub(COLUMNS_MAX)..];
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let (name, ms_max) = (event.name(), series.ms_max);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {ms_max} ms)\n");
    text.push_str(&"-".repeat(COLUMNS_MAX));
    text.push('\n');
    for row in (0..ROWS).rev() {
        let column = |sample: &&Sample| {
            let height = 1 + (sample.ms - low) * (ROWS - 1) / (high - low).max(1);
            if height > row { '#' } else { ' ' }
        };
        text.push_str(samples.iter().map(column).collect::<String>().trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now_seconds.saturating_sub(sample.unix_seconds))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let letter = |age: &String| age.as_bytes().get(line).map_or(' ', |&byte| char::from(byte));
        text.push_str(ages.iter().map(letter).collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// How long ago, in the largest unit: `12s`, `3m`, `5h`, `2d`.
fn age(seconds: u64) -> String {
    const UNITS: [(u64, char); 3] = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

fn diagnose(cache: &Cache, text: &mut String) -> std::fmt::Result {
    let threshold_ms = cache.in_force.latency_threshold_ms;
    if threshold_ms == 0 {
        text.push_str(
            "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> switches it on.\n",
        );
    }
    let seen = cache.latency.seen();
    if seen.clone().count() == 0 {
        if threshold_ms > 0 {
            writeln!(text, "Nothing has taken {threshold_ms} ms or longer.")?;
        }
        return Ok(());
    }
    for (event, series) in seen {
        let count = series.samples().len() as u64;
        let mean_ms = series.samples().map(|sample| sample.ms).sum::<u64>() / count.max(1);
        let (name, ms_max) = (event.name(), series.ms_max);
        writeln!(text, "{name}: slow in {count} seconds, {mean_ms} ms on average and {ms_max} ms at worst.")?;
        writeln!(text, "  {}", advice(event))?;
    }
    Ok(())
}

fn advice(event: Event) -> &'static str {
    match event {
        Event::Command => {
            "SLOWLOG GET names commands that were slow; ask for fewer keys at once, and use SCAN instead of KEYS."
        }
        Event::FastCommand => {
            "These commands are quick by themselves: look for other processes on this core (INFO tick), swapping, and \
             very large values."
        }
        Event::ExpireCycle => "Many keys expire at the same moment; spread their deadlines by a few seconds.",
        Event::EvictionCycle => "maxmemory was lowered or writes outrun eviction; give the cache more memory.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::{Rig, check};

    #[test]
    fn histograms_tell_how_long_each_command_took() {
        let mut rig = Rig::new();
        rig.check(&[
            ("CONFIG RESETSTAT", "+OK"),
            ("LATENCY HISTOGRAM", "['config|resetstat' ['calls' :1 'histogram_usec' [:1 :1]]]"),
            ("CONFIG RESETSTAT", "+OK"),
            ("SET a b", "+OK"),
            ("SET c d", "+OK"),
            ("GET a", "'b'"),
            (
                "LATENCY HISTOGRAM blabla set hset get SET",
                "['set' ['calls' :2 'histogram_usec' [:1 :2]] 'get' ['calls' :1 'histogram_usec' [:1 :1]]]",
            ),
            ("CLIENT ID", ":1"),
            ("CLIENT LIST", "..."),
            (
                "LATENCY HISTOGRAM client",
                "['client|id' ['calls' :1 'histogram_usec' [:1 :1]] \
                 'client|list' ['calls' :1 'histogram_usec' [:1 :1]]]",
            ),
            ("LATENCY HISTOGRAM client|id", "['client|id' ['calls' :1 'histogram_usec' [:1 :1]]]"),
            ("LATENCY HISTOGRAM blabla", "[]"),
            ("CONFIG SET latency-tracking no", "+OK"),
            ("CONFIG RESETSTAT", "+OK"),
            ("GET a", "'b'"),
            ("LATENCY HISTOGRAM", "[]"),
        ]);
    }

    #[test]
    fn slow_events_are_kept_by_the_second() {
        let mut rig = Rig::with(&[("latency-monitor-threshold", "200")]);
        rig.check(&[
            ("LATENCY LATEST", "[]"),
            ("LATENCY GRAPH command", "-ERR No samples available for event 'command'"),
            ("LATENCY HISTORY blabla", "[]"),
            ("LATENCY RESET blabla", ":0"),
            ("LATENCY DOCTOR", "'Nothing has taken 200 ms or longer.\n'"),
        ]);
        for (ms, pause_ms) in [(300, 1100), (199, 0), (400, 1100), (500, 0)] {
            rig.cache.note_latency(Event::Command, ms * 1_000_000);
            rig.advance_ms(pause_ms);
        }
        rig.check(&[
            ("LATENCY HISTORY command", "[[:1700000000 :300] [:1700000001 :400] [:1700000002 :500]]"),
            ("LATENCY LATEST", "[['command' :1700000002 :500 :500]]"),
        ]);
        let graph = rig.run("LATENCY GRAPH command");
        assert!(graph.starts_with("'command - high 500 ms, low 300 ms (all time high 500 ms)\n---"), "{graph}");
        assert!(graph.ends_with("\n  #\n  #\n ##\n###\n\n210\nsss\n'"), "{graph}");
        assert!(rig.run("LATENCY DOCTOR").contains("command: slow in 3 seconds, 400 ms on average and 500 ms"));
        rig.check(&[("LATENCY RESET command fast-command", ":1"), ("LATENCY LATEST", "[]")]);
    }

    #[test]
    fn help_takes_no_argument() {
        check(&[("LATENCY HELP x", "-ERR wrong number of arguments for 'latency|help' command")]);
    }
}
