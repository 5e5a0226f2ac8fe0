//! Requests for sessions of other nodes. This node relays them, and counts them for the addresses of those who ask; the owner
//! believes it and does not count them again.

use super::{Doors, polling};
use crate::hub::{NodeId, Peer, Sid};
use crate::limiter::Caller;
use crate::metrics::{RelayFailure, Relayed};
use crate::transport::connection::Connection;
use crate::transport::gate::Vouched;
use crate::transport::handshake::{Refused, check_websocket, is_unknown_session};
use crate::transport::relay::{Astray, Relay, Upgraded, head};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The way to the owner of a session.
#[derive(Debug)]
pub(super) struct Way {
    relay: Relay,
    owner: NodeId,
}

/// The way to the owner of a session, if that is another node and the request may go there. What another node has
/// relayed goes no further.
pub(super) fn way(doors: &Doors, request: &mut Parts, sid: Sid) -> Option<Way> {
    if let Some(key) = request.headers.remove(head::RELAY) {
        if doors.inner.hub.has_key(key.as_bytes()) {
            let client = head::client_of(&request.headers);
            request.extensions.insert(Vouched { client });
            request.extensions.get::<Arc<Connection>>().inspect(|connection| connection.vouch());
        }
        return None;
    }
    let relay = doors.inner.relay.clone().filter(|_| [Method::GET, Method::POST].contains(&request.method))?;
    Some(Way { relay, owner: doors.inner.hub.other_owner(sid)? })
}

/// A request of a session that polls.
pub(super) async fn serve(doors: &Doors, request: &Parts, body: Body, way: Way) -> Response<Body> {
    let connection = request.extensions.get::<Arc<Connection>>().map(AsRef::as_ref);
    let outcome = async {
        doors.check_origin(&request.headers)?;
        let (owner, caller) = (way.owner(doors)?, doors.inner.gate.caller(request));
        let is_poll = request.method == Method::GET;
        let (kind, patience) = match is_poll {
            true => (Relayed::Poll, doors.inner.longest_poll),
            false => (Relayed::Post, doors.inner.handshake_timeout),
        };
        let astray = astray(&owner, request, caller, patience);
        // A poll waits as a session does that is here.
        let _socket = is_poll.then(|| doors.inner.gate.hold_socket(caller)).transpose()?;
        // As long as it waits the HTTP server looks for the end of the connection, if it is polled more than once.
        tokio::task::yield_now().await;
        let answer = Box::pin(way.relay.pass_on(kind, &astray, body));
        let answer = if is_poll { polling::long(doors, connection, answer).await } else { answer.await };
        charge(doors, answer.map_err(refused)?, caller)
    };
    let response = outcome.await.unwrap_or_else(|refused| doors.refuse(refused, request));
    polling::last_without_place(response, connection)
}

/// A WebSocket for a session that polls.
pub(super) async fn upgrade(doors: &Doors, request: Parts, way: Way) -> Response<Body> {
    let outcome = async {
        check_websocket(&request)?;
        doors.check_origin(&request.headers)?;
        let (owner, caller) = (way.owner(doors)?, doors.inner.gate.caller(&request));
        let astray = astray(&owner, &request, caller, doors.inner.handshake_timeout);
        let socket = doors.inner.gate.hold_socket(caller)?;
        match Box::pin(way.relay.upgrade(&astray, socket)).await.map_err(refused)? {
            Upgraded::Tunnel(tunnel) => Ok(Err(tunnel)),
            Upgraded::Refused(answer) => charge(doors, answer, caller).map(Ok),
        }
    };
    match outcome.await {
        Ok(Err(tunnel)) => {
            request.extensions.get::<Arc<Connection>>().inspect(|connection| connection.lead_on(tunnel));
            std::future::pending().await
        }
        Ok(Ok(answer)) => answer,
        Err(refused) => doors.refuse(refused, &request),
    }
}

impl Way {
    fn owner(&self, doors: &Doors) -> Result<Peer, Refused> {
        doors.inner.hub.peer(self.owner).ok_or_else(|| {
            self.relay.fail(RelayFailure::UnknownNode);
            Refused::unknown_session()
        })
    }
}

fn astray<'a>(owner: &'a Peer, head: &'a Parts, caller: Option<Caller>, patience: Duration) -> Astray<'a> {
    Astray { owner, head, client: caller.map(|caller| caller.address), patience }
}

/// To guess the ids of sessions of other nodes costs an address what a handshake costs, as it does with those of this one.
fn charge(doors: &Doors, answer: Response<Bytes>, caller: Option<Caller>) -> Result<Response<Body>, Refused> {
    if is_unknown_session(&answer) {
        doors.inner.gate.take_guess(caller)?;
    }
    Ok(answer.map(Body::from))
}

fn refused(why: RelayFailure) -> Refused {
    match why {
        RelayFailure::Full => Refused::overloaded(),
        // To its clients a node that is gone is the end of the session: they start afresh.
        RelayFailure::UnknownNode
        | RelayFailure::Tls
        | RelayFailure::Unreachable
        | RelayFailure::TimedOut
        | RelayFailure::Broken => Refused::unknown_session(),
    }
}
