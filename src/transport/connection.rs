//! A TCP connection in its HTTP phase, as the handlers of its requests see it: its place among such connections, and the
//! way to take it away from the HTTP server.

use super::gate::Place;
use super::relay::tunnel::Tunnel;
use super::worker::Errand;
use crate::hub::Sid;
use crate::lifecycle::{self, LongAnswer};
use crate::limiter::{Held, Limiter};
use crate::session::Handshake;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A connection in its HTTP phase. Every request carries a reference to its own in its extensions.
#[derive(Debug)]
pub struct Connection {
    places: Arc<Semaphore>,
    /// Its place among those of the node, and of its address.
    place: Mutex<Option<(OwnedSemaphorePermit, Held)>>,
    peer: IpAddr,
    /// How many each address may have, if that is limited here.
    limiter: Option<Limiter>,
    /// Another node's: what its requests may do by their addresses has been decided there.
    is_vouched: AtomicBool,
    claim: Mutex<Option<Claimed>>,
    /// Milliseconds that the answer under way may take beyond the usual.
    extra_ms: AtomicU64,
}

/// The wish to take a connection over: its request has been checked and needs no answer from the HTTP server any more.
#[derive(Debug)]
pub(super) struct Claim {
    /// The way to the worker that gets the socket.
    pub(super) worker: mpsc::Sender<Errand>,
    /// What the worker writes first: the head of the answer, where it is known already.
    pub(super) head: Vec<u8>,
    /// Who comes.
    pub(super) guest: Guest,
}

/// Who wants a connection.
#[derive(Debug)]
pub(super) enum Claimed {
    /// A session of this node.
    Here(Claim),
    /// A session of another node.
    Elsewhere(Box<Tunnel>),
}

/// Whom a socket is for.
#[derive(Debug)]
pub(super) enum Guest {
    /// A new session, with its place among the open sockets, taken before the handshake was answered.
    New(Box<Handshake>, Place),
    /// The session of this id, which is polling until now.
    Upgrade(Sid),
}

impl Connection {
    /// A connection of `peer` that has a place of the node. `None`: its address has as many as it may.
    pub(super) fn new(
        peer: IpAddr,
        limiter: Option<Limiter>,
        places: Arc<Semaphore>,
        place: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let (is_vouched, claim, extra_ms) = Default::default();
        let connection = Self { places, place: Mutex::default(), peer, limiter, is_vouched, claim, extra_ms };
        *lock(&connection.place) = Some((place, connection.hold()?));
        Some(connection)
    }

    fn hold(&self) -> Option<Held> {
        let Some(limiter) = self.limiter.as_ref().filter(|_| !self.is_vouched.load(Relaxed)) else {
            return Some(Held::uncounted());
        };
        limiter.hold_connection(self.peer, lifecycle::now())
    }

    /// Takes the connection away from the HTTP server, which hands it to a worker as soon as the handler of the request
    /// waits: it must never answer.
    pub(super) fn take_over(&self, claim: Claim) {
        *lock(&self.claim) = Some(Claimed::Here(claim));
    }

    /// The same for a WebSocket whose session is on another node.
    pub(super) fn lead_on(&self, tunnel: Box<Tunnel>) {
        *lock(&self.claim) = Some(Claimed::Elsewhere(tunnel));
    }

    /// It is another node's, so it does not count for its address any more.
    pub(super) fn vouch(&self) {
        self.is_vouched.store(true, Relaxed);
        if let Some((_, held)) = &mut *lock(&self.place) {
            *held = Held::uncounted();
        }
    }

    /// What [`Connection::take_over`] or [`Connection::lead_on`] left.
    pub(super) fn claimed(&self) -> Option<Claimed> {
        lock(&self.claim).take()
    }

    /// Lets the answer under way take longer than usual.
    pub(super) fn allow_long(&self, LongAnswer(time): LongAnswer) {
        self.extra_ms.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How much longer the answer under way may take; asked once.
    pub(super) fn take_extra(&self) -> Option<Duration> {
        Some(self.extra_ms.swap(0, Relaxed)).filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// Gives the connection's place to others while a request on it waits for something that takes long.
    pub(super) fn leave_place(&self) {
        *lock(&self.place) = None;
    }

    /// Takes a place again, if there is one.
    pub(super) fn retake_place(&self) {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        *lock(&self.place) = place.and_then(|place| Some((place, self.hold()?)));
    }

    /// Whether so few places are left that they should not be kept for requests to come.
    pub(super) fn is_crowded(&self, left: usize) -> bool {
        self.places.available_permits() <= left
    }

    /// Whether it has a place. Without one it should end with the answer that is being made.
    pub(super) fn has_place(&self) -> bool {
        lock(&self.place).is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
