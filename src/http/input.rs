//! What requests carry: bodies, path segments and query parameters, each refused as a problem when it is not right.

use super::keys::is_browser;
use super::problem::Problem;
use super::{Api, Limits};
use crate::hub::{NamespaceId, Reach, Sid};
use crate::protocol::DecodeError;
use crate::protocol::json::Scanner;
use crate::protocol::name::check_room_name;
use crate::protocol::refusal::{Code, Refusal};
use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(8);

/// Entries of a listing unless the request says how many.
const PAGE_DEFAULT: usize = 100;

/// Most entries of a listing.
const PAGE_MAX: usize = 1_000;

/// Longest text of a parser's complaint that is passed on.
const COMPLAINT_CHARS_MAX: usize = 200;

/// The text of a JSON body; whether it is JSON has not been looked at. Its request has a place among those that are answered.
#[derive(Debug)]
pub(super) struct JsonText {
    body: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl JsonText {
    /// The text.
    pub(super) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.body).map_err(|_| Problem::bad_request("the body is not UTF-8"))
    }

    /// What the body says; one that is empty says nothing.
    pub(super) fn or_empty<'a, T: Deserialize<'a> + Default>(&'a self, limits: Limits) -> Result<T, Problem> {
        match self.text()?.trim() {
            "" => Ok(T::default()),
            text => Ok(parse(text, limits)?),
        }
    }
}

impl FromRequest<Api> for JsonText {
    type Rejection = Problem;

    /// A page of another site can send any body to the open API of `dev` without asking, but not one that calls itself
    /// JSON. Whoever has shown a key, or is no page, need not say what nothing is.
    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let is_page = api.guards.keys.are_open() && is_browser(request.headers());
        if !is_json(request.headers()) && (is_page || !request.body().is_end_stream()) {
            return Err(Problem::not_json());
        }
        let (most, path) = (api.limits.body_bytes, request.uri().path().to_owned());
        let has_place = request.body().is_end_stream();
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, api)).await;
        let body = read.map_err(|_| Problem::slow_body())?.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Refusal::new(Code::TooLarge, format!("a body has at most {most} bytes")).into();
            }
            Problem::bad_request("the body ended early")
        })?;
        let place = if has_place { None } else { Some(api.place(&path)?) };
        Ok(Self { body, _place: place })
    }
}

/// Header of services that repeat a request until it is answered.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A request that may be done twice if it is sent twice. Whoever relies on the opposite is told, and not deceived.
#[derive(Debug)]
pub(super) struct NotIdempotent;

impl FromRequestParts<Api> for NotIdempotent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            let detail = "\"Idempotency-Key\" is not honoured yet: an event that is sent twice is published twice";
            return Err(Problem::bad_request(detail));
        }
        Ok(Self)
    }
}

/// What a service calls a request that has to be done once; it is 1 to 255 printable characters.
#[derive(Debug)]
pub(super) struct RequestKey(pub(super) Option<String>);

impl FromRequestParts<Api> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let key = key.to_str().ok().filter(|key| (1..=NAME_MAX_BYTES).contains(&key.len()));
        let bad =
            || Problem::bad_request(format!("\"{IDEMPOTENCY_KEY}\" has 1 to {NAME_MAX_BYTES} printable characters"));
        key.map(|key| Self(Some(key.to_owned()))).ok_or_else(bad)
    }
}

/// The newest event that is known, as an `ETag` said.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Option<i64>);

impl FromRequestParts<Api> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        match parts.headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or_default().trim()) {
            None | Some("*") => Ok(Self(None)),
            Some(tag) => {
                let seq = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok());
                let bad = || Problem::bad_request("\"If-Match\" is the \"ETag\" of an answer before, or *");
                seq.map(|seq| Self(Some(seq))).ok_or_else(bad)
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads one JSON object: strict, and nested no deeper than clients may.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str, limits: Limits) -> Result<T, Refusal> {
    let mut scanner = Scanner::new(text, limits.json_depth);
    if scanner.value().and_then(|_| scanner.end()) == Err(DecodeError::Depth) {
        return Err(Refusal::new(Code::BadPacket, format!("JSON is nested deeper than {} levels", limits.json_depth)));
    }
    serde_json::from_str(text).map_err(|error| complain(&error))
}

