//! The door of event streams: checked here; the worker that gets the connection joins the rooms, then sends the head of
//! the answer, or refuses.

use super::{Doors, hand_over, query};
use crate::protocol::{Transport, Wire};
use crate::session::Handshake;
use crate::transport::connection::{Claim, Guest};
use crate::transport::gate::Place;
use crate::transport::handshake::{Form, Refused};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, Version};

pub(super) async fn enter(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    let request = request.into_parts().0;
    match admit(&doors, &request).await {
        Ok((handshake, place)) => {
            let head = cors_lines(&doors, &request.headers);
            let claim = Claim { worker: doors.next_worker().clone(), head, guest: Guest::New(handshake, place) };
            match hand_over(request, claim).await {}
        }
        Err(refused) => doors.refuse_as(Form::Problem, refused, &request),
    }
}

async fn admit(doors: &Doors, request: &Parts) -> Result<(Box<Handshake>, Place), Refused> {
    let malformed = |status, text| Err(Refused::malformed(status, 3, text));
    if request.method != Method::GET {
        let refused = Refused::malformed(StatusCode::METHOD_NOT_ALLOWED, 3, "A stream is a GET request");
        return Err(refused.hint(ALLOW, HeaderValue::from_static("GET")));
    }
    if request.version < Version::HTTP_11 {
        return malformed(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "A stream is an HTTP/1.1 request");
    }
    if query(&request.uri, "room").next().is_none() {
        return malformed(StatusCode::BAD_REQUEST, "Name the rooms to listen to: /sse?room=a&room=b");
    }
    doors.admit(request, Wire::Sse, Transport::Sse, None).await
}

/// Lines of the answer's head that let the page that asked read it.
fn cors_lines(doors: &Doors, headers: &HeaderMap) -> Vec<u8> {
    let lines = doors.cors(headers);
    lines
        .iter()
        .flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"])
        .flatten()
        .copied()
        .collect()
}
