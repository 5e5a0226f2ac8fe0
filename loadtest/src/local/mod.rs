//! A cluster of this machine's own: nodes, a balancer before them, and what they share. All of it is on ports and in a folder of
//! the run's own, and gone when the run is, however that ends.

pub(crate) mod balancer;
pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod database;
pub(crate) mod folder;
pub(crate) mod node;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod slow;

use std::net::TcpListener;

use anyhow::{Context as _, Result};

/// Ports below the range from which the system gives ports to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// So many ports that are free now, all different.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    // another place to begin for each process, so that two do not race for the same ports
    let start = std::process::id() as u16 % 10_000;
    let mut held = Vec::new();
    for port in PORTS.skip(start.into()).chain(PORTS) {
        if held.len() == count {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (port, listener)));
    }
    (held.len() == count).then(|| held.iter().map(|(port, _)| *port).collect()).context("no free ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_different() {
        let mut ports = free_ports(8).unwrap();
        assert!(ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()));
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
