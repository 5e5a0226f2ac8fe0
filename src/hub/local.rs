//! One worker's part of the hub: its outboxes, its members, its rooms. Used by that worker's thread alone.

use super::address::{Address, Sid};
use super::member::{Identity, Member, MemberId, Seat};
use super::outbox::{Bounds, Frame, Outbox, OutboxId, Pushed};
use super::presence::MemberInfo;
use super::room::{Place, Room, RoomId};
use super::{Hub, NamespaceId, SessionQuery, Shared};
use crate::config::{DeliverySettings, LimitSettings, RoomPolicyRule, SlowConsumerPolicy};
use crate::metrics::{Drop, WorkerStats};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::Wire;
use bytes::Bytes;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// The limits that the hub keeps.
#[derive(Debug, Clone)]
pub struct HubLimits {
    pub(super) outbox: Bounds,
    rooms_per_session: usize,
    rooms: usize,
    policy: SlowConsumerPolicy,
    policies: Vec<RoomPolicyRule>,
}

impl HubLimits {
    /// Takes them from the settings.
    #[must_use]
    pub fn new(limits: &LimitSettings, delivery: &DeliverySettings) -> Self {
        Self {
            outbox: Bounds { bytes: delivery.outbox_bytes, frames: delivery.outbox_frames },
            rooms_per_session: limits.max_rooms_per_session,
            rooms: limits.max_rooms,
            policy: delivery.slow_consumer,
            policies: delivery.slow_consumer_rooms.clone(),
        }
    }

    fn policy_of(&self, room: &str) -> SlowConsumerPolicy {
        self.policies.iter().find(|rule| rule.matches(room)).map_or(self.policy, |rule| rule.policy)
    }
}

/// A worker's part of the hub.
#[derive(Debug)]
pub struct Local {
    pub(super) worker: u8,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<WorkerStats>,
    pub(super) limits: HubLimits,
    pub(super) outboxes: Slab<Outbox>,
    members: Slab<Member>,
    pub(super) rooms: Slab<Room>,
    names: Vec<HashMap<Box<str>, RoomId>>,
    /// Outboxes with something to write, in the order in which it came.
    dirty: VecDeque<OutboxId>,
    /// Large rooms with events that have not been fanned out.
    pub(super) jobs: VecDeque<RoomId>,
    pub(super) stamp: u32,
    queued_bytes: usize,
    /// Outboxes that could be written and are half full: they are written before anything else happens.
    pressed: Vec<OutboxId>,
    /// Somebody published to a large room that has much pending.
    pub(super) congested: bool,
    /// Bytes that are pending in large rooms.
    pub(super) pending_bytes: usize,
}

impl Local {
    /// The part of worker number `worker`.
    ///
    /// # Panics
    /// When the hub has no such worker.
    #[must_use]
    pub fn new(hub: &Hub, worker: u8, limits: HubLimits) -> Self {
        let shared = Arc::clone(&hub.shared);
        Self {
            worker,
            stats: Arc::clone(shared.metrics.worker(usize::from(worker))),
            limits,
            outboxes: Slab::new(),
            members: Slab::new(),
            rooms: Slab::new(),
            names: shared.namespaces.iter().map(|_| HashMap::new()).collect(),
            dirty: VecDeque::new(),
            jobs: VecDeque::new(),
            stamp: 0,
            queued_bytes: 0,
            pressed: Vec::new(),
            congested: false,
            pending_bytes: 0,
            shared,
        }
    }

