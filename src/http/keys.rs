//! Which services may use the API, and what of it: their keys, kept as digests only.

use super::Api;
use super::problem::Problem;
use super::rates::Taken;
use super::scopes::scope_of;
use crate::config::{ApiKey, KeyProof, Scope, Scopes};
use crate::lifecycle;
use crate::limiter::Peer;
use crate::metrics::KeyRefusal;
use crate::protocol::header::{OwnNames, bearer};
use crate::telemetry::Throttle;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

/// Header for services that cannot set `Authorization`.
pub(super) const KEY_HEADER: &str = "X-Api-Key";

type Digest = [u8; SHA256_OUTPUT_LEN];

/// Log lines a second about refused keys; the rest is counted.
const REFUSAL_LINES_PER_SECOND: u32 = 5;

/// Longest name of what a request is about that goes to the log.
const TARGET_CHARS_MAX: usize = 255;

/// The keys that open the API.
#[derive(Clone)]
pub struct ApiKeys {
    door: Door,
    log: Arc<Mutex<Throttle>>,
}

#[derive(Clone)]
enum Door {
    /// To whoever calls the server by one of these names.
    Open(Arc<OwnNames>),
    Locked(Arc<[Known]>),
}

struct Known {
    name: String,
    digest: Digest,
    scopes: Scopes,
}

impl ApiKeys {
    /// Nobody needs a key: for development on one machine. The server is called by an address, as `localhost`, or by a name
    /// of these origins.
    #[must_use]
    pub fn open(origins: &[String]) -> Self {
        Self::behind(Door::Open(Arc::new(OwnNames::new(origins))))
    }

    fn behind(door: Door) -> Self {
        Self { door, log: Arc::new(Mutex::new(Throttle::new(REFUSAL_LINES_PER_SECOND))) }
    }

    /// One of these keys is needed. Without any, the API is closed.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        let known = |key: &ApiKey| Known {
            name: key.name.clone(),
            digest: match &key.proof {
                KeyProof::Key(key) => digest_of(key.expose().as_bytes()),
                KeyProof::Digest(digest) => *digest,
            },
            scopes: key.scopes,
        };
        Self::behind(Door::Locked(keys.iter().map(known).collect()))
    }

    /// Whether nobody needs a key.
    pub(super) fn are_open(&self) -> bool {
        matches!(self.door, Door::Open(_))
    }

    /// Whether a foreign page may have sent this, under a name that it had point here (DNS rebinding): what the open API of
    /// `dev` does not answer. Such a page is one of the server to its browser, which need not say where it comes from.
    pub(super) fn are_open_to_foreign(&self, headers: &HeaderMap) -> bool {
        let Door::Open(own) = &self.door else { return false };
        let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
        host.map_or_else(|| is_browser(headers), |host| !own.have(host))
    }

    /// Whether the API is closed to everybody.
    fn are_none(&self) -> bool {
        matches!(&self.door, Door::Locked(keys) if keys.is_empty())
    }

    /// Whose key this is. Compares with every key, in a time that says nothing about them.
    fn find(&self, key: Option<&[u8]>) -> Visitor<'_> {
        let (keys, key) = match (&self.door, key) {
            (Door::Open(_), _) => return Visitor::Anybody,
            (Door::Locked(_), None) => return Visitor::Stranger(KeyRefusal::Missing),
            (Door::Locked(keys), Some(key)) => (keys, digest_of(key)),
        };
        let same = |known: &Known| verify_slices_are_equal(&known.digest, &key).is_ok();
        let found = keys.iter().fold(None, |found, known| if same(known) { Some(known) } else { found });
        found.map_or(Visitor::Stranger(KeyRefusal::Unknown), Visitor::Service)
    }
}

/// Whoever sends a request.
enum Visitor<'a> {
    /// Nobody needs a key.
    Anybody,
    /// Somebody with a key.
    Service(&'a Known),
    /// Somebody without a key that is known.
    Stranger(KeyRefusal),
}

