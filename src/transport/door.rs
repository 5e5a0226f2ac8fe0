//! The way in: a WebSocket handshake is checked, answered, and its socket taken away from the HTTP server.

use crate::config::Settings;
use crate::hub::Identity;
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, Metrics};
use crate::protocol::Wire;
use crate::protocol::native::{SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK};
use crate::session::{Access, Handshake};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{Method, Request, Response, StatusCode, Uri, Version};
use axum::routing::any;
use base64::Engine as _;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// How long a worker may take to accept a new socket.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// A new socket on its way to its worker.
#[derive(Debug)]
pub struct Arrival {
    /// The connection, after the handshake.
    pub stream: std::net::TcpStream,
    /// What came behind the handshake already.
    pub early: Vec<u8>,
    /// What the handshake said.
    pub handshake: Handshake,
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
    max_sockets: u64,
    max_rooms: usize,
}

/// Which pages may connect.
#[derive(Debug, Clone)]
pub struct Origins {
    allowed: Vec<String>,
    /// Pages of this machine and local files too: `dev`.
    local: bool,
}

impl Origins {
    /// The origins of the settings; with `local`, pages of this machine too.
    #[must_use]
    pub fn new(allowed: &[String], local: bool) -> Self {
        Self {
            allowed: allowed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
            local,
        }
    }

    /// Whether a page of `origin` may connect to the server that it called `host`. No origin: no browser.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin.map(str::to_ascii_lowercase) else { return true };
        let site = origin.split_once("://").map(|(_, site)| site);
        let same = site.is_some() && site == host.map(str::to_ascii_lowercase).as_deref();
        let name = site.and_then(|site| {
            site.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(name, _)| name).or(Some(site))
        });
        let local = origin == "null" || matches!(name, Some("localhost" | "127.0.0.1" | "[::1]"));
        same || (self.local && local) || self.allowed.iter().any(|allowed| allowed == "*" || *allowed == origin)
    }
}

/// Why a handshake was refused.
type Refused = (metrics::Handshake, Response<Body>);

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
        let (max_sockets, max_rooms) = (settings.limits.max_sockets as u64, settings.limits.max_rooms_per_session);
        let next = AtomicUsize::new(0);
        Self { inner: Arc::new(Inner { access, origins, workers, next, metrics, lifecycle, max_sockets, max_rooms }) }
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
            Ok((handshake, accept, subprotocol)) => {
                self.inner.metrics.node().handshake(metrics::Handshake::Accepted);
                self.take_over(request, handshake);
                switching_protocols(&accept, subprotocol)
            }
            Err((result, response)) => {
                self.inner.metrics.node().handshake(result);
                response
            }
        }
    }

    fn check(
        &self,
        request: &Request<Body>,
        wire: impl FnOnce(&Request<Body>) -> Result<(Wire, Option<HeaderValue>), Refused>,
    ) -> Result<(Handshake, String, Option<HeaderValue>), Refused> {
        let headers = request.headers();
        let (wire, subprotocol) = wire(request)?;
        let accept = check_websocket(request)?;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("invalid"));
        if !self.inner.origins.allows(origin, text(HOST)) {
            return Err((metrics::Handshake::ForeignOrigin, refusal(StatusCode::FORBIDDEN, 4, "Origin not allowed")));
        }
        let open = self.inner.metrics.sum(|stats| &stats.open_sockets);
        if open >= self.inner.max_sockets || self.inner.lifecycle.is_stopping() {
            let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, 4, "This node takes no more sockets");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return Err((metrics::Handshake::Overloaded, response));
        }
        let identity = self.identify(headers, request.uri())?;
        let rooms: Vec<String> = query(request.uri(), "room").take(self.inner.max_rooms).collect();
        Ok((Handshake { wire, identity, rooms }, accept, subprotocol))
    }

    /// Who a token in the handshake says this is. A wrong one is refused here; none at all may still come later.
    fn identify(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<Arc<Identity>>, Refused> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(token) = header.map(str::to_owned).or_else(|| query(uri, "token").next()) else { return Ok(None) };
        match self.inner.access.identify(&token) {
            Some(identity) => Ok(Some(identity)),
            None => Err((
                metrics::Handshake::Unauthenticated,
                refusal(StatusCode::UNAUTHORIZED, 4, "A valid token is needed"),
            )),
        }
    }

    /// Waits for the answer to be written, then hands the socket to the worker whose turn it is.
    fn take_over(&self, mut request: Request<Body>, handshake: Handshake) {
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
            let arrival = Arrival { stream, early, handshake };
            if doors.inner.workers[next].send_timeout(arrival, HANDOVER_TIMEOUT).await.is_err() {
                tracing::warn!("a worker took no new socket in time");
            }
        });
    }
}

