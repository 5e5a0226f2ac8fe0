//! What the workers share: which of them have members of a room, and how many members it has. Read once per broadcast,
//! written when somebody joins or leaves.

use super::NamespaceId;
use crate::limiter::rate::{Limit, Rate};
use crate::metrics::{Cell, NodeStats};
use crate::protocol::name::RoomKind;
use crate::protocol::peers::Members;
use dashmap::DashMap;
use std::collections::BinaryHeap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Index {
    namespaces: Vec<DashMap<Box<str>, Presence>>,
    /// Members by what their rooms are about.
    kinds: [Cell; RoomKind::ALL.len()],
    stats: Arc<NodeStats>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Presence {
    /// Bit set of workers that have members.
    workers: u64,
    /// Bit set of workers that have to hear of it although they may have none: members of theirs are away.
    watching: u64,
    members: u32,
    /// What clients have published to it of late; only where the room's policy has a rate.
    published: Limit,
}

impl Presence {
    fn join(&mut self, worker: u8, most: Option<u32>) -> Option<u32> {
        if most.is_some_and(|most| self.members >= most) {
            return None;
        }
        self.workers |= 1 << worker;
        self.members += 1;
        Some(self.members)
    }

    fn is_forgotten(&self) -> bool {
        self.members == 0 && self.watching == 0
    }
}

/// One room in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomListing {
    /// Its name.
    pub room: Box<str>,
    /// How many members it has on this node.
    pub members: u32,
}

/// A page of a listing of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPage {
    /// The rooms, in order of their names.
    pub rooms: Vec<RoomListing>,
    /// Whether there are more.
    pub more: bool,
}

impl Index {
    pub(super) fn new(namespaces: usize, stats: Arc<NodeStats>) -> Self {
        let kinds = std::array::from_fn(|_| Cell::default());
        Self { namespaces: (0..namespaces).map(|_| DashMap::new()).collect(), kinds, stats }
    }

    /// How many rooms there are.
    pub(super) fn rooms(&self) -> u64 {
        self.stats.rooms.get()
    }

    /// Members by what their rooms are about; who is in several rooms is counted in each.
    pub(super) fn members_by_kind(&self) -> Members {
        Members::new(self.kinds.each_ref().map(Cell::get))
    }

    /// A member came on `worker`. Returns how many there are now; `None` when there are `most` already.
    pub(super) fn joined(&self, namespace: NamespaceId, room: &str, worker: u8, most: Option<u32>) -> Option<u32> {
        let map = &self.namespaces[usize::from(namespace.0)];
        let mut presence = match map.get_mut(room) {
            Some(presence) => presence,
            None => map.entry(room.into()).or_default(),
        };
        let members = presence.join(worker, most);
        if members == Some(1) {
            self.stats.rooms.add_shared(1);
        }
        if members.is_some() {
            self.kinds[RoomKind::of(room) as usize].add_shared(1);
        }
        members
    }

    /// Has `worker` hear of a room, whether it has members of it or not.
    pub(super) fn watch(&self, namespace: NamespaceId, room: &str, worker: u8) {
        self.namespaces[usize::from(namespace.0)].entry(room.into()).or_default().watching |= 1 << worker;
    }

    /// Ends [`Index::watch`]. Says whether nobody hears of the room any more.
    pub(super) fn unwatch(&self, namespace: NamespaceId, room: &str, worker: u8) -> bool {
        let map = &self.namespaces[usize::from(namespace.0)];
        if let Some(mut presence) = map.get_mut(room) {
            presence.watching &= !(1 << worker);
        }
        map.remove_if(room, |_, presence| presence.is_forgotten()).is_some()
    }

    /// A client publishes to a room, all workers counted.
    ///
    /// # Errors
    /// How many milliseconds to wait, if it is too early.
    pub(super) fn published(&self, namespace: NamespaceId, room: &str, rate: Rate, now: u64) -> Result<(), u64> {
        let presence = self.namespaces[usize::from(namespace.0)].get_mut(room);
        presence.map_or(Ok(()), |mut presence| presence.published.take(now, 1, rate))
    }

    /// A member left on `worker`; `last_here` when it was the last of that worker. Returns how many are left.
    pub(super) fn left(&self, namespace: NamespaceId, room: &str, worker: u8, last_here: bool) -> u32 {
        let map = &self.namespaces[usize::from(namespace.0)];
        let mut left = 0;
        if let Some(mut presence) = map.get_mut(room).filter(|presence| presence.members > 0) {
            presence.members -= 1;
            self.kinds[RoomKind::of(room) as usize].sub_shared(1);
            if last_here {
                presence.workers &= !(1 << worker);
            }
            left = presence.members;
            if left == 0 {
                self.stats.rooms.sub_shared(1);
            }
        }
        if left == 0 {
            // Between the two steps somebody may have joined: the condition is looked at again under the lock.
            map.remove_if(room, |_, presence| presence.is_forgotten());
        }
        left
    }

