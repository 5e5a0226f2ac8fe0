//! How a session comes back: claimed where it was parked, given what it missed, and entered again where its client is now.
//!
//! On one worker that is three calls in a row. Between two workers, the new one watches the session's rooms first; then a
//! number parts what the old one's log has from what the new one's has ([`Offsets::fence`]), so that every event is in
//! exactly one of the two parts.

use super::parking::{Notes, OwnRoom};
use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::member::Identity;
use crate::hub::worker::Command;
use crate::hub::{Hub, NamespaceId};
use crate::metrics::Recovered;
use crate::protocol::offset::Offset;
use std::sync::Arc;
use tokio::sync::oneshot;

#[cfg(doc)]
use super::Offsets;

/// What a worker is asked about a session that it has parked.
#[derive(Debug)]
pub enum RecoveryStep {
    /// May this client have it? If it still seems to be connected, it is parked first.
    Claim {
        /// What the client shows.
        pid: Sid,
        /// Where it wants to enter.
        namespace: NamespaceId,
        /// Who it is.
        identity: Option<Arc<Identity>>,
        /// The session, if it may.
        reply: oneshot::Sender<Result<Claim, Recovered>>,
    },
    /// What has it missed?
    Collect {
        /// The session, which has been claimed.
        pid: Sid,
        /// The last event that its client has heard.
        offset: Option<Offset>,
        /// Only events below this number; none when it comes back to this worker.
        before: Option<u64>,
        /// What it missed.
        reply: oneshot::Sender<Result<Missed, Recovered>>,
    },
    /// Is it still to come back, and to which rooms? The last look before it lives elsewhere.
    Settle {
        /// The session, which has been claimed.
        pid: Sid,
        /// Nothing, if it has been ended.
        reply: oneshot::Sender<Option<StillIn>>,
    },
    /// It is answered once everything that was posted before has been handed out.
    Mark(oneshot::Sender<()>),
    /// It lives elsewhere now.
    Release(Sid),
    /// It did not come back after all: it stays parked, with its application's notes.
    Return(Sid, Option<Notes>),
}

/// A session that comes back.
#[derive(Debug)]
pub struct Claim {
    pub(super) pid: Sid,
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) rooms: Vec<OwnRoom>,
}

/// The rooms that a session is in that is about to live elsewhere.
#[derive(Debug)]
pub struct StillIn(pub(super) Vec<OwnRoom>);

/// A session that a worker waits for.
#[derive(Debug)]
pub struct Awaited {
    pub(super) pid: Sid,
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) rooms: Vec<OwnRoom>,
}

/// What a session missed.
#[derive(Debug)]
pub struct Missed {
    pub(super) events: Vec<(u64, Arc<Broadcast>)>,
    /// How many of them, the first ones, stand in no log here.
    pub(super) brought: usize,
    /// Up to where its client has got everything.
    pub(super) position: u64,
    pub(super) notes: Option<Notes>,
}

/// A session on its way back, with all that it needs.
#[derive(Debug)]
pub struct Restored {
    pub(super) claim: Claim,
    pub(super) missed: Missed,
    /// Whether it was parked on another worker.
    pub(super) from_afar: bool,
}

impl Missed {
    /// What its application has noted about it.
    #[must_use]
    pub fn into_notes(self) -> Option<Notes> {
        self.notes
    }
}

impl Restored {
    /// What its client shows to come back.
    #[must_use]
    pub fn pid(&self) -> Sid {
        self.claim.pid
    }

    /// Takes what its application has noted about it.
    pub fn take_notes(&mut self) -> Option<Notes> {
        self.missed.notes.take()
    }
}

impl Hub {
    /// Asks a worker about a session that it has parked.
    pub async fn ask_of_parked<T>(
        &self,
        worker: usize,
        step: impl FnOnce(oneshot::Sender<T>) -> RecoveryStep,
    ) -> Option<T> {
        self.ask(worker, |reply| Command::Recover(step(reply))).await
    }

    /// Tells a worker what became of a session that it has parked.
    pub fn tell_of_parked(&self, worker: usize, step: RecoveryStep) {
        if !self.shared.mailboxes[worker].post(Command::Recover(step), 0) {
            // The session stays claimed there until its time is up.
            tracing::debug!("the worker of a parked session takes nothing");
        }
    }
}

impl Restored {
    /// One that was parked on the worker that it comes back to.
    #[must_use]
    pub fn nearby(claim: Claim, missed: Missed) -> Box<Self> {
        Box::new(Self { claim, missed, from_afar: false })
    }
}

impl Claim {
    /// What is needed to end the wait for it.
    #[must_use]
    pub fn awaited(&self) -> Awaited {
        Awaited { pid: self.pid, sid: self.sid, namespace: self.namespace, rooms: self.rooms.clone() }
    }
}

pub(super) fn is_fine(fine: bool, otherwise: Recovered) -> Result<(), Recovered> {
    if fine { Ok(()) } else { Err(otherwise) }
}