/// A parser's complaint as a refusal.
pub(super) fn complain(error: &serde_json::Error) -> Refusal {
    Refusal::new(Code::BadPacket, error.to_string().chars().take(COMPLAINT_CHARS_MAX).collect::<String>())
}

/// The room that the path names.
#[derive(Debug)]
pub(super) struct RoomName(pub(super) String);

impl FromRequestParts<Api> for RoomName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let room = segment(parts, api).await?;
        check_room_name(&room)?;
        Ok(Self(room))
    }
}

/// The session that the path names.
#[derive(Debug)]
pub(super) struct SessionId(pub(super) Sid);

impl FromRequestParts<Api> for SessionId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Sid::parse(&segment(parts, api).await?).map(Self).ok_or_else(no_session)
    }
}

/// Longest name of a user and longest id of a token, as in tokens.
const NAME_MAX_BYTES: usize = 255;

/// The user that the path names.
#[derive(Debug)]
pub(super) struct UserName(pub(super) String);

impl FromRequestParts<Api> for UserName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        short_segment(parts, api).await.map(Self)
    }
}

/// The token that the path names by its id.
#[derive(Debug)]
pub(super) struct TokenId(pub(super) String);

impl FromRequestParts<Api> for TokenId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        short_segment(parts, api).await.map(Self)
    }
}

async fn short_segment(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let name = segment(parts, api).await?;
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len());
    fits.then_some(name).ok_or_else(|| Problem::bad_request(format!("a name has 1 to {NAME_MAX_BYTES} bytes")))
}

async fn segment(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let Path(segment) = Path::<String>::from_request_parts(parts, api)
        .await
        .map_err(|_| Problem::bad_request("the path is not UTF-8 in percent-encoding"))?;
    Ok(segment)
}

/// There is no such session here.
pub(super) fn no_session() -> Problem {
    Problem::not_found("no session has this id")
}

/// The query parameters.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, api).await;
        let complaint = |text: &str| Problem::bad_request(text.chars().take(COMPLAINT_CHARS_MAX).collect::<String>());
        query.map(|Query(params)| Self(params)).map_err(|rejection| complaint(&rejection.body_text()))
    }
}

/// How many entries the page has that a request asks for.
pub(super) fn page_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    let valid = (1..=PAGE_MAX).contains(&limit);
    valid.then_some(limit).ok_or_else(|| Problem::bad_request(format!("\"limit\" is a number from 1 to {PAGE_MAX}")))
}

/// Whose rooms and sessions a request is about.
pub(super) fn reach(local: Option<bool>) -> Reach {
    if local == Some(true) { Reach::Here } else { Reach::Everywhere }
}

/// Whether an answer is about all nodes that were asked: it does not say so then.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
pub(super) fn is_whole(partial: &bool) -> bool {
    !*partial
}

/// The place in a listing of sessions where a page starts.
pub(super) fn session_cursor(cursor: Option<&str>) -> Result<Option<Sid>, Problem> {
    let parse =
        |text| Sid::parse(text).ok_or_else(|| Problem::bad_request("\"cursor\" is the \"next\" of a page before"));
    cursor.map(parse).transpose()
}

impl Api {
    /// The namespace that a request names, `/` if it names none.
    pub(super) fn namespace(&self, name: Option<&str>) -> Result<NamespaceId, Problem> {
        let Some(name) = name else { return Ok(NamespaceId::DEFAULT) };
        let position = self.hub.namespaces().iter().position(|known| known == name);
        let id = position.and_then(|position| u16::try_from(position).ok());
        id.map(NamespaceId).ok_or_else(|| Problem::not_found("there is no such namespace"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_that_it_is_json() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn a_page_has_a_length() {
        assert_eq!(page_limit(None).unwrap(), PAGE_DEFAULT);
        assert_eq!(page_limit(Some(PAGE_MAX)).unwrap(), PAGE_MAX);
        assert!(page_limit(Some(0)).is_err() && page_limit(Some(PAGE_MAX + 1)).is_err());
    }
}
