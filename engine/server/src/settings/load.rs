//! From command line and file to settings in force: flags beat the file, the file beats the defaults.

use super::command_line::CommandLine;
use super::host::Facts;
use super::{Refusal, Settings, SettingsError, file};
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Largest settings file that is read, in bytes: far above one with every setting and a page of comments each.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What the command line asks for.
#[derive(Debug)]
pub enum Startup {
    /// Run with these settings.
    Run(Box<Settings>),
    /// Print this to standard output and exit with 0.
    Print(String),
}

/// Settings from the process's arguments (its name first), with `read_file` for the settings file.
///
/// The error is one line for standard error, after `pinion: `; the exit code is 1.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
    facts: &Facts,
) -> Result<Startup, SettingsError> {
    let (path, flags) = match CommandLine::parse(args)? {
        CommandLine::Print(text) => return Ok(Startup::Print(text)),
        CommandLine::Start { file, values } => (file, values),
    };
    let mut settings = Settings::default();
    let mut places = Vec::new();
    if let Some(path) = path {
        for entry in file::entries(&path.display().to_string(), &content(&path, read_file)?)? {
            put(&mut settings, entry, &mut places)?;
        }
    }
    for (setting, text) in flags {
        put(&mut settings, file::Entry { setting, place: format!("--{}", setting.name), text }, &mut places)?;
    }
    settings.settle(facts).map_err(|(name, refusal)| {
        let place = places.iter().rev().find(|(set, _)| *set == name).map_or(name, |(_, place)| place.as_str());
        SettingsError::new(place, refusal)
    })?;
    Ok(Startup::Run(Box::new(settings)))
}

