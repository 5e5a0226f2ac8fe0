//! How many are online, on all roomcast nodes.

use super::Hub;
use crate::adapter::{Here as _, Load};
use crate::protocol::peers::Members;

/// How many are online. What other nodes say of themselves is a few seconds old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Nodes, this one included.
    pub nodes: usize,
    /// Open sockets.
    pub sockets: u64,
    /// Members of rooms, by what the rooms are about. A session in several rooms is counted in each.
    pub members: Members,
}

impl Hub {
    /// How many are online.
    #[must_use]
    pub fn census(&self) -> Census {
        let Load { sockets, members, .. } = self.load();
        let here = Census { nodes: 1, sockets, members };
        self.shared.adapter.peers().iter().fold(here, |sum, peer| Census {
            nodes: sum.nodes + 1,
            sockets: sum.sockets.saturating_add(peer.sockets),
            members: sum.members.and(peer.members),
        })
    }
}
