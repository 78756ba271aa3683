//! Slow log: the latest commands that took longer than `slowlog-log-slower-than`.
//!
//! Invariants
//! - It holds at most `slowlog-max-len` entries, the newest; an entry holds at most `ARGS_MAX` arguments of
//!   `ARG_BYTES_MAX` bytes and a note on what was left out.
//! - Secrets are never copied into it.
//! - Nothing is copied for a command that was quick.

use std::collections::VecDeque;

use protocol::Request;

use crate::clients::Session;
use crate::table::Command;

/// Arguments of an entry, the note included.
const ARGS_MAX: usize = 32;
/// Bytes of an argument, without the note.
const ARG_BYTES_MAX: usize = 128;

/// Who asked for what, as the log shows it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The request's words, cut.
    pub args: Vec<Box<[u8]>>,
    /// The client's address.
    pub address: String,
    /// The client's name, or empty.
    pub client_name: String,
}

impl Asked {
    /// Copies what the log shows of a request.
    pub fn new(command: Command, request: Request<'_>, session: &Session) -> Asked {
        Asked {
            args: shown(command, request),
            address: session.origin().address.clone(),
            client_name: session.name().to_owned(),
        }
    }

    /// What it holds on the heap, in bytes.
    pub fn held_bytes(&self) -> usize {
        let args: usize = self.args.iter().map(|arg| arg.len() + size_of::<Box<[u8]>>()).sum();
        args + self.address.len() + self.client_name.len()
    }
}

/// A command that was slow.
#[derive(Debug)]
pub(crate) struct SlowEntry {
    /// Grows by one with each entry since the start.
    pub id: u64,
    /// When it ended, in Unix seconds.
    pub unix_seconds: u64,
    /// How long it took.
    pub spent_us: u64,
    /// Who asked for what.
    pub asked: Asked,
}

/// The latest slow commands.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    /// Newest first.
    entries: VecDeque<SlowEntry>,
    next_id: u64,
    held_bytes: usize,
}

impl SlowLog {
    /// Adds an entry; the oldest go as far as `count_max` asks for it.
    pub fn add(&mut self, unix_seconds: u64, spent_us: u64, asked: Asked, count_max: usize) {
        self.held_bytes += size_of::<SlowEntry>() + asked.held_bytes();
        self.entries.push_front(SlowEntry { id: self.next_id, unix_seconds, spent_us, asked });
        self.next_id += 1;
        self.trim(count_max);
    }

    /// Drops the oldest entries beyond `count_max`.
    pub fn trim(&mut self, count_max: usize) {
        while self.entries.len() > count_max {
            let oldest = self.entries.pop_back().expect("there are more than none");
            self.held_bytes -= size_of::<SlowEntry>() + oldest.asked.held_bytes();
        }
    }

    /// Drops all entries. Ids go on.
    pub fn reset(&mut self) {
        self.trim(0);
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries, newest first.
    pub fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// What it holds on the heap, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

fn shown(command: Command, request: Request<'_>) -> Vec<Box<[u8]>> {
    let count = request.len();
    let kept = if count > ARGS_MAX { ARGS_MAX - 1 } else { count };
    let mut args: Vec<Box<[u8]>> = (0..kept)
        .map(|index| match is_secret(command, request, index) {
            true => REDACTED.into(),
            false => shortened(request.arg(index)),
        })
        .collect();
    if count > kept {
        args.push(format!("... ({} more arguments)", count - kept).into_bytes().into());
    }
    args
}

fn shortened(arg: &[u8]) -> Box<[u8]> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.into();
    }
    let note = format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX);
    [&arg[..ARG_BYTES_MAX], note.as_bytes()].concat().into()
}

/// What stands for an argument that nobody else may see.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

/// Settings whose values are secrets.
const SECRET_SETTINGS: &[&str] = &[
    "requirepass",
    "masterauth",
    "primaryauth",
    "masteruser",
    "primaryuser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

/// True if argument `index` must not be shown to other clients.
pub(crate) fn is_secret(command: Command, request: Request<'_>, index: usize) -> bool {
    let is = |at: usize, word: &str| request.arg(at).eq_ignore_ascii_case(word.as_bytes());
    match command.name() {
        "auth" => index > 0,
        "hello" => (1..=2).any(|back| index > back && is(index - back, "auth")),
        "config|set" => index > 2 && index % 2 == 1 && SECRET_SETTINGS.iter().any(|name| is(index - 1, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::words;
    use protocol::Arg;

    fn check(line: &str, expected: &[&str]) {
        let words = words(line);
        let args: Vec<Arg<'_>> = words.iter().map(|word| Arg::new(word.as_bytes())).collect();
        let request = Request::new(&args);
        let mut command = Command::find(request.name()).expect("a command");
        if command.shape().is_container {
            command = command.subcommand(request.arg(1)).expect("a subcommand");
        }
        let shown = shown(command, request);
        let shown: Vec<_> = shown.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn secrets_are_not_shown() {
        check("AUTH secret", &["AUTH", "(redacted)"]);
        check("auth user secret", &["auth", "(redacted)", "(redacted)"]);
        check(
            "HELLO 3 auth user secret SETNAME n",
            &["HELLO", "3", "auth", "(redacted)", "(redacted)", "SETNAME", "n"],
        );
        check(
            "CONFIG SET RequirePass secret timeout 5 masterauth x",
            &["CONFIG", "SET", "RequirePass", "(redacted)", "timeout", "5", "masterauth", "(redacted)"],
        );
        check("SET requirepass secret", &["SET", "requirepass", "secret"]);
    }

    #[test]
    fn long_requests_are_cut() {
        let keys: Vec<String> = (1..32).map(|i| i.to_string()).collect();
        let all: Vec<&str> = ["DEL"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        check(&all.join(" "), &all);
        let mut cut = all[..31].to_vec();
        cut.push("... (2 more arguments)");
        check(&format!("{} 32", all.join(" ")), &cut);
        check(&format!("GET {}", "a".repeat(128)), &["GET", &"a".repeat(128)]);
        check(&format!("GET {}", "a".repeat(130)), &["GET", &format!("{}... (2 more bytes)", "a".repeat(128))]);
    }

    #[test]
    fn only_the_newest_entries_stay() {
        let asked = || Asked { args: vec![b"get".as_slice().into()], address: "a".into(), client_name: String::new() };
        let mut log = SlowLog::default();
        for second in 0..5 {
            log.add(second, 7, asked(), 3);
        }
        let ids: Vec<u64> = log.entries().map(|entry| entry.id).collect();
        assert_eq!(ids, [4, 3, 2]);
        log.reset();
        assert_eq!((log.len(), log.held_bytes()), (0, 0));
        log.add(9, 7, asked(), 0);
        assert_eq!(log.len(), 0);
        log.add(9, 7, asked(), 1);
        assert_eq!(log.entries().next().map(|entry| entry.id), Some(6));
    }
}
