//! The ways in: every request that wants a session is checked here, and its socket or its polls handed to a worker.
//!
//! | door | |
//! |---|---|
//! | [`socketio`] | Engine.IO's address: which transport, which session |
//! | [`websocket`] | answers a WebSocket handshake; the plain protocol's address |
//! | [`polling`] | long-polling: one request at a time for each direction |
//! | [`sse`] | server-sent events |
//! | [`elsewhere`] | requests for sessions of other nodes |

mod elsewhere;
mod polling;
mod socketio;
mod sse;
mod websocket;

use super::connection::{Claim, Connection};
use super::gate::{Gate, Place, Vouched};
use super::handshake::{Form, Refused, details_of};
use super::relay::Relay;
use super::worker::Errand;
use crate::config::Settings;
use crate::hub::Hub;
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{self, Metrics};
use crate::protocol::header::bearer;
use crate::protocol::{Transport, Wire};
use crate::session::{Admission, Application, Entrance, Handshake};
use crate::telemetry::Throttle;
use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, HOST, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode, Uri};
use axum::routing::any;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Log lines a second about refused handshakes; the rest is counted.
const REFUSAL_LINES_PER_SECOND: u32 = 5;

/// Everything a handshake needs.
#[derive(Debug, Clone)]
pub struct Doors {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    hub: Hub,
    workers: Vec<mpsc::Sender<Errand>>,
    next: AtomicUsize,
    metrics: Metrics,
    lifecycle: Lifecycle,
    /// `None`: requests for sessions of other nodes are refused.
    relay: Option<Relay>,
    max_rooms: usize,
    max_payload: usize,
    keep_details: bool,
    admission: Option<Admission>,
    handshake_timeout: Duration,
    /// How long a poll may wait: the next ping ends it.
    longest_poll: Duration,
    started: Instant,
    refusal_log: Mutex<Throttle>,
}

impl Doors {
    /// Doors that lead to these workers.
    #[must_use]
    pub fn new(
        settings: &Settings,
        gate: Gate,
        hub: Hub,
        workers: Vec<mpsc::Sender<Errand>>,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        let limits = &settings.limits;
        let relays = !hub.is_alone() && settings.redis.max_relayed > 0 && settings.tls.tls_cert.is_none();
        let relay = relays.then(|| Relay::new(settings, &metrics));
        if let Some(relay) = relay.clone() {
            lifecycle.spawn("relay sweep", relay.sweep(lifecycle.clone()));
        }
        let inner = Inner {
            gate,
            hub,
            workers,
            next: AtomicUsize::new(0),
            metrics,
            lifecycle,
            relay,
            max_rooms: limits.max_rooms_per_session,
            max_payload: limits.max_packet_bytes,
            keep_details: false,
            admission: None,
            handshake_timeout: limits.handshake_timeout,
            longest_poll: settings.heartbeat.ping_interval + settings.heartbeat.ping_timeout,
            started: lifecycle::now(),
            refusal_log: Mutex::new(Throttle::new(REFUSAL_LINES_PER_SECOND)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Keeps what handshakes said, and asks for a word on them, where an application wants that.
    #[must_use]
    pub fn for_application(mut self, application: &Application) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.keep_details = application.keeps_handshakes();
            inner.admission = application.admission().cloned();
        }
        self
    }

    /// The routes of the doors; `entrances` are those of the application.
    pub fn router<S: Clone + Send + Sync + 'static>(
        self,
        socketio_path: &str,
        entrances: &[Arc<Entrance>],
    ) -> Router<S> {
        let mut router = Router::new().route("/ws", any(websocket::enter_plain)).route("/sse", any(sse::enter));
        for path in both_forms(socketio_path) {
            router = router.route(&path, any(socketio::enter));
        }
        for entrance in entrances {
            for path in both_forms(&entrance.path) {
                let entrance = Arc::clone(entrance);
                let enter =
                    move |state, request: Request<Body>| socketio::enter_raw(state, request, Arc::clone(&entrance));
                router = router.route(&path, any(enter));
            }
        }
        router.with_state(self)
    }

