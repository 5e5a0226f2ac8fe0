//! What is kept, as plain data. Times are microseconds since 1970.

mod alerts;
mod changes;
mod figures;
mod lists;

pub(in crate::store) use alerts::{ALERT_DETAILS_MAX_BYTES, ALERTS_MAX_BYTES, keep_statement, page_statement};
pub use alerts::{Alert, AlertFilter, AlertPage, NewAlert};
pub use changes::{
    Actor, Created, Deleted, Ingested, NewIncident, NewKey, Once, OutboxEvent, OutboxPart, Reason, Step, StepEvent,
    TimelineEvent, Transitioned, Trigger, Verdict, Which,
};
pub(in crate::store) use changes::{answer_of, not_json, opening};
pub use figures::{DashboardScope, FIGURES_MINUTES, Figures, Looked, Took};
pub use lists::{IncidentFilter, Page};

use jiff::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Longest details, in bytes, that an event carries; longer ones are in the API only.
pub(in crate::store) const EVENT_DETAILS_MAX_BYTES: usize = 4 * 1024;

/// How an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody has taken care of it yet.
    Triggered,
    /// Somebody takes care of it.
    Acknowledged,
    /// It is left alone until some time.
    Snoozed,
    /// Its service is under maintenance.
    Suppressed,
    /// It is over.
    Resolved,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Triggered, Self::Acknowledged, Self::Snoozed, Self::Suppressed, Self::Resolved];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How bad an incident is, in `PagerDuty`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The worst.
    Critical,
    /// Something does not work.
    Error,
    /// Something may stop to work.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Error, Self::Warning, Self::Info];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// The severity of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// What incidents are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub id: Uuid,
    /// Its name in addresses and rooms; never changes.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Until when what happens to it wakes nobody.
    pub maintenance_until: Option<i64>,
    /// Whose it is.
    pub team: Option<String>,
    /// In how many seconds somebody should take care of what happens to it, if that is its own affair.
    pub ack_target_secs: Option<i64>,
    /// How many of its incidents may be open at once; as the setting says when nothing is here.
    pub max_open: Option<i64>,
    /// When it was made.
    pub created_at: i64,
}

/// A key by which monitoring speaks for a service, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationKey {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// A key that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The slug of its service.
    pub service: String,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: Uuid,
    /// Its number for people.
    pub number: i64,
    /// The slug of its service.
    pub service: String,
    /// What events of monitoring have in common that are about it.
    pub dedup_key: String,
    /// How it stands.
    pub status: Status,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, in a line.
    pub title: String,
    /// More about it, as JSON.
    pub details: Option<String>,
    /// Who takes care of it.
    pub assignee: Option<String>,
    /// The number of its newest event.
    pub seq: i64,
    /// How often it happened.
    pub trigger_count: i64,
    /// When it happened first.
    pub opened_at: i64,
    /// When it happened last.
    pub last_event_at: i64,
    /// When somebody took care of it.
    pub acknowledged_at: Option<i64>,
    /// When it was over.
    pub resolved_at: Option<i64>,
    /// Until when it is snoozed or suppressed.
    pub wakes_at: Option<i64>,
    /// The one before it with the same key.
    pub previous_id: Option<Uuid>,
}

impl Incident {
    /// The incident as events carry it: as the API shows it, without details that are long.
    ///
    /// # Errors
    /// Never, as long as its details are JSON.
    pub fn for_event(&self) -> serde_json::Result<Box<RawValue>> {
        let is_long = self.details.as_ref().is_some_and(|details| details.len() > EVENT_DETAILS_MAX_BYTES);
        if is_long {
            return serde_json::value::to_raw_value(&Self { details: None, ..self.clone() });
        }
        serde_json::value::to_raw_value(self)
    }
}

impl Serialize for Incident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details = self.details.as_deref().map(serde_json::from_str::<&RawValue>).transpose();
        let details = details.map_err(serde::ser::Error::custom)?;
        let snoozed_until = self.wakes_at.filter(|_| self.status == Status::Snoozed);
        let mut out = serializer.serialize_struct("Incident", 17)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("number", &self.number)?;
        out.serialize_field("service", &self.service)?;
        out.serialize_field("dedup_key", &self.dedup_key)?;
        out.serialize_field("status", self.status.as_str())?;
        out.serialize_field("severity", self.severity.as_str())?;
        out.serialize_field("title", &self.title)?;
        out.serialize_field("assignee", &self.assignee)?;
        out.serialize_field("seq", &self.seq)?;
        out.serialize_field("trigger_count", &self.trigger_count)?;
        out.serialize_field("opened_at", &show_time(self.opened_at))?;
        out.serialize_field("last_event_at", &show_time(self.last_event_at))?;
        out.serialize_field("acknowledged_at", &self.acknowledged_at.map(show_time))?;
        out.serialize_field("resolved_at", &self.resolved_at.map(show_time))?;
        out.serialize_field("snoozed_until", &snoozed_until.map(show_time))?;
        out.serialize_field("previous_id", &self.previous_id)?;
        if let Some(details) = details {
            out.serialize_field("details", details)?;
        } else {
            out.skip_field("details")?;
        }
        out.end()
    }
}

/// A time as RFC 3339 in UTC.
pub(in crate::store) fn show_time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_meanings_belong_together() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Some(severity));
        }
        assert_eq!((Status::parse("open"), Severity::parse("")), (None, None));
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show_time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(show_time(i64::MAX), "1970-01-01T00:00:00Z", "a time that cannot be shown is none");
    }
}
