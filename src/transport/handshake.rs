//! Who may come in: the checks of a WebSocket handshake, and the answers to those who may not.

use crate::metrics;
use crate::protocol::header::{OwnNames, is_fixed, is_this_machine};
use crate::protocol::json::write_string;
use crate::protocol::problem::{PROBLEM_JSON, Problem};
use crate::protocol::refusal::Code;
use crate::session::HandshakeDetails;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode, Version};
use base64::Engine as _;
use bytes::Bytes;
use std::borrow::Cow;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Engine.IO's error code for a session that there is not.
const UNKNOWN_SESSION: u8 = 1;

/// Which pages may connect.
#[derive(Debug, Clone)]
pub struct Origins {
    allowed: Vec<String>,
    /// Pages of this machine too, under its own names only: `dev`.
    local: bool,
    /// The names that requests have to call the server by in `dev`, unless they come from a page that is allowed.
    own: OwnNames,
}

impl Origins {
    /// The origins of the settings; with `local`, pages of this machine too.
    #[must_use]
    pub fn new(allowed: &[String], local: bool) -> Self {
        Self {
            allowed: allowed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
            local,
            own: OwnNames::new(allowed),
        }
    }

    /// Whether a page of `origin` may connect to the server that it called `host`. No origin: no browser, or a page that asks
    /// the server it came from; in `dev` that may be a foreign page under a name of its own.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        match origin {
            Some(origin) => self.knows(origin, host) || self.allowed.iter().any(|allowed| allowed == "*"),
            None => !self.local || host.is_none_or(|host| self.own.have(host)),
        }
    }

    /// Whether a page of `origin` may connect because of its origin, and not because any page may: what a browser holds for
    /// this server, such as cookies, is for such pages alone.
    #[must_use]
    pub fn knows(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        let site = origin.split_once("://").map(|(_, site)| site);
        let host = host.map(str::to_ascii_lowercase);
        // In `dev` a name that is not fixed may be a foreign page's trick (DNS rebinding).
        let same = site.is_some() && site == host.as_deref() && (!self.local || site.is_some_and(is_fixed));
        let local = self.local && site.is_some_and(is_this_machine);
        same || local || self.allowed.contains(&origin)
    }
}

/// How a refusal is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Engine.IO's error object.
    EngineIo,
    /// Problem details, as in the HTTP API.
    Problem,
}

/// Why a handshake was refused: what is counted, and what is answered.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) result: metrics::Handshake,
    status: StatusCode,
    /// Engine.IO's error code.
    pub(super) code: u8,
    pub(super) text: Cow<'static, str>,
    /// A header that says what to do instead.
    hint: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    pub(super) const fn malformed(status: StatusCode, code: u8, text: &'static str) -> Self {
        Self { result: metrics::Handshake::Malformed, status, code, text: Cow::Borrowed(text), hint: None }
    }

    pub(super) const fn policy(result: metrics::Handshake, status: StatusCode, text: &'static str) -> Self {
        Self { result, status, code: 4, text: Cow::Borrowed(text), hint: None }
    }

    /// No session of this id, or none that polls.
    pub(super) fn unknown_session() -> Self {
        Self::malformed(StatusCode::BAD_REQUEST, UNKNOWN_SESSION, "Session ID unknown")
    }

    /// Whether it names a session that there is not.
    pub(super) const fn is_unknown_session(&self) -> bool {
        self.code == UNKNOWN_SESSION
    }

    /// No valid token.
    pub(super) fn unauthenticated() -> Self {
        Self::policy(metrics::Handshake::Unauthenticated, StatusCode::UNAUTHORIZED, "A valid token is needed")
    }

    /// The application does not want it, and says why.
    pub(super) fn by_application(text: String) -> Self {
        let refused = Self::policy(metrics::Handshake::NotAdmitted, StatusCode::FORBIDDEN, "");
        Self { text: Cow::Owned(text), ..refused }
    }

    /// The worker has too much to do already.
    pub(super) fn overloaded() -> Self {
        Self::policy(metrics::Handshake::Overloaded, StatusCode::SERVICE_UNAVAILABLE, "This node is overloaded")
            .hint(RETRY_AFTER, 1_u64)
    }

    /// A body above the limit.
    pub(super) fn too_large() -> Self {
        Self::malformed(StatusCode::PAYLOAD_TOO_LARGE, 3, "The payload is too large")
    }

    /// A body that did not come in time.
    pub(super) fn slow_body() -> Self {
        let refused = Self::malformed(StatusCode::REQUEST_TIMEOUT, 3, "The body took too long");
        Self { result: metrics::Handshake::TimedOut, ..refused }
    }

    pub(super) fn hint(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.hint = Some((name, value.into()));
        self
    }

    /// The answer, in a form that clients of the door read.
    pub(super) fn answer(self, form: Form) -> Response<Body> {
        let (body, kind) = match form {
            Form::EngineIo => (self.engineio_error(), "application/json"),
            Form::Problem => (self.problem(), PROBLEM_JSON),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some((name, value)) = self.hint {
            headers.insert(name, value);
        }
        response
    }

    fn engineio_error(&self) -> String {
        let mut error = format!("{{\"code\":{},\"message\":", self.code);
        write_string(&self.text, &mut error);
        error.push('}');
        error
    }

    fn problem(&self) -> String {
        let (status, detail) = (self.status.as_u16(), &*self.text);
        let retry_after = self.hint.as_ref().filter(|(name, _)| name == RETRY_AFTER);
        let seconds = retry_after.and_then(|(_, value)| value.to_str().ok()?.parse::<u64>().ok());
        let retry_after_ms = seconds.map(|seconds| seconds.saturating_mul(1_000));
        let code = match self.status {
            StatusCode::BAD_REQUEST => Code::BadPacket,
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => {
                let (name, title) = match self.status {
                    StatusCode::FORBIDDEN => ("forbidden", "Forbidden"),
                    StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "Method not allowed"),
                    _ => ("http-version", "HTTP version not supported"),
                };
                return Problem { status, name, title, detail, code: None, retry_after_ms }.to_json();
            }
        };
        Problem::of_code(code, detail, retry_after_ms).to_json()
    }
}

