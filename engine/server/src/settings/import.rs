//! `--import-redis-conf`: a redis.conf becomes a settings file of ours, and what has no place there is named.
//!
//! Invariants
//! - What the result says is what Redis would have done with the file, as far as Pinion does it: where the file is
//!   silent and the two defaults differ in who is served or what is evicted, Redis's default is written down.
//! - Every line that is left out, and does not say what is so anyway, is named with its number and the reason.
//!
//! Absent on purpose: values in remarks. They may be passwords.

use super::redis_conf::{self, Directive, Malformed};
use super::table::Setting;
use super::{Facts, MEMORY_BYTES_MIN, Refusal, Settings, SettingsError, file, load, memory, sample};

/// A translated file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Our settings file.
    pub toml: String,
    /// What was left out or changed its meaning, a line each.
    pub remarks: Vec<String>,
    /// Why a server would not start with it as it stands.
    pub problem: Option<SettingsError>,
}

/// Translates a redis.conf; `name` is its name in remarks.
///
/// # Errors
/// One line: a line of it cannot be understood at all.
pub fn import(name: &str, content: &str, facts: &Facts) -> Result<Imported, SettingsError> {
    let directives = redis_conf::directives(content).map_err(|Malformed { line, what }| {
        SettingsError::new(format!("{name}:{line}"), Refusal::new(what, "mend the quotes"))
    })?;
    let mut taken = Taken::default();
    let mut remarks = Vec::new();
    for directive in &directives {
        if let Err(refusal) = taken.take(directive) {
            let place = format!("{name}:{}: {}", directive.line, directive.name);
            remarks.push(SettingsError::new(place, refusal).to_string());
        }
    }
    let toml = taken.toml(name);
    let problem = problem(&toml, facts).err();
    Ok(Imported { toml, remarks, problem })
}

/// What the result would fail on at the start.
fn problem(toml: &str, facts: &Facts) -> Result<(), SettingsError> {
    let mut settings = Settings::default();
    for file::Entry { setting, place, text } in file::entries("the result", toml)? {
        (setting.put)(&mut settings, &text).map_err(|refusal| SettingsError::new(place, refusal))?;
    }
    load::settle(&mut settings, facts)
        .map_err(|(name, refusal)| SettingsError::new(format!("the result: {name}"), refusal))
}

/// Settings that the file names, as our text; the last line of a name counts.
#[derive(Default)]
struct Taken {
    values: Vec<(&'static str, String)>,
}

impl Taken {
    /// Takes a line over, or says why not.
    fn take(&mut self, Directive { name, args, .. }: &Directive) -> Result<(), Refusal> {
        let Some(setting) = Setting::find(name) else { return Err(unknown(name)) };
        match setting.name {
            "client-output-buffer-limit" => return self.take_output_limits(setting, args),
            "bind" | "save" | "replicaof" => {}
            _ if args.len() != 1 => return Err(Refusal::new("wrong number of arguments", "")),
            _ => {}
        }
        self.put(setting, &args.join(" "))
    }

    fn put(&mut self, setting: &'static Setting, text: &str) -> Result<(), Refusal> {
        let mut settings = Settings::default();
        (setting.put)(&mut settings, text)?;
        if setting.group == super::ONE_VALUE {
            return Ok(());
        }
        if setting.group == super::WITHOUT_EFFECT {
            return Err(Refusal::new("accepted and without effect here", "left out"));
        }
        if (1..MEMORY_BYTES_MIN).contains(&settings.maxmemory) {
            let least = memory::shown(MEMORY_BYTES_MIN);
            return Err(Refusal::new("less memory than a server starts with", format!("set {least} or more")));
        }
        self.values.retain(|(name, _)| *name != setting.name);
        self.values.push((setting.name, (setting.show)(&settings)));
        if setting.name == "maxmemory" && settings.maxmemory == 0 {
            return Err(Refusal::new("0 is no limit in Redis, and half of the host's memory here", "set an amount"));
        }
        Ok(())
    }

