//! How incidents are shown, and what went wrong with them.

use super::super::problem::Problem;
use crate::store::{Incident, Reason, StoreError, Transitioned};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

/// An incident
#[derive(Debug, ToSchema)]
#[schema(as = Incident)]
#[expect(dead_code, reason = "describes what the store writes; a test compares")]
pub(in crate::http) struct IncidentInfo {
    /// Its id
    id: Uuid,
    /// Its number, for people
    number: i64,
    /// The slug of its service
    service: String,
    /// What events of monitoring have in common that are about it
    dedup_key: String,
    /// `triggered`, `acknowledged`, `snoozed`, `suppressed` or `resolved`
    #[schema(example = "triggered")]
    status: String,
    /// `critical`, `error`, `warning` or `info`
    #[schema(example = "critical")]
    severity: String,
    /// What it is about
    title: String,
    /// Who takes care of it
    assignee: Option<String>,
    /// The number of its newest event
    seq: i64,
    /// How often it happened
    trigger_count: i64,
    /// When it happened first
    opened_at: String,
    /// When it happened last
    last_event_at: String,
    /// When somebody took care of it
    acknowledged_at: Option<String>,
    /// When it was over
    resolved_at: Option<String>,
    /// Until when it is left alone
    snoozed_until: Option<String>,
    /// The one before it with the same key
    previous_id: Option<Uuid>,
    /// More about it
    details: Option<serde_json::Value>,
}

/// An incident as an answer, with the number of its newest event as its version.
#[derive(Debug)]
pub(in crate::http) struct Found {
    status: StatusCode,
    location: Option<Uuid>,
    version: Option<i64>,
    /// The incident as JSON; a fault, if it is none.
    body: Result<String, String>,
}

impl From<Incident> for Found {
    fn from(incident: Incident) -> Self {
        let body = serde_json::to_string(&incident).map_err(|error| error.to_string());
        Self { status: StatusCode::OK, location: None, version: Some(incident.seq), body }
    }
}

impl Found {
    /// A new incident.
    pub(super) fn created(incident: Incident) -> Self {
        Self { status: StatusCode::CREATED, location: Some(incident.id), ..Self::from(incident) }
    }

    /// One that the same request has created before, as it was then.
    pub(super) fn created_before(id: Uuid, body: String) -> Self {
        Self { status: StatusCode::CREATED, location: Some(id), version: Some(1), body: Ok(body) }
    }
}

impl IntoResponse for Found {
    fn into_response(self) -> Response {
        let body = match self.body {
            Ok(body) => body,
            Err(fault) => return Problem::internal(&fault).into_response(),
        };
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let version = self.version.and_then(|seq| HeaderValue::from_str(&format!("\"{seq}\"")).ok());
        version.map(|version| headers.insert(ETAG, version));
        let location = self.location.and_then(|id| HeaderValue::from_str(&format!("/api/v1/incidents/{id}")).ok());
        location.map(|location| headers.insert(LOCATION, location));
        response
    }
}

/// The answer to what somebody did.
pub(super) fn answer(outcome: Transitioned) -> Result<Found, Problem> {
    match outcome {
        Transitioned::Missing => Err(no_incident()),
        Transitioned::Kept(incident) | Transitioned::Changed(incident) => Ok(Found::from(*incident)),
        Transitioned::Refused(incident, Reason::Status) => {
            Err(Problem::incident_state(format!("the incident is {}", incident.status.as_str())))
        }
        Transitioned::Refused(incident, Reason::Stale) => {
            let detail = format!("something has happened since: the newest event is number {}", incident.seq);
            Err(Problem::stale(detail))
        }
    }
}

pub(super) fn no_incident() -> Problem {
    Problem::not_found("there is no incident with this id")
}

/// A time as RFC 3339 in UTC.
pub(in crate::http) fn show_time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exhausted(_) => Self::pool_exhausted(error.to_string()),
            // What the database says may be about its addresses and users; the log has it.
            StoreError::Unavailable(_) | StoreError::Timeout(_) => {
                tracing::debug!(%error, "a request found no database");
                Self::database_unavailable("the database does not answer at the moment; nothing was acknowledged")
            }
            StoreError::Busy => Self::database_unavailable("others keep the same locked; try again"),
            StoreError::Full => Self::too_many_open(),
            StoreError::Conflict => Self::database_unavailable("others changed the same at the same time; try again"),
            StoreError::Fault(cause) => Self::internal(&cause),
            StoreError::Overcommitted { .. } => Self::internal(&error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Severity, Status};
    use std::collections::BTreeSet;
    use utoipa::PartialSchema as _;

    #[test]
    fn the_description_has_the_fields_that_are_written() {
        let incident = Incident {
            id: Uuid::nil(),
            number: 1,
            service: "api".into(),
            dedup_key: "disk".into(),
            status: Status::Triggered,
            severity: Severity::Info,
            title: "disk".into(),
            details: Some("{}".into()),
            assignee: None,
            seq: 1,
            trigger_count: 1,
            opened_at: 0,
            last_event_at: 0,
            acknowledged_at: None,
            resolved_at: None,
            wakes_at: None,
            previous_id: None,
        };
        let names = |value: serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let described = serde_json::to_value(IncidentInfo::schema()).unwrap();
        assert_eq!(names(described["properties"].clone()), names(serde_json::to_value(&incident).unwrap()));
    }
}
