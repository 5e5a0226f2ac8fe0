//! The door of long-polling: a GET waits for what the server says, a POST brings what the client says.
//!
//! A GET that waits gives its place among the HTTP connections to others: there are as many of them as there are sessions.

use super::Doors;
use crate::hub::Sid;
use crate::lifecycle::LongAnswer;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::{Transport, Wire};
use crate::session::Entrance;
use crate::transport::connection::Connection;
use crate::transport::handshake::Refused;
use crate::transport::polling::{Polled, Refusal};
use crate::transport::worker::Errand;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a poll waits before its connection gives its place to others.
const PLACE_KEPT: Duration = Duration::from_millis(500);

/// How long a browser may remember what a preflight said.
const PREFLIGHT_SECONDS: &str = "600";

/// Longest list of headers that a preflight may ask for.
const PREFLIGHT_HEADERS_MAX_BYTES: usize = 1_024;

/// Opens a session; the answer is its first payload.
pub(super) async fn open(doors: &Doors, request: &Parts, entrance: Option<Arc<Entrance>>) -> Response<Body> {
    let opened = async {
        let (handshake, place) = doors.admit(request, Wire::SocketIo, Transport::Polling, entrance).await?;
        let (reply, answer) = oneshot::channel();
        let sent = doors.next_worker().try_send(Errand::OpenPolling(handshake, place, reply));
        sent.map_err(|_| Refused::overloaded())?;
        match answer.await {
            Ok(Polled::Payload(payload)) => Ok(payload),
            Ok(Polled::Refused(_)) | Err(_) => Err(Refused::overloaded()),
        }
    };
    match opened.await {
        Ok(payload) => text(doors, Body::from(payload), &request.headers),
        Err(refused) => doors.refuse(refused, request),
    }
}

/// A request of a session that is open.
pub(super) async fn serve(doors: &Doors, request: &Parts, body: Body, sid: Sid) -> Response<Body> {
    let headers = &request.headers;
    let connection = request.extensions.get::<Arc<Connection>>();
    let outcome = match (doors.check_origin(headers), &request.method) {
        (Err(refused), _) => Err(refused),
        (Ok(()), &Method::GET) => poll(doors, sid, connection.map(AsRef::as_ref)).await,
        (Ok(()), &Method::POST) => post(doors, sid, body).await,
        (Ok(()), _) => Err(Refused::malformed(StatusCode::BAD_REQUEST, 3, "Bad request")),
    };
    let response = match outcome {
        Ok(body) => text(doors, Body::from(body), headers),
        Err(refused) => doors.refuse(refused, request),
    };
    last_without_place(response, connection.map(AsRef::as_ref))
}

