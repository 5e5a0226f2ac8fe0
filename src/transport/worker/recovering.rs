//! Sessions come back: from this worker at once, from another one by asking it.

use super::{Worker, with};
use crate::hub::{Claim, Hub, Identity, Missed, NamespaceId, OutboxId, RecoveryStep, Restored, Sid};
use crate::lifecycle;
use crate::metrics::Recovered;
use crate::protocol::disconnect::Disconnect;
use crate::session::{IsBack, Returning};
use std::time::Duration;

/// How often, and with what pause, a session waits until its large rooms are not too busy to take it in.
const CATCH_UP_TRIES: u32 = 1_000;
const CATCH_UP_PAUSE: Duration = Duration::from_millis(1);

impl Worker {
    /// Looks for the session that a client wants back.
    pub(super) fn recover(&mut self, returning: Returning) {
        let Some(generation) = self.generation_of(returning.outbox) else { return };
        let (hub, pid) = (self.hub.hub(), returning.pid);
        match hub.worker_of(pid) {
            None => drop(self.bring_back(&returning, generation, Err(Recovered::Unknown))),
            Some(home) if home == self.hub.number() => self.recover_nearby(returning, generation, 0),
            Some(home) => lifecycle::spawn_on_worker(recover_from_afar(hub, home, returning, generation)),
        }
    }

    fn recover_nearby(&mut self, returning: Returning, generation: u32, tries: u32) {
        let Returning { pid, namespace, offset, .. } = returning;
        let claim = match self.claim(pid, namespace, returning.identity.as_deref()) {
            Ok(claim) => claim,
            Err(why) => return drop(self.bring_back(&returning, generation, Err(why))),
        };
        let ready = self.hub.catch_up_rooms(&claim.awaited());
        if !ready && tries < CATCH_UP_TRIES {
            self.hub.take_in_again(pid, None);
            return lifecycle::spawn_on_worker(try_again(returning, generation, tries + 1));
        }
        let missed = if ready { self.hub.collect(pid, offset, None) } else { Err(Recovered::Gap) };
        let found = missed.map(|missed| Restored::nearby(claim, missed));
        match self.bring_back(&returning, generation, found) {
            Ok(()) => self.hub.release(pid),
            Err(notes) => self.hub.take_in_again(pid, notes),
        }
    }

    /// What other workers ask about the sessions that are parked here.
    pub(super) fn obey_recovery(&mut self, step: RecoveryStep) {
        // Whoever asked may have gone away.
        match step {
            RecoveryStep::Claim { pid, namespace, identity, reply } => {
                let _gone = reply.send(self.claim(pid, namespace, identity.as_deref()));
            }
            RecoveryStep::Collect { pid, offset, before, reply } => {
                let _gone = reply.send(self.hub.collect(pid, offset, before));
            }
            RecoveryStep::Settle { pid, reply } => {
                let _gone = reply.send(self.hub.settle(pid));
            }
            RecoveryStep::Mark(reply) => {
                let _gone = reply.send(());
            }
            RecoveryStep::Release(pid) => self.hub.release(pid),
            RecoveryStep::Return(pid, notes) => self.hub.take_in_again(pid, notes),
        }
    }

    /// Claims a session. If it still seems to be connected, its connection has been lost without a word, and is ended.
    fn claim(&mut self, pid: Sid, namespace: NamespaceId, who: Option<&Identity>) -> Result<Claim, Recovered> {
        if let Some((member, id)) = self.hub.find_lasting(pid) {
            self.hub.may_have(member, namespace, who)?;
            self.with_session(id, |session, cx| session.end(Disconnect::REPLACED, cx));
            self.hub.close(id, Disconnect::REPLACED);
            self.wake_turn();
        }
        self.hub.claim(pid, namespace, who)
    }