    /// The workers that have members of a room, or have to hear of it.
    pub(super) fn workers(&self, namespace: NamespaceId, room: &str) -> u64 {
        self.namespaces[usize::from(namespace.0)].get(room).map_or(0, |presence| presence.workers | presence.watching)
    }

    /// The workers that have members of any of the rooms.
    pub(super) fn workers_of_any<S: AsRef<str>>(&self, namespace: NamespaceId, rooms: &[S]) -> u64 {
        rooms.iter().fold(0, |workers, room| workers | self.workers(namespace, room.as_ref()))
    }

    pub(super) fn members(&self, namespace: NamespaceId, room: &str) -> usize {
        self.namespaces[usize::from(namespace.0)].get(room).map_or(0, |presence| presence.members as usize)
    }

    /// The first `limit` names after `cursor`. Walks all rooms, holds no more than `limit` of them.
    pub(super) fn page(&self, namespace: NamespaceId, prefix: &str, cursor: Option<&str>, limit: usize) -> RoomPage {
        let mut first: BinaryHeap<RoomListing> = BinaryHeap::new();
        for room in &self.namespaces[usize::from(namespace.0)] {
            let name: &str = room.key();
            if room.members == 0 || !name.starts_with(prefix) || cursor.is_some_and(|cursor| name <= cursor) {
                continue;
            }
            if first.len() <= limit || first.peek().is_some_and(|last| name < &*last.room) {
                first.push(RoomListing { room: name.into(), members: room.members });
            }
            if first.len() > limit + 1 {
                first.pop();
            }
        }
        let more = first.len() > limit;
        let mut rooms = first.into_sorted_vec();
        rooms.truncate(limit);
        RoomPage { rooms, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: NamespaceId = NamespaceId::DEFAULT;

    #[test]
    fn a_room_exists_while_it_has_members() {
        let stats = Arc::new(NodeStats::default());
        let index = Index::new(1, Arc::clone(&stats));
        assert_eq!(index.joined(NS, "a", 0, None), Some(1));
        assert_eq!(index.joined(NS, "a", 3, Some(2)), Some(2));
        assert_eq!(index.joined(NS, "a", 3, Some(2)), None);
        assert_eq!((index.workers(NS, "a"), index.rooms()), (0b1001, 1));
        assert_eq!(index.joined(NS, "incident:7", 0, None), Some(1));
        let members = |incident, free| Members { incident, free, ..Members::default() };
        assert_eq!(index.members_by_kind(), members(1, 2));
        assert_eq!(index.left(NS, "incident:7", 0, true), 0);
        assert_eq!(index.left(NS, "a", 0, true), 1);
        assert_eq!(index.workers_of_any(NS, &["x", "a"]), 0b1000);
        assert_eq!(index.left(NS, "a", 3, true), 0);
        assert_eq!((index.workers(NS, "a"), index.rooms(), index.members(NS, "a")), (0, 0, 0));
        assert_eq!(index.members_by_kind(), members(0, 0));
    }

    #[test]
    fn whoever_watches_a_room_hears_of_it_and_is_no_member() {
        let index = Index::new(1, Arc::new(NodeStats::default()));
        index.watch(NS, "a", 1);
        assert_eq!((index.workers(NS, "a"), index.rooms(), index.members(NS, "a")), (0b10, 0, 0));
        assert!(index.page(NS, "", None, 9).rooms.is_empty());
        assert_eq!(index.joined(NS, "a", 0, Some(1)), Some(1));
        assert_eq!((index.workers(NS, "a"), index.rooms()), (0b11, 1));
        assert_eq!(index.left(NS, "a", 0, true), 0);
        assert_eq!((index.workers(NS, "a"), index.rooms()), (0b10, 0));
        assert!(index.unwatch(NS, "a", 1));
        assert!(index.namespaces[0].is_empty());
    }

    #[test]
    fn pages_follow_each_other_in_order() {
        let index = Index::new(1, Arc::default());
        for room in ["b", "a", "d", "c", "xa"] {
            index.joined(NS, room, 0, None);
        }
        let names = |page: &RoomPage| page.rooms.iter().map(|r| r.room.to_string()).collect::<Vec<_>>();
        let first = index.page(NS, "", None, 2);
        assert_eq!((names(&first), first.more), (vec!["a".into(), "b".into()], true));
        let second = index.page(NS, "", Some("b"), 3);
        assert_eq!((names(&second), second.more), (vec!["c".into(), "d".into(), "xa".into()], false));
        assert_eq!(names(&index.page(NS, "x", None, 9)), ["xa"]);
    }
}
