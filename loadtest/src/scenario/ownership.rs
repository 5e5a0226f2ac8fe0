//! Whose servers may be loaded: those of this machine and of private networks; others only by whoever says that they are theirs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::wrong::Wrong;

/// Refuses targets of the public internet, unless whoever runs this says that they own them.
pub(crate) fn check(targets: &[SocketAddr], i_own_them: bool) -> Result<()> {
    match targets.iter().find(|target| !i_own_them && !is_private(target.ip())) {
        None => Ok(()),
        Some(target) => Err(Wrong::error(format!(
            "--target {target} is neither on this machine nor in a private network (10/8, 172.16/12, 192.168/16, 169.254/16, \
             100.64/10, fc00::/7, fe80::/10): loading somebody else's server is an attack. If it is yours, say --i-own-this-target"
        ))),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_private_v4(address),
            None => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_others_are_left_alone() {
        let refused = |text: &str| check(&[text.parse().unwrap()], false).is_err();
        for own in
            ["127.0.0.1:1", "10.1.2.3:1", "172.31.0.1:1", "192.168.0.9:1", "100.64.0.1:1", "[::1]:1", "[fd00::1]:1"]
        {
            assert!(!refused(own), "{own}");
        }
        for other in ["8.8.8.8:80", "172.32.0.1:1", "100.128.0.1:1", "[2001:db8::1]:1", "[::ffff:8.8.8.8]:1"] {
            assert!(refused(other), "{other}");
            assert!(check(&[other.parse().unwrap()], true).is_ok(), "{other}");
        }
    }
}