    /// This worker's counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<WorkerStats> {
        &self.stats
    }

    /// The hub that this is a part of.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub { shared: Arc::clone(&self.shared) }
    }

    /// The namespace of this name, if it exists.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<NamespaceId> {
        let found = self.shared.namespaces.iter().position(|known| known == name)?;
        u16::try_from(found).ok().map(NamespaceId)
    }

    /// The name of a namespace.
    #[must_use]
    pub fn namespace_name(&self, namespace: NamespaceId) -> &str {
        &self.shared.namespaces[usize::from(namespace.0)]
    }

    // === outboxes ===

    /// Opens an outbox for a new connection.
    pub fn open_outbox(&mut self, wire: Wire) -> OutboxId {
        self.stats.sessions[wire.index()].add(1);
        OutboxId(key(self.outboxes.insert(Outbox::new(wire))))
    }

    /// Removes an outbox; what waits in it is counted as dropped.
    pub fn close_outbox(&mut self, id: OutboxId) {
        let Some(outbox) = self.outboxes.try_remove(id.0 as usize) else { return };
        self.stats.sessions[outbox.wire.index()].sub(1);
        self.stats.dropped(Drop::SessionEnded, outbox.undelivered());
        self.queued_bytes -= outbox.bytes();
        if outbox.dirty {
            self.dirty.retain(|dirty| *dirty != id);
        }
    }

    /// An outbox of this worker.
    #[must_use]
    pub fn outbox(&self, id: OutboxId) -> Option<&Outbox> {
        self.outboxes.get(id.0 as usize)
    }

    /// Notes that the kernel took `n` bytes of an outbox, and whether it takes more.
    pub fn wrote(&mut self, id: OutboxId, n: usize, blocked: bool) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        let before = outbox.bytes();
        outbox.wrote(n, blocked);
        self.queued_bytes -= before - outbox.bytes();
        self.stats.bytes_sent.add(n as u64);
        self.stats.writes.add(1);
    }

    /// Queues a frame for one session.
    pub fn send(&mut self, id: OutboxId, frame: &Rc<Frame>) {
        self.push(id, frame);
    }

    /// Queues bytes for one session.
    pub fn send_bytes(&mut self, id: OutboxId, bytes: Vec<u8>) {
        self.push(id, &Frame::direct(Bytes::from(bytes)));
    }

    /// Ends a session: what waits is written, then the goodbye, then nothing more.
    pub fn close(&mut self, id: OutboxId, disconnect: Disconnect) {
        if let Some(outbox) = self.outboxes.get_mut(id.0 as usize) {
            outbox.close(disconnect);
            if !outbox.dirty {
                outbox.dirty = true;
                self.dirty.push_back(id);
            }
        }
    }

    /// Ends a session that reads too slowly; what it has not read is dropped.
    pub fn close_slow(&mut self, id: OutboxId) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        let (events, bytes) = outbox.clear();
        self.queued_bytes -= bytes;
        self.stats.dropped(Drop::SlowConsumer, events);
        self.close(id, Disconnect::SLOW_CONSUMER);
    }

    pub(super) fn push(&mut self, id: OutboxId, frame: &Rc<Frame>) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        if outbox.closing().is_some() {
            return;
        }
        let before = outbox.bytes();
        match outbox.push(frame, self.limits.outbox) {
            Pushed::Queued => {}
            Pushed::Displaced { events, conflated, .. } => {
                self.stats.dropped(if conflated { Drop::Conflated } else { Drop::Oldest }, events);
            }
            Pushed::Refused => return self.stats.dropped(Drop::Oldest, 1),
            Pushed::Overflow => return self.close_slow(id),
        }
        self.queued_bytes = self.queued_bytes - before + outbox.bytes();
        if outbox.presses(self.limits.outbox) {
            self.pressed.push(id);
        }
        if !outbox.dirty && !outbox.is_blocked() {
            outbox.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// How many outboxes have something to write.
    #[must_use]
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Whether an outbox fills up so fast that it has to be written before going on.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        !self.pressed.is_empty()
    }

    /// An outbox that has to be written before going on.
    pub fn next_pressed(&mut self) -> Option<OutboxId> {
        self.pressed.pop()
    }

    /// The outbox that has waited longest to be written.
    pub fn next_dirty(&mut self) -> Option<OutboxId> {
        let id = self.dirty.pop_front();
        self.unmark(id)
    }

    /// The outbox that was marked last.
    pub fn last_dirty(&mut self) -> Option<OutboxId> {
        let id = self.dirty.pop_back();
        self.unmark(id)
    }

    fn unmark(&mut self, id: Option<OutboxId>) -> Option<OutboxId> {
        if let Some(outbox) = id.and_then(|id| self.outboxes.get_mut(id.0 as usize)) {
            outbox.dirty = false;
        }
        id
    }

    /// Publishes the gauges that are not counted as they change.
    pub fn publish_gauges(&self) {
        self.stats.outbox_bytes.set(self.queued_bytes as u64);
    }

    // === members ===

    /// A session id that is nobody's, for a connection that is in no namespace yet.
    #[must_use]
    pub fn fresh_sid(&self, outbox: OutboxId) -> Sid {
        Sid::new(self.shared.node, Address { worker: self.worker, place: outbox.0 })
    }

    /// Enters a namespace with the session of `outbox`.
    pub fn enter(&mut self, namespace: NamespaceId, outbox: OutboxId, identity: Option<Arc<Identity>>) -> (MemberId, Sid) {
        let entry = self.members.vacant_entry();
        let id = MemberId(key(entry.key()));
        let sid = Sid::new(self.shared.node, Address { worker: self.worker, place: id.0 });
        entry.insert(Member { sid, namespace, outbox, seats: smallvec::SmallVec::new(), identity });
        (id, sid)
    }

    /// Leaves a namespace and all rooms in it.
    pub fn exit(&mut self, id: MemberId) {
        let Some(member) = self.members.try_remove(id.0 as usize) else { return };
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        for seat in member.seats {
            self.vacate(seat, wire);
        }
    }

    /// The member that a session id means, if it lives here.
    #[must_use]
    pub fn find(&self, sid: Sid) -> Option<(MemberId, OutboxId)> {
        let address = sid.address(self.shared.node).filter(|address| address.worker == self.worker)?;
        let member = self.members.get(address.place as usize).filter(|member| member.sid == sid)?;
        Some((MemberId(address.place), member.outbox))
    }

    /// The namespace of a member.
    #[must_use]
    pub fn namespace_of(&self, id: MemberId) -> NamespaceId {
        self.members.get(id.0 as usize).map_or(NamespaceId::DEFAULT, |member| member.namespace)
    }

    /// Sessions that match, in the order of their sids.
    #[must_use]
    pub fn sessions(&self, query: &SessionQuery) -> Vec<MemberInfo> {
        let wanted = |member: &&Member| {
            let user = member.identity.as_ref().and_then(|identity| identity.user.as_deref());
            query.user.as_deref().is_none_or(|wanted| user == Some(wanted)) && query.cursor.is_none_or(|at| member.sid > at)
        };
        first_by_sid(self.members.iter().map(|(_, member)| member).filter(wanted), query.limit)
    }

    // === rooms ===

    /// Enters a room. Returns how many members it has on this node; being in already is fine.
    ///
    /// # Errors
    /// When the session or the node is in as many rooms as it may.
    pub fn join(&mut self, id: MemberId, name: &str) -> Result<u32, Refusal> {
        let index = &self.shared.index;
        let Some(member) = self.members.get_mut(id.0 as usize) else {
            return Err(Refusal::new(Code::Unavailable, "the session has ended"));
        };
        let namespace = member.namespace;
        let known = self.names[usize::from(namespace.0)].get(name).copied();
        if known.is_some_and(|room| member.seats.iter().any(|seat| seat.room == room)) {
            return Ok(self.count(namespace, name));
        }
        if member.seats.len() >= self.limits.rooms_per_session {
            let detail = format!("a session may be in {} rooms; leave one first", self.limits.rooms_per_session);
            return Err(Refusal::new(Code::TooManyRooms, detail));
        }
        let room = match known {
            Some(room) => room,
            None if index.rooms() >= self.limits.rooms as u64 && index.members(namespace, name) == 0 => {
                return Err(Refusal::new(Code::TooManyRooms, "this node holds as many rooms as it may"));
            }
            None => {
                let room = Room::new(name.into(), namespace, self.limits.policy_of(name));
                let room = RoomId(key(self.rooms.insert(room)));
                self.names[usize::from(namespace.0)].insert(name.into(), room);
                room
            }
        };
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        let position = self.rooms[room.0 as usize].add(Place { outbox: member.outbox, member: id }, wire);
        member.seats.push(Seat { room, position });
        Ok(index.joined(namespace, name, self.worker))
    }

    /// Leaves a room. Returns whether the session was in it.
    pub fn leave(&mut self, id: MemberId, name: &str) -> bool {
        let Some(member) = self.members.get_mut(id.0 as usize) else { return false };
        let Some(&room) = self.names[usize::from(member.namespace.0)].get(name) else { return false };
        let Some(at) = member.seats.iter().position(|seat| seat.room == room) else { return false };
        let seat = member.seats.swap_remove(at);
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        self.vacate(seat, wire);
        true
    }

    /// Whether a member is in a room.
    #[must_use]
    pub fn is_in(&self, id: MemberId, name: &str) -> bool {
        let Some(member) = self.members.get(id.0 as usize) else { return false };
        let room = self.names[usize::from(member.namespace.0)].get(name);
        room.is_some_and(|room| member.seats.iter().any(|seat| seat.room == *room))
    }

    /// Members of a room here, in the order of their sids, after `cursor`, one more than `limit` at most.
    #[must_use]
    pub fn members(&self, namespace: NamespaceId, name: &str, cursor: Option<Sid>, limit: usize) -> Vec<MemberInfo> {
        let Some(room) = self.room(namespace, name) else { return Vec::new() };
        let members = self.rooms[room.0 as usize].places.iter().map(|place| &self.members[place.member.0 as usize]);
        first_by_sid(members.filter(|member| cursor.is_none_or(|at| member.sid > at)), limit)
    }

    pub(super) fn room(&self, namespace: NamespaceId, name: &str) -> Option<RoomId> {
        self.names[usize::from(namespace.0)].get(name).copied()
    }

    fn count(&self, namespace: NamespaceId, name: &str) -> u32 {
        u32::try_from(self.shared.index.members(namespace, name)).unwrap_or(u32::MAX)
    }

    fn vacate(&mut self, seat: Seat, wire: Wire) {
        let room = &mut self.rooms[seat.room.0 as usize];
        let members = &mut self.members;
        room.remove(seat.position, wire, |place, position| {
            let seats = members.get_mut(place.member.0 as usize).map(|member| &mut member.seats);
            if let Some(seat) = seats.and_then(|seats| seats.iter_mut().find(|other| other.room == seat.room)) {
                seat.position = position;
            }
        });
        let empty = room.places.is_empty();
        self.shared.index.left(room.namespace, &room.name, self.worker, empty);
        if empty {
            let room = self.rooms.remove(seat.room.0 as usize);
            self.names[usize::from(room.namespace.0)].remove(&room.name);
            if let Some(backlog) = room.backlog {
                self.pending_bytes -= backlog.pending_bytes;
                self.jobs.retain(|job| *job != seat.room);
            }
        }
    }
}

/// Slab keys are bounded by the number of sockets and rooms, far below 2^32.
fn key(key: usize) -> u32 {
    u32::try_from(key).expect("fewer than 2^32 entries")
}

fn first_by_sid<'a>(members: impl Iterator<Item = &'a Member>, limit: usize) -> Vec<MemberInfo> {
    let mut first = std::collections::BTreeMap::new();
    for member in members {
        first.insert(member.sid, member);
        if first.len() > limit.saturating_add(1) {
            first.pop_last();
        }
    }
    let info = |member: &Member| MemberInfo { sid: member.sid, identity: member.identity.clone() };
    first.into_values().map(info).collect()
}
