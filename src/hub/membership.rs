//! Who is in which room of a worker: entering, joining, leaving, and questions about it.

use super::address::{Address, Sid};
use super::local::{Local, key};
use super::member::{Identity, Member, MemberId, Seat};
use super::outbox::OutboxId;
use super::presence::MemberInfo;
use super::room::{Place, Room, RoomId};
use super::{NamespaceId, SessionQuery};
use crate::protocol::Wire;
use crate::protocol::refusal::{Code, Refusal};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Local {
    /// A session id that is nobody's, for a connection that is in no namespace yet.
    #[must_use]
    pub fn fresh_sid(&self, outbox: OutboxId) -> Sid {
        Sid::new(self.shared.node(), Address { worker: self.worker, place: outbox.0 })
    }

    /// Enters a namespace with the session of `outbox`.
    pub fn enter(
        &mut self,
        namespace: NamespaceId,
        outbox: OutboxId,
        identity: Option<Arc<Identity>>,
    ) -> (MemberId, Sid) {
        let entry = self.members.vacant_entry();
        let id = MemberId(key(entry.key()));
        let sid = Sid::new(self.shared.node(), Address { worker: self.worker, place: id.0 });
        entry.insert(Member { sid, namespace, outbox, seats: SmallVec::new(), identity, lasting: None });
        (id, sid)
    }

    /// Leaves a namespace and all rooms in it.
    pub fn exit(&mut self, id: MemberId) {
        let Some(member) = self.members.try_remove(id.0 as usize) else { return };
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        for seat in &member.seats {
            self.vacate(*seat, wire, (member.sid, member.identity.as_deref()));
        }
        if let Some(lasting) = member.lasting {
            self.forget_ways_to(member.sid, *lasting);
        }
    }

    /// The member that a session id means, if it lives here.
    #[must_use]
    pub fn find(&self, sid: Sid) -> Option<(MemberId, OutboxId)> {
        let address = self.shared.address_of(sid).filter(|address| address.worker == self.worker)?;
        let member = self.members.get(address.place as usize).filter(|member| member.sid == sid)?;
        Some((MemberId(address.place), member.outbox))
    }

    /// The namespace of a member.
    #[must_use]
    pub fn namespace_of(&self, id: MemberId) -> NamespaceId {
        self.members.get(id.0 as usize).map_or(NamespaceId::DEFAULT, |member| member.namespace)
    }

    /// The id of a member.
    #[must_use]
    pub fn sid_of(&self, id: MemberId) -> Option<Sid> {
        self.members.get(id.0 as usize).map(|member| member.sid)
    }

    /// The outbox of a member.
    #[must_use]
    pub fn outbox_of(&self, id: MemberId) -> Option<OutboxId> {
        self.members.get(id.0 as usize).map(|member| member.outbox)
    }

    /// The rooms that a member is in, sorted.
    #[must_use]
    pub fn rooms_of(&self, id: MemberId) -> Vec<String> {
        let seats = self.members.get(id.0 as usize).map_or(&[][..], |member| &member.seats);
        let mut rooms: Vec<_> = seats.iter().map(|seat| self.rooms[seat.room.0 as usize].name.to_string()).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Sessions that match, in the order of their sids.
    #[must_use]
    pub fn sessions(&self, query: &SessionQuery) -> Vec<MemberInfo> {
        let wanted = |member: &&Member| {
            let user = member.identity.as_ref().and_then(|identity| identity.user.as_deref());
            query.user.as_deref().is_none_or(|wanted| user == Some(wanted))
                && query.cursor.is_none_or(|at| member.sid > at)
        };
        let Some((namespace, room)) = &query.room else {
            return first_by_sid(self.members.iter().map(|(_, member)| member).filter(wanted), query.limit);
        };
        let places = self.room(*namespace, room).map_or(&[][..], |room| &self.rooms[room.0 as usize].places);
        first_by_sid(places.iter().map(|place| &self.members[place.member.0 as usize]).filter(wanted), query.limit)
    }

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
            Some(room) => Some(room),
            None if index.rooms() >= self.limits.rooms as u64 && index.members(namespace, name) == 0 => {
                return Err(Refusal::new(Code::TooManyRooms, "this node holds as many rooms as it may"));
            }
            None => None,
        };
        let policies = &self.limits.policies;
        let rules = room.map_or_else(|| policies.of(name), |room| self.rooms[room.0 as usize].rules);
        let Some(count) = index.joined(namespace, name, self.worker, policies.get(rules).max_members) else {
            return Err(Refusal::new(Code::RoomFull, format!("{name} has as many members as it may")));
        };
        if count == 1 {
            self.shared.adapter.joined(namespace.0, name);
        }
        let room = room.unwrap_or_else(|| {
            self.next_serial += 1;
            let slow = policies.slow_consumer(rules, name);
            let room = RoomId(key(self.rooms.insert(Room::new(name.into(), namespace, self.next_serial, rules, slow))));
            self.names[usize::from(namespace.0)].insert(name.into(), room);
            room
        });
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        let position = self.rooms[room.0 as usize].add(Place { outbox: member.outbox, member: id }, wire);
        let granted = member.granted(name);
        member.seats.push(Seat { room, position, granted });
        let sid = member.sid;
        self.note_since(id, room);
        self.note_join(room, id);
        self.shared.tell_of_join(namespace, sid, name, count);
        Ok(count)
    }

    /// Leaves a room. Returns whether the session was in it.
    pub fn leave(&mut self, id: MemberId, name: &str) -> bool {
        let Some(member) = self.members.get_mut(id.0 as usize) else { return false };
        let Some(&room) = self.names[usize::from(member.namespace.0)].get(name) else { return false };
        let Some(at) = member.seats.iter().position(|seat| seat.room == room) else { return false };
        let seat = member.seats.swap_remove(at);
        member.lasting.iter_mut().for_each(|lasting| lasting.joins.retain(|(joined, _)| *joined != room));
        let wire = self.outboxes.get(member.outbox.0 as usize).map_or(Wire::SocketIo, |outbox| outbox.wire);
        let (sid, identity) = (member.sid, member.identity.clone());
        self.vacate(seat, wire, (sid, identity.as_deref()));
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

    /// Whether anybody on this node is in a room.
    #[must_use]
    pub fn exists(&self, namespace: NamespaceId, name: &str) -> bool {
        self.shared.index.members(namespace, name) > 0
    }

    /// Whether the node has as many rooms as it may.
    #[must_use]
    pub fn is_full_of_rooms(&self) -> bool {
        self.shared.index.rooms() >= self.limits.rooms as u64
    }

    fn count(&self, namespace: NamespaceId, name: &str) -> u32 {
        u32::try_from(self.shared.index.members(namespace, name)).unwrap_or(u32::MAX)
    }

    fn vacate(&mut self, seat: Seat, wire: Wire, (sid, identity): (Sid, Option<&Identity>)) {
        self.note_leave(seat.room, sid, identity);
        let room = &mut self.rooms[seat.room.0 as usize];
        let members = &mut self.members;
        room.remove(seat.position, wire, |place, position| {
            let seats = members.get_mut(place.member.0 as usize).map(|member| &mut member.seats);
            if let Some(seat) = seats.and_then(|seats| seats.iter_mut().find(|other| other.room == seat.room)) {
                seat.position = position;
            }
        });
        let empty = room.places.is_empty();
        if self.shared.index.left(room.namespace, &room.name, self.worker, empty) == 0 {
            self.shared.adapter.left(room.namespace.0, &room.name);
        }
        if empty {
            let room = self.rooms.remove(seat.room.0 as usize);
            self.names[usize::from(room.namespace.0)].remove(&room.name);
            if let Some(backlog) = room.backlog {
                self.pending_bytes -= backlog.pending_bytes;
                self.log_unsaid(&backlog);
                self.jobs.retain(|job| *job != seat.room);
            }
        }
    }
}

fn first_by_sid<'a>(members: impl Iterator<Item = &'a Member>, limit: usize) -> Vec<MemberInfo> {
    let mut first = BTreeMap::new();
    for member in members {
        first.insert(member.sid, member);
        if first.len() > limit.saturating_add(1) {
            first.pop_last();
        }
    }
    let info = |member: &Member| MemberInfo { sid: member.sid, identity: member.identity.clone() };
    first.into_values().map(info).collect()
}
