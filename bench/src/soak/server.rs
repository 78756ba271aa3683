//! The server under soak: started here on free loopback ports, or one that runs already.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, nanos};
use crate::compare::process::mortal;

const READY_MAX: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(20);
const LOG_LINES_SHOWN: usize = 6;

/// A server; one that was started here ends when this is dropped.
pub struct Server {
    /// Where it speaks RESP.
    pub resp: SocketAddr,
    /// Where it speaks memcached's text protocol, if it does.
    pub text: Option<SocketAddr>,
    /// Where it serves /metrics, if it does.
    pub metrics: Option<SocketAddr>,
    /// Its process.
    pub pid: u32,
    started: Option<(Child, PathBuf)>,
}

impl Server {
    /// One that runs already.
    pub fn attach(resp: SocketAddr, text: Option<SocketAddr>, pid: u32) -> Server {
        Server { resp, text, metrics: None, pid, started: None }
    }

    /// Starts the binary at `path` with `flags` behind ours and waits until it accepts connections.
    pub fn start(path: &Path, maxmemory: &str, flags: &[String]) -> io::Result<Server> {
        let [resp, text, metrics] = free_addresses()?;
        let log = env::temp_dir().join(format!("pinion-soak-{}-{}.log", std::process::id(), resp.port()));
        let file = File::create(&log)?;
        let mut command = mortal(&[path.to_string_lossy().into_owned()]);
        command.args(["--port", &resp.port().to_string(), "--memcached-port", &text.port().to_string()]);
        command.args([
            "--maxmemory",
            maxmemory,
            "--metrics-bind",
            &metrics.to_string(),
            "--enable-debug-command",
            "local",
        ]);
        command.args(flags).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        let (pid, metrics) = (child.id(), Some(metrics));
        let mut server = Server { resp, text: Some(text), metrics, pid, started: Some((child, log)) };
        server.await_ready()?;
        Ok(server)
    }

    fn await_ready(&mut self) -> io::Result<()> {
        let clock = Clock::start();
        while TcpStream::connect(self.resp).is_err() {
            if let Some(end) = self.end() {
                return Err(io::Error::other(format!("the server did not start: {end}")));
            }
            if clock.now() > nanos(READY_MAX) {
                return Err(io::Error::other(format!("the server does not listen after {READY_MAX:?}")));
            }
            thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// How a server that was started here has ended, with its last words; `None` if it runs.
    pub fn end(&mut self) -> Option<String> {
        let (child, log) = self.started.as_mut()?;
        let status = child.try_wait().ok()??;
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        Some(format!("{status}: {}", lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join(" / ")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, log)) = &mut self.started {
            // Nothing is persisted, so nothing is lost; a process that was killed is waited for in bounded time.
            let _ = child.kill();
            let _ = child.wait();
            let _ = fs::remove_file(log);
        }
    }
}

/// Loopback addresses that nobody listens on now, each another.
fn free_addresses<const COUNT: usize>() -> io::Result<[SocketAddr; COUNT]> {
    let mut listeners = Vec::new();
    for _ in 0..COUNT {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    Ok(addresses.try_into().expect("as many as listeners"))
}
