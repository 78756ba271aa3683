//! Sockets: the plain system calls on them.
//!
//! Absent on purpose: `IORING_OP_SHUTDOWN` and `IORING_OP_CLOSE`. The kernel hands a shutdown to a worker thread, which
//! costs more than the call, and a close has nothing to wait for.

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use std::os::fd::{IntoRawFd, OwnedFd};

use crate::ring::{Peer, Socket};

impl From<OwnedFd> for Socket {
    /// The ring closes it from now on.
    fn from(socket: OwnedFd) -> Socket {
        Socket(socket.into_raw_fd())
    }
}

/// Ends both directions. A socket that the peer has ended already is no error.
pub(crate) fn shutdown(socket: Socket) {
    // SAFETY: shutdown(2) touches no memory of ours; a number that is no socket is refused.
    unsafe { libc::shutdown(socket.0, libc::SHUT_RDWR) };
}

/// Ends our direction. A connection that is gone already is no error.
pub(crate) fn finish_writing(socket: Socket) {
    // SAFETY: shutdown(2) touches no memory of ours; a number that is no socket is refused.
    unsafe { libc::shutdown(socket.0, libc::SHUT_WR) };
}

/// Closes the descriptor.
pub(crate) fn close(socket: Socket) {
    // SAFETY: the caller owns the descriptor and gives it up here, so nobody else loses theirs. The result is of no
    // use: after EINTR and EIO the descriptor is closed as well.
    unsafe { libc::close(socket.0) };
}

/// The other end; `None` if the peer is gone or the family is neither IP nor unix.
pub(crate) fn peer(socket: Socket) -> Option<Peer> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `address`, which has as many.
    if unsafe { libc::getpeername(socket.0, address.as_mut_ptr().cast(), &mut len) } != 0 {
        return None;
    }
    // SAFETY: an address is plain numbers, for which the zeroes it was made of are values.
    let family = unsafe { address.assume_init_ref() }.ss_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: storage is large and aligned enough for every family, and the family says that this one is in it.
            let v4 = unsafe { &*address.as_ptr().cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(Peer::Inet(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*address.as_ptr().cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(Peer::Inet(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id))))
        }
        libc::AF_UNIX => Some(Peer::Unix),
        _foreign => None,
    }
}
