//! What is listed.

use super::{Incident, Severity, Status};
use uuid::Uuid;

/// Which incidents are listed.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those that are not resolved.
    pub open: bool,
    /// Only those that are this bad.
    pub severity: Option<Severity>,
    /// Only those of the service with this slug.
    pub service: Option<String>,
    /// Only those that this user takes care of.
    pub assignee: Option<String>,
    /// Only those of the services of this team.
    pub team: Option<String>,
    /// Only those with this in their title, in small letters or large.
    pub text: Option<String>,
    /// Only those opened at this time or later.
    pub since: Option<i64>,
    /// Only those opened before.
    pub until: Option<i64>,
    /// Only those that happened, for the last time, after this time.
    pub updated_after: Option<i64>,
    /// Only those behind this one: when it was opened, and its id.
    pub after: Option<(i64, Uuid)>,
    /// Most of them.
    pub limit: u32,
    /// Whether nothing may be missing that was there when this was asked; else it may be a little old.
    pub newest: bool,
}

impl IncidentFilter {
    /// What titles are compared with by `LIKE`: the text anywhere in them, whatever characters it has.
    pub(in crate::store) fn title_pattern(&self) -> Option<String> {
        let text = self.text.as_ref()?;
        Some(format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")))
    }
}

/// Some incidents, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// They.
    pub incidents: Vec<Incident>,
    /// Whether there are more.
    pub more: bool,
}