    /// Lets a client in, with its session or with a new one.
    fn bring_back(
        &mut self,
        returning: &Returning,
        generation: u32,
        found: Result<Box<Restored>, Recovered>,
    ) -> IsBack {
        let id = returning.outbox;
        let open = self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none());
        if !open || self.live(id, generation).is_none() {
            return Err(found.ok().and_then(|mut restored| restored.take_notes()));
        }
        let (back, ended) =
            self.with_session(id, |session, cx| session.come_back(returning, found, cx)).unwrap_or((Err(None), Ok(())));
        if let Err(disconnect) = ended {
            self.end(id, disconnect);
        }
        self.wake_turn();
        back
    }

    fn generation_of(&self, id: OutboxId) -> Option<u32> {
        self.entries.get(id.0 as usize)?.as_ref().map(|entry| entry.generation)
    }
}

/// Tries again when the large rooms of a session are less busy.
async fn try_again(returning: Returning, generation: u32, tries: u32) {
    tokio::time::sleep(CATCH_UP_PAUSE).await;
    with(|worker| {
        worker.recover_nearby(returning, generation, tries);
        worker.ask_questions();
        worker.relieve();
    });
}

/// Moves a session from the worker that has parked it to this one.
async fn recover_from_afar(hub: Hub, home: usize, returning: Returning, generation: u32) {
    let Returning { pid, namespace, .. } = returning;
    let identity = returning.identity.clone();
    let claim = hub.ask_of_parked(home, |reply| RecoveryStep::Claim { pid, namespace, identity, reply }).await;
    let claim = match claim.unwrap_or(Err(Recovered::Unknown)) {
        Ok(claim) => claim,
        Err(why) => return drop(with(|worker| worker.greet_again(&returning, generation, Err(why)))),
    };
    let awaited = claim.awaited();
    let since = with(|worker| worker.hub.await_session(&claim, returning.identity.as_ref()));
    let missed = gather(&hub, home, &returning, since.1).await;
    // What is done to it from now on is done here.
    let still_in = hub.ask_of_parked(home, |reply| RecoveryStep::Settle { pid, reply }).await.flatten();
    let mut found = Some((returning, missed.map(|missed| (claim, missed))));
    let mut tries = 0;
    let back = loop {
        tries += 1;
        let finished = with(|worker| {
            let ready = worker.hub.catch_up_rooms(&awaited);
            let (returning, found) = found.take_if(|_| ready || tries == CATCH_UP_TRIES)?;
            let (found, notes) = match found {
                Ok((claim, missed)) if ready => match worker.hub.as_it_is_now(claim, still_in.as_ref()) {
                    Some(claim) => (Ok(worker.hub.join_missed(claim, missed, since)), None),
                    None => (Err(Recovered::Unknown), None),
                },
                Ok((_, missed)) => (Err(Recovered::Gap), missed.into_notes()),
                Err(why) => (Err(why), None),
            };
            let ended = worker.hub.has_ended(&awaited);
            let back = worker.greet_again(&returning, generation, found);
            worker.hub.await_no_more(&awaited, back.is_ok());
            Some(if ended { Ok(()) } else { back.map_err(|given_back| given_back.or(notes)) })
        });
        match finished {
            Some(back) => break back,
            None => tokio::time::sleep(CATCH_UP_PAUSE).await,
        }
    };
    let step = match back {
        Ok(()) => RecoveryStep::Release(pid),
        Err(notes) => RecoveryStep::Return(pid, notes),
    };
    hub.tell_of_parked(home, step);
}

/// What a session has missed below a number, once this worker has looked at everything below it.
async fn gather(hub: &Hub, home: usize, returning: &Returning, number: u64) -> Result<Missed, Recovered> {
    let Returning { pid, offset, .. } = *returning;
    let here = with(|worker| worker.hub.number());
    hub.ask_of_parked(here, RecoveryStep::Mark).await.ok_or(Recovered::Unknown)?;
    let collect = |reply| RecoveryStep::Collect { pid, offset, before: Some(number), reply };
    hub.ask_of_parked(home, collect).await.unwrap_or(Err(Recovered::Unknown))
}

impl Worker {
    fn greet_again(
        &mut self,
        returning: &Returning,
        generation: u32,
        found: Result<Box<Restored>, Recovered>,
    ) -> IsBack {
        let back = self.bring_back(returning, generation, found);
        self.ask_questions();
        self.relieve();
        back
    }
}