impl Visitor<'_> {
    /// What its requests are counted by, besides its address.
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Service(known) => Some(known.digest),
            Self::Anybody | Self::Stranger(_) => None,
        }
    }

    /// What the log calls it.
    fn name(&self) -> &str {
        match self {
            Self::Service(known) => &known.name,
            Self::Anybody | Self::Stranger(_) => "none",
        }
    }

    /// Why it may not do what needs `scope`, if it may not.
    fn refusal(&self, scope: Scope) -> Option<(KeyRefusal, Problem)> {
        match self {
            Self::Anybody => None,
            Self::Stranger(why) => Some((*why, Problem::unauthenticated())),
            Self::Service(known) if known.scopes.allow(scope) => None,
            Self::Service(_) => Some((KeyRefusal::Scope, Problem::forbidden(scope))),
        }
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.are_open() { "ApiKeys(open)" } else { "ApiKeys(***)" })
    }
}

/// Who sends a request: the name of its key.
#[derive(Debug, Clone)]
pub(super) struct Principal(pub(super) String);

impl FromRequestParts<Api> for Principal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self("anybody".to_owned())))
    }
}

/// Lets requests through whose key is valid and has the scope of the route.
pub(super) async fn require_key(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if api.guards.keys.are_open_to_foreign(request.headers()) {
        return Err(Problem::foreign_name());
    }
    let visitor = api.guards.keys.find(key_of(request.headers()));
    let taken = Taken::by(&request, visitor.digest(), &api).await;
    if let Some(refusal) = taken.refusal() {
        return Ok(refusal);
    }
    let asked = Asked::of(&request);
    if let Some((why, problem)) = visitor.refusal(asked.scope) {
        asked.refused(why, visitor.name(), &request, &api);
        return Err(if api.guards.keys.are_none() { Problem::closed() } else { problem });
    }
    if let Visitor::Service(known) = &visitor {
        request.extensions_mut().insert(Principal(known.name.clone()));
    }
    let answer = next.run(request).await;
    asked.answered(visitor.name(), &answer);
    Ok(taken.tell(answer))
}

/// Lets requests through that no foreign page can have sent.
pub(super) async fn require_own_name(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if api.guards.keys.are_open_to_foreign(request.headers()) {
        return Err(Problem::foreign_name());
    }
    Ok(next.run(request).await)
}

/// What a request asks for, as the log says it.
struct Asked {
    scope: Scope,
    method: Method,
    route: String,
    /// The room, session, user or token that the path names, percent-encoded.
    target: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let segments = route.split('/').zip(request.uri().path().split('/'));
        let target = segments.filter(|(known, _)| known.starts_with('{')).map(|(_, named)| named).next();
        let target = target.unwrap_or_default().chars().take(TARGET_CHARS_MAX).collect();
        let (scope, method) = (scope_of(request.method(), route), request.method().clone());
        Self { scope, method, route: route.to_owned(), target }
    }

    /// Counts a key that was refused, and says so now and then.
    fn refused(&self, why: KeyRefusal, key: &str, request: &Request, api: &Api) {
        api.metrics.node().http.key_refused(why);
        let log = &api.guards.keys.log;
        let admitted = log.lock().unwrap_or_else(PoisonError::into_inner).admit(lifecycle::unix_millis());
        if let Some(left_out) = admitted {
            let peer = request.extensions().get::<Peer>();
            let address = peer.map(|peer| api.guards.limiter.caller(peer.0.ip(), request.headers()).address);
            let (reason, scope, route) = (why.label(), self.scope.as_str(), &self.route);
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            tracing::info!(reason, key, scope, %route, address, left_out, "refused a key of the HTTP API");
        }
    }

    /// Who did what to whom, for requests that change something or look closely.
    fn answered(&self, key: &str, answer: &Response) {
        if matches!(self.scope, Scope::SessionsWrite | Scope::TokensRevoke | Scope::Admin) {
            let Self { method, route, target, .. } = self;
            let status = answer.status().as_u16();
            tracing::info!(key, %method, %route, about = %target, status, "a service acted");
        }
    }
}