/// The answer, which is the last one of a connection that has given its place to others and has got none back.
pub(super) fn last_without_place(mut response: Response<Body>, connection: Option<&Connection>) -> Response<Body> {
    if connection.is_some_and(|connection| !connection.has_place()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn poll(doors: &Doors, sid: Sid, connection: Option<&Connection>) -> Result<Bytes, Refused> {
    let worker = doors.worker_of(sid).ok_or_else(Refused::unknown_session)?;
    let (reply, answer) = oneshot::channel();
    worker.try_send(Errand::Poll(sid, reply)).map_err(|_| Refused::overloaded())?;
    // A client that cuts its poll ends its session, and this future is dropped with the connection.
    let mut abandoned = Abandoned { worker, sid, with: Some(Disconnect::CONNECTION_LOST) };
    // Polled twice, the HTTP server looks for the end of the connection while the request waits; polled once it does not.
    tokio::task::yield_now().await;
    let answer = long(doors, connection, answer).await.ok();
    abandoned.with = None;
    match answer {
        Some(Polled::Payload(payload)) => Ok(payload),
        Some(Polled::Refused(refusal)) => Err(refused(refusal)),
        None => Err(Refused::unknown_session()),
    }
}

/// Waits for the answer to a poll. Once it has waited a while, which one for nobody does not, the connection gives its place
/// to others.
pub(super) async fn long<T>(
    doors: &Doors,
    connection: Option<&Connection>,
    mut answer: impl Future<Output = T> + Unpin,
) -> T {
    if let Ok(answer) = tokio::time::timeout(PLACE_KEPT, &mut answer).await {
        return answer;
    }
    // The next ping ends it at the latest.
    connection.inspect(|connection| connection.allow_long(LongAnswer(doors.inner.longest_poll)));
    connection.inspect(|connection| connection.leave_place());
    let answer = answer.await;
    connection.inspect(|connection| connection.retake_place());
    answer
}

async fn post(doors: &Doors, sid: Sid, body: Body) -> Result<Bytes, Refused> {
    // Announced first: nobody's body is read for a session that does not exist.
    let begun = doors.ask(sid, |reply| Errand::BeginPost(sid, reply)).await;
    begun.unwrap_or(Err(Refusal::Unknown)).map_err(refused)?;
    let worker = doors.worker_of(sid).ok_or_else(Refused::unknown_session)?;
    let mut abandoned = Abandoned { worker, sid, with: Some(Disconnect::CONNECTION_LOST) };
    let body = axum::body::to_bytes(body, doors.inner.max_payload);
    let body = match tokio::time::timeout(doors.inner.handshake_timeout, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if is_of_the_connection(&error) => {
            return Err(Refused::malformed(StatusCode::BAD_REQUEST, 3, "Bad request"));
        }
        Ok(Err(_)) => {
            abandoned.with = Some(Disconnect::TOO_LARGE);
            return Err(Refused::too_large());
        }
        Err(_) => {
            abandoned.with = Some(Disconnect::SLOW_BODY);
            return Err(Refused::slow_body());
        }
    };
    let taken = doors.ask(sid, |reply| Errand::Post(sid, body, reply)).await;
    // A body that the worker did not take is lost, and the session with it.
    let taken = taken.ok_or_else(Refused::overloaded)?;
    abandoned.with = None;
    taken.map_err(refused)?;
    Ok(Bytes::from_static(b"ok"))
}

/// Whether a body ended early, rather than being too long.
fn is_of_the_connection(error: &axum::Error) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(|cause| cause.is::<hyper::Error>())
}

/// Tells the worker when a request ended before its time.
struct Abandoned {
    worker: mpsc::Sender<Errand>,
    sid: Sid,
    /// What it means for the session; nothing once the request has been answered.
    with: Option<Disconnect>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(disconnect) = self.with
            && self.worker.try_send(Errand::Abandon(self.sid, disconnect)).is_err()
        {
            tracing::debug!("a worker is too busy to hear that a client went away: its heartbeat will tell");
        }
    }
}

impl Doors {
    /// The way to the worker of a session of this node.
    pub(super) fn worker_of(&self, sid: Sid) -> Option<mpsc::Sender<Errand>> {
        self.inner.workers.get(self.inner.hub.worker_of(sid)?).cloned()
    }

    /// Asks the worker of a session. `None`: there is none, or it does not answer.
    pub(super) async fn ask<T>(&self, sid: Sid, errand: impl FnOnce(oneshot::Sender<T>) -> Errand) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.worker_of(sid)?.try_send(errand(reply)).ok()?;
        answer.await.ok()
    }
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Unknown => Refused::unknown_session(),
        Refusal::Bad => Refused::malformed(StatusCode::BAD_REQUEST, 3, "Bad request"),
    }
}

/// Answers a browser that asks whether it may ask (Fetch standard, CORS preflight).
pub(super) fn preflight(doors: &Doors, request: &Parts) -> Response<Body> {
    let headers = &request.headers;
    if let Err(refused) = doors.check_origin(headers) {
        return doors.refuse(refused, request);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|list| list.len() <= PREFLIGHT_HEADERS_MAX_BYTES);
    if let Some(asked) = asked {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    answer.extend(doors.cors(headers));
    response
}

fn text(doors: &Doors, body: Body, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(body);
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.extend(doors.cors(headers));
    response
}
