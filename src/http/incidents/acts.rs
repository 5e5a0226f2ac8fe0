//! What people do about incidents.

use super::super::Api;
use super::super::input::{IfMatch, JsonText, RequestKey, parse};
use super::super::keys::Principal;
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::IncidentId;
use super::answers::{Found, IncidentInfo, answer};
use super::bodies::{
    CreateIncident, Doer, EditIncident, Note, Snooze, actor, check_assignee, check_note, check_title, read_end,
    read_severity,
};
use crate::incidents::{Action, Edit};
use crate::lifecycle::unix_micros;
use crate::store::{Created, Once};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

/// How long a request with an idempotency key is remembered.
const REMEMBERED_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Open an incident
///
/// With `Idempotency-Key` it is opened once, however often the request is sent within 24 h.
#[utoipa::path(
    post, path = "/api/v1/incidents", tag = "incidents", operation_id = "create_incident",
    params(("Idempotency-Key" = Option<String>, Header, description = "What this request is called, up to 255 characters")),
    request_body = CreateIncident,
    responses(
        (status = 201, description = "It is open", body = IncidentInfo),
        (status = 404, description = "There is no such service", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "One with this key is open (`dedup-conflict`), or too many of its service are (`too-many-open`)", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 422, description = "Another request was called the same", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn create(
    State(api): State<Api>,
    principal: Principal,
    RequestKey(key): RequestKey,
    body: JsonText,
) -> Result<Found, Problem> {
    let new = parse::<CreateIncident<'_>>(body.text()?, api.limits)?.checked(&principal)?;
    let once = key.map(|key| Once {
        principal: principal.0,
        key,
        digest: crate::incidents::digest_of(body.text().unwrap_or_default().as_bytes()),
        expires_at: unix_micros() + REMEMBERED_MICROS,
    });
    match api.incidents()?.create(new, once).await? {
        Created::New(incident) => Ok(Found::created(*incident)),
        Created::Before(id, answer) => Ok(Found::created_before(id, answer)),
        Created::Mismatch => Err(Problem::idempotency_mismatch()),
        Created::Open(id) => Err(Problem::dedup_conflict(id)),
        Created::NoService => Err(Problem::not_found("there is no service with this slug")),
    }
}

/// Put something right
#[utoipa::path(
    patch, path = "/api/v1/incidents/{id}", tag = "incidents", operation_id = "edit_incident",
    params(
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that is known; it is not changed when there is a newer one"),
    ),
    request_body = EditIncident,
    responses(
        (status = 200, description = "As it is now", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "It is resolved", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 412, description = "Something has happened since", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn edit(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    expected: IfMatch,
    body: JsonText,
) -> Result<Found, Problem> {
    let EditIncident { title, severity, assignee, by } = parse(body.text()?, api.limits)?;
    title.as_ref().map_or(Ok(()), |title| check_title(title))?;
    if let Some(Some(assignee)) = &assignee {
        check_assignee(assignee)?;
    }
    let severity = severity.map(|word| read_severity(&word)).transpose()?;
    let action = Action::Edit(Edit { title, severity, assignee });
    api.act(id, action, &principal, by, expected).await
}

/// Take care of an incident
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/acknowledge", tag = "incidents", operation_id = "acknowledge_incident",
    params(
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that is known"),
    ),
    request_body = Option<Doer>,
    responses(
        (status = 200, description = "As it is now", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "It is resolved", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 412, description = "Something has happened since", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn acknowledge(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    expected: IfMatch,
    body: JsonText,
) -> Result<Found, Problem> {
    let Doer { by } = body.or_empty(api.limits)?;
    api.act(id, Action::Acknowledge, &principal, by, expected).await
}

/// Take no care of an incident any more
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/unacknowledge", tag = "incidents", operation_id = "unacknowledge_incident",
    params(
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that is known"),
    ),
    request_body = Option<Doer>,
    responses(
        (status = 200, description = "As it is now", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "Nobody took care of it", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 412, description = "Something has happened since", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn unacknowledge(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    expected: IfMatch,
    body: JsonText,
) -> Result<Found, Problem> {
    let Doer { by } = body.or_empty(api.limits)?;
    api.act(id, Action::Unacknowledge, &principal, by, expected).await
}

/// Say that an incident is over
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/resolve", tag = "incidents", operation_id = "resolve_incident",
    params(
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that is known"),
    ),
    request_body = Option<Doer>,
    responses(
        (status = 200, description = "As it is now", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 412, description = "Something has happened since", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn resolve(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    expected: IfMatch,
    body: JsonText,
) -> Result<Found, Problem> {
    let Doer { by } = body.or_empty(api.limits)?;
    api.act(id, Action::Resolve, &principal, by, expected).await
}

/// Leave an incident alone for a while
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/snooze", tag = "incidents", operation_id = "snooze_incident",
    params(
        ("id" = String, Path, description = "Its id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that is known"),
    ),
    request_body = Snooze,
    responses(
        (status = 200, description = "As it is now", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "It is resolved or suppressed", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 412, description = "Something has happened since", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn snooze(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    expected: IfMatch,
    body: JsonText,
) -> Result<Found, Problem> {
    let Snooze { until, by } = parse(body.text()?, api.limits)?;
    api.act(id, Action::Snooze(read_end(&until)?), &principal, by, expected).await
}

/// Say something about an incident
#[utoipa::path(
    post, path = "/api/v1/incidents/{id}/notes", tag = "incidents", operation_id = "create_note",
    params(("id" = String, Path, description = "Its id")),
    request_body = Note,
    responses(
        (status = 201, description = "The incident; the note is its newest event", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn annotate(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    principal: Principal,
    body: JsonText,
) -> Result<Response, Problem> {
    let Note { text, by } = parse(body.text()?, api.limits)?;
    check_note(&text)?;
    let found = api.act(id, Action::Annotate(text), &principal, by, IfMatch(None)).await?;
    let mut response = found.into_response();
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

impl Api {
    async fn act(
        &self,
        id: Uuid,
        action: Action,
        principal: &Principal,
        by: Option<String>,
        expected: IfMatch,
    ) -> Result<Found, Problem> {
        let actor = actor(principal, by)?;
        answer(self.incidents()?.change(id, action, actor, expected.0).await?)
    }
}
