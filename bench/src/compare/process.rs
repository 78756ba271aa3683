//! A server process of ours: started on a free loopback port, ended by its own handle whatever happens.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::peer::{Kind, Peer, on_path};
use crate::clock::{Clock, nanos};
use crate::load::target::Target;

const READY_MAX: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);
const LOG_LINES_SHOWN: usize = 4;

/// A running server; dropping it kills the process and waits for its end.
pub struct ServerProcess {
    peer: Peer,
    child: Child,
    target: Target,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts `peer` on the calling thread's core and waits until it accepts connections.
    pub fn start(peer: &Peer, core: usize, limit_mib: u64) -> io::Result<ServerProcess> {
        let address = free_address()?;
        let log = env::temp_dir().join(format!("pinion-bench-{}-{}.log", std::process::id(), address.port()));
        let file = File::create(&log)?;
        let mut command = mortal(&peer.command);
        command.args(peer.kind.arguments(address.port(), core, limit_mib));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).current_dir(env::temp_dir());
        let child = command.spawn()?;
        let mut server = ServerProcess { peer: peer.clone(), child, target: Target::Tcp(address), log };
        server.await_ready(address)?;
        Ok(server)
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.peer.name
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.peer.kind
    }

    /// Where it listens.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn await_ready(&mut self, address: SocketAddr) -> io::Result<()> {
        let clock = Clock::start();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("did not start ({status}): {}", self.last_words())));
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if clock.now() > nanos(READY_MAX) {
                return Err(io::Error::other(format!("does not listen after {READY_MAX:?}: {}", self.last_words())));
            }
            thread::sleep(READY_POLL);
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join(" / ")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Nothing is persisted, so there is nothing to lose; a process that was killed is waited for in bounded time.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// The command, such that the kernel kills it when we die without running `Drop`, where setpriv is installed.
pub fn mortal(words: &[String]) -> Command {
    let mut words = words.iter();
    let mut command = match on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]);
            command
        }
        None => Command::new(words.next().map_or("", String::as_str)),
    };
    command.args(words);
    command
}

/// A loopback address that nobody listens on now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Peer {
        Peer { name: "test".into(), kind: Kind::Pinion, command: ["sh", "-c", script].map(String::from).to_vec() }
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
        let error = ServerProcess::start(&shell("echo no such flag >&2; exit 3"), 0, 1).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such flag"), "{text}");
    }

    #[test]
    fn dropping_a_server_ends_its_process() {
        let address = free_address().unwrap();
        let child = mortal(&["sleep".into(), "600".into()]).spawn().unwrap();
        let pid = child.id();
        let log = env::temp_dir().join("pinion-bench-no-such-log");
        drop(ServerProcess { peer: shell(""), child, target: Target::Tcp(address), log });
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    }
}
