//! Listening sockets, TCP and unix.
//!
//! TCP_NODELAY and keepalive are set on the listener: Linux passes both on to what it accepts, so an accepted
//! connection needs no system call of its own.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

/// A busy port is tried again for this long: after SIGKILL the kernel tears a ring down, and with it the old
/// process's port, only some time later.
const BUSY_RETRIES: u32 = 40;
const BUSY_RETRY_EVERY: Duration = Duration::from_millis(25);

/// How TCP listeners are made.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// Length of the queue of connections that are not accepted yet.
    pub backlog: u32,
    /// Silence after which the kernel probes the peer; `None`: never.
    pub keepalive: Option<Duration>,
    /// The flag that sets the port, for errors.
    pub flag: &'static str,
}

/// A listening TCP socket.
///
/// # Errors
/// One line that says what and how to mend it.
pub fn tcp(address: SocketAddr, options: TcpOptions) -> Result<OwnedFd, String> {
    let mut retries = 0;
    loop {
        match try_tcp(address, options) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && retries < BUSY_RETRIES => {
                retries += 1;
                thread::sleep(BUSY_RETRY_EVERY);
            }
            Err(error) => return Err(tcp_failure(address, options.flag, &error)),
        }
    }
}

fn try_tcp(address: SocketAddr, options: TcpOptions) -> io::Result<OwnedFd> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if let Some(idle) = options.keepalive {
        let interval = (idle / 3).max(Duration::from_secs(1));
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3))?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn tcp_failure(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process; stop it, or choose another port with {flag}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission to listen on {address}; choose a port of 1024 or above with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this host; choose one of its addresses with --bind")
        }
        _ => format!("cannot listen on {address}: {error}; check --bind and {flag}"),
    }
}

/// A listening unix socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct UnixListener {
    path: PathBuf,
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Nothing is lost if it is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens on a unix socket. A file that a dead server left behind is replaced, one of a living server is not.
///
/// # Errors
/// One line that says what and how to mend it; `flag` sets the path.
pub fn unix(
    path: &Path,
    permissions: u32,
    backlog: u32,
    flag: &'static str,
) -> Result<(OwnedFd, UnixListener), String> {
    remove_dead(path, flag)?;
    let shown = path.display();
    let listen = || -> io::Result<OwnedFd> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        if permissions != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    };
    let socket =
        listen().map_err(|error| format!("cannot listen on {shown}: {error}; choose a writable path with {flag}"))?;
    Ok((socket, UnixListener { path: path.to_owned() }))
}

fn remove_dead(path: &Path, flag: &str) -> Result<(), String> {
    let shown = path.display();
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(format!("{shown} exists and is no socket; remove it, or choose another path with {flag}"));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(format!("{shown} is in use by another process; stop it, or choose another with {flag}"));
    }
    fs::remove_file(path).map_err(|error| format!("cannot replace {shown}: {error}; remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG: &str = "--unixsocket";
    const OPTIONS: TcpOptions = TcpOptions { backlog: 16, keepalive: Some(Duration::from_secs(300)), flag: "--port" };

    #[test]
    fn a_foreign_address_is_named_in_one_line() {
        let error = tcp("192.0.2.1:0".parse().unwrap(), OPTIONS).unwrap_err();
        assert!(error.contains("192.0.2.1") && error.contains("--bind") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_dead_socket_file_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pinion.sock");
        let (socket, listener) = unix(&path, 0o700, 16, FLAG).unwrap();
        assert!(unix(&path, 0, 16, FLAG).unwrap_err().contains("in use"));
        drop(socket);
        std::mem::forget(listener);
        let (_socket, listener) = unix(&path, 0, 16, FLAG).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "keep").unwrap();
        assert!(unix(&path, 0, 16, FLAG).unwrap_err().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep");
    }
}
