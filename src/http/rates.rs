//! How often services may ask: a rate for each key, and for each address that has none.

use super::Api;
use super::problem::Problem;
use crate::lifecycle;
use crate::limiter::{Caller, Key, Peer, Scope, Verdict};
use crate::protocol::refusal::Refusal;
use axum::extract::Request;
use axum::http::header::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use std::future::Future;
use std::time::Duration;

/// The fields of the IETF's draft "RateLimit header fields for HTTP": what is allowed, and what is left of it.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What a request has left of its rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    verdict: Verdict,
    window: Duration,
}

impl Taken {
    /// Counts a request: against the key that opened the API for it, or else against its address.
    pub(super) fn by(request: &Request, key: Option<[u8; 32]>, api: &Api) -> impl Future<Output = Self> + use<> {
        let (limiter, now) = (api.guards.limiter.clone(), lifecycle::now());
        let peer = request.extensions().get::<Peer>();
        let caller: Option<Caller> = peer.map(|peer| limiter.caller(peer.0.ip(), request.headers()));
        async move {
            let verdict = match (key, caller) {
                (Some(digest), _) => limiter.ask_key(Scope::Requests, Key::of_digest(digest), caller, now).await,
                (None, Some(caller)) => limiter.ask_caller(Scope::Requests, caller, now).await,
                (None, None) => Verdict::UNLIMITED,
            };
            Self { verdict, window: limiter.window(Scope::Requests) }
        }
    }

    /// The answer when it is too much.
    pub(super) fn refusal(self) -> Option<Response> {
        let Verdict { allowed, retry_after, .. } = self.verdict;
        let ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        (!allowed).then(|| self.tell(Problem::from(Refusal::rate_limited("requests", ms)).into_response()))
    }

    /// Says in the head of an answer what is left.
    pub(super) fn tell(self, mut response: Response) -> Response {
        let Verdict { limit, remaining, reset_after, .. } = self.verdict;
        if limit == 0 {
            return response;
        }
        let (window, reset) = (seconds(self.window), seconds(reset_after));
        let mut set = |name, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        };
        set(POLICY, format!("\"requests\";q={limit};w={window}"));
        set(LEFT, format!("\"requests\";r={remaining};t={reset}"));
        response
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u128 {
    duration.as_millis().div_ceil(1_000)
}
