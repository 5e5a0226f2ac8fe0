//! Which workers something is for, and their inboxes.

use super::address::{Address, Sid};
use super::broadcast::Broadcast;
use super::worker::Command;
use super::{NamespaceId, Shared};
use crate::adapter::NodeId;
use std::sync::Arc;

impl Shared {
    /// Distinguishes the sids of this process from those of others.
    pub(super) fn node(&self) -> NodeId {
        self.adapter.node()
    }

    /// The workers that have members of any of the rooms, or sessions that are named like one; all, without rooms.
    pub(super) fn workers_of<S: AsRef<str>>(&self, namespace: NamespaceId, rooms: &[S]) -> u64 {
        if rooms.is_empty() {
            return u64::MAX >> (64 - self.mailboxes.len().clamp(1, 64));
        }
        let home = |room: &S| self.home_of(room.as_ref()).map_or(0, |worker| 1 << worker);
        rooms.iter().fold(self.index.workers_of_any(namespace, rooms), |workers, room| workers | home(room))
    }

    /// The worker that has made this session id, if one has.
    pub(super) fn home_of(&self, name: &str) -> Option<u8> {
        let sid = (name.len() == Sid::LEN).then(|| Sid::parse(name)).flatten()?;
        let worker = self.address_of(sid)?.worker;
        (usize::from(worker) < self.mailboxes.len()).then_some(worker)
    }

    /// Where the session of this id lives, if it is one of this node.
    pub(super) fn address_of(&self, sid: Sid) -> Option<Address> {
        self.aliases.get(sid).or_else(|| sid.address(self.node()))
    }

    /// Numbers a broadcast, if sessions may miss it, and posts it to the workers that it is for, but for the one that says
    /// it. Returns how many had no space left.
    pub(super) fn hand_out(&self, mut broadcast: Broadcast, by: Option<u8>) -> (Arc<Broadcast>, usize) {
        let _in_turn = self.offsets.is_on().then(|| self.offsets.publish());
        if self.offsets.is_on() {
            broadcast.offset = Some(self.offsets.next());
        }
        let workers = self.workers_of(broadcast.namespace, &broadcast.rooms) & !by.map_or(0, |worker| 1 << worker);
        let broadcast = Arc::new(broadcast);
        let full = self.post(&broadcast, workers);
        (broadcast, full)
    }

    /// Posts to the workers in the bit set. Returns how many had no space left.
    pub(super) fn post(&self, broadcast: &Arc<Broadcast>, workers: u64) -> usize {
        let mut full = 0;
        for (worker, mailbox) in self.mailboxes.iter().enumerate().filter(|(worker, _)| workers >> worker & 1 == 1) {
            if !mailbox.post(Command::Broadcast(Arc::clone(broadcast)), broadcast.cost()) {
                full += 1;
                self.metrics.worker(worker).drops[crate::metrics::Drop::InboxFull as usize].add_shared(1);
            }
        }
        full
    }
}
