//! The roomcast nodes that there are, as operators see them.

use super::Hub;
use super::address::Sid;
use crate::adapter::{Here as _, Load, Peer};
use crate::lifecycle;
use std::time::Duration;

/// A roomcast node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// What the ids of its sessions begin with.
    pub node: String,
    /// Where other nodes reach its public address, if there are others.
    pub address: Option<Box<str>>,
    /// Its release.
    pub version: Box<str>,
    /// Open sockets.
    pub sockets: u64,
    /// Rooms with members on it.
    pub rooms: u64,
    /// How long ago it was heard; `None`: it is this one.
    pub heard: Option<Duration>,
}

impl Hub {
    /// All roomcast nodes that are known, this one first.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let (adapter, now) = (&self.shared.adapter, lifecycle::now());
        let Load { sockets, rooms, .. } = self.load();
        let here = NodeInfo {
            node: Sid::prefix(adapter.node()),
            address: adapter.address().map(Into::into),
            version: env!("CARGO_PKG_VERSION").into(),
            sockets,
            rooms,
            heard: None,
        };
        let afar = |peer: Peer| NodeInfo {
            node: Sid::prefix(peer.node),
            address: Some(peer.address),
            version: peer.version,
            sockets: peer.sockets,
            rooms: peer.rooms,
            heard: Some(now.saturating_duration_since(peer.heard)),
        };
        std::iter::once(here).chain(adapter.peers().into_iter().map(afar)).collect()
    }
}
