//! Engine.IO's address (<https://socket.io/docs/v4/engine-io-protocol/>): which protocol version, which transport, and
//! whether the session exists already.

use super::{Doors, elsewhere, polling, query, websocket};
use crate::hub::Sid;
use crate::protocol::Wire;
use crate::session::{Entrance, Framing};
use crate::transport::handshake::Refused;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode};
use std::sync::Arc;

/// Longest session id that is looked at.
const SID_MAX_BYTES: usize = 64;

/// What the query string of a request to Engine.IO asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A new session over a WebSocket.
    OpenWebSocket,
    /// A WebSocket for a session that polls.
    Upgrade(Sid),
    /// A new session that polls.
    OpenPolling,
    /// A request of a session that polls.
    Poll(Sid),
}

pub(super) async fn enter(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    serve(&doors, request, None).await
}

/// The address of an application of its own.
pub(super) async fn enter_raw(
    State(doors): State<Doors>,
    request: Request<Body>,
    entrance: Arc<Entrance>,
) -> Response<Body> {
    match entrance.framing {
        Framing::EngineIo => serve(&doors, request, Some(entrance)).await,
        Framing::WebSocket => {
            let request = request.into_parts().0;
            websocket::open(&doors, request, Wire::Json, None, Some(entrance)).await
        }
    }
}

async fn serve(doors: &Doors, request: Request<Body>, entrance: Option<Arc<Entrance>>) -> Response<Body> {
    let (mut request, body) = request.into_parts();
    if request.method == Method::OPTIONS {
        return polling::preflight(doors, &request);
    }
    match asked(&request) {
        Err(refused) => doors.refuse(refused, &request),
        Ok(Asked::OpenWebSocket) => websocket::open(doors, request, Wire::SocketIo, None, entrance).await,
        Ok(Asked::Upgrade(sid)) => match elsewhere::way(doors, &mut request, sid) {
            Some(way) => elsewhere::upgrade(doors, request, way).await,
            None => websocket::upgrade(doors, request, sid).await,
        },
        Ok(Asked::OpenPolling) => polling::open(doors, &request, entrance).await,
        Ok(Asked::Poll(sid)) => match elsewhere::way(doors, &mut request, sid) {
            Some(way) => elsewhere::serve(doors, &request, body, way).await,
            None => polling::serve(doors, &request, body, sid).await,
        },
    }
}

/// Reads the query string; the errors are Engine.IO's.
fn asked(request: &Parts) -> Result<Asked, Refused> {
    let value = |key| query(&request.uri, key).next();
    let malformed = |code, text| Err(Refused::malformed(StatusCode::BAD_REQUEST, code, text));
    if value("EIO").as_deref() != Some("4") {
        return malformed(5, "Unsupported protocol version");
    }
    let polls = match value("transport").as_deref() {
        Some("websocket") => false,
        Some("polling") => true,
        _ => return malformed(0, "Transport unknown"),
    };
    if polls && value("j").is_some() {
        return malformed(3, "JSONP is not supported");
    }
    match value("sid") {
        Some(sid) if sid.len() > SID_MAX_BYTES => malformed(1, "Session ID unknown"),
        Some(sid) => match Sid::parse(&sid) {
            Some(sid) if polls => Ok(Asked::Poll(sid)),
            Some(sid) => Ok(Asked::Upgrade(sid)),
            None => malformed(1, "Session ID unknown"),
        },
        None if request.method != Method::GET => malformed(2, "Bad handshake method"),
        None if polls => Ok(Asked::OpenPolling),
        None => Ok(Asked::OpenWebSocket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: &str, query: &str) -> Result<Asked, u8> {
        let request =
            Request::builder().method(method).uri(format!("/socket.io/?{query}")).body(Body::empty()).unwrap();
        asked(&request.into_parts().0).map_err(|refused| refused.code)
    }

    #[test]
    fn the_query_says_what_is_asked_for() {
        let sid = "AAAAAAAAAAAAAAAAAAAA";
        let known = Sid::parse(sid).unwrap();
        assert_eq!(code("GET", "EIO=4&transport=websocket"), Ok(Asked::OpenWebSocket));
        assert_eq!(code("GET", "EIO=4&transport=polling&t=abc"), Ok(Asked::OpenPolling));
        assert_eq!(code("POST", &format!("EIO=4&transport=polling&sid={sid}")), Ok(Asked::Poll(known)));
        assert_eq!(code("GET", &format!("EIO=4&transport=websocket&sid={sid}")), Ok(Asked::Upgrade(known)));
    }

    #[test]
    fn what_makes_no_sense_has_engine_io_s_own_error() {
        for (method, query, expected) in [
            ("GET", "transport=polling", 5),
            ("GET", "EIO=3&transport=polling", 5),
            ("GET", "EIO=abc&transport=websocket", 5),
            ("GET", "EIO=4", 0),
            ("GET", "EIO=4&transport=abc", 0),
            ("GET", "EIO=4&transport=polling&sid=abc", 1),
            ("GET", "EIO=4&transport=polling&j=0", 3),
            ("POST", "EIO=4&transport=polling", 2),
            ("PUT", "EIO=4&transport=polling", 2),
        ] {
            assert_eq!(code(method, query), Err(expected), "{method} {query}");
        }
    }
}