/// Puts one value in and remembers where it came from.
fn put(
    settings: &mut Settings,
    file::Entry { setting, place, text }: file::Entry,
    places: &mut Vec<(&'static str, String)>,
) -> Result<(), SettingsError> {
    (setting.put)(settings, &text).map_err(|refusal| SettingsError::new(&place, refusal))?;
    places.push((setting.name, place));
    Ok(())
}

fn content(path: &Path, read_file: &dyn Fn(&Path) -> io::Result<String>) -> Result<String, SettingsError> {
    let refuse = |what: String, mend| SettingsError::new(path.display().to_string(), Refusal::new(what, mend));
    let content = read_file(path).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file".into(),
            io::ErrorKind::InvalidData => "this is not text (UTF-8)".into(),
            _ => error.to_string(),
        };
        refuse(format!("the settings file cannot be read: {reason}"), "name a readable TOML file, or none")
    })?;
    match content.len() <= FILE_BYTES_MAX {
        true => Ok(content),
        false => Err(refuse(format!("{} bytes are no settings file", content.len()), "name a TOML file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{BindAddress, Cores, MEMORY_BYTES_MIN};
    use cache::Policy;

    const FACTS: Facts = Facts { memory_bytes: 8 << 30, clients_max: 20_000 };

    fn load_with(line: &[&str], content: &str, facts: &Facts) -> Result<Startup, SettingsError> {
        let read = |path: &Path| match path.to_str() {
            Some("f.toml") => Ok(content.to_string()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        load(["pinion"].iter().chain(line).map(OsString::from), &read, facts)
    }

    fn run(line: &[&str], content: &str) -> Settings {
        match load_with(line, content, &FACTS) {
            Ok(Startup::Run(settings)) => *settings,
            other => panic!("{line:?} {content}: {other:?}"),
        }
    }

    fn check_error(line: &[&str], content: &str, expected: &str) {
        let error = load_with(line, content, &FACTS).err().unwrap_or_else(|| panic!("{line:?} {content}"));
        assert_eq!(error.to_string(), expected, "{line:?} {content}");
    }

    #[test]
    fn without_flags_the_defaults_hold() {
        let settings = run(&[], "");
        assert_eq!(settings.port, 6379);
        assert_eq!(settings.bind, [BindAddress { ip: [127, 0, 0, 1].into(), optional: false }]);
        assert_eq!(settings.maxmemory, 4 << 30);
        assert_eq!(settings.maxmemory_policy, Policy::AllkeysS3fifo);
        assert_eq!(settings.requirepass.expose(), None);
        assert_eq!(settings.cores, Cores::Auto);
        assert!(settings.protected_mode);
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let file = "port = 7001\nmaxclients = 7";
        let settings = run(&["f.toml", "--port", "7002"], file);
        assert_eq!((settings.port, settings.maxclients, settings.timeout.as_secs()), (7002, 7, 0));
        assert_eq!(run(&["--config", "f.toml"], file).port, 7001);
    }

    #[test]
    fn a_bad_value_names_its_flag_or_its_line() {
        let units = "write a whole number of bytes, or one with k, kb, m, mb, g or gb, such as 4gb";
        let memory = format!("argument must be a memory value; {units}");
        check_error(&["--maxmemory", "4tb"], "", &format!("--maxmemory: {memory}"));
        check_error(&["f.toml"], "\n\nmaxmemory = \"4tb\"", &format!("f.toml:3: maxmemory: {memory}"));
        check_error(&["--port", "70000"], "", "--port: argument must be between 0 and 65535 inclusive");
        check_error(&["--cores", "0-1"], "", "--cores: 2 cores, and this release runs 1; name one core, such as 0");
        let background = "only 'no' is supported; start it with systemd, or with & in a shell";
        check_error(&["--daemonize", "yes"], "", &format!("--daemonize: {background}"));
    }

    #[test]
    fn a_bad_file_is_refused_even_where_a_flag_overrides_it() {
        let expected = "f.toml:1: port: argument must be between 0 and 65535 inclusive";
        check_error(&["f.toml", "--port", "1"], "port = 70000", expected);
    }

    #[test]
    fn a_missing_file_is_one_line() {
        let expected = "no.toml: the settings file cannot be read: no such file; name a readable TOML file, or none";
        check_error(&["no.toml"], "", expected);
        check_error(
            &["f.toml"],
            &" ".repeat(FILE_BYTES_MAX + 1),
            "f.toml: 1048577 bytes are no settings file; name a TOML file",
        );
    }

    #[test]
    fn what_this_host_cannot_do_is_refused_at_the_place_that_asks_for_it() {
        let clients = "The operating system is not able to handle the specified number of clients, try with 20000; \
                       or raise the limit of open files (ulimit -n, LimitNOFILE=)";
        check_error(&["--maxclients", "20001"], "", &format!("--maxclients: {clients}"));
        check_error(&["f.toml"], "maxclients = 20001", &format!("f.toml:1: maxclients: {clients}"));
        check_error(&["f.toml", "--maxclients", "20001"], "maxclients = 20002", &format!("--maxclients: {clients}"));
        let nobody =
            "--port: 0 listens on no TCP port, and there is no unixsocket: nobody could connect; set one of the two";
        check_error(&["--port", "0"], "", nobody);
        assert_eq!(run(&["--port", "0", "--unixsocket", "/tmp/p.sock"], "").port, 0);
    }

    #[test]
    fn half_of_a_tiny_host_is_too_little_unless_it_is_asked_for() {
        let facts = Facts { memory_bytes: 48 << 20, clients_max: 10_000 };
        let error = load_with(&[], "", &facts).err().map(|error| error.to_string());
        let expected = "maxmemory: half of the 50331648 bytes that this host allows is too little; \
                        give the process twice 32mb, or set it to 32mb";
        assert_eq!(error.as_deref(), Some(expected));
        let Ok(Startup::Run(settings)) = load_with(&["--maxmemory", "32mb"], "", &facts) else { panic!("refused") };
        assert_eq!(settings.maxmemory, MEMORY_BYTES_MIN);
    }
}
