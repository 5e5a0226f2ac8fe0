//! Opens non-blocking client sockets and raises the limit on open files.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Above this many users one loopback source address gets short of ports.
const USERS_PER_SOURCE: usize = 2_000;
/// Files the process needs besides its sockets.
const SPARE_FILES: u64 = 64;

/// Starts a connection; it is established when the socket becomes writable.
pub(crate) fn open(target: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Source addresses to use when none are given: several when the targets are loopback.
pub(crate) fn automatic_sources(targets: &[SocketAddr], users: usize) -> Vec<IpAddr> {
    let is_loopback = |target: &SocketAddr| target.ip().is_loopback() && target.is_ipv4();
    if !targets.iter().all(is_loopback) || users <= USERS_PER_SOURCE {
        return Vec::new();
    }
    let count = users.div_ceil(USERS_PER_SOURCE).clamp(2, 200) as u8;
    (2..2 + count).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
}

/// Raises the soft limit on open files to the hard one and checks that `users` fit.
pub(crate) fn ensure_files(users: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)?;
    if let Some(maximum) = limit.maximum {
        ensure!(
            users as u64 + SPARE_FILES <= maximum,
            "{users} users need {} open files, but this process may open {maximum}; \
             raise the hard limit (ulimit -Hn) or use fewer users",
            users as u64 + SPARE_FILES
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_users_on_loopback_get_several_sources() {
        let loopback: SocketAddr = "127.0.0.1:3000".parse().unwrap();
        let remote: SocketAddr = "192.0.2.1:3000".parse().unwrap();
        assert!(automatic_sources(&[loopback], 2_000).is_empty());
        assert_eq!(automatic_sources(&[loopback, loopback], 10_000).len(), 5);
        assert!(automatic_sources(&[loopback, remote], 10_000).is_empty());
    }
}
