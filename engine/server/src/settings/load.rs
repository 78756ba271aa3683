//! From command line and file to settings in force: flags beat the file, the file beats the defaults.

use super::command_line::{CommandLine, Task};
use super::host::Facts;
use super::{Imported, Refusal, Secret, Settings, SettingsError, file, import};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Largest settings file that is read, in bytes: far above one with every setting and a page of comments each.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Permission to read and to write for those who are neither a file's owner nor in its group.
const MODE_OF_OTHERS: u32 = 0o006;

/// A file that was read. Without Debug: it may hold a password.
pub struct FileText {
    /// All of it.
    pub text: String,
    /// Its permission bits.
    pub mode: u32,
}

/// Reads a whole file.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<FileText>;

/// What the command line asks for.
#[derive(Debug)]
pub enum Startup {
    /// Run with these settings.
    Run(Box<Loaded>),
    /// Say whether it would run with these settings.
    Check(Box<Loaded>),
    /// Print this to standard output and exit with 0.
    Print(String),
    /// Print a translated redis.conf, and to standard error what is to be said of it.
    Imported(Imported),
}

/// Settings, and where they came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub settings: Settings,
    /// The same before the host was asked: `maxmemory` may be 0.
    pub asked: Settings,
    /// The settings file, as an absolute path.
    pub file: Option<PathBuf>,
    /// What an operator should know although it stops nothing, a line each.
    pub warnings: Vec<String>,
}

/// Settings from the process's arguments (its name first), with `read_file` for the files that they name.
///
/// The error is one line for standard error, after `pinion: `; the exit code is 1.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    read_file: ReadFile<'_>,
    facts: &Facts,
) -> Result<Startup, SettingsError> {
    let (task, path, flags) = match CommandLine::parse(args)? {
        CommandLine::Print(text) => return Ok(Startup::Print(text)),
        CommandLine::Import(path) => {
            let content = content(&path, "redis.conf", read_file)?;
            return import(&path.display().to_string(), &content, facts).map(Startup::Imported);
        }
        CommandLine::Start { task, file, values } => (task, file, values),
    };
    let mut asked = Settings::default();
    let mut places = Vec::new();
    if let Some(path) = &path {
        for entry in file::entries(&path.display().to_string(), &content(path, "settings file", read_file)?)? {
            put(&mut asked, entry, &mut places)?;
        }
    }
    for (setting, text) in flags {
        put(&mut asked, file::Entry { setting, place: format!("--{}", setting.name), text }, &mut places)?;
    }
    let placed = |(name, refusal): (&'static str, Refusal)| {
        let place = places.iter().rev().find(|(set, _)| *set == name).map_or(name, |(_, place)| place.as_str());
        SettingsError::new(place, refusal)
    };
    let mut warnings = Vec::new();
    read_password(&mut asked, read_file, &mut warnings).map_err(|refusal| placed(("requirepass-file", refusal)))?;
    let mut settings = asked.clone();
    settle(&mut settings, facts).map_err(placed)?;
    // The folder that we run in can only be unknown if it was removed; then the path stays as it was given.
    let file = path.map(|path| std::path::absolute(&path).unwrap_or(path));
    let loaded = Box::new(Loaded { settings, asked, file, warnings });
    Ok(match task {
        Task::Run => Startup::Run(loaded),
        Task::Check => Startup::Check(loaded),
    })
}

/// What this host makes of the settings, and what a start needs.
pub(super) fn settle(settings: &mut Settings, facts: &Facts) -> Result<(), (&'static str, Refusal)> {
    settings.settle(facts)?;
    settings.require_memory()
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

/// Takes the password from `requirepass-file`, if that is set.
fn read_password(settings: &mut Settings, read_file: ReadFile<'_>, warnings: &mut Vec<String>) -> Result<(), Refusal> {
    let Some(path) = &settings.requirepass_file else { return Ok(()) };
    if settings.requirepass.expose().is_some() {
        return Err(Refusal::new("requirepass gives a password too", "leave out one of the two"));
    }
    let shown = path.display();
    let unreadable = |reason| {
        let mend = "name a file that this user may read, with the password in its first line";
        Refusal::new(format!("{shown} cannot be read: {reason}"), mend)
    };
    let FileText { text, mode } = read_file(path).map_err(|error| unreadable(reason(&error)))?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(Refusal::new(format!("{shown} has no password in it"), "write one into it, or leave the flag out"));
    }
    if password.contains('\n') {
        return Err(Refusal::new(format!("{shown} has more than one line"), "leave only the password in it"));
    }
    if password.len() > super::PASSWORD_BYTES_MAX {
        let what = format!("{shown} has more than the {} bytes of a password", super::PASSWORD_BYTES_MAX);
        return Err(Refusal::new(what, "choose a shorter one"));
    }
    if mode & MODE_OF_OTHERS != 0 {
        let mode = mode & 0o777;
        warnings
            .push(format!("requirepass-file {shown} is open to every user of this host (mode {mode:o}); chmod 600"));
    }
    settings.requirepass = Secret::from_file(password.to_owned());
    Ok(())
}

