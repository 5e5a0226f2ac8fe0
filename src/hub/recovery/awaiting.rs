//! What is done to sessions while they move from one worker to another: the new worker is asked too, and remembers it.

use super::moving::{Awaited, Claim, StillIn};
use super::parking::{LATEST, OwnRoom, concerns};
use crate::hub::NamespaceId;
use crate::hub::Whom;
use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::local::Local;
use crate::hub::member::Identity;
use crate::hub::worker::Deed;
use std::sync::Arc;

/// A session on its way here.
#[derive(Debug)]
pub(super) struct Expected {
    sid: Sid,
    namespace: NamespaceId,
    identity: Option<Arc<Identity>>,
    rooms: Vec<OwnRoom>,
    /// Whether it has been ended on the way.
    ended: bool,
}

impl Expected {
    pub(super) fn new(claim: &Claim, identity: Option<&Arc<Identity>>) -> Self {
        let (sid, namespace, rooms) = (claim.sid, claim.namespace, claim.rooms.clone());
        Self { sid, namespace, identity: identity.cloned(), rooms, ended: false }
    }

    fn leave(&mut self, namespace: NamespaceId, room: &str) {
        if self.namespace == namespace {
            self.rooms.retain(|own| *own.name != *room);
        }
    }
}

impl Local {
    /// Ends a session that is on its way here. Says whether there is one.
    pub(super) fn kick_expected(&mut self, sid: Sid) -> bool {
        let found = self.expected().filter(|expected| expected.sid == sid);
        found.map(|expected| expected.ended = true).count() > 0
    }

    /// Does something to the sessions of a user or of a token that are on their way here. Their old worker counts them.
    pub(super) fn each_expected(&mut self, whom: &Whom, deed: &Deed) {
        let meant = |expected: &&mut Expected| expected.identity.as_deref().is_some_and(|who| whom.means(who));
        self.expected().filter(meant).for_each(|expected| match deed {
            Deed::End(_) => expected.ended = true,
            Deed::Leave(namespace, room) => expected.leave(*namespace, room),
            Deed::Join(..) => {}
        });
    }

    /// The same with those that a broadcast would be for: they leave rooms, or end when none are named.
    pub(super) fn regroup_expected(&mut self, said: &Broadcast, leave: Option<&[Box<str>]>) {
        let meant =
            |expected: &&mut Expected| concerns(said, LATEST, expected.namespace, expected.sid, &expected.rooms);
        self.expected().filter(meant).for_each(|expected| match leave {
            Some(rooms) => rooms.iter().for_each(|room| expected.leave(said.namespace, room)),
            None => expected.ended = true,
        });
    }

    /// The session as it may come in: without the rooms that it was put out of on the way. `None`: it has been ended.
    #[must_use]
    pub fn as_it_is_now(&self, mut claim: Claim, still_in: Option<&StillIn>) -> Option<Claim> {
        let expected = self.recovery.as_ref()?.expected.get(&claim.pid).filter(|expected| !expected.ended)?;
        let is_in = |rooms: &[OwnRoom], name: &str| rooms.iter().any(|room| *room.name == *name);
        let StillIn(there) = still_in?;
        claim.rooms.retain(|room| is_in(there, &room.name) && is_in(&expected.rooms, &room.name));
        Some(claim)
    }

    /// Whether a session has been ended on its way here: its old worker is to forget it, too.
    #[must_use]
    pub fn has_ended(&self, awaited: &Awaited) -> bool {
        let expected = self.recovery.as_ref().and_then(|recovery| recovery.expected.get(&awaited.pid));
        expected.is_some_and(|expected| expected.ended)
    }

    fn expected(&mut self) -> impl Iterator<Item = &mut Expected> {
        self.recovery.iter_mut().flat_map(|recovery| recovery.expected.values_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Adapter;
    use crate::config::Settings;
    use crate::hub::{Hub, HubLimits, Policies};
    use crate::metrics::Metrics;
    use crate::protocol::Wire;
    use crate::protocol::disconnect::Disconnect;
    use std::time::Duration;

    const NS: NamespaceId = NamespaceId::DEFAULT;

    fn ada() -> Option<Arc<Identity>> {
        Some(Arc::new(Identity { user: Some("ada".into()), ..Identity::default() }))
    }

    /// Two workers, and a session in two rooms that is parked on the first: its pid and its sid.
    fn parked() -> (Local, Local, Sid, Sid) {
        let mut settings = Settings::default();
        settings.recovery.recovery_window = Duration::from_secs(60);
        let (hub, _inboxes) = Hub::new(vec!["/".into()], 2, &settings, Metrics::new(2), Adapter::alone());
        let limits = || HubLimits::new(&settings, Policies::new(&settings.rooms, &settings.delivery, true));
        let [mut home, new] = [0, 1].map(|worker| Local::new(&hub, worker, limits()));
        let outbox = home.open_outbox(Wire::SocketIo);
        let (id, sid) = home.enter(NS, outbox, ada());
        let pid = home.make_lasting(id).unwrap();
        for room in ["a", "b"] {
            home.join(id, room).unwrap();
        }
        home.park(id, None);
        (home, new, pid, sid)
    }

    #[test]
    fn a_room_that_a_session_is_put_out_of_while_it_moves_is_not_its_room_any_more() {
        for asked in [0, 1] {
            let (mut home, mut new, pid, _) = parked();
            let claim = home.claim(pid, NS, ada().as_deref()).unwrap();
            let since = new.await_session(&claim, ada().as_ref());
            let worker = if asked == 0 { &mut home } else { &mut new };
            worker.each_parked(&Whom::User("ada".into(), None), &Deed::Leave(NS, "a".into()));
            let missed = home.collect(pid, None, Some(since.1)).unwrap();
            let claim = new.as_it_is_now(claim, home.settle(pid).as_ref()).unwrap();
            let restored = new.join_missed(claim, missed, since);
            let outbox = new.open_outbox(Wire::SocketIo);
            let (id, _, _) = new.enter_again(&restored, outbox, ada()).unwrap();
            assert_eq!(new.rooms_of(id), ["b"], "worker {asked} was asked");
        }
    }

    #[test]
    fn a_session_that_is_ended_while_it_moves_does_not_come_back() {
        let (mut home, mut new, pid, sid) = parked();
        let claim = home.claim(pid, NS, ada().as_deref()).unwrap();
        let awaited = claim.awaited();
        new.await_session(&claim, ada().as_ref());
        assert!(new.kick_parked(sid), "its id leads here already");
        assert!(new.as_it_is_now(claim, home.settle(pid).as_ref()).is_none() && new.has_ended(&awaited));

        let (mut home, mut new, pid, _) = parked();
        let claim = home.claim(pid, NS, ada().as_deref()).unwrap();
        let awaited = claim.awaited();
        new.await_session(&claim, ada().as_ref());
        let ended = home.each_parked(&Whom::User("ada".into(), None), &Deed::End(Disconnect::KICKED));
        assert_eq!(ended.done, 1);
        assert!(new.as_it_is_now(claim, home.settle(pid).as_ref()).is_none());
        new.await_no_more(&awaited, false);
        assert!(new.recovery.as_ref().unwrap().expected.is_empty());
    }
}
