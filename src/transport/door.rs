//! The way in: a WebSocket handshake is checked, answered, and its socket taken away from the HTTP server.

use super::handshake::{Origins, Refused, check_websocket};
use crate::config::Settings;
use crate::hub::Identity;
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{self, Metrics};
use crate::protocol::Wire;
use crate::protocol::native::{SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};
use crate::session::{Access, Handshake};
use crate::telemetry::Throttle;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use axum::http::{Request, Response, StatusCode, Uri};
use axum::routing::any;
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a worker may take to accept a new socket.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Log lines a second about refused handshakes; the rest is counted.
const REFUSAL_LINES_PER_SECOND: u32 = 5;

/// A new socket on its way to its worker.
#[derive(Debug)]
pub struct Arrival {
    /// The connection, after the handshake.
    pub stream: std::net::TcpStream,
    /// What came behind the handshake already.
    pub early: Vec<u8>,
    /// What the handshake said.
    pub handshake: Handshake,
    /// Its place among the open sockets, taken before the handshake was answered.
    pub permit: OwnedSemaphorePermit,
}

/// A handshake that is to be answered with 101.
struct Admitted {
    handshake: Handshake,
    permit: OwnedSemaphorePermit,
    accept: String,
    subprotocol: Option<HeaderValue>,
}

/// Everything a handshake needs.
#[derive(Debug, Clone)]
pub struct Doors {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    access: Access,
    origins: Origins,
    workers: Vec<mpsc::Sender<Arrival>>,
    next: AtomicUsize,
    metrics: Metrics,
    lifecycle: Lifecycle,
    /// One for each socket that may be open.
    places: Arc<Semaphore>,
    max_rooms: usize,
    started: Instant,
    refusal_log: Mutex<Throttle>,
}

