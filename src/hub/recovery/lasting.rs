//! What a session has while it may lose its connection and come back, and how it is parked then.

use super::brought::Brought;
use super::log::Log;
use super::parking::{Notes, OwnRoom, Parked};
use super::{Aliases, Recovery};
use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::local::Local;
use crate::hub::member::{Identity, MemberId};
use crate::hub::outbox::{Frame, OutboxId};
use crate::hub::policy::{Right, Rights};
use crate::hub::room::{Backlog, RoomId};
use crate::hub::{Address, NamespaceId};
use crate::metrics::WorkerStats;
use crate::protocol::DecodeError;
use crate::protocol::event::Event;
use std::sync::Arc;

/// What a session has while it may come back.
#[derive(Debug)]
pub(in crate::hub) struct Lasting {
    /// The secret that lets its client come back.
    pub(super) pid: Sid,
    /// Up to this position of the log its client has got everything for certain.
    pub(super) sure: u64,
    /// Where the log ended when the session was pinged: a pong makes that certain.
    pub(super) pinged: u64,
    /// Whether it came back, so that its ids name another place than this.
    pub(super) moved: bool,
    /// The rooms that it joined since then, and where the log ended: nothing before is for it.
    pub(in crate::hub) joins: Vec<(RoomId, u64)>,
    /// What it brought from another worker, until it is certain that its client has got it.
    pub(super) brought: Option<Box<Brought>>,
}

impl Recovery {
    /// The position of what comes next.
    pub(super) fn log_end(&self) -> u64 {
        self.log.end()
    }

    fn log_said(&mut self, said: &Arc<Broadcast>) {
        match said.offset {
            Some(offset) if said.volatile => self.log.mark(offset.number, self.now),
            Some(offset) => self.log.push(offset.number, Arc::clone(said), self.now),
            None => {}
        }
    }

    pub(in crate::hub) fn publish_gauges(&self, stats: &WorkerStats) {
        stats.parked.set(self.parking.len() as u64);
        stats.recovery_log_bytes.set((Log::bytes(&self.log) + self.luggage.bytes()) as u64);
    }
}

impl Local {
    /// Whether sessions may come back.
    #[must_use]
    pub fn recovers(&self) -> bool {
        self.recovery.is_some()
    }

    /// Lets a session that has just entered come back some day. Returns what its client has to show then.
    pub fn make_lasting(&mut self, id: MemberId) -> Option<Sid> {
        let sure = self.recovery.as_ref()?.log_end();
        let member = self.members.get_mut(id.0 as usize)?;
        let pid = Sid::new(self.shared.node(), Address { worker: self.worker, place: id.0 });
        member.lasting =
            Some(Box::new(Lasting { pid, sure, pinged: sure, moved: false, joins: Vec::new(), brought: None }));
        Some(pid)
    }

    /// Whether a session has come back.
    #[must_use]
    pub fn has_come_back(&self, id: MemberId) -> bool {
        let lasting = self.members.get(id.0 as usize).and_then(|member| member.lasting.as_ref());
        lasting.is_some_and(|lasting| lasting.moved)
    }

    /// A ping waits behind everything that the session has to get so far.
    pub fn pinged(&mut self, id: MemberId) {
        let Some(recovery) = &self.recovery else { return };
        if let Some(lasting) = self.members.get_mut(id.0 as usize).and_then(|member| member.lasting.as_mut()) {
            lasting.pinged = recovery.log_end();
            lasting.brought.iter_mut().for_each(|brought| brought.pinged = true);
        }
    }

    /// The ping was answered, so its client has got all that waited before it.
    pub fn ponged(&mut self, id: MemberId) {
        if let Some(lasting) = self.members.get_mut(id.0 as usize).and_then(|member| member.lasting.as_mut()) {
            lasting.sure = lasting.sure.max(lasting.pinged);
            let sure = lasting.sure;
            lasting.joins.retain(|(_, since)| *since > sure);
            let brought = lasting.brought.take_if(|brought| brought.pinged);
            self.put_away(brought);
        }
    }

    /// Notes where the log ends when a session joins a room.
    pub(in crate::hub) fn note_since(&mut self, id: MemberId, room: RoomId) {
        let Some(recovery) = &self.recovery else { return };
        if let Some(lasting) = self.members.get_mut(id.0 as usize).and_then(|member| member.lasting.as_mut()) {
            lasting.joins.push((room, recovery.log_end()));
        }
    }

    /// Logs what is handed out now, if it is to be.
    pub(in crate::hub) fn log_said(&mut self, said: Option<&Arc<Broadcast>>) {
        if let (Some(recovery), Some(said)) = (&mut self.recovery, said) {
            recovery.log_said(said);
        }
    }

    /// Logs what a large room has not handed out, as nobody is left in it: those who lost their connection have missed it.
    pub(in crate::hub) fn log_unsaid(&mut self, backlog: &Backlog) {
        backlog.pending.iter().flat_map(|batch| &batch.said).for_each(|said| self.log_said(Some(said)));
    }

