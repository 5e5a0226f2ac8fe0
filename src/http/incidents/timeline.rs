//! What happened to an incident, event by event.

use super::super::Api;
use super::super::input::Params;
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::IncidentId;
use super::answers::{no_incident, show_time};
use crate::store::TimelineEvent;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most events of a timeline in one answer.
const TIMELINE_MAX: u32 = 1_000;

/// Which events of a timeline are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct TimelineParams {
    /// Only events behind this number; 0, all of them, unless given
    after_seq: Option<i64>,
}

/// Events of an incident, in order
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Timeline {
    data: Vec<TimelineEntry>,
    /// The number of the newest event: when the last one here has a smaller number, there are more
    last_seq: i64,
}

/// An event of an incident, as its rooms hear it
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TimelineEntry {
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
pub(in crate::http) async fn timeline(
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
pub(in crate::http) async fn notes(
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
        let events = store.timeline(id, after, incident.seq, TIMELINE_MAX).await?;
        let last_seq = events.last().map_or(incident.seq, |last| last.seq.max(incident.seq));
        let data = events.into_iter().filter(|event| wanted(&event.kind)).map(TimelineEntry::of);
        Ok(Timeline { data: data.collect::<Result<_, _>>()?, last_seq })
    }
}
