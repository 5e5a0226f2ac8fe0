//! Sessions of other nodes: whose they are.

use super::Hub;
use super::address::Sid;
use crate::adapter::{NodeId, Peer};
use aws_lc_rs::constant_time::verify_slices_are_equal;

impl Hub {
    /// Whether there are no other nodes.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.shared.adapter.is_alone()
    }

    /// The other node that has made this id, as far as its look says. `None`: it is this one, or there are no others.
    #[must_use]
    pub fn other_owner(&self, sid: Sid) -> Option<NodeId> {
        sid.node().filter(|node| *node != self.shared.node() && !self.is_alone())
    }

    /// What is known about another node.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<Peer> {
        self.shared.adapter.peer(node)
    }

    /// Whether this is the key that this node has given to the others.
    #[must_use]
    pub fn has_key(&self, shown: &[u8]) -> bool {
        self.shared.adapter.key().is_some_and(|key| verify_slices_are_equal(key.as_bytes(), shown).is_ok())
    }
}
