//! A group of alerts of Alertmanager as one event.

use super::super::problem::Problem;
use super::alertmanager::{Alert, Notification};
use super::title;
use crate::incidents::{Event, EventAction, digest_of};
use crate::store::Severity;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most alerts of a group that are kept with its incident.
const ALERTS_KEPT: usize = 20;

/// Longest key of a group, in characters.
const GROUP_KEY_MAX: usize = 65_536;

/// What is an incident of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupBy {
    /// Each alert.
    Alert,
    /// All alerts that Alertmanager tells of together.
    Group,
}

impl GroupBy {
    /// The word of a request.
    pub(super) fn parse(word: Option<&str>) -> Result<Self, Problem> {
        match word {
            None | Some("alert") => Ok(Self::Alert),
            Some("group") => Ok(Self::Group),
            Some(_) => Err(Problem::bad_request("\"group_by\" is alert or group")),
        }
    }
}

/// The key of the incident of a group: keys of groups hold all their labels and may be longer than a key of an incident.
fn dedup_key(group_key: &str) -> String {
    let mut key = "group-".to_owned();
    for byte in digest_of(group_key.as_bytes()) {
        // Writing to a String cannot fail.
        let _infallible = write!(key, "{byte:02x}");
    }
    key
}

impl Notification {
    /// All alerts as one event: the group fires as long as one of them does, and is as bad as the worst of those that fire.
    pub(super) fn event(&self) -> Result<Event, Problem> {
        super::super::incidents::check_text("groupKey", &self.group_key, GROUP_KEY_MAX)?;
        let action = match self.status.as_str() {
            "firing" => EventAction::Trigger,
            "resolved" => EventAction::Resolve,
            _ => return Err(Problem::bad_request("\"status\" of a notification is firing or resolved")),
        };
        // Alerts that cannot be read are none here either.
        for alert in &self.alerts {
            alert.event()?;
        }
        let firing = self.alerts.iter().filter(|alert| alert.is_firing());
        let severity = firing.clone().map(Alert::severity).min_by_key(|severity| rank(*severity));
        let kept: Vec<_> = self.alerts.iter().take(ALERTS_KEPT).collect();
        let details = json!({
            "groupKey": self.group_key, "groupLabels": self.group_labels, "commonLabels": self.common_labels,
            "commonAnnotations": self.common_annotations, "firing": firing.count(), "alerts": kept,
            "truncatedAlerts": u64::from(self.truncated_alerts) + (self.alerts.len() - kept.len()) as u64,
        });
        Ok(Event {
            action,
            dedup_key: Some(dedup_key(&self.group_key)),
            severity: severity.unwrap_or(Severity::Warning),
            title: self.title(),
            details: Some(details.to_string()),
        })
    }

    /// What all alerts say, or else what the group is named after.
    fn title(&self) -> String {
        let said = |map: &BTreeMap<String, String>, name: &str| map.get(name).and_then(|text| title(text));
        said(&self.common_annotations, "summary")
            .or_else(|| said(&self.common_labels, "alertname"))
            .or_else(|| title(&self.group_labels.values().cloned().collect::<Vec<_>>().join(" ")))
            .or_else(|| title(&self.group_key))
            .unwrap_or_else(|| "a group of alerts".into())
    }
}

/// The worst first.
fn rank(severity: Severity) -> Option<usize> {
    [Severity::Critical, Severity::Error, Severity::Warning, Severity::Info].iter().position(|one| *one == severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn event(value: Value) -> Result<Event, Problem> {
        serde_json::from_value::<Notification>(value).unwrap().event()
    }

    fn alert(status: &str, severity: &str) -> Value {
        json!({"status": status, "fingerprint": "f", "labels": {"severity": severity}})
    }

    #[test]
    fn a_group_is_as_bad_as_the_worst_alert_that_fires() {
        let group = json!({
            "version": "4", "status": "firing", "groupKey": "{}:{alertname=\"Disk\"}".repeat(50),
            "commonLabels": {"alertname": "Disk"},
            "alerts": [alert("firing", "info"), alert("firing", "error"), alert("resolved", "critical")],
        });
        let event = event(group).unwrap();
        assert_eq!((event.severity, event.title.as_str()), (Severity::Error, "Disk"));
        assert_eq!(event.dedup_key.unwrap().len(), 70, "however long the key of the group is");
        let details: Value = serde_json::from_str(&event.details.unwrap()).unwrap();
        assert_eq!((&details["firing"], &details["truncatedAlerts"]), (&json!(2), &json!(0)));
    }

    #[test]
    fn a_large_group_is_cut_and_says_so() {
        let alerts = vec![alert("firing", "page"); ALERTS_KEPT + 5];
        let group =
            json!({"version": "4", "status": "firing", "groupKey": "g", "truncatedAlerts": 2, "alerts": alerts});
        let details: Value = serde_json::from_str(&event(group).unwrap().details.unwrap()).unwrap();
        assert_eq!(
            (details["alerts"].as_array().unwrap().len(), &details["truncatedAlerts"]),
            (ALERTS_KEPT, &json!(7))
        );
    }

    #[test]
    fn what_no_group_has_is_named() {
        let named = |value: Value, name: &str| {
            let problem = event(value).unwrap_err();
            assert!(problem.parts().1.contains(name), "{name}: {problem:?}");
        };
        named(json!({"version": "4", "status": "firing", "alerts": []}), "\"groupKey\"");
        named(json!({"version": "4", "status": "on", "groupKey": "g", "alerts": []}), "\"status\"");
        named(json!({"version": "4", "status": "firing", "groupKey": "g", "alerts": [alert("on", "")]}), "\"status\"");
        assert!(GroupBy::parse(Some("label")).is_err());
    }
}
