//! Flags: what the command line says, still as text, and `--help`.
//!
//! Invariants
//! - Every setting is a flag that takes one value; the last one given counts.
//! - An error is one line.
//!
//! Absent on purpose: the meaning of any flag that is a setting.

use super::table::{Change, Setting};
use super::{Refusal, Settings, SettingsError, sample};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::PathBuf;

const ABOUT: &str = "A cache server for bare-metal Linux that speaks the Redis protocol.";

const EXAMPLES: &str = "\
Every flag below a heading is also a key of the settings file (TOML): maxmemory = \"4gb\". Flags beat the file.
Bytes take the units of Redis: k, m, g are powers of 1000, kb, mb, gb powers of 1024.
What is marked CONFIG SET can also be changed while the server runs.

Examples:
  pinion
  pinion --port 7000 --maxmemory 4gb
  pinion /etc/pinion.toml --cores 2
  pinion --print-config > pinion.toml
  pinion --check-config pinion.toml
  pinion --import-redis-conf /etc/redis/redis.conf > pinion.toml";

/// Flags that print or check something instead of starting the server.
const CHECK: &str = "check-config";
const SAMPLE: &str = "print-config";
const VERSION: &str = "version";
const IMPORT: &str = "import-redis-conf";

/// What is done with the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The server starts.
    Run,
    /// They are only checked.
    Check,
}

/// What the command line asks for.
pub(super) enum CommandLine {
    /// Start, with these flags.
    Start {
        /// What is done then.
        task: Task,
        /// The settings file, if one is named.
        file: Option<PathBuf>,
        /// Flags that were given, as text.
        values: Vec<(&'static Setting, String)>,
    },
    /// Print this and leave.
    Print(String),
    /// Print this redis.conf as a settings file and leave.
    Import(PathBuf),
}

impl CommandLine {
    /// Understands the arguments; the first one is the program's name.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, SettingsError> {
        let matches = match command().try_get_matches_from(args) {
            Ok(matches) => matches,
            Err(error) => return printed(error).map(CommandLine::Print),
        };
        if matches.get_flag(VERSION) {
            return Ok(CommandLine::Print(version()));
        }
        if matches.get_flag(SAMPLE) {
            return Ok(CommandLine::Print(sample::toml()));
        }
        if let Some(path) = matches.get_one::<PathBuf>(IMPORT) {
            return Ok(CommandLine::Import(path.clone()));
        }
        let given = |setting: &'static Setting| Some((setting, matches.get_one::<String>(setting.name)?.clone()));
        let values = Settings::TABLE.iter().filter_map(given).collect();
        let task = if matches.get_flag(CHECK) { Task::Check } else { Task::Run };
        Ok(CommandLine::Start { task, file: file(&matches)?, values })
    }
}

/// The settings file that is named, as first argument or as flag.
fn file(matches: &ArgMatches) -> Result<Option<PathBuf>, SettingsError> {
    let named = |id| matches.get_one::<PathBuf>(id).cloned();
    match (named("FILE"), named("config")) {
        (Some(_), Some(_)) => {
            let refusal = Refusal::new("the settings file is named twice", "leave out the flag or the first argument");
            Err(SettingsError::new("--config", refusal))
        }
        (file, config) => Ok(file.or(config)),
    }
}

fn command() -> Command {
    let path = clap::value_parser!(PathBuf);
    let switch = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    let mut command = Command::new("pinion")
        .about(ABOUT)
        .after_help(EXAMPLES)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(Arg::new("FILE").help("Settings file").value_parser(path.clone()))
        .arg(Arg::new("config").long("config").value_name("FILE").help("Settings file").value_parser(path.clone()))
        .arg(Arg::new("help").short('h').long("help").help("Prints this").action(ArgAction::Help))
        .arg(switch(VERSION, "Prints the version and what it is compatible with").short('v'))
        .arg(switch(CHECK, "Says whether it would start with these flags and this file, without listening"))
        .arg(
            Arg::new(IMPORT)
                .long(IMPORT)
                .value_name("FILE")
                .help("Prints a redis.conf or valkey.conf as a settings file, and names what it leaves out")
                .value_parser(path),
        )
        .arg(switch(SAMPLE, "Prints a settings file with every setting, its documentation and its default"));
    for setting in Settings::TABLE {
        let flag = Arg::new(setting.name)
            .long(setting.name)
            .aliases(setting.aliases())
            .value_name((setting.shape)())
            .help(help(setting))
            .help_heading(setting.group)
            .allow_hyphen_values(true);
        command = command.arg(flag);
    }
    command
}

/// What `--version` prints.
fn version() -> String {
    format!(
        "pinion {}\nRESP2 and RESP3; commands, replies and errors as in Redis {}; Linux 6.1 with io_uring\n",
        env!("CARGO_PKG_VERSION"),
        cache::REDIS_VERSION
    )
}

fn help(setting: &Setting) -> StyledStr {
    let default = match setting.default {
        "" => "none".into(),
        default => format!("default {default}"),
    };
    let change = match setting.change {
        Change::AtStart => "",
        Change::AnyTime => "CONFIG SET",
    };
    let facts = [(setting.range)(), default, change.into()];
    let facts: Vec<_> = facts.iter().filter(|fact| !fact.is_empty()).map(String::as_str).collect();
    format!("{} [{}]", setting.doc.trim(), facts.join("; ")).into()
}

