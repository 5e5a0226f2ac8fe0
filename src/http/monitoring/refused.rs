//! How an event is refused in `PagerDuty`'s form.

use super::super::problem::{FULL_RETRY_MS, Problem, TOO_MANY_OPEN};
use crate::store::StoreError;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An event was not taken, in `PagerDuty`'s form
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NotEnqueued {
    #[schema(example = "invalid event")]
    status: &'static str,
    message: String,
    errors: Vec<String>,
    #[serde(skip)]
    code: StatusCode,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl NotEnqueued {
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        let message = "Event object is invalid".to_owned();
        Self {
            status: "invalid event",
            message,
            errors: vec![error.into()],
            code: StatusCode::BAD_REQUEST,
            retry_after: None,
        }
    }

    /// Too much at once.
    pub(super) fn too_large(error: String) -> Self {
        Self { code: StatusCode::PAYLOAD_TOO_LARGE, ..Self::invalid(error) }
    }

    /// Too much of something.
    pub(super) fn throttled(message: &str, error: &str, retry_after: Option<u64>) -> Self {
        let (status, code) = ("throttle exceeded", StatusCode::TOO_MANY_REQUESTS);
        Self { status, message: message.to_owned(), code, retry_after, ..Self::invalid(error) }
    }

    /// Why the database did not take it.
    pub(super) fn because(error: StoreError) -> Self {
        if error == StoreError::Full {
            let message = "Too many incidents of this service are open.";
            return Self::throttled(message, TOO_MANY_OPEN, Some(FULL_RETRY_MS.div_ceil(1_000)));
        }
        Self::of(&Problem::from(error))
    }

    /// A problem in the form of this door.
    pub(super) fn of(problem: &Problem) -> Self {
        let (code, detail, retry_after_ms) = problem.parts();
        let status = if code.is_server_error() { "unavailable" } else { "invalid event" };
        let retry_after = retry_after_ms.map(|ms| ms.div_ceil(1_000));
        Self { status, message: detail.to_owned(), errors: vec![detail.to_owned()], code, retry_after }
    }
}

impl IntoResponse for NotEnqueued {
    fn into_response(self) -> Response {
        let (code, retry_after) = (self.code, self.retry_after);
        let mut response = (code, Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
