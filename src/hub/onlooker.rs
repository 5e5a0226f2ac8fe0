//! Somebody in this process who minds certain rooms: is told who joins them, and what other nodes say in them.
//!
//! For what such a room shows is kept by the process, and whoever joins is shown it at once.

use super::address::Sid;
use super::broadcast::{Broadcast, Encoded};
use super::local::Local;
use super::outbox::Frame;
use super::worker::Command;
use super::{Hub, NamespaceId, Shared};
use crate::metrics::Drop;
use crate::protocol::event::Scope;
use crate::protocol::request::RawEvent;
use std::fmt::Debug;
use std::sync::Arc;

/// Minds rooms of `/`. Is called on threads that deliver: it must not wait.
pub trait Onlooker: Debug + Send + Sync {
    /// A session of this node has joined a room; `first`: nobody of this node was in it.
    fn joined(&self, hub: &Hub, sid: Sid, room: &str, first: bool);

    /// Another node has said something in these rooms. True: it was for the onlooker, and members do not hear it.
    fn heard(&self, hub: &Hub, rooms: &[Box<str>], event: &RawEvent<'_>) -> bool;
}

/// How the names of the rooms begin that are minded, and by whom.
#[derive(Debug)]
pub(super) struct Minded {
    prefix: &'static str,
    onlooker: Arc<dyn Onlooker>,
}

impl Hub {
    /// Has somebody mind the rooms whose names begin so. Only the first word counts.
    pub fn mind(&self, prefix: &'static str, onlooker: Arc<dyn Onlooker>) {
        let _first = self.shared.minded.set(Minded { prefix, onlooker });
    }

    /// How many members a room of `/` has on this node.
    #[must_use]
    pub fn members_of(&self, room: &str) -> usize {
        self.member_count_here(NamespaceId::DEFAULT, room)
    }

    /// Hands a broadcast to one session of this node, if it is in the room: it is encoded once, however many it is handed to.
    /// What does not fit is counted.
    pub fn hand(&self, sid: Sid, broadcast: &Arc<Broadcast>) {
        let Some(worker) = self.worker_of(sid) else { return };
        let command = Command::Hand { sid, broadcast: Arc::clone(broadcast) };
        if !self.shared.mailboxes[worker].post(command, broadcast.cost()) {
            self.shared.metrics.worker(worker).drops[Drop::InboxFull as usize].add_shared(1);
        }
    }

    /// Says something in rooms to the other nodes only.
    pub fn say_elsewhere(&self, broadcast: &Broadcast) {
        // Whoever says it will say it again.
        let _unheard = self.shared.publish(broadcast);
    }
}

impl Hub {
    /// Whether what another node says is for an onlooker, and not for members.
    pub(super) fn is_kept_from_members(
        &self,
        namespace: NamespaceId,
        rooms: &[Box<str>],
        event: &RawEvent<'_>,
    ) -> bool {
        let onlooker = rooms.first().and_then(|room| self.shared.minded(namespace, room));
        onlooker.is_some_and(|onlooker| onlooker.heard(self, rooms, event))
    }
}

impl Shared {
    fn minded(&self, namespace: NamespaceId, room: &str) -> Option<&dyn Onlooker> {
        let minded = self.minded.get().filter(|_| namespace == NamespaceId::DEFAULT)?;
        room.starts_with(minded.prefix).then_some(&*minded.onlooker)
    }

    /// A session has joined a room that now has so many members here.
    pub(super) fn tell_of_join(self: &Arc<Self>, namespace: NamespaceId, sid: Sid, room: &str, members: u32) {
        if let Some(onlooker) = self.minded(namespace, room) {
            onlooker.joined(&Hub { shared: Arc::clone(self) }, sid, room, members == 1);
        }
    }
}

impl Local {
    /// Hands a broadcast to one session, if it is in the room.
    pub fn hand(&mut self, sid: Sid, broadcast: &Arc<Broadcast>) {
        let Some((member, outbox)) = self.find(sid) else { return };
        let [name] = &*broadcast.rooms else { return };
        let Some(id) = self.room(broadcast.namespace, name).filter(|_| self.is_in(member, name)) else { return };
        // What was said before it comes before it.
        if self.catch_up(&[id]).is_err() {
            return;
        }
        let Some(wire) = self.outboxes.get(outbox.0 as usize).map(|outbox| outbox.wire) else { return };
        let (policy, serial) = (self.rooms[id.0 as usize].policy, self.rooms[id.0 as usize].serial);
        let shared = Arc::clone(&self.shared);
        let namespace = &shared.namespaces[usize::from(broadcast.namespace.0)];
        let mut encoded =
            Encoded::new(broadcast.event(), Scope { namespace, rooms: &broadcast.rooms }, Some(broadcast));
        if let Ok(bytes) = encoded.frame(wire) {
            let frame = Frame::of_room(bytes.clone(), 1, serial, policy);
            let delivered = self.push(outbox, &frame);
            self.stats.deliveries.add(u64::from(delivered));
        }
        self.count_encoded(&encoded.fresh);
    }
}
