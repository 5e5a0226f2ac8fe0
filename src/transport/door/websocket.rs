//! The doors of WebSockets: the handshake is checked and its answer made here; the worker that gets the socket sends it.

use super::{Doors, hand_over};
use crate::hub::Sid;
use crate::protocol::native::{SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};
use crate::protocol::{Transport, Wire};
use crate::session::Entrance;
use crate::transport::connection::{Claim, Guest};
use crate::transport::handshake::{Refused, check_websocket};
use crate::transport::worker::Errand;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use std::fmt::Write as _;
use std::sync::Arc;

/// The plain protocol.
pub(super) async fn enter_plain(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    let request = request.into_parts().0;
    match subprotocol(&request) {
        Ok((wire, subprotocol)) => open(&doors, request, wire, subprotocol, None).await,
        Err(refused) => doors.refuse(refused, &request),
    }
}

/// A new session over a WebSocket.
pub(super) async fn open(
    doors: &Doors,
    request: Parts,
    wire: Wire,
    subprotocol: Option<&'static str>,
    entrance: Option<Arc<Entrance>>,
) -> Response<Body> {
    let admitted = async {
        let head = switching_protocols(&check_websocket(&request)?, subprotocol);
        let (handshake, place) = doors.admit(&request, wire, Transport::WebSocket, entrance).await?;
        Ok((head, Guest::New(handshake, place)))
    };
    match admitted.await {
        Ok((head, guest)) => {
            let worker = doors.next_worker().clone();
            match hand_over(request, Claim { worker, head, guest }).await {}
        }
        Err(refused) => doors.refuse(refused, &request),
    }
}

/// A WebSocket for a session that polls. Whether it can have one is the worker's to say; here the session has to exist.
pub(super) async fn upgrade(doors: &Doors, request: Parts, sid: Sid) -> Response<Body> {
    let checked = async {
        let head = switching_protocols(&check_websocket(&request)?, None);
        doors.check_origin(&request.headers)?;
        let known = doors.ask(sid, |reply| Errand::Knock(sid, reply)).await == Some(true);
        known.then_some(head).ok_or_else(Refused::unknown_session)
    };
    match (checked.await, doors.worker_of(sid)) {
        (Ok(head), Some(worker)) => {
            match hand_over(request, Claim { worker, head, guest: Guest::Upgrade(sid) }).await {}
        }
        (Ok(_), None) => doors.refuse(Refused::unknown_session(), &request),
        (Err(refused), _) => doors.refuse(refused, &request),
    }
}

/// The first of the offered subprotocols that is known here, and its wire. None offered: JSON.
fn subprotocol(request: &Parts) -> Result<(Wire, Option<&'static str>), Refused> {
    let offers = request.headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let mut offered = offers.flat_map(|list| list.split(',')).map(str::trim).peekable();
    if offered.peek().is_none() {
        return Ok((Wire::Json, None));
    }
    let known = |offer: &str| match offer {
        SUBPROTOCOL_JSON => Some((Wire::Json, Some(SUBPROTOCOL_JSON))),
        SUBPROTOCOL_MSGPACK => Some((Wire::MsgPack, Some(SUBPROTOCOL_MSGPACK))),
        _ => None,
    };
    offered.find_map(known).ok_or_else(|| {
        Refused::malformed(StatusCode::BAD_REQUEST, 3, "Subprotocols are roomcast.v1.json and roomcast.v1.msgpack")
    })
}

/// RFC 6455 §4.2.2.
fn switching_protocols(accept: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n"
    );
    if let Some(subprotocol) = subprotocol {
        let _infallible = write!(head, "sec-websocket-protocol: {subprotocol}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}
