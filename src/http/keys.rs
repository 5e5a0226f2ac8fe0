//! Which services may use the API: their keys, kept as digests only.

use super::Api;
use super::problem::Problem;
use super::rates::Taken;
use crate::config::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// Header for services that cannot set `Authorization`.
pub(super) const KEY_HEADER: &str = "X-Api-Key";

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The keys that open the API.
#[derive(Clone)]
pub struct ApiKeys(Door);

#[derive(Clone)]
enum Door {
    Open,
    Locked(Arc<[Digest]>),
}

impl ApiKeys {
    /// Nobody needs a key: for development on one machine.
    #[must_use]
    pub fn open() -> Self {
        Self(Door::Open)
    }

    /// One of these keys is needed. Empty ones open nothing; without any, the API is closed.
    #[must_use]
    pub fn new(keys: &[Secret]) -> Self {
        let keys = keys.iter().map(|key| key.expose().as_bytes()).filter(|key| !key.is_empty());
        Self(Door::Locked(keys.map(digest_of).collect()))
    }

    /// Compares with every key, in a time that says nothing about them.
    fn admits(&self, key: Option<&[u8]>) -> bool {
        let (keys, key) = match (&self.0, key) {
            (Door::Open, _) => return true,
            (Door::Locked(keys), Some(key)) => (keys, digest_of(key)),
            (Door::Locked(_), None) => return false,
        };
        keys.iter().fold(false, |found, known| found | verify_slices_are_equal(known, &key).is_ok())
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.0, Door::Open) { "ApiKeys(open)" } else { "ApiKeys(***)" })
    }
}

/// Lets requests with a valid key through.
pub(super) async fn require_key(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    if matches!(api.keys.0, Door::Open) && is_foreign_page(request.headers()) {
        return Err(Problem::unauthenticated());
    }
    let admitted = api.keys.admits(key_of(request.headers()));
    let own = admitted && matches!(api.keys.0, Door::Locked(_));
    let key = key_of(request.headers()).filter(|_| own).map(digest_of);
    let taken = Taken::by(&request, key, &api);
    if let Some(refusal) = taken.refusal() {
        return Ok(refusal);
    }
    if admitted {
        return Ok(taken.tell(next.run(request).await));
    }
    Err(Problem::unauthenticated())
}

/// Whether a browser asks under a name that is not this machine's: the open API of `dev` is for pages and programs of this
/// machine, and a foreign page could have its own name point here (DNS rebinding).
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let browser = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    browser && !matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// The key in a request: `Authorization: Bearer KEY`, or else `X-Api-Key: KEY`.
fn key_of(headers: &HeaderMap) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let authorization = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = authorization.and_then(|value| {
        let (scheme, key) = value.split_at_checked(SCHEME.len())?;
        scheme.eq_ignore_ascii_case(SCHEME).then(|| key.trim_ascii())
    });
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

    #[test]
    fn a_page_that_calls_this_machine_by_another_name_is_foreign() {
        let headers = |host: &str, origin: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if origin {
                headers.insert(ORIGIN, format!("http://{host}").parse().unwrap());
            }
            headers
        };
        assert!(is_foreign_page(&headers("evil.test:3000", true)));
        assert!(!is_foreign_page(&headers("localhost:3000", true)));
        assert!(!is_foreign_page(&headers("build-host:3000", false)), "no browser");
    }

    fn keys(keys: &[&str]) -> ApiKeys {
        ApiKeys::new(&keys.iter().map(|key| key.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_known_key_opens() {
        let keys = keys(&["one", "two"]);
        assert!(keys.admits(Some(b"one")) && keys.admits(Some(b"two")));
        assert!(!keys.admits(Some(b"three")) && !keys.admits(Some(b"")) && !keys.admits(None));
    }

    #[test]
    fn no_key_and_an_empty_key_open_nothing() {
        assert!(!keys(&[]).admits(Some(b"")));
        assert!(!keys(&[""]).admits(Some(b"")));
        assert!(ApiKeys::open().admits(None));
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
