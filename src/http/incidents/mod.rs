//! Incidents: what there are, what happened to them, and what people do about them.

mod acts;
mod answers;
mod bodies;

pub(super) use acts::{
    __path_acknowledge, __path_annotate, __path_create, __path_edit, __path_resolve, __path_snooze,
    __path_unacknowledge, acknowledge, annotate, create, edit, resolve, snooze, unacknowledge,
};
pub(super) use answers::IncidentInfo;
pub(super) use bodies::{check_text, read_time};

use super::Api;
use super::input::Params;
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::incidents::Incidents;
use crate::store::{Incident, IncidentFilter, Severity, Status, TimelineEvent};
use answers::{Found, no_incident, show_time};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// Entries of a page unless the request says how many.
const PAGE_DEFAULT: u32 = 50;

/// Most entries of a page.
const PAGE_MAX: u32 = 200;

/// Longest text that is looked for in titles, in characters.
const TEXT_MAX: usize = 200;

/// Most events of a timeline in one answer.
const TIMELINE_MAX: u32 = 1_000;

impl Api {
    /// The incidents, if this server has a database.
    pub(super) fn incidents(&self) -> Result<&Incidents, Problem> {
        let detail = "this server has no database, so there are no incidents: set DATABASE_URL";
        self.kept.as_ref().map(|kept| &kept.incidents).ok_or_else(|| Problem::not_found(detail))
    }
}

/// The incident that the path names.
#[derive(Debug)]
pub(super) struct IncidentId(Uuid);

impl FromRequestParts<Api> for IncidentId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let id = Path::<Uuid>::from_request_parts(parts, api).await;
        id.map(|Path(id)| Self(id)).map_err(|_| no_incident())
    }
}

/// Which incidents to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IncidentsParams {
    /// `open` for all that are not resolved, or one status
    status: Option<String>,
    /// Only those that are this bad
    severity: Option<String>,
    /// Only those of the service with this slug
    service: Option<String>,
    /// Only those that this user takes care of
    assignee: Option<String>,
    /// Only those of the services of this team
    team: Option<String>,
    /// Only those with this in their title, 1 to 200 characters, in small letters or large
    q: Option<String>,
    /// Only those opened at this time or later, RFC 3339
    since: Option<String>,
    /// Only those opened before this time, RFC 3339
    until: Option<String>,
    /// Only those of which monitoring said something after this time (`last_event_at`), RFC 3339
    updated_after: Option<String>,
    /// Most entries, 1 to 200; 50 unless given
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before
    cursor: Option<String>,
}

/// A page of incidents, the newest first
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IncidentList {
    #[schema(value_type = Vec<IncidentInfo>)]
    data: Vec<Incident>,
    /// The `cursor` of the next page, if there is one
    next_cursor: Option<String>,
}

/// Which events of a timeline are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineParams {
    /// Only events behind this number; 0, all of them, unless given
    after_seq: Option<i64>,
}

/// Events of an incident, in order
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    data: Vec<TimelineEntry>,
    /// The number of the newest event: when the last one here has a smaller number, there are more
    last_seq: i64,
}

/// An event of an incident, as its rooms hear it
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelineEntry {
    /// Its number, from 1 without a gap
    seq: i64,
    /// What happened
    #[schema(example = "incident.acknowledged")]
    r#type: String,
    /// When
    at: String,
    /// Who did it
    #[schema(value_type = serde_json::Value)]
    actor: Box<RawValue>,
    /// What changed
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
}

