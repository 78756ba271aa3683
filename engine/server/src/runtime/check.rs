//! `--check-config`: what can be said of a start on this host without listening.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::settings::Settings;

/// Finds what the listeners would fail on, but for a port that is taken: the running server may have it.
///
/// # Errors
/// One line that says what and how to mend it.
pub fn listeners(settings: &Settings) -> Result<(), String> {
    if settings.port != 0 || settings.memcached_port != 0 {
        addresses(settings)?;
    }
    if let Some(address) = settings.metrics_bind {
        // As below.
        TcpListener::bind(SocketAddr::new(address.ip(), 0)).map_err(|error| {
            format!("metrics-bind: cannot listen on {}: {error}; name an address of this host", address.ip())
        })?;
    }
    let sockets = [("unixsocket", &settings.unixsocket), ("memcached-unixsocket", &settings.memcached_unixsocket)];
    sockets.into_iter().try_for_each(|(setting, path)| match path {
        Some(path) => folder_of(setting, path),
        None => Ok(()),
    })
}

fn addresses(settings: &Settings) -> Result<(), String> {
    let mut found = 0;
    for bind in &settings.bind {
        // Port 0 is any free one: this asks only whether the host has the address. It is closed at once.
        match TcpListener::bind(SocketAddr::new(bind.ip, 0)) {
            Ok(_) => found += 1,
            Err(_) if bind.optional => {}
            Err(error) => {
                return Err(format!("bind: cannot listen on {}: {error}; name an address of this host", bind.ip));
            }
        }
    }
    match found {
        0 => Err("none of the addresses in bind exists on this host; name one with --bind".to_owned()),
        _ => Ok(()),
    }
}

fn folder_of(setting: &str, path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match folder.is_dir() {
        true => Ok(()),
        false => Err(format!("{setting}: there is no folder {}; create it", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::BindAddress;

    fn check(bind: &[(&str, bool)], unixsocket: Option<&str>, expected: Result<(), &str>) {
        let bind = bind.iter().map(|&(ip, optional)| BindAddress { ip: ip.parse().unwrap(), optional }).collect();
        let settings = Settings { bind, unixsocket: unixsocket.map(Into::into), ..Settings::default() };
        match (listeners(&settings), expected) {
            (Ok(()), Ok(())) => {}
            (Err(line), Err(part)) => assert!(line.contains(part), "{line}"),
            (other, expected) => panic!("{other:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn addresses_that_this_host_lacks_are_named() {
        check(&[("127.0.0.1", false)], None, Ok(()));
        check(&[("127.0.0.1", false), ("192.0.2.1", true)], None, Ok(()));
        check(&[("192.0.2.1", false)], None, Err("cannot listen on 192.0.2.1"));
        check(&[("192.0.2.1", true)], None, Err("none of the addresses"));
    }

    #[test]
    fn the_pages_need_an_address_too() {
        let check =
            |bind: &str| listeners(&Settings { metrics_bind: Some(bind.parse().unwrap()), ..Settings::default() });
        assert_eq!(check("127.0.0.1:9121"), Ok(()));
        assert!(check("192.0.2.1:9121").unwrap_err().starts_with("metrics-bind: cannot listen on 192.0.2.1: "));
    }

    #[test]
    fn a_socket_needs_a_folder() {
        check(&[("127.0.0.1", false)], Some("relative.sock"), Ok(()));
        check(&[("127.0.0.1", false)], Some("/no/such/folder/sock"), Err("there is no folder /no/such/folder"));
    }
}