    /// Classes with three bounds each, of which we have one class.
    fn take_output_limits(&mut self, setting: &'static Setting, args: &[String]) -> Result<(), Refusal> {
        let (classes, rest) = args.as_chunks::<4>();
        if classes.is_empty() || !rest.is_empty() {
            return Err(Refusal::new("wrong number of arguments", ""));
        }
        let mut outcome = Ok(());
        for class in classes {
            let result = match class.each_ref().map(String::as_str) {
                // Without a bound a client that does not read would take all memory.
                [normal, "0", "0", "0"] if normal.eq_ignore_ascii_case("normal") => {
                    Err(Refusal::new("no bound at all is Redis's default", format!("here {} is kept", setting.default)))
                }
                [normal, ..] if normal.eq_ignore_ascii_case("normal") => self.put(setting, &class.join(" ")),
                [other, ..] => Err(Refusal::new(format!("there are no clients of class {other}"), "left out")),
            };
            outcome = outcome.and(result);
        }
        outcome
    }

    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(taken, _)| *taken == name)
    }

    fn toml(&self, name: &str) -> String {
        let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut toml = format!("# From {name}, by pinion --import-redis-conf.\n\n");
        for setting in Settings::TABLE {
            if let Some((_, text)) = self.values.iter().find(|(name, _)| *name == setting.name) {
                toml.push_str(&line(setting, text));
            }
        }
        for (name, text) in REDIS_DEFAULTS {
            let setting = Setting::find(name).expect("a test finds every one of them");
            if !self.has(name) {
                toml.push_str("\n# The file names none: this is Redis's default.\n");
                toml.push_str(&line(setting, text));
            }
        }
        toml
    }
}

fn line(setting: &Setting, text: &str) -> String {
    format!("{} = {}\n", setting.name, sample::written((setting.form)(), text))
}

/// Where our default would serve other clients, or evict what Redis keeps.
const REDIS_DEFAULTS: [(&str, &str); 3] =
    [("bind", "* -::*"), ("memcached-port", "0"), ("maxmemory-policy", "noeviction")];

/// Why a name of Redis has no place here, by its beginning; the first one that fits counts.
const REASONS: &[(&[&str], &str, &str)] = &[
    (&["include"], "other files are not read", "import that file too, and put the two together"),
    (&["rename-command"], "commands keep their names", "a firewall or protected-mode keeps clients out"),
    (&["loadmodule"], "there are no modules", ""),
    (&["user", "acl"], "there are no users", "requirepass is the one password"),
    (&["enable-protected-configs", "enable-module-command"], "nothing here needs it", ""),
    (
        &["dir", "dbfilename", "rdb", "append", "aof-", "auto-aof-", "no-appendfsync", "stop-writes", "sanitize-dump"],
        "Pinion writes no data to disk",
        "",
    ),
    (&["repl", "slave", "min-replicas", "min-slaves", "master", "primary"], "Pinion has no replicas", ""),
    (&["cluster-"], "this release is one node", ""),
    (&["tls-"], "Pinion speaks no TLS", "put a proxy that ends TLS before it"),
    (&["lua-", "busy-"], "there are no scripts", ""),
    (&["tracking-"], "there is no client-side caching", ""),
    (
        &["server-cpulist", "server_cpulist", "bio", "aof_", "bgsave", "io-threads"],
        "one core does all the work",
        "the setting cores says which",
    ),
    (
        &[
            "pidfile",
            "supervised",
            "syslog",
            "oom-score-adj",
            "unixsocketgroup",
            "crash-",
            "set-proc-title",
            "proc-title",
        ],
        "what starts the server does this",
        "docs/deploy.md has a unit for systemd",
    ),
    (&["shutdown-"], "a signal lets replies leave and ends the server", ""),
    (
        &["active-defrag", "jemalloc", "disable-thp", "events-per-io", "prefetch-batch", "list-", "stream-", "hash-"],
        "this tunes machinery of Redis",
        "",
    ),
];