/// Whether another node answers that there is no such session.
pub(super) fn is_unknown_session(answer: &Response<Bytes>) -> bool {
    let error = format!("{{\"code\":{UNKNOWN_SESSION},");
    answer.status() == StatusCode::BAD_REQUEST && answer.body().starts_with(error.as_bytes())
}

/// What an application may want to know about a handshake.
pub(super) fn details_of(request: &Parts) -> Box<HandshakeDetails> {
    let uri = &request.uri;
    let headers = request.headers.iter();
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    Box::new(HandshakeDetails {
        url: uri.path_and_query().map_or_else(String::new, ToString::to_string),
        query: form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers: headers.filter_map(text).collect(),
    })
}

/// RFC 6455 §4.2.1. Returns the value of `Sec-WebSocket-Accept`.
pub(super) fn check_websocket(request: &Parts) -> Result<String, Refused> {
    let headers = &request.headers;
    let has_token = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    let malformed = |status, text| Err(Refused::malformed(status, 3, text));
    if request.version < Version::HTTP_11 {
        return malformed(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "A handshake is an HTTP/1.1 request");
    }
    if request.method != Method::GET {
        return malformed(StatusCode::METHOD_NOT_ALLOWED, "A handshake is a GET request");
    }
    if headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        return malformed(StatusCode::BAD_REQUEST, "A handshake has no body");
    }
    if !has_token(UPGRADE, "websocket") || !has_token(CONNECTION, "upgrade") {
        let refused = Refused::malformed(StatusCode::UPGRADE_REQUIRED, 3, "Connect with a WebSocket");
        return Err(refused.hint(UPGRADE, HeaderValue::from_static("websocket")));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let refused = Refused::malformed(StatusCode::UPGRADE_REQUIRED, 3, "WebSocket version 13 is needed");
        return Err(refused.hint(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map_or(&[][..], HeaderValue::as_bytes);
    let decoded = base64::engine::general_purpose::STANDARD.decode(key);
    if key.len() != 24 || decoded.is_err() || headers.get_all(SEC_WEBSOCKET_KEY).iter().count() != 1 {
        return malformed(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is 16 bytes in base64");
    }
    Ok(derive_accept_key(key))
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
        let any = Origins::new(&["*".into(), "https://app.example.com".into()], false);
        for (origin, known) in [("https://evil.test", false), ("https://app.example.com", true), ("null", false)] {
            assert!(any.allows(Some(origin), host), "{origin}");
            assert_eq!(any.knows(origin, host), known, "{origin}");
        }
    }

    #[test]
    fn dev_lets_pages_of_this_machine_in() {
        let origins = Origins::new(&[], true);
        for (origin, expected) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("null", false),
            ("http://evil.test:3000", false),
            ("http://localhost.evil.test", false),
        ] {
            assert_eq!(origins.allows(Some(origin), Some("127.0.0.1:3000")), expected, "{origin}");
            let host = origin.split_once("://").map(|(_, host)| host);
            assert_eq!(origins.allows(Some(origin), host), expected, "{origin} under its own name");
        }
    }

    #[test]
    fn dev_is_called_by_no_name_that_a_page_may_have_pointed_at_it() {
        let origins = Origins::new(&["http://build-host:3000".into()], true);
        for (host, expected) in [
            (Some("localhost:3000"), true),
            (Some("192.168.1.5:3000"), true),
            (Some("build-host:3000"), true),
            (Some("evil.test:3000"), false),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(origins.allows(None, host), expected, "{host:?}");
        }
        assert!(origins.allows(Some("http://192.168.1.5:3000"), Some("192.168.1.5:3000")), "its own page");
        assert!(!origins.allows(Some("http://192.168.1.5:8080"), Some("192.168.1.5:3000")), "another one");
        assert!(Origins::new(&[], false).allows(None, Some("rooms.example.com")), "tokens tell there who it is");
    }
}
