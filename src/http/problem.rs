//! The one form of every error answer: problem details, RFC 9457.

use crate::config::Scope;
pub(super) use crate::protocol::problem::PROBLEM_JSON;
use crate::protocol::problem::PROBLEM_PREFIX;
use crate::protocol::refusal::{Code, Refusal};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Shown as `retry_after_ms` when the server is too busy to say anything better.
const BUSY_RETRY_MS: u64 = 1_000;

/// Shown as `retry_after_ms` when people have to resolve something first.
pub(super) const FULL_RETRY_MS: u64 = 30_000;

/// What to do when one more incident must not be open.
pub(super) const TOO_MANY_OPEN: &str =
    "as many incidents of this service are open as may be (\"max_open\"): resolve some";

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refused(Code),
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotJson,
    SlowBody,
    AckTimeout,
    IncidentState,
    DedupConflict,
    TooManyOpen,
    TooManyOpenNow,
    Taken,
    Stale,
    IdempotencyMismatch,
    PoolExhausted,
    DatabaseUnavailable,
}

impl Kind {
    /// Status, stable name and title. A refusal has the same name on every door.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Refused(code) => {
                let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, code.as_str(), code.title())
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout"),
            Self::AckTimeout => (StatusCode::GATEWAY_TIMEOUT, "ack-timeout", "No answer from the client"),
            Self::IncidentState => (StatusCode::CONFLICT, "incident-state", "Not in this state"),
            Self::DedupConflict => (StatusCode::CONFLICT, "dedup-conflict", "An incident with this key is open"),
            Self::TooManyOpen => (StatusCode::CONFLICT, "too-many-open", "Too many incidents are open"),
            Self::TooManyOpenNow => (StatusCode::SERVICE_UNAVAILABLE, "too-many-open", "Too many incidents are open"),
            Self::Taken => (StatusCode::CONFLICT, "conflict", "In the way of something else"),
            Self::Stale => (StatusCode::PRECONDITION_FAILED, "stale-version", "Something has happened since"),
            Self::IdempotencyMismatch => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-mismatch", "Another request was called the same")
            }
            Self::PoolExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "pool-exhausted", "Too many wait for the database")
            }
            Self::DatabaseUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", "The database is away")
            }
        }
    }
}

