//! What monitoring said, word by word.

use super::show_time;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Details of alerts in one answer, in bytes; an answer has one alert at least.
pub(in crate::store) const ALERTS_MAX_BYTES: i64 = 1024 * 1024;

/// Longest details, in bytes, of an alert that did not open its incident; longer ones are not kept.
pub(in crate::store) const ALERT_DETAILS_MAX_BYTES: i64 = 16 * 1024;

/// An event of monitoring as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its number; later ones have larger numbers.
    pub id: i64,
    /// `trigger`, `acknowledge` or `resolve`.
    pub action: String,
    /// What it has in common with others about the same.
    pub dedup_key: String,
    /// How bad it is, if it said so.
    pub severity: Option<String>,
    /// What it is about, if it said so.
    pub title: Option<String>,
    /// More about it, as JSON.
    pub details: Option<String>,
    /// Whether there was more about it than is kept.
    pub details_cut: bool,
    /// The integration key with which it came.
    pub key_id: Uuid,
    /// When it came.
    pub received_at: i64,
}

impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details = self.details.as_deref().map(serde_json::from_str::<&RawValue>).transpose();
        let mut out = serializer.serialize_struct("Alert", 9)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("action", &self.action)?;
        out.serialize_field("dedup_key", &self.dedup_key)?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("title", &self.title)?;
        out.serialize_field("details", &details.map_err(serde::ser::Error::custom)?)?;
        out.serialize_field("details_cut", &self.details_cut)?;
        out.serialize_field("key_id", &self.key_id)?;
        out.serialize_field("received_at", &show_time(self.received_at))?;
        out.end()
    }
}

/// Which alerts are asked for.
#[derive(Debug, Clone)]
pub struct AlertFilter {
    /// Those of this incident.
    pub incident: Uuid,
    /// Those that came before the one with this number.
    pub before: Option<i64>,
    /// Most of them.
    pub limit: u32,
    /// Whether nothing may be missing that was there when this was asked; else it may be a little old.
    pub newest: bool,
}

/// Some alerts, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPage {
    /// Themselves.
    pub alerts: Vec<Alert>,
    /// Whether there are more.
    pub more: bool,
}

impl AlertPage {
    /// A page of at most `limit` of these, which were found among `found`.
    pub(in crate::store) fn of(mut alerts: Vec<Alert>, found: Option<i64>, limit: u32) -> Self {
        let found = found.and_then(|found| usize::try_from(found).ok()).unwrap_or(0);
        alerts.truncate(limit as usize);
        Self { more: found > alerts.len(), alerts }
    }
}

/// Something that monitoring said of an incident that is there.
#[derive(Debug, Clone)]
pub struct NewAlert {
    /// SHA-256 of the integration key.
    pub key: [u8; 32],
    /// The incident that it was about.
    pub incident: Uuid,
    /// `acknowledge` or `resolve`.
    pub action: &'static str,
    /// What it has in common with others about the same.
    pub dedup_key: String,
    /// When it came.
    pub now: i64,
}

/// The statement that reads a page, for parameters written so: the incident, the number before which, one more than the limit,
/// and the bytes of details. Its columns are those of an alert, and how many were found.
pub(in crate::store) fn page_statement(param: char) -> String {
    let columns = "id, action, dedup_key, severity, title, details, key_id, received_at, details_cut";
    let sql = format!(
        "SELECT {columns}, n FROM (SELECT {columns}, count(*) OVER () AS n, \
         sum(coalesce(octet_length(details), 0)) OVER (ORDER BY id DESC) - coalesce(octet_length(details), 0) AS above \
         FROM (SELECT {columns} FROM alerts WHERE incident_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3) AS found) AS few \
         WHERE above < $4 ORDER BY id DESC"
    );
    sql.replace('$', &param.to_string())
}

/// The statement that keeps a [`NewAlert`], for parameters written so: the digest of the key, the incident, the action, the dedup
/// key, when it came, and the most alerts of an incident. It writes no row where there are so many already.
pub(in crate::store) fn keep_statement(param: char) -> String {
    let sql = "INSERT INTO alerts (incident_id, service_id, key_id, action, dedup_key, received_at) \
               SELECT $2, service_id, id, $3, $4, $5 FROM integration_keys WHERE digest = $1 \
               AND (SELECT count(*) FROM (SELECT 1 FROM alerts WHERE incident_id = $2 LIMIT $6) AS kept) < $6";
    sql.replace('$', &param.to_string())
}
