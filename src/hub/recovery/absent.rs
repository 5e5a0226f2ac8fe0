//! What services and applications do to sessions while they are away.

use super::parking::{LATEST, Parked};
use crate::hub::NamespaceId;
use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::cluster::{Action, Selection};
use crate::hub::local::Local;
use crate::hub::member::Identity;
use crate::hub::permission::Whom;
use crate::hub::worker::{Deed, Tally};
use crate::protocol::event::Event;
use crate::protocol::request::RawEvent;

impl Local {
    /// Ends a session that is away. Says whether there was one.
    pub fn kick_parked(&mut self, sid: Sid) -> bool {
        let found = self.parked(|parked| parked.sid == sid);
        found.iter().for_each(|pid| self.forget_parked(*pid));
        // One that moves is parked elsewhere still, and its id leads here.
        self.kick_expected(sid) || !found.is_empty()
    }

    /// Does something to the sessions of a user or of a token that are away: they end, or do not come back to a room.
    pub fn each_parked(&mut self, whom: &Whom, deed: &Deed) -> Tally {
        let meant = |parked: &Parked| parked.identity.as_deref().is_some_and(|identity| whom.means(identity));
        let mut tally = Tally::default();
        self.each_expected(whom, deed);
        for pid in self.parked(meant) {
            let expires_at = self.parked_identity(pid).and_then(|identity| identity.expires_at).unwrap_or(0);
            let done = match deed {
                Deed::End(_) => {
                    self.forget_parked(pid);
                    true
                }
                Deed::Leave(namespace, room) => self.leave_parked(pid, *namespace, room),
                Deed::Join(..) => false,
            };
            tally = tally.and(Tally { done: usize::from(done), refused: 0, expires_at });
        }
        tally
    }

    /// The same with those that an application means.
    pub(in crate::hub) fn regroup_parked(&mut self, selection: &Selection, action: &Action) {
        if self.recovery.is_none() || matches!(action, Action::Join(_)) {
            return;
        }
        let Selection { namespace, rooms, except } = selection.clone();
        let raw = RawEvent { name: "\"\"", args: "", arity: 0 };
        let event = Event { raw, attachments: &[], ack: None, offset: None };
        // Whoever would miss a broadcast to them is meant.
        let said = Broadcast::new(namespace, rooms, except, event);
        let leave = if let Action::Leave(rooms) = action { Some(&rooms[..]) } else { None };
        self.regroup_expected(&said, leave);
        for pid in self.parked(|parked| parked.misses(LATEST, &said)) {
            match action {
                Action::Leave(rooms) => rooms.iter().for_each(|room| {
                    self.leave_parked(pid, selection.namespace, room);
                }),
                _ => self.forget_parked(pid),
            }
        }
    }

    fn parked(&self, meant: impl Fn(&Parked) -> bool) -> Vec<Sid> {
        self.recovery.as_ref().map_or_else(Vec::new, |recovery| recovery.parking.matching(meant))
    }

    fn parked_identity(&self, pid: Sid) -> Option<&Identity> {
        self.recovery.as_ref()?.parking.get(pid)?.identity.as_deref()
    }

    /// Says whether the session was in the room.
    fn leave_parked(&mut self, pid: Sid, namespace: NamespaceId, room: &str) -> bool {
        let parked = self.recovery.as_mut().and_then(|recovery| recovery.parking.get_mut(pid));
        let Some(parked) = parked.filter(|parked| parked.namespace == namespace) else { return false };
        let left: Vec<_> = parked.rooms.extract_if(.., |own| *own.name == *room).collect();
        self.unwatch_all(namespace, &left);
        !left.is_empty()
    }
}
