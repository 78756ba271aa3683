//! The servers that can be compared: where their programs are and how they are told to keep everything in memory.

use std::env;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::load::protocol::Protocol;

/// What a server is, and so how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This project's server.
    Pinion,
    /// This project's server by way of memcached's protocol.
    PinionMemcached,
    /// This project's server on glommio, in a program that was built with it.
    PinionGlommio,
    /// `pinion-bench floor`.
    Floor,
    /// redis-server.
    Redis,
    /// valkey-server.
    Valkey,
    /// memcached.
    Memcached,
}

impl Kind {
    /// A name that begins with another one's stands before it.
    const ALL: [Kind; 7] = [
        Kind::PinionMemcached,
        Kind::PinionGlommio,
        Kind::Pinion,
        Kind::Floor,
        Kind::Redis,
        Kind::Valkey,
        Kind::Memcached,
    ];

    /// The name that server names begin with.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pinion => "pinion",
            Kind::PinionMemcached => "pinion-memcached",
            Kind::PinionGlommio => "pinion-glommio",
            Kind::Floor => "floor",
            Kind::Redis => "redis",
            Kind::Valkey => "valkey",
            Kind::Memcached => "memcached",
        }
    }

    /// What it speaks.
    pub fn protocol(self) -> Protocol {
        match self {
            Kind::Pinion | Kind::PinionGlommio | Kind::Floor | Kind::Redis | Kind::Valkey => Protocol::Resp,
            Kind::Memcached | Kind::PinionMemcached => Protocol::MemcacheText,
        }
    }

    fn of(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| name.starts_with(kind.name()))
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Pinion | Kind::PinionMemcached | Kind::PinionGlommio => "pinion",
            Kind::Floor => "pinion-bench",
            Kind::Redis => "redis-server",
            Kind::Valkey => "valkey-server",
            Kind::Memcached => "memcached",
        }
    }

    /// One core, no persistence, loopback only, and no port but `port`: several of a kind run at once.
    pub fn arguments(self, port: u16, core: usize, limit_mib: u64) -> Vec<String> {
        let text = match self {
            Kind::Pinion => return pinion(&format!("--port {port} --memcached-port 0"), core, limit_mib),
            Kind::PinionMemcached => return pinion(&format!("--port 0 --memcached-port {port}"), core, limit_mib),
            Kind::PinionGlommio => {
                let same = Kind::Pinion.arguments(port, core, limit_mib);
                return ["--runtime", "glommio"].into_iter().map(String::from).chain(same).collect();
            }
            Kind::Floor => format!("floor --port {port} --core {core}"),
            // No limit: these two are cheapest without one.
            Kind::Redis | Kind::Valkey => {
                let options = format!("--port {port} --bind 127.0.0.1 --appendonly no --daemonize no --save");
                // The empty list of save points is an empty argument.
                return options.split(' ').map(String::from).chain([String::new()]).collect();
            }
            Kind::Memcached => {
                let user = if is_root() { " -u root" } else { "" };
                format!("-l 127.0.0.1 -p {port} -U 0 -t 1 -c 20000 -m {limit_mib}{user}")
            }
        };
        text.split(' ').map(String::from).collect()
    }
}

/// This project's server on `ports` and no other: metrics, which would take their default port, are off.
fn pinion(ports: &str, core: usize, limit_mib: u64) -> Vec<String> {
    let options = format!("{ports} --cores {core} --spin-us 0 --maxmemory {limit_mib}mb --metrics-bind");
    // No address is an empty argument.
    options.split(' ').map(String::from).chain([String::new()]).collect()
}

/// memcached refuses to run as root unless told to.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A server that is installed.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in reports.
    pub name: String,
    /// How it is started.
    pub kind: Kind,
    /// The program and what comes before our own arguments.
    pub command: Vec<String>,
}

impl Peer {
    /// Name, version and program, for reports.
    pub fn describe(&self) -> String {
        let version = match self.kind {
            Kind::Floor => env!("CARGO_PKG_VERSION").to_owned(),
            Kind::Pinion
            | Kind::PinionMemcached
            | Kind::PinionGlommio
            | Kind::Redis
            | Kind::Valkey
            | Kind::Memcached => self.version().unwrap_or_default(),
        };
        format!("{}: {version} ({})", self.name, self.command.join(" "))
    }

    fn version(&self) -> Option<String> {
        let (program, rest) = self.command.split_first()?;
        let output = Command::new(program).args(rest).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "Redis server v=7.0.15 sha=...", "memcached 1.6.45", "pinion 0.1.0"
        let word = text
            .split_whitespace()
            .find(|word| word.trim_start_matches("v=").starts_with(|c: char| c.is_ascii_digit()))?;
        Some(word.trim_start_matches("v=").to_owned())
    }
}