    /// Checks what is checked at every door: origin, token, and whether there is a place.
    async fn admit(
        &self,
        request: &Parts,
        wire: Wire,
        transport: Transport,
        entrance: Option<Arc<Entrance>>,
    ) -> Result<(Box<Handshake>, Place), Refused> {
        self.check_origin(&request.headers)?;
        let caller = self.inner.gate.caller(request);
        self.inner.gate.take_handshake(caller).await?;
        let identity = self.inner.gate.identify(token_of(request)).await?;
        // Whoever comes to the other doors may show a token later.
        let now_or_never = transport == Transport::Sse || entrance.as_ref().is_some_and(|entrance| !entrance.open);
        if now_or_never && identity.is_none() && !self.inner.gate.access.is_open() {
            return Err(Refused::unauthenticated());
        }
        self.ask_application(request).await?;
        let place = self.inner.gate.take_place(caller, self.inner.lifecycle.is_stopping())?;
        // One more than a session may have is refused as too many.
        let rooms = query(&request.uri, "room").take(self.inner.max_rooms.saturating_add(1)).collect();
        let details = self.inner.keep_details.then(|| details_of(request));
        Ok((Box::new(Handshake { wire, transport, identity, rooms, entrance, details }), place))
    }

    async fn ask_application(&self, request: &Parts) -> Result<(), Refused> {
        let Some(admission) = &self.inner.admission else { return Ok(()) };
        let decision = admission.decide(*details_of(request));
        let decided = tokio::time::timeout(self.inner.handshake_timeout, decision).await;
        decided.unwrap_or_else(|_| Err("No decision in time".to_owned())).map_err(Refused::by_application)
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("invalid"));
        let host = headers.get(HOST).map(|value| value.to_str().unwrap_or_default());
        if self.inner.gate.origins.allows(origin, host) {
            return Ok(());
        }
        Err(Refused::policy(metrics::Handshake::ForeignOrigin, StatusCode::FORBIDDEN, "Origin not allowed"))
    }

    /// Header lines that let the page that asked read the answer. Only pages whose origin is known may come with what the
    /// browser holds for this server: where any may come, they come without (Fetch standard, CORS protocol).
    fn cors(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let Some(origin) = headers.get(ORIGIN).filter(|_| self.check_origin(headers).is_ok()) else {
            return Vec::new();
        };
        let vary = (VARY, HeaderValue::from_static("Origin"));
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        if origin.to_str().is_ok_and(|origin| self.inner.gate.origins.knows(origin, host)) {
            let leave = (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            return vec![(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()), leave, vary];
        }
        vec![(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")), vary]
    }

    /// The way to the worker whose turn it is.
    fn next_worker(&self) -> &mpsc::Sender<Errand> {
        let workers = &self.inner.workers;
        &workers[self.inner.next.fetch_add(1, Ordering::Relaxed) % workers.len()]
    }

    /// Counts, logs and answers a refusal. To guess the ids of sessions costs an address what a handshake costs.
    fn refuse(&self, refused: Refused, request: &Parts) -> Response<Body> {
        self.refuse_as(Form::EngineIo, refused, request)
    }

    fn refuse_as(&self, form: Form, mut refused: Refused, request: &Parts) -> Response<Body> {
        let caller = self.inner.gate.caller(request);
        if refused.is_unknown_session()
            && request.extensions.get::<Vouched>().is_none()
            && let Err(too_many) = self.inner.gate.take_guess(caller)
        {
            refused = too_many;
        }
        self.inner.metrics.node().handshake(refused.result);
        let since = lifecycle::now().saturating_duration_since(self.inner.started);
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let admitted = self.inner.refusal_log.lock().unwrap_or_else(PoisonError::into_inner).admit(now);
        if let Some(left_out) = admitted {
            let address = caller.map(|caller| tracing::field::display(caller.address));
            tracing::info!(result = refused.result.label(), address, text = %refused.text, left_out, "refused a handshake");
        }
        let mut response = refused.answer(form);
        response.headers_mut().extend(self.cors(&request.headers));
        response
    }
}

/// Gives the connection of a request to a worker. Never answers: the worker does.
async fn hand_over(request: Parts, claim: Claim) -> Infallible {
    if let Some(connection) = request.extensions.get::<Arc<Connection>>() {
        connection.take_over(claim);
    }
    std::future::pending().await
}

/// A path with and without a slash at its end.
fn both_forms(path: &str) -> [String; 2] {
    let path = path.trim_matches('/');
    [format!("/{path}"), format!("/{path}/")]
}

/// The token in a handshake.
fn token_of(request: &Parts) -> Option<String> {
    let header = request.headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let header = header.and_then(|token| String::from_utf8(token.to_vec()).ok());
    header.or_else(|| query(&request.uri, "token").next())
}

/// The values of a key in the query string, decoded.
fn query<'a>(uri: &'a Uri, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter(move |(name, _)| name == key).map(|(_, value)| value.into_owned())
}