impl TimelineEntry {
    fn of(event: TimelineEvent) -> Result<Self, Problem> {
        let raw = |text| RawValue::from_string(text).map_err(|error| Problem::internal(&error.to_string()));
        let TimelineEvent { seq, kind, actor, data, at } = event;
        Ok(Self { seq, r#type: kind, at: show_time(at), actor: raw(actor)?, data: raw(data)? })
    }
}

/// List incidents, the newest first
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", operation_id = "list_incidents",
    params(IncidentsParams),
    responses((status = 200, description = "A page of incidents", body = IncidentList)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<IncidentsParams>,
) -> Result<Json<IncidentList>, Problem> {
    let page = api.incidents()?.store().incidents.incidents(filter(params)?).await?;
    let next_cursor = page.incidents.last().filter(|_| page.more).map(|last| show_cursor(last.opened_at, last.id));
    Ok(Json(IncidentList { data: page.incidents, next_cursor }))
}

/// See one incident
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}", tag = "incidents", operation_id = "get_incident",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The incident; `ETag` has the number of its newest event", body = IncidentInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn one(State(api): State<Api>, IncidentId(id): IncidentId) -> Result<Found, Problem> {
    api.incidents()?.store().incidents.incident(id).await?.map(Found::from).ok_or_else(no_incident)
}

/// See what happened to an incident
///
/// Whoever is in its room and misses a number asks for what is behind the last one it has.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/timeline", tag = "incidents", operation_id = "get_timeline",
    params(("id" = String, Path, description = "Its id"), TimelineParams),
    responses(
        (status = 200, description = "Its events", body = Timeline),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn timeline(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    Params(params): Params<TimelineParams>,
) -> Result<Json<Timeline>, Problem> {
    let after = params.after_seq.unwrap_or(0);
    api.timeline_after(id, after, |_| true).await.map(Json)
}

/// See what people said about an incident
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/notes", tag = "incidents", operation_id = "get_notes",
    params(("id" = String, Path, description = "Its id"), TimelineParams),
    responses(
        (status = 200, description = "Its notes, among its first 1,000 events behind `after_seq`", body = Timeline),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn notes(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    Params(params): Params<TimelineParams>,
) -> Result<Json<Timeline>, Problem> {
    let after = params.after_seq.unwrap_or(0);
    api.timeline_after(id, after, |kind| kind == "incident.annotated").await.map(Json)
}

impl Api {
    async fn timeline_after(&self, id: Uuid, after: i64, wanted: fn(&str) -> bool) -> Result<Timeline, Problem> {
        let store = &self.incidents()?.store().incidents;
        // The incident first: what happens in between is in the answer, and its number is not promised.
        let incident = store.incident(id).await?.ok_or_else(no_incident)?;
        let events = store.timeline(id, after, TIMELINE_MAX).await?;
        let last_seq = events.last().map_or(incident.seq, |last| last.seq.max(incident.seq));
        let data = events.into_iter().filter(|event| wanted(&event.kind)).map(TimelineEntry::of);
        Ok(Timeline { data: data.collect::<Result<_, _>>()?, last_seq })
    }
}

fn filter(params: IncidentsParams) -> Result<IncidentFilter, Problem> {
    let IncidentsParams { status, severity, service, assignee, team, q, since, until, updated_after, limit, cursor } =
        params;
    let open = status.as_deref() == Some("open");
    let status = status.filter(|_| !open).map(|word| {
        let words = "open, triggered, acknowledged, snoozed, suppressed or resolved";
        Status::parse(&word).ok_or_else(|| Problem::bad_request(format!("\"status\" is {words}")))
    });
    let severity = severity.map(|word| {
        Severity::parse(&word).ok_or_else(|| Problem::bad_request("\"severity\" is critical, error, warning or info"))
    });
    let texts = [("service", &service, 255), ("assignee", &assignee, 255), ("team", &team, 255), ("q", &q, TEXT_MAX)];
    for (name, value, most) in texts {
        value.as_ref().map_or(Ok(()), |value| check_text(name, value, most))?;
    }
    Ok(IncidentFilter {
        status: status.transpose()?,
        open,
        severity: severity.transpose()?,
        service,
        assignee,
        team,
        text: q,
        since: since.map(|text| read_time("since", &text)).transpose()?,
        until: until.map(|text| read_time("until", &text)).transpose()?,
        updated_after: updated_after.map(|text| read_time("updated_after", &text)).transpose()?,
        after: cursor.map(|cursor| read_cursor(&cursor)).transpose()?,
        limit: page_limit(limit)?,
    })
}

/// How many entries a page has.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    let fits = (1..=PAGE_MAX).contains(&limit);
    fits.then_some(limit).ok_or_else(|| Problem::bad_request(format!("\"limit\" is a number from 1 to {PAGE_MAX}")))
}

/// The place behind an incident in a listing.
fn show_cursor(opened_at: i64, id: Uuid) -> String {
    let mut bytes = opened_at.to_be_bytes().to_vec();
    bytes.extend_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Result<(i64, Uuid), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let parts = bytes.split_first_chunk::<8>().and_then(|(time, id)| Some((*time, Uuid::from_slice(id).ok()?)));
    let (time, id) = parts.ok_or_else(|| Problem::bad_request("\"cursor\" is the \"next_cursor\" of a page before"))?;
    Ok((i64::from_be_bytes(time), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_shown() {
        let id = Uuid::now_v7();
        assert_eq!(read_cursor(&show_cursor(1_700_000_000_000_000, id)).unwrap(), (1_700_000_000_000_000, id));
        for bad in ["", "x", "AAAA", "ää", &"A".repeat(100)] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
