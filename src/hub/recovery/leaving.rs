//! The old worker of a session that comes back: who may have it, and what it missed.

use super::moving::{Claim, Missed, StillIn, is_fine};
use super::parking::LATEST;
use crate::hub::NamespaceId;
use crate::hub::address::{Address, Sid};
use crate::hub::broadcast::Broadcast;
use crate::hub::local::Local;
use crate::hub::member::{Identity, MemberId};
use crate::hub::outbox::OutboxId;
use crate::hub::recovery::Notes;
use crate::metrics::Recovered;
use crate::protocol::offset::Offset;
use std::sync::Arc;

impl Local {
    /// The session with this pid, if it lives here still.
    #[must_use]
    pub fn find_lasting(&self, pid: Sid) -> Option<(MemberId, OutboxId)> {
        let address = self.shared.address_of(pid).filter(|address| address.worker == self.worker)?;
        let member = self.members.get(address.place as usize)?;
        let found = member.lasting.as_ref().is_some_and(|lasting| lasting.pid == pid);
        found.then_some((MemberId(address.place), member.outbox))
    }

    /// Whether a client may have the session of a member.
    ///
    /// # Errors
    /// Why not.
    pub fn may_have(&self, id: MemberId, namespace: NamespaceId, who: Option<&Identity>) -> Result<(), Recovered> {
        let Some(member) = self.members.get(id.0 as usize) else { return Err(Recovered::Unknown) };
        is_fine(member.namespace == namespace, Recovered::Unknown)?;
        is_fine(Identity::is_same(member.identity.as_deref(), who), Recovered::OtherUser)
    }

    /// Claims a parked session for a client.
    ///
    /// # Errors
    /// Why it cannot have it.
    pub fn claim(&mut self, pid: Sid, namespace: NamespaceId, who: Option<&Identity>) -> Result<Claim, Recovered> {
        let recovery = self.recovery.as_mut().ok_or(Recovered::Unknown)?;
        let now = recovery.now;
        let parked = recovery.parking.get_mut(pid).ok_or(Recovered::Unknown)?;
        is_fine(parked.namespace == namespace && parked.until > now && !parked.claimed, Recovered::Unknown)?;
        is_fine(Identity::is_same(parked.identity.as_deref(), who), Recovered::OtherUser)?;
        parked.claimed = true;
        Ok(Claim { pid, sid: parked.sid, namespace, rooms: parked.rooms.clone() })
    }

    /// What a claimed session has missed: in events below a number, if it moves to another worker.
    ///
    /// # Errors
    /// When something of it is forgotten already, or when it is too much.
    pub fn collect(&mut self, pid: Sid, offset: Option<Offset>, before: Option<u64>) -> Result<Missed, Recovered> {
        let unsaid = self.unsaid(pid, before);
        let offsets = &self.shared.offsets;
        let recovery = self.recovery.as_mut().ok_or(Recovered::Unknown)?;
        let parked = recovery.parking.get_mut(pid).ok_or(Recovered::Unknown)?;
        let (log, sure) = (&recovery.log, parked.sure);
        let known = offset.is_none_or(|offset| offsets.knows(offset));
        let heard = offset.and_then(|offset| log.after(offset.number));
        let position = heard.map_or(sure, |heard| heard.max(sure));
        // What it brought was heard before all that is in the log here.
        let brought = parked.brought.as_deref().filter(|_| heard.is_none_or(|heard| heard <= sure));
        let unheard = brought.map_or(&[][..], |brought| {
            let at = offset.and_then(|heard| brought.events.iter().position(|(number, _)| *number == heard.number));
            &brought.events[at.map_or(0, |at| at + 1)..]
        });
        let mut left = recovery.limits.missed_bytes;
        let mut fits = |said: &Broadcast| {
            let enough = left.checked_sub(said.cost());
            left = enough.unwrap_or(0);
            enough.is_some()
        };
        let mut events = Vec::new();
        let mut whole = known && position >= log.start() && brought.is_none_or(|brought| !brought.lost);
        let latest = |(number, said)| (LATEST, number, said);
        let pending = unsaid.iter().map(|(number, said)| latest((*number, said)));
        let first = unheard.iter().map(|(number, said)| latest((*number, said)));
        let below = |number| before.is_none_or(|before| number < before);
        let mut brought = 0;
        for (i, (at, number, said)) in first.chain(log.since(position)).chain(pending).enumerate() {
            if !below(number) || !parked.misses(at, said) {
                continue;
            }
            whole = whole && fits(said);
            if !whole {
                break;
            }
            brought += usize::from(i < unheard.len());
            events.push((number, Arc::clone(said)));
        }
        is_fine(whole, Recovered::Gap)?;
        Ok(Missed { events, brought, position, notes: parked.notes.take() })
    }

    /// What large rooms of a session that moves to another worker have not handed out yet.
    fn unsaid(&self, pid: Sid, before: Option<u64>) -> Vec<(u64, Arc<Broadcast>)> {
        let parked = self.recovery.as_ref().and_then(|recovery| recovery.parking.get(pid));
        let Some(parked) = parked.filter(|_| before.is_some()) else { return Vec::new() };
        let said = parked.rooms.iter().flat_map(|room| self.pending_in(parked.namespace, &room.name));
        said.map(|(number, said)| (number, Arc::clone(said))).collect()
    }

    fn pending_in(&self, namespace: NamespaceId, name: &str) -> impl Iterator<Item = (u64, &Arc<Broadcast>)> {
        let room = self.room(namespace, name).map(|room| &self.rooms[room.0 as usize]);
        let pending = room.and_then(|room| room.backlog.as_ref()).map(|backlog| backlog.pending.iter());
        let said = pending.into_iter().flatten().flat_map(|batch| &batch.said);
        said.filter_map(|said| Some((said.offset?.number, said)))
    }

    /// The rooms that a claimed session is still in: it may have been put out of some since, or have been ended.
    #[must_use]
    pub fn settle(&self, pid: Sid) -> Option<StillIn> {
        Some(StillIn(self.recovery.as_ref()?.parking.get(pid)?.rooms.clone()))
    }

    /// A parked session lives elsewhere now.
    pub fn release(&mut self, pid: Sid) {
        let Some(parked) = self.recovery.as_mut().and_then(|recovery| recovery.parking.remove(pid)) else { return };
        self.unwatch_all(parked.namespace, &parked.rooms);
        self.put_away(parked.brought);
    }

    /// A claimed session did not come back after all.
    pub fn take_in_again(&mut self, pid: Sid, notes: Option<Notes>) {
        let Some(parked) = self.recovery.as_mut().and_then(|recovery| recovery.parking.get_mut(pid)) else { return };
        parked.claimed = false;
        parked.notes = notes.or_else(|| parked.notes.take());
        if parked.moved {
            let here = Address { worker: self.worker, place: 0 };
            [pid, parked.sid].into_iter().for_each(|id| self.shared.aliases.set(id, here));
        }
    }
}
