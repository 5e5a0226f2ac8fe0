//! Requests for sessions of other nodes are relayed to them, so that load balancers may send each request where they like.
//!
//! | file | |
//! |---|---|
//! | [`head`] | what changes about a request and its answer on the way |
//! | [`mod@line`] | one connection to another node |
//! | [`pool`] | connections that are kept for requests to come |
//! | [`tunnel`] | a WebSocket whose session is on another node |
//!
//! # Invariants
//! - What is relayed is never relayed again.
//! - A request has a connection to the owner for itself as long as it lasts. When the client cuts it, the owner's end is cut
//!   too, and what follows from that is the owner's to say.
//! - A request that may have reached the owner is not repeated.

pub(super) mod head;
mod line;
mod pool;
pub(super) mod tunnel;

use crate::config::Settings;
use crate::hub::Peer;
use crate::lifecycle::{self, Lifecycle};
use crate::limiter::Held;
use crate::metrics::{Metrics, NodeStats, RelayFailure, Relayed};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use line::Line;
use pool::Pool;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tunnel::Tunnel;

/// How long another node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer the way to another node and back may take than what is waited for there.
const DETOUR_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for requests to come, unless other nodes keep theirs for less.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// What an answer has at most beside the largest packet.
const ANSWER_HEADROOM_BYTES: usize = 128 * 1024;

/// Relays requests to other nodes. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    /// One for each request that may be under way.
    places: Arc<Semaphore>,
    /// Longest answer; what waits for one session fits in, as base64 too.
    answer_bytes_max: usize,
    tcp_user_timeout: Duration,
    drain_window: Duration,
    stats: Arc<NodeStats>,
}

/// A request that has come to the wrong node.
#[derive(Debug)]
pub(super) struct Astray<'a> {
    /// Where it should have gone.
    pub(super) owner: &'a Peer,
    /// Its head.
    pub(super) head: &'a Parts,
    /// Whose it is.
    pub(super) client: Option<IpAddr>,
    /// How long it may wait at the owner's.
    pub(super) patience: Duration,
}

/// What the owner says to a WebSocket.
#[derive(Debug)]
pub(super) enum Upgraded {
    /// Welcome.
    Tunnel(Box<Tunnel>),
    /// No.
    Refused(Response<Bytes>),
}

/// A place among what is under way. Free again when this is dropped.
#[derive(Debug)]
struct UnderWay {
    _place: OwnedSemaphorePermit,
    stats: Arc<NodeStats>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stats.relay.under_way.sub_shared(1);
    }
}

impl Relay {
    pub(super) fn new(settings: &Settings, metrics: &Metrics) -> Self {
        let max = settings.redis.max_relayed.min(Semaphore::MAX_PERMITS);
        let inner = Inner {
            pool: Pool::new(IDLE_MAX.min(settings.limits.http_keep_alive_timeout / 2)),
            places: Arc::new(Semaphore::new(max)),
            answer_bytes_max: settings.delivery.outbox_bytes.saturating_mul(2).saturating_add(ANSWER_HEADROOM_BYTES),
            tcp_user_timeout: settings.delivery.tcp_user_timeout,
            drain_window: settings.drain.drain_window,
            stats: Arc::clone(metrics.node()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Gives up connections that nobody needs, until the process ends.
    pub(super) async fn sweep(self, lifecycle: Lifecycle) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(IDLE_MAX) => self.inner.pool.sweep(lifecycle::now()),
                () = lifecycle.stopping() => return,
            }
        }
    }

    /// Has the owner answer a request of a session that polls.
    pub(super) async fn pass_on(
        &self,
        kind: Relayed,
        astray: &Astray<'_>,
        body: Body,
    ) -> Result<Response<Bytes>, RelayFailure> {
        let exchange = async {
            let _under_way = self.begin(astray.owner)?;
            let (mut line, answer) = self.send(astray, body, false).await?;
            let answer = self.read(&mut line, answer).await?;
            self.inner.pool.park(&astray.owner.address, line).await;
            Ok(answer)
        };
        let limit = astray.patience.saturating_add(DETOUR_TIMEOUT);
        self.count(kind, tokio::time::timeout(limit, exchange).await.unwrap_or(Err(RelayFailure::TimedOut)))
    }

    /// Has the owner answer a WebSocket handshake. The client's address holds a socket as long as the WebSocket lasts.
    pub(super) async fn upgrade(&self, astray: &Astray<'_>, socket: Held) -> Result<Upgraded, RelayFailure> {
        let exchange = async {
            let under_way = self.begin(astray.owner)?;
            let (mut line, answer) = self.send(astray, Body::empty(), true).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Upgraded::Refused(self.read(&mut line, answer).await?));
            }
            let (owner, early) = line.into_stream();
            let head = head::switching_protocols(answer.headers());
            let (drain_window, held) = (self.inner.drain_window, (under_way, socket));
            Ok(Upgraded::Tunnel(Box::new(Tunnel { head, early, owner, drain_window, held })))
        };
        let limit = astray.patience.saturating_add(DETOUR_TIMEOUT);
        self.count(Relayed::Upgrade, tokio::time::timeout(limit, exchange).await.unwrap_or(Err(RelayFailure::TimedOut)))
    }

    /// A request could not be relayed.
    pub(super) fn fail(&self, why: RelayFailure) {
        self.inner.stats.relay.failures[why as usize].add_shared(1);
    }

    fn count<T>(&self, kind: Relayed, outcome: Result<T, RelayFailure>) -> Result<T, RelayFailure> {
        match &outcome {
            Ok(_) => self.inner.stats.relay.relayed[kind as usize].add_shared(1),
            Err(why) => self.fail(*why),
        }
        outcome
    }

    fn begin(&self, owner: &Peer) -> Result<UnderWay, RelayFailure> {
        if owner.tls {
            return Err(RelayFailure::Tls);
        }
        let place = Arc::clone(&self.inner.places).try_acquire_owned().map_err(|_| RelayFailure::Full)?;
        let stats = Arc::clone(&self.inner.stats);
        stats.relay.under_way.add_shared(1);
        Ok(UnderWay { _place: place, stats })
    }

    /// Sends a request, and returns with the head of its answer.
    async fn send(
        &self,
        astray: &Astray<'_>,
        body: Body,
        upgrades: bool,
    ) -> Result<(Line, Response<Incoming>), RelayFailure> {
        let address = &*astray.owner.address;
        let mut request = head::outgoing(astray, body, upgrades).ok_or(RelayFailure::Broken)?;
        while let Some(mut line) = self.inner.pool.take(address).await {
            match line.ask(request).await {
                Ok(answer) => return Ok((line, answer)),
                // It was closed just now, and nothing of the request has left.
                Err(Some(unsent)) => request = *unsent,
                Err(None) => return Err(RelayFailure::Broken),
            }
        }
        let connect = Line::connect(address, self.inner.tcp_user_timeout);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.ok().flatten();
        let mut line = connected.ok_or(RelayFailure::Unreachable)?;
        let answer = line.ask(request).await.map_err(|_| RelayFailure::Broken)?;
        Ok((line, answer))
    }

    /// The whole of an answer.
    async fn read(&self, line: &mut Line, answer: Response<Incoming>) -> Result<Response<Bytes>, RelayFailure> {
        let (mut parts, body) = answer.into_parts();
        let body = line.read(body, self.inner.answer_bytes_max).await.ok_or(RelayFailure::Broken)?;
        head::strip(&mut parts.headers);
        Ok(Response::from_parts(parts, body))
    }
}