/// The servers of `names` and of `programs` (NAME=PROGRAM ARGS) that are installed, and a line about each that is not.
pub fn find_all(names: &[String], programs: &[String]) -> io::Result<(Vec<Peer>, Vec<String>)> {
    let mut wanted: Vec<(String, Option<Vec<String>>)> = names.iter().map(|name| (name.clone(), None)).collect();
    for program in programs {
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("--server {program}: expected NAME=PROGRAM"));
        let (name, command) = program.split_once('=').ok_or_else(invalid)?;
        let command: Vec<String> = command.split_whitespace().map(String::from).collect();
        if command.is_empty() {
            return Err(invalid());
        }
        match wanted.iter_mut().find(|(wanted, _)| wanted == name) {
            Some((_, given)) => *given = Some(command),
            None => wanted.push((name.to_owned(), Some(command))),
        }
    }
    let mut peers = Vec::new();
    let mut absent = Vec::new();
    for (name, command) in wanted {
        let kind = Kind::of(&name).ok_or_else(|| unknown(&name))?;
        match command.map_or_else(|| find(kind), locate) {
            Some(command) => match lack(kind, &command) {
                None => peers.push(Peer { name, kind, command }),
                Some(lack) => absent.push(format!("{name}: {lack}")),
            },
            None => absent.push(format!("{name}: no {} next to pinion-bench or on PATH", kind.program())),
        }
    }
    Ok((peers, absent))
}

/// What a program that is installed lacks, in its own words.
fn lack(kind: Kind, command: &[String]) -> Option<String> {
    if kind != Kind::PinionGlommio {
        return None;
    }
    let (program, rest) = command.split_first()?;
    let output = Command::new(program).args(rest).args(["--runtime", "glommio", "--check-config"]).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()),
        Err(error) => Some(format!("cannot run {program}: {error}")),
    }
}

fn unknown(name: &str) -> io::Error {
    let names = Kind::ALL.map(Kind::name).join(", ");
    io::Error::new(io::ErrorKind::InvalidInput, format!("server `{name}`: its name must begin with one of {names}"))
}

fn find(kind: Kind) -> Option<Vec<String>> {
    let own = env::current_exe().ok()?;
    if kind == Kind::Floor {
        return Some(vec![own.to_string_lossy().into_owned()]);
    }
    let beside = own.parent()?.join(kind.program());
    if kind.program() == Kind::Pinion.program() && is_program(&beside) {
        return Some(vec![beside.to_string_lossy().into_owned()]);
    }
    on_path(kind.program()).map(|path| vec![path.to_string_lossy().into_owned()])
}

/// `command` with its program's path made sure of.
fn locate(mut command: Vec<String>) -> Option<Vec<String>> {
    let program = Path::new(&command[0]);
    let path = if program.components().count() > 1 {
        is_program(program).then(|| program.to_path_buf())?
    } else {
        on_path(&command[0])?
    };
    command[0] = path.to_string_lossy().into_owned();
    Some(command)
}

/// The first program of that name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_its_kind() {
        assert_eq!(Kind::of("valkey-je"), Some(Kind::Valkey));
        assert_eq!(Kind::of("pinion"), Some(Kind::Pinion));
        assert_eq!(Kind::of("pinion-memcached"), Some(Kind::PinionMemcached));
        assert_eq!(Kind::of("pinion-glommio-2"), Some(Kind::PinionGlommio));
        assert_eq!(Kind::of("pinion-next"), Some(Kind::Pinion));
        assert_eq!(Kind::of("nginx"), None);
    }

    #[test]
    fn a_program_replaces_or_adds_a_server() {
        let names = ["redis".to_owned()];
        let programs = ["redis=sh -c".to_owned(), "redis-2=sh".to_owned(), "pinion-x=/no/such/program".to_owned()];
        let (peers, absent) = find_all(&names, &programs).unwrap();
        assert_eq!(peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["redis", "redis-2"]);
        assert_eq!(peers[0].command[1..], ["-c"]);
        assert_eq!(absent.len(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        for program in ["redis", "redis=", "nginx=/usr/sbin/nginx"] {
            assert!(find_all(&[], &[program.to_owned()]).is_err(), "{program}");
        }
    }

    #[test]
    fn pinion_is_told_to_listen_on_one_port_alone() {
        for (kind, ports) in [
            (Kind::Pinion, ["--port 7", "--memcached-port 0"]),
            (Kind::PinionGlommio, ["--port 7", "--memcached-port 0"]),
            (Kind::PinionMemcached, ["--port 0", "--memcached-port 7"]),
        ] {
            let arguments = kind.arguments(7, 0, 1);
            let pairs: Vec<String> = arguments.windows(2).map(|pair| pair.join(" ")).collect();
            for pair in ports.into_iter().chain(["--metrics-bind "]) {
                assert!(pairs.iter().any(|found| found == pair), "{kind:?}: {pair}: {arguments:?}");
            }
        }
    }

    #[test]
    fn redis_is_told_to_save_nothing() {
        assert_eq!(Kind::Redis.arguments(1, 0, 1).last().map(String::as_str), Some(""));
    }
}