/// What clap has to say: a text to print, or one line of error.
fn printed(error: clap::Error) -> Result<String, SettingsError> {
    let context = |kind| error.get(kind).map(|value| value.to_string()).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    // `--port <0..65535>` to `--port`.
    let flag = argument.split([' ', '=']).next().unwrap_or_default().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => Ok(error.render().to_string()),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            Err(SettingsError::new(&flag, unknown(flag.trim_start_matches('-'), "--")))
        }
        ErrorKind::UnknownArgument => {
            let refusal = Refusal::new("one argument too many", "a value with blanks is written in quotes");
            Err(SettingsError::new(argument, refusal))
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            let example = Setting::find(flag.trim_start_matches('-')).map(|setting| (setting.example)());
            let mend = match example {
                Some(example) if example.contains(' ') => format!("write {flag} \"{example}\""),
                Some(example) if !example.is_empty() => format!("write {flag} {example}"),
                _ => format!("write {flag} \"...\""),
            };
            Err(SettingsError::new(flag, Refusal::new("its value is missing", mend)))
        }
        kind => {
            let what = kind.as_str().unwrap_or("this is not understood");
            let place = if flag.is_empty() { "command line" } else { flag.as_str() };
            Err(SettingsError::new(place, Refusal::new(what, "see pinion --help")))
        }
    }
}

/// An unknown name, with the nearest known one.
pub(super) fn unknown(name: &str, prefix: &str) -> Refusal {
    let mend = match Setting::nearest(name) {
        Some(nearest) => format!("did you mean {prefix}{nearest}?"),
        None => "pinion --help lists them all".into(),
    };
    Refusal::new("there is no such setting", mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<CommandLine, SettingsError> {
        CommandLine::parse(["pinion"].iter().chain(line).map(OsString::from))
    }

    fn check(line: &[&str], expected_file: Option<&str>, expected: &[(&str, &str)]) {
        let Ok(CommandLine::Start { task: Task::Run, file, values }) = parse(line) else { panic!("{line:?}") };
        let values: Vec<_> = values.iter().map(|(setting, text)| (setting.name, text.as_str())).collect();
        assert_eq!((file, values.as_slice()), (expected_file.map(PathBuf::from), expected), "{line:?}");
    }

    fn check_error(line: &[&str], expected: &str) {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line:?} was understood")).to_string();
        assert_eq!(error, expected, "{line:?}");
    }

    #[test]
    fn the_declaration_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_and_file_are_understood_in_any_order() {
        check(&[], None, &[]);
        check(&["a.toml", "--port", "1"], Some("a.toml"), &[("port", "1")]);
        check(&["--port=1", "a.toml"], Some("a.toml"), &[("port", "1")]);
        check(&["--config", "a.toml"], Some("a.toml"), &[]);
        check(&["--port", "1", "--port", "2"], None, &[("port", "2")]);
        check(&["--bind", "-::*", "--save", ""], None, &[("bind", "-::*"), ("save", "")]);
        check(&["--port", "-1"], None, &[("port", "-1")]);
    }

    #[test]
    fn errors_are_one_line_that_says_how_to_mend_it() {
        check_error(&["--prt", "1"], "--prt: there is no such setting; did you mean --port?");
        check_error(&["--max_memory=1"], "--max_memory: there is no such setting; did you mean --maxmemory?");
        check_error(&["--foo"], "--foo: there is no such setting; pinion --help lists them all");
        check_error(&["-p", "1"], "-p: there is no such setting; pinion --help lists them all");
        check_error(&["--port"], "--port: its value is missing; write --port 65535");
        check_error(&["--bind"], "--bind: its value is missing; write --bind \"* -::*\"");
        check_error(&["--save"], "--save: its value is missing; write --save \"...\"");
        check_error(&["a", "b"], "b: one argument too many; a value with blanks is written in quotes");
        let twice = "--config: the settings file is named twice; leave out the flag or the first argument";
        check_error(&["a", "--config", "b"], twice);
    }

    #[test]
    fn a_flag_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let args = ["pinion".into(), "--requirepass".into(), OsString::from_vec(vec![0xff])];
        let error = CommandLine::parse(args).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("UTF-8") && error.ends_with("; see pinion --help"), "{error}");
    }

    #[test]
    fn help_and_version_are_printed() {
        let Ok(CommandLine::Print(help)) = parse(&["--help"]) else { panic!("no help") };
        for setting in Settings::TABLE {
            assert!(help.contains(&format!("--{} <", setting.name)), "{}", setting.name);
        }
        let Ok(CommandLine::Print(version)) = parse(&["-v"]) else { panic!("no version") };
        assert_eq!(version.lines().next(), Some(concat!("pinion ", env!("CARGO_PKG_VERSION"))));
        assert!(version.contains(cache::REDIS_VERSION));
        let Ok(CommandLine::Print(sample)) = parse(&["--print-config", "--port", "1"]) else { panic!("no sample") };
        assert!(sample.contains("\n#port = 6379\n"), "{sample}");
    }

    #[test]
    fn a_check_takes_the_same_flags() {
        let Ok(CommandLine::Start { task, file, values }) = parse(&["--check-config", "a.toml", "--port", "1"]) else {
            panic!("not understood");
        };
        assert_eq!((task, file, values.len()), (Task::Check, Some(PathBuf::from("a.toml")), 1));
    }
}
