//! Alertmanager's webhook, version 4.

use super::super::Api;
use super::super::input::{JsonText, Params};
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::group::GroupBy;
use super::{DEDUP_KEY_MAX, title};
use crate::incidents::{Event, EventAction, Received, digest_of};
use crate::store::{Severity, StoreError};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most alerts in one notification.
const ALERTS_MAX: usize = 1_000;

/// A notification of Alertmanager, version 4; what is not here is ignored
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Notification {
    /// `4`
    version: String,
    /// `firing` while one alert of its group is; needed with `group_by=group`
    #[serde(default)]
    pub(super) status: String,
    /// Its group; needed with `group_by=group`
    #[serde(default)]
    pub(super) group_key: String,
    #[serde(default)]
    pub(super) group_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) common_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) common_annotations: BTreeMap<String, String>,
    /// How many alerts Alertmanager left out
    #[serde(default)]
    pub(super) truncated_alerts: u32,
    /// The alerts
    pub(super) alerts: Vec<Alert>,
}

/// What is an incident.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AlertmanagerParams {
    /// `alert`, as unless given: each alert is an incident, known by its fingerprint; `group`: all of a notification are
    /// one, known by `groupKey`
    group_by: Option<String>,
}

/// An alert
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Alert {
    /// `firing` or `resolved`
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// When it began
    #[serde(default)]
    starts_at: String,
    /// Where to look at it
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    /// Its labels, in short: the key of its incident
    fingerprint: String,
}

/// What became of each alert, in the order of the request, or of their group
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NotificationOutcome {
    results: Vec<AlertOutcome>,
}

/// What became of an alert
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AlertOutcome {
    /// The key of its incident
    dedup_key: String,
    /// `triggered`, `deduplicated`, `suppressed`, `resolved` or `ignored`
    action: &'static str,
}

/// Post a notification of Alertmanager
///
/// Each alert is an incident; its fingerprint is the key. With `group_by=group` all alerts of a notification are one incident, and
/// what identifies their group is the key: it is resolved when all of them are. What cannot be taken now is answered 503, never 429, as
/// Alertmanager tries again only then.
#[utoipa::path(
    post, path = "/api/v1/integrations/alertmanager/{key}", tag = "monitoring", operation_id = "alertmanager",
    params(("key" = String, Path, description = "The key of a service"), AlertmanagerParams),
    request_body = Notification,
    responses(
        (status = 202, description = "What became of each alert", body = NotificationOutcome),
        (status = 400, description = "It is no notification of version 4", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 401, description = "The key is not known", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 503, description = "It cannot be kept now. Alerts before the one that could not be kept count once more when it is sent again", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn alertmanager(
    State(api): State<Api>,
    Path(key): Path<String>,
    Params(params): Params<AlertmanagerParams>,
    body: JsonText,
) -> Result<(StatusCode, Json<NotificationOutcome>), Problem> {
    let group_by = GroupBy::parse(params.group_by.as_deref())?;
    let notification: Notification = super::super::input::parse(body.text()?, api.limits)?;
    if notification.version != "4" {
        return Err(Problem::bad_request("\"version\" is 4"));
    }
    if notification.alerts.len() > ALERTS_MAX {
        return Err(Problem::bad_request(format!("\"alerts\" has at most {ALERTS_MAX}")));
    }
    let incidents = api.incidents()?;
    if incidents.store().services.known_key(digest_of(key.as_bytes())).await?.is_none() {
        return Err(Problem::unauthenticated());
    }
    let events = match group_by {
        GroupBy::Alert => notification.alerts.iter().map(Alert::event).collect::<Result<Vec<_>, _>>()?,
        GroupBy::Group => vec![notification.event()?],
    };
    let mut results = Vec::with_capacity(events.len());
    let mut full = false;
    for event in events {
        let received = match incidents.receive(&key, event).await {
            // Those behind it may be about incidents that are open, or over.
            Err(StoreError::Full) => {
                full = true;
                continue;
            }
            received => received?,
        };
        let action = received.word();
        match received {
            Received::UnknownKey => return Err(Problem::unauthenticated()),
            Received::Ignored(dedup_key) | Received::Done(dedup_key, _) => {
                results.push(AlertOutcome { dedup_key, action });
            }
        }
    }
    if full {
        return Err(Problem::too_many_open_now());
    }
    Ok((StatusCode::ACCEPTED, Json(NotificationOutcome { results })))
}

impl Alert {
    pub(super) fn is_firing(&self) -> bool {
        self.status == "firing"
    }

    /// How bad it is, as far as its labels say.
    pub(super) fn severity(&self) -> Severity {
        match self.labels.get("severity").map(String::as_str) {
            Some("critical" | "page") => Severity::Critical,
            Some("error") => Severity::Error,
            Some("info" | "none") => Severity::Info,
            _ => Severity::Warning,
        }
    }

    pub(super) fn event(&self) -> Result<Event, Problem> {
        let action = match self.status.as_str() {
            "firing" => EventAction::Trigger,
            "resolved" => EventAction::Resolve,
            _ => return Err(Problem::bad_request("\"status\" of an alert is firing or resolved")),
        };
        super::super::incidents::check_text("fingerprint", &self.fingerprint, DEDUP_KEY_MAX)?;
        let said = |map: &BTreeMap<String, String>, name: &str| map.get(name).and_then(|text| title(text));
        let name = said(&self.annotations, "summary").or_else(|| said(&self.labels, "alertname"));
        Ok(Event {
            action,
            dedup_key: Some(self.fingerprint.clone()),
            severity: self.severity(),
            title: name.unwrap_or_else(|| self.fingerprint.clone()),
            details: serde_json::to_string(self).ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_alert_is_named_by_its_summary_and_known_by_its_fingerprint() {
        let alert = |value: Value| serde_json::from_value::<Alert>(value).unwrap().event().unwrap();
        let event = alert(json!({
            "status": "firing", "fingerprint": "f1", "labels": {"alertname": "Disk", "severity": "critical"},
            "annotations": {"summary": "disk full"},
        }));
        assert_eq!(
            (event.title.as_str(), event.severity, event.action),
            ("disk full", Severity::Critical, EventAction::Trigger)
        );
        let event = alert(json!({"status": "resolved", "fingerprint": "f1", "labels": {"alertname": "Disk"}}));
        assert_eq!((event.title.as_str(), event.action), ("Disk", EventAction::Resolve));
    }
}