/// Why there is no such setting.
fn unknown(name: &str) -> Refusal {
    let reason = REASONS.iter().find(|(names, ..)| names.iter().any(|beginning| name.starts_with(beginning)));
    match reason {
        Some((_, what, mend)) => Refusal::new(*what, *mend),
        None => Refusal::new("Pinion has no such setting", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { memory_bytes: 8 << 30, clients_max: 20_000 };

    fn imported(content: &str) -> Imported {
        import("redis.conf", content, &FACTS).unwrap_or_else(|error| panic!("{content}: {error}"))
    }

    /// The settings of the result, without its comments and without Redis's defaults.
    fn check(content: &str, expected: &[&str]) {
        let Imported { toml, problem, .. } = imported(content);
        let own = toml.split("\n# The file names none").next().unwrap();
        let lines: Vec<_> = own.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!((lines.as_slice(), problem), (expected, None), "{content}");
    }

    fn check_remarks(content: &str, expected: &[&str]) {
        assert_eq!(imported(content).remarks, expected, "{content}");
    }

    #[test]
    fn what_both_have_is_taken_over() {
        check("port 7000\nbind 10.0.0.1 -::1", &["port = 7000", "bind = \"10.0.0.1 -::1\""]);
        check(
            "MAXMEMORY 2gb\nmaxmemory-policy allkeys-lru",
            &["maxmemory = \"2gb\"", "maxmemory-policy = \"allkeys-lru\""],
        );
        check("requirepass \"pa\\\"ss #1\"", &["requirepass = 'pa\"ss #1'"]);
        check("unixsocket /run/r.sock\nunixsocketperm 0770", &["unixsocket = \"/run/r.sock\"", "unixsocketperm = 770"]);
        check("protected-mode no\ntimeout 60", &["timeout = 60", "protected-mode = false"]);
        check("proto-max-bulk-len 1mb", &["proto-max-bulk-len = \"1mb\""]);
        check("timeout 1\ntimeout 2", &["timeout = 2"]);
    }

    #[test]
    fn redis_defaults_are_written_down_where_they_serve_or_keep_more() {
        let toml = imported("").toml;
        assert!(
            toml.contains("\nbind = \"* -::*\"\n") && toml.contains("\nmaxmemory-policy = \"noeviction\"\n"),
            "{toml}"
        );
        let toml = imported("bind ::1\nmaxmemory-policy volatile-lfu").toml;
        assert!(toml.contains("\nmemcached-port = 0\n"), "{toml}");
        assert!(!toml.contains('*') && !toml.contains("noeviction"), "{toml}");
        for (name, text) in REDIS_DEFAULTS {
            (Setting::find(name).unwrap().put)(&mut Settings::default(), text).unwrap();
        }
    }

    #[test]
    fn what_is_so_anyway_needs_no_remark() {
        check("save \"\"\nappendonly no\ndatabases 16\nio-threads 1\ndaemonize no", &[]);
        check_remarks("save \"\"\nappendonly no\ndatabases 16\nio-threads 1\ndaemonize no", &[]);
    }

    #[test]
    fn what_is_left_out_is_named_with_line_and_reason() {
        check_remarks(
            "\nsave 3600 1 300 100",
            &["redis.conf:2: save: only '' is supported; Pinion writes no snapshots"],
        );
        let include = "redis.conf:1: include: other files are not read; import that file too, and put the two together";
        check_remarks("include /etc/redis/more.conf", &[include]);
        check_remarks("foo bar", &["redis.conf:1: foo: Pinion has no such setting"]);
        check_remarks("hz 10", &["redis.conf:1: hz: accepted and without effect here; left out"]);
        check_remarks("timeout 1 2", &["redis.conf:1: timeout: wrong number of arguments"]);
        check_remarks("timeout", &["redis.conf:1: timeout: wrong number of arguments"]);
        let range = "redis.conf:1: maxclients: argument must be between 1 and 1000000 inclusive";
        check_remarks("maxclients 0", &[range]);
        let little = "redis.conf:1: maxmemory: less memory than a server starts with; set 32mb or more";
        check_remarks("maxmemory 1mb", &[little]);
        check("maxmemory 1mb", &[]);
        let none = "redis.conf:1: maxmemory: 0 is no limit in Redis, and half of the host's memory here; set an amount";
        check_remarks("maxmemory 0", &[none]);
    }

    #[test]
    fn values_of_what_is_left_out_stay_unsaid() {
        let content = "masterauth hush\nuser default on >hush\ntls-key-file-pass hush\nrequirepass hush hush";
        let Imported { toml, remarks, .. } = imported(content);
        assert_eq!(remarks.len(), 4);
        assert!(!remarks.concat().contains("hush") && !toml.contains("hush"), "{remarks:?}");
    }

    #[test]
    fn of_the_output_limits_the_clients_that_exist_count() {
        let both = "client-output-buffer-limit normal 64mb 1mb 10 replica 256mb 64mb 60";
        check(both, &["client-output-buffer-limit = \"normal 67108864 1048576 10\""]);
        let replica = "redis.conf:1: client-output-buffer-limit: there are no clients of class replica; left out";
        check_remarks(both, &[replica]);
        let unbounded = "redis.conf:1: client-output-buffer-limit: no bound at all is Redis's default; \
                         here normal 1gb 1mb 0 is kept";
        check_remarks("client-output-buffer-limit normal 0 0 0", &[unbounded]);
        let count = "redis.conf:1: client-output-buffer-limit: wrong number of arguments";
        check_remarks("client-output-buffer-limit normal 0 0", &[count]);
    }

    #[test]
    fn a_result_that_would_not_start_says_so() {
        let problem = |content| imported(content).problem.map(|problem| problem.to_string()).unwrap_or_default();
        assert!(problem("port 0").starts_with("the result: port: port and memcached-port are 0"));
        assert!(problem("maxclients 30000").contains("try with 20000"));
        assert_eq!(problem("port 0\nunixsocket /tmp/x"), "");
    }

    #[test]
    fn a_line_that_cannot_be_split_is_refused() {
        let error = import("redis.conf", "\nrequirepass \"x", &FACTS).unwrap_err();
        assert_eq!(error.to_string(), "redis.conf:2: Unbalanced quotes in configuration line; mend the quotes");
    }
}
