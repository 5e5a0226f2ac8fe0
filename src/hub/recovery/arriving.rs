//! The new worker of a session that comes back: it waits for the session, and takes it in.

use super::Lasting;
use super::awaiting::Expected;
use super::moving::{Awaited, Claim, Missed, Restored, is_fine};
use super::parking::{LATEST, concerns};
use crate::hub::NamespaceId;
use crate::hub::address::{Address, Sid};
use crate::hub::local::{Local, key};
use crate::hub::member::{Identity, Member, MemberId};
use crate::hub::outbox::{Frame, OutboxId};
use crate::metrics::Recovered;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;

impl Local {
    /// Has this worker hear what concerns a session that is to come here. Returns from where on in the log, and from which
    /// number on.
    pub fn await_session(&mut self, claim: &Claim, identity: Option<&Arc<Identity>>) -> (u64, u64) {
        let Some(recovery) = &mut self.recovery else { return (0, 0) };
        recovery.expected.insert(claim.pid, Expected::new(claim, identity));
        for room in &claim.rooms {
            if recovery.parking.watch(claim.namespace, &room.name) {
                self.shared.index.watch(claim.namespace, &room.name, self.worker);
            }
        }
        let here = Address { worker: self.worker, place: 0 };
        // Its own room moves at that moment.
        let number = self.shared.offsets.fence(|| self.shared.aliases.set(claim.sid, here));
        (recovery.log_end(), number)
    }

    /// Joins what a session missed before a number with what it missed from it on, which is in the log here.
    #[must_use]
    pub fn join_missed(&self, claim: Claim, mut missed: Missed, (position, number): (u64, u64)) -> Box<Restored> {
        if let Some(recovery) = &self.recovery {
            let rest = recovery.log.since(position).filter(|(_, at, _)| *at >= number);
            missed.events.extend(rest.map(|(_, at, said)| (at, Arc::clone(said))));
        }
        missed.events.retain(|(_, said)| concerns(said, LATEST, claim.namespace, claim.sid, &claim.rooms));
        Box::new(Restored { claim, missed, from_afar: true })
    }

    /// The session is here, or does not come after all.
    pub fn await_no_more(&mut self, awaited: &Awaited, came: bool) {
        self.unwatch_all(awaited.namespace, &awaited.rooms);
        if let Some(recovery) = &mut self.recovery {
            recovery.expected.remove(&awaited.pid);
        }
        if !came {
            self.shared.aliases.remove(awaited.sid, self.worker);
        }
    }

    /// Has the large rooms of a session hand out all that they have, before it is in them again. Says whether that is
    /// possible now: nobody's outbox is to overflow for it.
    pub fn catch_up_rooms(&mut self, awaited: &Awaited) -> bool {
        let rooms: Vec<_> = awaited.rooms.iter().filter_map(|room| self.room(awaited.namespace, &room.name)).collect();
        self.catch_up(&rooms).is_ok()
    }

    /// Enters a namespace with a session that comes back, and all its rooms. Returns what it missed as well, if anything.
    ///
    /// # Errors
    /// When one of the rooms does not take it any more.
    pub fn enter_again(
        &mut self,
        restored: &Restored,
        outbox: OutboxId,
        identity: Option<Arc<Identity>>,
    ) -> Result<(MemberId, Sid, Option<Rc<Frame>>), Recovered> {
        let Restored { claim: Claim { pid, sid, namespace, ref rooms }, ref missed, from_afar } = *restored;
        for room in rooms.iter().filter(|room| room.by_right) {
            is_fine(self.admits(namespace, &room.name, identity.as_deref()), Recovered::Refused)?;
        }
        let member = Member { sid, namespace, outbox, seats: SmallVec::new(), identity, lasting: None };
        let id = MemberId(key(self.members.insert(member)));
        if rooms.iter().any(|room| self.join(id, &room.name).is_err()) {
            self.exit(id);
            return Err(Recovered::Refused);
        }
        let here = Address { worker: self.worker, place: id.0 };
        [pid, sid].into_iter().for_each(|id| self.shared.aliases.set(id, here));
        // From afar all of it stands in no log here, so that it can lose the connection again at once.
        let log_end = self.recovery.as_ref().map_or(0, |recovery| recovery.log_end());
        let (sure, brought) =
            if from_afar { (log_end, missed.events.len()) } else { (missed.position, missed.brought) };
        let brought = self.bring(pid, missed.events[..brought].to_vec());
        let late = rooms.iter().filter(|room| !from_afar && room.since > sure);
        let joins = late.filter_map(|room| Some((self.room(namespace, &room.name)?, room.since))).collect();
        let lasting = Lasting { pid, sure, pinged: sure, moved: true, joins, brought };
        self.members[id.0 as usize].lasting = Some(Box::new(lasting));
        Ok((id, sid, self.missed_frame(namespace, outbox, missed)))
    }

    fn missed_frame(&self, namespace: NamespaceId, outbox: OutboxId, missed: &Missed) -> Option<Rc<Frame>> {
        let wire = self.outboxes.get(outbox.0 as usize)?.wire;
        let namespace = self.namespace_name(namespace);
        let (mut out, mut events) = (Vec::new(), 0);
        // What has no form on this wire would not have been heard either.
        for bytes in missed.events.iter().filter_map(|(_, said)| said.bytes(wire, namespace).ok()) {
            out.extend_from_slice(bytes);
            events += 1;
        }
        self.stats.deliveries.add(u64::from(events));
        (events > 0).then(|| Frame::of_missed(out.into(), events))
    }
}
