//! A worker's part of one room.

use super::NamespaceId;
use super::broadcast::Broadcast;
use super::member::MemberId;
use super::outbox::{Bounds, Frame, OutboxId};
use super::policy::PolicyId;
use crate::config::SlowConsumerPolicy;
use crate::protocol::Wire;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// A room; valid on its worker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RoomId(pub(super) u32);

/// A member as its room sees it: what delivery needs, and whom it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) outbox: OutboxId,
    pub(super) member: MemberId,
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Box<str>,
    pub(super) namespace: NamespaceId,
    /// Never used again, unlike its place in the table.
    pub(super) serial: u64,
    /// What is allowed in it.
    pub(super) rules: PolicyId,
    /// What happens to members that read too slowly.
    pub(super) policy: SlowConsumerPolicy,
    pub(super) places: Vec<Place>,
    /// Members by wire, so that a large room's events are encoded as they come.
    pub(super) wires: [u32; Wire::COUNT],
    /// Only while a large room has events that have not been fanned out to all its members.
    pub(super) backlog: Option<Box<Backlog>>,
}

/// Events of a large room on their way to its members.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Published, not yet handed to anybody.
    pub(super) pending: VecDeque<Batch>,
    /// Bytes in `pending`, one wire counted.
    pub(super) pending_bytes: usize,
    /// What is being handed out.
    pub(super) current: Vec<Sealed>,
    /// What is in `current`, where it is logged for those who may come back.
    pub(super) sealed: Vec<Arc<Broadcast>>,
    /// Members that have not got `current` yet are those before this place.
    pub(super) left: usize,
}

/// Consecutive events of a room, joined to one frame per wire: a member costs one reference for all of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: [Vec<u8>; Wire::COUNT],
    /// Bytes, the wire that needs most of them counted.
    pub(super) size: usize,
    pub(super) events: u32,
    pub(super) exclude: Option<OutboxId>,
    /// The events, where they are logged for those who may come back.
    pub(super) said: Vec<Arc<Broadcast>>,
}

/// A batch that is complete.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) frames: [Option<Rc<Frame>>; Wire::COUNT],
    pub(super) events: u32,
    pub(super) exclude: Option<OutboxId>,
}

impl Room {
    pub(super) fn new(
        name: Box<str>,
        namespace: NamespaceId,
        serial: u64,
        rules: PolicyId,
        policy: SlowConsumerPolicy,
    ) -> Self {
        Self { name, namespace, serial, rules, policy, places: Vec::new(), wires: [0; Wire::COUNT], backlog: None }
    }

    /// Adds a member at the end: it gets nothing of what was published before. Returns its position.
    pub(super) fn add(&mut self, place: Place, wire: Wire) -> u32 {
        self.places.push(place);
        self.wires[wire.index()] += 1;
        // Places are bounded by sockets, which are bounded far below 2^32.
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Removes the member at `position`. Calls `moved` with each member that now has another position.
    ///
    /// During a fan-out the list has two parts, those that wait before `left` and those that are served after it; the
    /// gap is closed within each part, so that nobody is served twice or forgotten.
    pub(super) fn remove(&mut self, position: u32, wire: Wire, mut moved: impl FnMut(Place, u32)) {
        self.wires[wire.index()] -= 1;
        let mut gap = position as usize;
        let last = self.places.len() - 1;
        let mut close = |places: &mut Vec<Place>, from: usize, to: usize| {
            if from != to {
                places[to] = places[from];
                moved(places[to], u32::try_from(to).unwrap_or(u32::MAX));
            }
        };
        if let Some(backlog) = &mut self.backlog
            && gap < backlog.left
        {
            backlog.left -= 1;
            close(&mut self.places, backlog.left, gap);
            gap = backlog.left;
        }
        close(&mut self.places, last, gap);
        self.places.pop();
    }

    /// Takes of what is pending as much into hand as every outbox has space for, whatever else it holds: a quarter of its
    /// bounds. False when there is nothing.
    pub(super) fn seal_pending(&mut self, bounds: Bounds) -> bool {
        let (policy, serial, count) = (self.policy, self.serial, self.places.len());
        let Some(backlog) = &mut self.backlog else { return false };
        backlog.current.clear();
        let mut size = 0;
        while backlog.current.len() < (bounds.frames / 4).max(1)
            && let Some(batch) =
                backlog.pending.pop_front_if(|batch| size == 0 || size + batch.size <= bounds.bytes / 4)
        {
            size += batch.size;
            let Batch { bytes, events, exclude, said, .. } = batch;
            backlog.sealed.extend(said);
            let frame = |bytes: Vec<u8>| Frame::of_room(bytes.into(), events, serial, policy);
            let frames = bytes.map(|bytes| (!bytes.is_empty()).then(|| frame(bytes)));
            backlog.current.push(Sealed { frames, events, exclude });
        }
        backlog.pending_bytes -= size;
        backlog.left = count;
        !backlog.current.is_empty()
    }
}

impl Backlog {
    /// Whether more is pending than can be handed to everybody at once.
    pub(super) fn exceeds(&self, bounds: Bounds) -> bool {
        self.pending_bytes > bounds.bytes / 4 || self.pending.len() > bounds.frames / 4
    }

    /// The batch that an event goes into: the last one, unless somebody is left out of either, or the policy is to keep
    /// only the newest event, which must stand alone then.
    pub(super) fn batch_for(
        &mut self,
        exclude: Option<OutboxId>,
        policy: SlowConsumerPolicy,
        bounds: Bounds,
    ) -> &mut Batch {
        let alone = exclude.is_some() || policy == SlowConsumerPolicy::Latest;
        let open = |batch: &Batch| batch.exclude.is_none() && batch.size < bounds.bytes / 8;
        let joins = !alone && self.pending.back().is_some_and(open);
        if !joins {
            self.pending.push_back(Batch { exclude, ..Batch::default() });
        }
        self.pending.back_mut().expect("pushed above if it was empty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> Place {
        Place { outbox: OutboxId(n), member: MemberId(n) }
    }

    fn room(members: u32) -> Room {
        let mut room =
            Room::new("r".into(), NamespaceId::DEFAULT, 0, PolicyId::default(), SlowConsumerPolicy::Disconnect);
        for n in 0..members {
            assert_eq!(room.add(place(n), Wire::Json), n);
        }
        room
    }

    fn members(places: &[Place]) -> Vec<u32> {
        places.iter().map(|place| place.member.0).collect()
    }

    #[test]
    fn leaving_moves_the_last_member_into_the_gap() {
        let mut room = room(4);
        let mut moved = Vec::new();
        room.remove(1, Wire::Json, |place, to| moved.push((place.member.0, to)));
        assert_eq!((members(&room.places), moved), (vec![0, 3, 2], vec![(3, 1)]));
        room.remove(2, Wire::Json, |_, _| panic!("the last one leaves no gap"));
        assert_eq!(room.wires.iter().sum::<u32>(), 2);
    }

    #[test]
    fn leaving_during_a_fan_out_keeps_the_served_and_the_waiting_apart() {
        for leaver in 0..6 {
            let mut room = room(6);
            room.backlog = Some(Box::new(Backlog { left: 3, ..Backlog::default() }));
            let waiting: Vec<u32> = (0..3).filter(|n| *n != leaver).collect();
            room.remove(leaver, Wire::Json, |_, _| ());
            let left = room.backlog.as_ref().unwrap().left;
            let mut still = members(&room.places[..left]);
            still.sort_unstable();
            assert_eq!(still, waiting, "member {leaver} left");
            assert_eq!(room.places.len(), 5);
        }
    }
}
