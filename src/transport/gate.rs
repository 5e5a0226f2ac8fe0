//! Who may come in now: rates, and places among the open sockets, taken before a handshake is answered.

use super::handshake::{Origins, Refused};
use crate::hub::Identity;
use crate::lifecycle;
use crate::limiter::{Caller, Held, Limiter, Peer, Scope, Verdict};
use crate::metrics::{Handshake, LimitHit};
use crate::session::Access;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When whoever finds no place may try again.
const FULL_RETRY_SECONDS: u64 = 5;

/// A place among the open sockets of the node and among those of its address. Free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _node: OwnedSemaphorePermit,
    _address: Held,
}

/// A request that another node has relayed: what it may do by its address has been decided there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vouched {
    /// Whose request it is.
    pub(super) client: Option<IpAddr>,
}

/// What decides who may come in.
#[derive(Debug)]
pub struct Gate {
    /// Whose tokens are valid.
    pub access: Access,
    /// Which pages may connect.
    pub origins: Origins,
    limiter: Limiter,
    /// One for each socket that may be open.
    places: Arc<Semaphore>,
}

impl Gate {
    /// A gate to a node that takes so many sockets.
    #[must_use]
    pub fn new(access: Access, origins: Origins, limiter: Limiter, max_sockets: usize) -> Self {
        let places = Arc::new(Semaphore::new(max_sockets.min(Semaphore::MAX_PERMITS)));
        Self { access, origins, limiter, places }
    }

    /// Whose request it is.
    pub(super) fn caller(&self, request: &Parts) -> Option<Caller> {
        if let Some(Vouched { client }) = request.extensions.get() {
            return client.map(Caller::from);
        }
        let peer = request.extensions.get::<Peer>()?;
        Some(self.limiter.caller(peer.0.ip(), &request.headers))
    }

    /// Counts a handshake against its address's rate, whatever becomes of it: guessing tokens costs too.
    pub(super) async fn take_handshake(&self, caller: Option<Caller>) -> Result<(), Refused> {
        match caller {
            Some(caller) => allowed(self.limiter.ask_caller(Scope::Handshakes, caller, lifecycle::now()).await),
            None => Ok(()),
        }
    }

    /// Counts a guess at the id of a session against the same rate. Nobody waits for other nodes: they are told later.
    pub(super) fn take_guess(&self, caller: Option<Caller>) -> Result<(), Refused> {
        let check = |caller| self.limiter.check_caller(Scope::Handshakes, caller, lifecycle::now());
        caller.map_or(Ok(()), |caller| allowed(check(caller)))
    }

    /// Who the token in a handshake says this is, after waiting for its key if that has to be fetched. A wrong one is
    /// refused here; none at all may still come later.
    pub(super) async fn identify(&self, token: Option<String>) -> Result<Option<Arc<Identity>>, Refused> {
        let Some(token) = token.filter(|_| self.access.reads_tokens()) else { return Ok(None) };
        self.access.identify(&token).await.map(Some).ok_or_else(Refused::unauthenticated)
    }

    /// Takes a place for a new session, unless the node or the address has no more.
    pub(super) fn take_place(&self, caller: Option<Caller>, stopping: bool) -> Result<Place, Refused> {
        let node = Arc::clone(&self.places).try_acquire_owned();
        let Some(node) = node.ok().filter(|_| !stopping) else {
            if !stopping {
                self.limiter.note(LimitHit::Sockets, caller, lifecycle::now());
            }
            let (result, status) = (Handshake::Overloaded, StatusCode::SERVICE_UNAVAILABLE);
            let refused = Refused::policy(result, status, "This node takes no more sockets");
            return Err(refused.hint(RETRY_AFTER, FULL_RETRY_SECONDS));
        };
        Ok(Place { _node: node, _address: self.hold_socket(caller)? })
    }

    /// Takes a place among the sockets of an address alone, for what waits here although its session is on another node.
    pub(super) fn hold_socket(&self, caller: Option<Caller>) -> Result<Held, Refused> {
        let Some(caller) = caller else { return Ok(Held::uncounted()) };
        let held = self.limiter.hold_socket(caller, lifecycle::now());
        held.ok_or_else(|| too_many("This address has too many sockets", Duration::from_secs(FULL_RETRY_SECONDS)))
    }
}

fn allowed(verdict: Verdict) -> Result<(), Refused> {
    let refused = || too_many("Too many handshakes from this address", verdict.retry_after);
    if verdict.allowed { Ok(()) } else { Err(refused()) }
}

fn too_many(text: &'static str, retry_after: Duration) -> Refused {
    let refused = Refused::policy(Handshake::RateLimited, StatusCode::TOO_MANY_REQUESTS, text);
    refused.hint(RETRY_AFTER, retry_after.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX))
}