/// A file's text; `what` says in errors what it should be.
fn content(path: &Path, what: &str, read_file: ReadFile<'_>) -> Result<String, SettingsError> {
    let refuse = |refusal| SettingsError::new(path.display().to_string(), refusal);
    let FileText { text, .. } = read_file(path).map_err(|error| {
        refuse(Refusal::new(format!("the {what} cannot be read: {}", reason(&error)), "name a readable one"))
    })?;
    match text.len() <= FILE_BYTES_MAX {
        true => Ok(text),
        false => Err(refuse(Refusal::new(format!("more than {FILE_BYTES_MAX} bytes are no {what}"), "name another"))),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::InvalidData => "this is not text (UTF-8)".into(),
        _ => error.to_string(),
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
            Some("f.toml") => Ok(FileText { text: content.to_string(), mode: 0o644 }),
            Some("open") => Ok(FileText { text: "secret\n".into(), mode: 0o604 }),
            Some("closed") => Ok(FileText { text: "secret\r\n".into(), mode: 0o640 }),
            Some("bare") => Ok(FileText { text: "two words ".into(), mode: 0o600 }),
            Some("empty") => Ok(FileText { text: "\n".into(), mode: 0o600 }),
            Some("lines") => Ok(FileText { text: "a\nb\n".into(), mode: 0o600 }),
            Some("long") => Ok(FileText { text: "a".repeat(513), mode: 0o600 }),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        load(["pinion"].iter().chain(line).map(OsString::from), &read, facts)
    }

    fn loaded(line: &[&str], content: &str) -> Loaded {
        match load_with(line, content, &FACTS) {
            Ok(Startup::Run(loaded)) => *loaded,
            other => panic!("{line:?} {content}: {other:?}"),
        }
    }

    fn run(line: &[&str], content: &str) -> Settings {
        loaded(line, content).settings
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
        let expected = "no.toml: the settings file cannot be read: no such file; name a readable one";
        check_error(&["no.toml"], "", expected);
        check_error(
            &["f.toml"],
            &" ".repeat(FILE_BYTES_MAX + 1),
            "f.toml: more than 1048576 bytes are no settings file; name another",
        );
    }

    #[test]
    fn what_this_host_cannot_do_is_refused_at_the_place_that_asks_for_it() {
        let clients = "The operating system is not able to handle the specified number of clients, try with 20000; \
                       or raise the limit of open files (ulimit -n, LimitNOFILE=)";
        check_error(&["--maxclients", "20001"], "", &format!("--maxclients: {clients}"));
        check_error(&["f.toml"], "maxclients = 20001", &format!("f.toml:1: maxclients: {clients}"));
        check_error(&["f.toml", "--maxclients", "20001"], "maxclients = 20002", &format!("--maxclients: {clients}"));
        let nobody = "--port: port and memcached-port are 0, and there is no unix socket: nobody could connect; \
                      set one of them";
        check_error(&["--port", "0", "--memcached-port", "0"], "", nobody);
        assert_eq!(run(&["--port", "0"], "").memcached_port, 11211);
        assert_eq!(run(&["--port", "0", "--unixsocket", "/tmp/p.sock"], "").port, 0);
    }

    #[test]
    fn half_of_a_tiny_host_is_too_little_unless_it_is_asked_for() {
        let facts = Facts { memory_bytes: 48 << 20, clients_max: 10_000 };
        let error = load_with(&[], "", &facts).err().map(|error| error.to_string());
        let expected = "maxmemory: half of the 50331648 bytes that this host allows is too little; \
                        give the process twice 32mb, or set it to 32mb";
        assert_eq!(error.as_deref(), Some(expected));
        let Ok(Startup::Run(loaded)) = load_with(&["--maxmemory", "32mb"], "", &facts) else { panic!("refused") };
        assert_eq!(loaded.settings.maxmemory, MEMORY_BYTES_MIN);
    }

    #[test]
    fn a_check_loads_like_a_start() {
        let Ok(Startup::Check(loaded)) = load_with(&["--check-config", "f.toml"], "port = 1", &FACTS) else { panic!() };
        assert_eq!(loaded.settings.port, 1);
        assert!(loaded.file.is_some_and(|path| path.is_absolute() && path.ends_with("f.toml")));
        let expected = "f.toml:1: port: argument must be between 0 and 65535 inclusive";
        check_error(&["--check-config", "f.toml"], "port = 70000", expected);
    }

    #[test]
    fn a_password_comes_from_the_first_line_of_its_file() {
        let check = |path: &str, expected: &str, warned: bool| {
            let loaded = loaded(&["--requirepass-file", path], "");
            assert_eq!(loaded.settings.requirepass.expose(), Some(expected), "{path}");
            assert_eq!(loaded.warnings.len(), usize::from(warned), "{:?}", loaded.warnings);
            assert!(!loaded.warnings.concat().contains(expected) && !format!("{loaded:?}").contains(expected));
        };
        check("open", "secret", true);
        check("closed", "secret", false);
        check("bare", "two words ", false);
        assert_eq!(loaded(&["f.toml"], "requirepass-file = \"closed\"").settings.requirepass.expose(), Some("secret"));
    }

    #[test]
    fn a_password_file_that_gives_none_is_refused_where_it_is_named() {
        let unreadable = "--requirepass-file: no cannot be read: no such file; \
                          name a file that this user may read, with the password in its first line";
        check_error(&["--requirepass-file", "no"], "", unreadable);
        let empty = "f.toml:1: requirepass-file: empty has no password in it; write one into it, or leave the flag out";
        check_error(&["f.toml"], "requirepass-file = \"empty\"", empty);
        let lines = "--requirepass-file: lines has more than one line; leave only the password in it";
        check_error(&["--requirepass-file", "lines"], "", lines);
        let long = "--requirepass-file: long has more than the 512 bytes of a password; choose a shorter one";
        check_error(&["--requirepass-file", "long"], "", long);
        let both = "--requirepass-file: requirepass gives a password too; leave out one of the two";
        check_error(&["f.toml", "--requirepass-file", "closed"], "requirepass = \"x\"", both);
    }
}
