//! Incidents: what there are, what happened to them, and what people do about them.

mod acts;
mod alerts;
mod answers;
mod bodies;
mod timeline;

pub(super) use acts::{
    __path_acknowledge, __path_annotate, __path_create, __path_edit, __path_resolve, __path_snooze,
    __path_unacknowledge, acknowledge, annotate, create, edit, resolve, snooze, unacknowledge,
};
pub(super) use alerts::{__path_alerts, alerts};
pub(super) use answers::IncidentInfo;
pub(super) use bodies::{check_text, read_time};
pub(super) use timeline::{__path_notes, __path_timeline, notes, timeline};

use super::Api;
use super::input::Params;
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::incidents::Incidents;
use crate::store::{Incident, IncidentFilter, Severity, Status};
use answers::{Found, no_incident};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use utoipa::ToSchema;
use uuid::Uuid;

/// Entries of a page unless the request says how many.
const PAGE_DEFAULT: u32 = 50;

/// Most entries of a page.
const PAGE_MAX: u32 = 200;

/// Longest text that is looked for in titles, in characters.
const TEXT_MAX: usize = 200;

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

/// Whether somebody wants nothing that is old: `Cache-Control: no-cache`, as browsers send it when a page asks for that.
#[derive(Debug)]
pub(super) struct Newest(bool);

impl FromRequestParts<Api> for Newest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let mut said = parts.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        Ok(Self(said.any(|said| said.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-cache")))))
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

/// List incidents, the newest first
#[utoipa::path(
    get, path = "/api/v1/incidents", tag = "incidents", operation_id = "list_incidents",
    params(
        IncidentsParams,
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: nothing that was there before this request may be missing. Else the list may be as old as `db-read-lag`, when it comes from a replica of the database"),
    ),
    responses((status = 200, description = "A page of incidents", body = IncidentList)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Newest(newest): Newest,
    Params(params): Params<IncidentsParams>,
) -> Result<Json<IncidentList>, Problem> {
    let filter = IncidentFilter { newest, ..filter(params)? };
    let page = api.incidents()?.store().incidents.incidents(filter).await?;
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
        newest: false,
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
    let (time, id) = parts.ok_or_else(bad_cursor)?;
    Ok((i64::from_be_bytes(time), id))
}

fn bad_cursor() -> Problem {
    Problem::bad_request("\"cursor\" is the \"next_cursor\" of a page before")
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