impl Doors {
    /// Doors that lead to these workers.
    #[must_use]
    pub fn new(
        settings: &Settings,
        access: Access,
        origins: Origins,
        workers: Vec<mpsc::Sender<Arrival>>,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        let max_rooms = settings.limits.max_rooms_per_session;
        let places = Arc::new(Semaphore::new(settings.limits.max_sockets.min(Semaphore::MAX_PERMITS)));
        let inner = Inner {
            access,
            origins,
            workers,
            next: AtomicUsize::new(0),
            metrics,
            lifecycle,
            places,
            max_rooms,
            started: lifecycle::now(),
            refusal_log: Mutex::new(Throttle::new(REFUSAL_LINES_PER_SECOND)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The routes of the doors.
    pub fn router<S: Clone + Send + Sync + 'static>(self, socketio_path: &str) -> axum::Router<S> {
        let path = format!("/{}", socketio_path.trim_matches('/'));
        axum::Router::new()
            .route(&path, any(enter_socketio))
            .route(&format!("{path}/"), any(enter_socketio))
            .route("/ws", any(enter_native))
            .with_state(self)
    }

    fn enter(
        &self,
        request: Request<Body>,
        wire: impl FnOnce(&Request<Body>) -> Result<(Wire, Option<HeaderValue>), Refused>,
    ) -> Response<Body> {
        match self.check(&request, wire) {
            Ok(Admitted { handshake, permit, accept, subprotocol }) => {
                self.inner.metrics.node().handshake(metrics::Handshake::Accepted);
                self.take_over(request, handshake, permit);
                switching_protocols(&accept, subprotocol)
            }
            Err(refused) => {
                self.inner.metrics.node().handshake(refused.result);
                self.log_refusal(&refused);
                refused.into_response()
            }
        }
    }

    fn check(
        &self,
        request: &Request<Body>,
        wire: impl FnOnce(&Request<Body>) -> Result<(Wire, Option<HeaderValue>), Refused>,
    ) -> Result<Admitted, Refused> {
        let headers = request.headers();
        let (wire, subprotocol) = wire(request)?;
        let accept = check_websocket(request)?;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("invalid"));
        if !self.inner.origins.allows(origin, text(HOST)) {
            let result = metrics::Handshake::ForeignOrigin;
            return Err(Refused::policy(result, StatusCode::FORBIDDEN, "Origin not allowed"));
        }
        let identity = self.identify(headers, request.uri())?;
        let permit = Arc::clone(&self.inner.places).try_acquire_owned();
        let Some(permit) = permit.ok().filter(|_| !self.inner.lifecycle.is_stopping()) else {
            let (result, status) = (metrics::Handshake::Overloaded, StatusCode::SERVICE_UNAVAILABLE);
            return Err(Refused::policy(result, status, "This node takes no more sockets").hint(RETRY_AFTER, "5"));
        };
        let rooms: Vec<String> = query(request.uri(), "room").take(self.inner.max_rooms).collect();
        Ok(Admitted { handshake: Handshake { wire, identity, rooms }, permit, accept, subprotocol })
    }

    fn log_refusal(&self, refused: &Refused) {
        let since = lifecycle::now().saturating_duration_since(self.inner.started);
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let admitted = self.inner.refusal_log.lock().unwrap_or_else(PoisonError::into_inner).admit(now);
        if let Some(left_out) = admitted {
            tracing::info!(result = ?refused.result, text = refused.text, left_out, "refused a handshake");
        }
    }

    /// Who a token in the handshake says this is. A wrong one is refused here; none at all may still come later.
    fn identify(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<Arc<Identity>>, Refused> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(token) = header.map(str::to_owned).or_else(|| query(uri, "token").next()) else { return Ok(None) };
        match self.inner.access.identify(&token) {
            Some(identity) => Ok(Some(identity)),
            None => {
                let result = metrics::Handshake::Unauthenticated;
                Err(Refused::policy(result, StatusCode::UNAUTHORIZED, "A valid token is needed"))
            }
        }
    }

    /// Waits for the answer to be written, then hands the socket to the worker whose turn it is.
    fn take_over(&self, mut request: Request<Body>, handshake: Handshake, permit: OwnedSemaphorePermit) {
        let doors = self.clone();
        let upgrade = hyper::upgrade::on(&mut request);
        drop(request);
        self.inner.lifecycle.spawn("handshake", async move {
            let Ok(upgraded) = upgrade.await else { return };
            let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
                return tracing::error!("an upgraded connection is no plain TCP stream");
            };
            // `read_buf` owns the HTTP server's buffer of 8 KiB even when it is empty: it must not live on.
            let early = parts.read_buf.to_vec();
            drop(parts.read_buf);
            let Ok(stream) = parts.io.into_inner().into_std() else { return };
            let next = doors.inner.next.fetch_add(1, Ordering::Relaxed) % doors.inner.workers.len();
            let arrival = Arrival { stream, early, handshake, permit };
            if doors.inner.workers[next].send_timeout(arrival, HANDOVER_TIMEOUT).await.is_err() {
                tracing::warn!("a worker took no new socket in time");
            }
        });
    }
}

async fn enter_socketio(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    doors.enter(request, |request| {
        let value = |key| query(request.uri(), key).next();
        let malformed = |code, text| Err(Refused::malformed(StatusCode::BAD_REQUEST, code, text));
        if value("EIO").as_deref() != Some("4") {
            return malformed(5, "Unsupported protocol version");
        }
        if value("transport").as_deref() != Some("websocket") {
            return malformed(0, "Transport unknown");
        }
        if value("sid").is_some() {
            return malformed(1, "Session ID unknown");
        }
        Ok((Wire::SocketIo, None))
    })
}

async fn enter_native(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    doors.enter(request, |request| {
        let offers =
            request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
        let mut offered = offers.flat_map(|list| list.split(',')).map(str::trim).peekable();
        if offered.peek().is_none() {
            return Ok((Wire::Json, None));
        }
        let known = |offer: &str| match offer {
            SUBPROTOCOL_JSON => Some((Wire::Json, Some(HeaderValue::from_static(SUBPROTOCOL_JSON)))),
            SUBPROTOCOL_MSGPACK => Some((Wire::MsgPack, Some(HeaderValue::from_static(SUBPROTOCOL_MSGPACK)))),
            _ => None,
        };
        offered.find_map(known).ok_or_else(|| {
            Refused::malformed(StatusCode::BAD_REQUEST, 3, "Subprotocols are roomcast.v1.json and roomcast.v1.msgpack")
        })
    })
}

fn switching_protocols(accept: &str, subprotocol: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// The values of a key in the query string, decoded.
fn query<'a>(uri: &'a Uri, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter(move |(name, _)| name == key).map(|(_, value)| value.into_owned())
}