async fn enter_socketio(State(doors): State<Doors>, request: Request<Body>) -> Response<Body> {
    doors.enter(request, |request| {
        let value = |key| query(request.uri(), key).next();
        let malformed = |code, text| Err((metrics::Handshake::Malformed, refusal(StatusCode::BAD_REQUEST, code, text)));
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
            let response =
                refusal(StatusCode::BAD_REQUEST, 3, "Subprotocols are roomcast.v1.json and roomcast.v1.msgpack");
            (metrics::Handshake::Malformed, response)
        })
    })
}

/// RFC 6455 §4.2.1. Returns the value of `Sec-WebSocket-Accept`.
fn check_websocket(request: &Request<Body>) -> Result<String, Refused> {
    let headers = request.headers();
    let has_token = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    let malformed = |code, text| Err((metrics::Handshake::Malformed, refusal(code, 3, text)));
    if request.version() < Version::HTTP_11 {
        return malformed(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "A handshake is an HTTP/1.1 request");
    }
    if request.method() != Method::GET {
        return malformed(StatusCode::METHOD_NOT_ALLOWED, "A handshake is a GET request");
    }
    if !has_token(UPGRADE, "websocket") || !has_token(CONNECTION, "upgrade") {
        let (result, mut response) =
            (metrics::Handshake::Malformed, refusal(StatusCode::UPGRADE_REQUIRED, 3, "Connect with a WebSocket"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err((result, response));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let (result, mut response) =
            (metrics::Handshake::Malformed, refusal(StatusCode::UPGRADE_REQUIRED, 3, "WebSocket version 13 is needed"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err((result, response));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map_or(&[][..], HeaderValue::as_bytes);
    let decoded = base64::engine::general_purpose::STANDARD.decode(key);
    if key.len() != 24 || decoded.is_err() || headers.get_all(SEC_WEBSOCKET_KEY).iter().count() != 1 {
        return malformed(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is 16 bytes in base64");
    }
    Ok(derive_accept_key(key))
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

/// Engine.IO's form of an error; readable for everybody else too.
fn refusal(status: StatusCode, code: u8, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{{\"code\":{code},\"message\":\"{text}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The values of a key in the query string, decoded.
fn query<'a>(uri: &'a Uri, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter(move |(name, _)| name == key).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_same_site_and_of_the_list_may_connect() {
        let origins = Origins::new(&["https://App.example.com/".into()], false);
        let host = Some("rooms.example.com");
        for (origin, expected) in [
            (None, true),
            (Some("https://rooms.example.com"), true),
            (Some("https://app.example.com"), true),
            (Some("https://app.example.com.evil.test"), false),
            (Some("https://evil.test"), false),
            (Some("null"), false),
            (Some("http://localhost:8080"), false),
            (Some("invalid"), false),
        ] {
            assert_eq!(origins.allows(origin, host), expected, "{origin:?}");
        }
        assert!(Origins::new(&["*".into()], false).allows(Some("https://evil.test"), host));
    }

    #[test]
    fn dev_lets_pages_of_this_machine_in() {
        let origins = Origins::new(&[], true);
        for (origin, expected) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("null", true),
            ("http://localhost.evil.test", false),
        ] {
            assert_eq!(origins.allows(Some(origin), Some("127.0.0.1:3000")), expected, "{origin}");
        }
    }
}