/// Whether a browser sends it: for a page, which cannot keep it from saying so.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// The key in a request: `Authorization: Bearer KEY`, or else `X-Api-Key: KEY`.
fn key_of(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    bearer.or_else(|| headers.get(KEY_HEADER).map(|value| value.as_bytes()))
}

fn digest_of(key: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest(&SHA256, key).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn whoever_calls_dev_by_another_name_is_foreign() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let open = ApiKeys::open(&["http://build-host:3000".into()]);
        for (pairs, foreign) in [
            (&[("host", "evil.test:3000"), ("origin", "http://evil.test:3000")][..], true),
            (&[("host", "evil.test:3000"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "evil.test:3000")], true),
            (&[("host", "")], true),
            (&[("host", "localhost:3000"), ("origin", "http://localhost:3000")], false),
            (&[("host", "192.168.1.5:3000")], false),
            (&[("host", "build-host:3000")], false),
            (&[("origin", "http://localhost:3000")], true),
            (&[], false),
        ] {
            assert_eq!(open.are_open_to_foreign(&headers(pairs)), foreign, "{pairs:?}");
            assert!(!keys(&["0123456789abcdef"]).are_open_to_foreign(&headers(pairs)), "keys tell who it is");
        }
    }

    fn keys(keys: &[&str]) -> ApiKeys {
        let keys = keys.iter().zip(1..).map(|(key, position)| ApiKey::parse(&Secret::new(key), position).unwrap());
        ApiKeys::new(&keys.collect::<Vec<_>>())
    }

    fn status(keys: &ApiKeys, key: Option<&str>, scope: Scope) -> u16 {
        use axum::response::IntoResponse as _;
        let refused = keys.find(key.map(str::as_bytes)).refusal(scope);
        refused.map_or(200, |(_, problem)| problem.into_response().status().as_u16())
    }

    #[test]
    fn only_a_known_key_opens_and_only_what_it_may() {
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
        let keys = keys(&["0123456789abcdef", "a:rooms:read=abcdef0123456789", &format!("b=sha256:{digest}")]);
        for scope in Scope::ALL {
            assert_eq!(status(&keys, Some("0123456789abcdef"), scope), 200);
            assert_eq!(status(&keys, Some("test"), scope), 200);
            let allowed = if scope == Scope::RoomsRead { 200 } else { 403 };
            assert_eq!(status(&keys, Some("abcdef0123456789"), scope), allowed);
            for wrong in [None, Some(""), Some("0123456789abcde"), Some("a:rooms:read=abcdef0123456789"), Some(digest)]
            {
                assert_eq!(status(&keys, wrong, scope), 401, "{wrong:?}");
            }
        }
    }

    #[test]
    fn without_keys_nothing_opens_but_in_development() {
        assert_eq!(status(&keys(&[]), Some(""), Scope::RoomsRead), 401);
        assert_eq!(status(&ApiKeys::open(&[]), None, Scope::Admin), 200);
    }

    #[test]
    fn a_key_is_in_one_of_two_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        for (pairs, expected) in [
            (&[("authorization", "Bearer k")][..], Some("k")),
            (&[("authorization", "bearer  k")], Some("k")),
            (&[("x-api-key", "k")], Some("k")),
            (&[("authorization", "Basic eDp5"), ("x-api-key", "k")], Some("k")),
            (&[("authorization", "Bearer k"), ("x-api-key", "other")], Some("k")),
            (&[("authorization", "Bearer")], None),
            (&[], None),
        ] {
            assert_eq!(key_of(&headers(pairs)), expected.map(str::as_bytes), "{pairs:?}");
        }
    }
}
