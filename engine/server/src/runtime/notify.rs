//! What the service manager is told (sd_notify(3)): that we are ready, and that we stop.
//!
//! One datagram each to the socket that it names in the environment, a path or an abstract name. Without that name
//! nobody waits for it, and nothing is sent.
//!
//! Absent on purpose: keep-alive messages. A core that hangs answers no health check either.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the service manager says how it listens.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// We accept connections.
pub const READY: &str = "READY=1";
/// We have begun to drain.
pub const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one. That it does not hear is logged, and no reason to stop.
pub fn tell(state: &str) {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!("cannot tell the service manager {state}: {error}");
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.send(state.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &OsStr, listener: UnixDatagram) {
        send(name, READY).unwrap();
        let mut got = [0; 64];
        let count = listener.recv(&mut got).unwrap();
        assert_eq!(&got[..count], b"READY=1");
    }

    #[test]
    fn paths_and_abstract_names_are_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        check(path.as_os_str(), UnixDatagram::bind(&path).unwrap());
        let name = format!("pinion-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        check(OsStr::new(&format!("@{name}")), listener);
    }

    #[test]
    fn nobody_listening_is_an_error_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        assert!(send(folder.path().join("none").as_os_str(), READY).is_err());
        assert!(send(OsStr::new("@pinion-nobody-listens-here"), READY).is_err());
    }
}