    /// Sends an event to one session and logs it, as a broadcast to the room that it alone is in. `None` when sessions do not
    /// come back.
    ///
    /// # Errors
    /// When it has no form on the session's wire.
    pub fn emit_and_log(&mut self, id: MemberId, event: Event<'_>) -> Option<Result<(), DecodeError>> {
        self.recovery.as_ref()?;
        let member = self.members.get(id.0 as usize)?;
        let (outbox, namespace, sid) = (member.outbox, member.namespace, member.sid);
        let mut said = Broadcast::new(namespace, vec![sid.as_str().into()], Vec::new(), event);
        said.offset = Some(self.shared.offsets.next());
        let said = Arc::new(said);
        Some(self.send_said(outbox, &said).map(|()| self.log_said(Some(&said))))
    }

    fn send_said(&mut self, outbox: OutboxId, said: &Broadcast) -> Result<(), DecodeError> {
        let Some(wire) = self.outboxes.get(outbox.0 as usize).map(|outbox| outbox.wire) else { return Ok(()) };
        let bytes = said.bytes(wire, self.namespace_name(said.namespace))?.clone();
        self.send(outbox, &Frame::direct(bytes));
        Ok(())
    }

    /// Leaves a namespace and all its rooms, because the connection was lost: the session is kept for a while, if it may come
    /// back.
    pub fn park(&mut self, id: MemberId, notes: Option<Notes>) {
        let parked = self.about_to_park(id, notes);
        if let (Some((pid, parked)), Some(recovery)) = (parked, &mut self.recovery) {
            for room in &parked.rooms {
                if recovery.parking.watch(parked.namespace, &room.name) {
                    self.shared.index.watch(parked.namespace, &room.name, self.worker);
                }
            }
            recovery.parking.insert(pid, parked);
            self.end_parking();
        }
        self.exit(id);
    }

    fn about_to_park(&mut self, id: MemberId, notes: Option<Notes>) -> Option<(Sid, Parked)> {
        let recovery = self.recovery.as_ref()?;
        let until = recovery.now.saturating_add(recovery.limits.window_ms);
        let Lasting { pid, sure, moved, joins, brought, .. } = *self.members.get_mut(id.0 as usize)?.lasting.take()?;
        let member = self.members.get(id.0 as usize)?;
        let (sid, namespace, identity) = (member.sid, member.namespace, member.identity.clone());
        let own_room = |id: RoomId| {
            let name = self.rooms[id.0 as usize].name.clone();
            let by_right = self.admits(namespace, &name, identity.as_deref());
            let since = joins.iter().find(|(room, _)| *room == id).map_or(0, |(_, since)| *since);
            OwnRoom { name, by_right, since }
        };
        let rooms = member.seats.iter().map(|seat| own_room(seat.room)).collect();
        Some((pid, Parked { sid, namespace, rooms, identity, notes, brought, sure, until, claimed: false, moved }))
    }

    /// Whether whoever is in no room may join this one.
    pub(super) fn admits(&self, namespace: NamespaceId, name: &str, identity: Option<&Identity>) -> bool {
        let here = self.room(namespace, name);
        let rules = here.map_or_else(|| self.limits.policies.of(name), |here| self.rooms[here.0 as usize].rules);
        let granted = identity.map_or_else(Rights::default, |identity| identity.granted(name));
        self.limits.policies.get(rules).permits(Right::Join, name, false, granted.has(Right::Join)).is_ok()
    }

    /// Forgets who and what is too old.
    pub fn tend_recovery(&mut self, now: u64) {
        let Some(recovery) = &mut self.recovery else { return };
        recovery.now = now;
        recovery.log.trim(now);
        self.end_parking();
    }

    /// Forgets those whose time is up, and those who are too many.
    fn end_parking(&mut self) {
        while let Some(recovery) = &mut self.recovery {
            let full = recovery.parking.len() > recovery.limits.sessions;
            let Some(pid) = recovery.parking.overdue(recovery.now, recovery.limits.sessions) else { return };
            self.stats.displaced_sessions.add(u64::from(full));
            self.forget_parked(pid);
        }
    }

    /// Forgets a session that is away for good.
    pub(super) fn forget_parked(&mut self, pid: Sid) {
        let Some(parked) = self.recovery.as_mut().and_then(|recovery| recovery.parking.remove(pid)) else { return };
        self.unwatch_all(parked.namespace, &parked.rooms);
        self.put_away(parked.brought);
        let aliases: &Aliases = &self.shared.aliases;
        [pid, parked.sid].into_iter().for_each(|id| aliases.remove(id, self.worker));
    }

    pub(super) fn unwatch_all(&mut self, namespace: NamespaceId, rooms: &[OwnRoom]) {
        let Some(recovery) = &mut self.recovery else { return };
        for room in rooms {
            if recovery.parking.unwatch(namespace, &room.name)
                && self.shared.index.unwatch(namespace, &room.name, self.worker)
            {
                self.shared.adapter.left(namespace.0, &room.name);
            }
        }
    }

    /// Forgets where a session was that ends for good.
    pub(in crate::hub) fn forget_ways_to(&mut self, sid: Sid, lasting: Lasting) {
        self.put_away(lasting.brought);
        if lasting.moved {
            [lasting.pid, sid].into_iter().for_each(|id| self.shared.aliases.remove(id, self.worker));
        }
    }
}