/// An error answer.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    retry_after_ms: Option<u64>,
    request_id: Option<String>,
    incident: Option<Uuid>,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after_ms: None, request_id: None, incident: None }
    }

    /// The request cannot be read.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Refusal::new(Code::BadPacket, detail).into()
    }

    /// No valid key.
    pub(super) fn unauthenticated() -> Self {
        Refusal::new(Code::Unauthenticated, "send a valid key: \"Authorization: Bearer KEY\"").into()
    }

    /// An open server was called by a name that a foreign page may have pointed at it.
    pub(super) fn foreign_name() -> Self {
        let detail = "call a server in dev localhost, by an address, or by a name of its --allow-origin";
        Refusal::new(Code::Unauthenticated, detail).into()
    }

    /// No key is valid.
    pub(super) fn closed() -> Self {
        let detail = "the HTTP API is closed: this server has no api-key (ROOMCAST_API_KEYS)";
        Refusal::new(Code::Unauthenticated, detail).into()
    }

    /// A valid key that does not have this scope.
    pub(super) fn forbidden(scope: Scope) -> Self {
        Self::new(Kind::Forbidden, format!("this key does not have the scope {}", scope.as_str()))
    }

    /// What the path or a parameter names does not exist.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// The path exists, but not with this method.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(Kind::MethodNotAllowed, "the \"Allow\" header says which methods there are")
    }

    /// The body does not say that it is JSON.
    pub(super) fn not_json() -> Self {
        Self::new(Kind::NotJson, "send \"Content-Type: application/json\"")
    }

    /// The body did not come in time.
    pub(super) fn slow_body() -> Self {
        Self::new(Kind::SlowBody, "the body did not come in time")
    }

    /// A client did not acknowledge an event.
    pub(super) fn ack_timeout(detail: impl Into<String>) -> Self {
        Self::new(Kind::AckTimeout, detail)
    }

    /// The incident stands so that this cannot be done.
    pub(super) fn incident_state(detail: impl Into<String>) -> Self {
        Self::new(Kind::IncidentState, detail)
    }

    /// An incident with the same key is open.
    pub(super) fn dedup_conflict(open: Uuid) -> Self {
        Self { incident: Some(open), ..Self::new(Kind::DedupConflict, "an incident with this \"dedup_key\" is open") }
    }

    /// As many incidents of the service are open as may be.
    pub(super) fn too_many_open() -> Self {
        Self::new(Kind::TooManyOpen, TOO_MANY_OPEN)
    }

    /// The same for a sender that tries again only when the server is at fault.
    pub(super) fn too_many_open_now() -> Self {
        Self { retry_after_ms: Some(FULL_RETRY_MS), ..Self::new(Kind::TooManyOpenNow, TOO_MANY_OPEN) }
    }

    /// Something else is in the way.
    pub(super) fn taken(detail: impl Into<String>) -> Self {
        Self::new(Kind::Taken, detail)
    }

    /// Something has happened that whoever asks does not know of.
    pub(super) fn stale(detail: impl Into<String>) -> Self {
        Self::new(Kind::Stale, detail)
    }

    /// Two requests with one idempotency key.
    pub(super) fn idempotency_mismatch() -> Self {
        Self::new(Kind::IdempotencyMismatch, "another request had this \"Idempotency-Key\" within the last 24 hours")
    }

    /// No connection to the database became free.
    pub(super) fn pool_exhausted(detail: impl Into<String>) -> Self {
        Self { retry_after_ms: Some(BUSY_RETRY_MS), ..Self::new(Kind::PoolExhausted, detail) }
    }

    /// The database does not answer.
    pub(super) fn database_unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after_ms: Some(BUSY_RETRY_MS), ..Self::new(Kind::DatabaseUnavailable, detail) }
    }

    /// Status, sentence and when to try again, for doors that have a form of their own.
    pub(super) fn parts(&self) -> (StatusCode, &str, Option<u64>) {
        (self.kind.row().0, &self.detail, self.retry_after_ms)
    }

    /// A fault of the server. What is known about it is in the log, under the id that the client gets.
    pub(super) fn internal(cause: &str) -> Self {
        let mut id = [0; 8];
        let request_id = getrandom::fill(&mut id).map_or(0, |()| u64::from_be_bytes(id));
        let request_id = format!("{request_id:016x}");
        tracing::error!(request_id, cause, "an HTTP request failed");
        let problem = Self::from(Refusal::new(Code::Internal, "a fault of the server; its log has the request id"));
        Self { request_id: Some(request_id), ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let busy = (refusal.code == Code::Unavailable).then_some(BUSY_RETRY_MS);
        let retry_after_ms = refusal.retry_after_ms.or(busy);
        Self { retry_after_ms, ..Self::new(Kind::Refused(refusal.code), refusal.detail) }
    }
}

/// Problem details, RFC 9457
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Stable name of the problem: `urn:roomcast:problem:…`
    #[schema(example = "urn:roomcast:problem:name-invalid")]
    r#type: String,
    /// The same in words
    title: &'static str,
    /// HTTP status
    status: u16,
    /// One sentence about this occurrence, for the developer of the client
    detail: String,
    /// The error code that clients on other doors see for it, if there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// When to try again, in milliseconds
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Where to look in the server's log; with internal errors only
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The incident that is in the way
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Uuid>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.row();
        let body = ProblemBody {
            r#type: format!("{PROBLEM_PREFIX}{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            code: matches!(self.kind, Kind::Refused(_)).then_some(name),
            retry_after_ms: self.retry_after_ms,
            request_id: self.request_id,
            incident: self.incident,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(ms) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status() {
        for code in Code::ALL {
            let response = Problem::from(Refusal::new(code, "why")).into_response();
            assert_eq!(response.status().as_u16(), code.http_status(), "{code:?}");
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{code:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_the_same_problem_as_at_the_doors() {
        for code in Code::ALL {
            let refusal = Refusal { retry_after_ms: Some(7), ..Refusal::new(code, "\"why\"") };
            let response = Problem::from(refusal.clone()).into_response();
            let body = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
            let [here, there]: [serde_json::Value; 2] =
                [&body, crate::protocol::problem::Problem::of(&refusal).to_json().as_bytes()]
                    .map(|text| serde_json::from_slice(text).unwrap());
            assert_eq!(here, there, "{code:?}");
        }
    }

    #[test]
    fn headers_say_what_to_do() {
        let limited = Problem::from(Refusal::rate_limited("requests", 1_500)).into_response();
        assert_eq!((limited.status().as_u16(), &limited.headers()[RETRY_AFTER]), (429, &HeaderValue::from(2)));
        assert_eq!(Problem::unauthenticated().into_response().headers()[WWW_AUTHENTICATE], "Bearer");
        assert!(Problem::internal("a test").request_id.is_some_and(|id| id.len() == 16));
    }
}
