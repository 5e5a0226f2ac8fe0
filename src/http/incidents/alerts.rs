//! What monitoring said of an incident, word by word.

use super::super::Api;
use super::super::input::Params;
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::answers::no_incident;
use super::{IncidentId, Newest, bad_cursor, page_limit};
use crate::store::{Alert, AlertFilter};
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Which alerts to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AlertsParams {
    /// Most entries, 1 to 200; 50 unless given. There are fewer when their details have more than 1 MiB together
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before
    cursor: Option<String>,
}

/// A page of alerts, the newest first
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AlertList {
    #[schema(value_type = Vec<AlertInfo>)]
    data: Vec<Alert>,
    /// The `cursor` of the next page, if there is one
    next_cursor: Option<String>,
}

/// An event of monitoring as it came in
#[derive(Debug, ToSchema)]
#[schema(as = Alert)]
#[expect(dead_code, reason = "describes what the store writes; a test compares")]
pub(in crate::http) struct AlertInfo {
    /// Its number; later ones have larger numbers
    id: i64,
    /// `trigger`, `acknowledge` or `resolve`
    #[schema(example = "trigger")]
    action: String,
    /// What events of monitoring have in common that are about the same
    dedup_key: String,
    /// `critical`, `error`, `warning` or `info`, if it was a trigger
    severity: Option<String>,
    /// What it is about, if it was a trigger
    title: Option<String>,
    /// More about it
    details: Option<serde_json::Value>,
    /// Whether there was more about it than is kept: `details` is `null` then
    details_cut: bool,
    /// The integration key with which it came
    key_id: Uuid,
    /// When it came
    received_at: String,
}

/// See what monitoring said of an incident
///
/// The newest first; up to `alerts-per-incident` triggers of an incident are kept, for `alert-retention-days`.
#[utoipa::path(
    get, path = "/api/v1/incidents/{id}/alerts", tag = "incidents", operation_id = "list_alerts",
    params(
        ("id" = String, Path, description = "Its id"),
        AlertsParams,
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: nothing that was there before this request may be missing"),
    ),
    responses(
        (status = 200, description = "A page of alerts", body = AlertList),
        (status = 404, description = "There is no such incident", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn alerts(
    State(api): State<Api>,
    IncidentId(id): IncidentId,
    Newest(newest): Newest,
    Params(params): Params<AlertsParams>,
) -> Result<Json<AlertList>, Problem> {
    let before = params.cursor.map(|cursor| read_cursor(&cursor)).transpose()?;
    let filter = AlertFilter { incident: id, before, limit: page_limit(params.limit)?, newest };
    let store = api.incidents()?.store();
    let page = store.alerts.alerts(filter).await?;
    if page.alerts.is_empty() {
        store.incidents.incident(id).await?.ok_or_else(no_incident)?;
    }
    let next_cursor = page.alerts.last().filter(|_| page.more).map(|last| show_cursor(last.id));
    Ok(Json(AlertList { data: page.alerts, next_cursor }))
}

/// The place behind an alert in a listing.
fn show_cursor(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_be_bytes())
}

fn read_cursor(text: &str) -> Result<i64, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| bad_cursor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use utoipa::PartialSchema as _;

    #[test]
    fn a_cursor_is_read_as_it_was_shown() {
        assert_eq!(read_cursor(&show_cursor(7)).unwrap(), 7);
        for bad in ["", "x", "AAAA", "ää"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_description_has_the_fields_that_are_written() {
        let alert = Alert {
            id: 1,
            action: "trigger".into(),
            dedup_key: "disk".into(),
            severity: None,
            title: None,
            details: Some("{}".into()),
            key_id: Uuid::nil(),
            received_at: 0,
            details_cut: false,
        };
        let names = |value: serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let described = serde_json::to_value(AlertInfo::schema()).unwrap();
        assert_eq!(names(described["properties"].clone()), names(serde_json::to_value(&alert).unwrap()));
    }
}
