//! What comes in, what changes, and what is answered.

use super::{Incident, Severity, Status};
use crate::store::StoreError;
use serde::Serialize;
use uuid::Uuid;

/// A key that is new.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: Uuid,
    /// The service it speaks for.
    pub service: Uuid,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the key; the key itself is kept nowhere.
    pub digest: [u8; 32],
    /// When it was made.
    pub created_at: i64,
}

/// Who did something, as `{"type":…,"id":…,"name":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `integration`, `service`, `user` or `system`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which one.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// An event of monitoring: something has happened.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// SHA-256 of the integration key.
    pub key: [u8; 32],
    /// The id of the incident, if it is a new one.
    pub id: Uuid,
    /// What it has in common with others about the same.
    pub dedup_key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub title: String,
    /// More about it, as JSON.
    pub details: Option<String>,
    /// When it came.
    pub now: i64,
}

/// What became of an event of monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The incident.
    pub id: Uuid,
    /// Its number.
    pub number: i64,
    /// How it stands.
    pub status: Status,
    /// The number of the event that was written; 1 when the incident is new.
    pub seq: i64,
}

/// An incident that somebody opens.
#[derive(Debug, Clone)]
pub struct NewIncident {
    /// Its id.
    pub id: Uuid,
    /// The slug of its service.
    pub service: String,
    /// Its key.
    pub dedup_key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub title: String,
    /// More about it, as JSON.
    pub details: Option<String>,
    /// Who takes care of it.
    pub assignee: Option<String>,
    /// Who opens it.
    pub actor: Actor,
    /// When.
    pub now: i64,
}

/// A request that is done once, however often it is sent.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who sends it.
    pub principal: String,
    /// What it is called.
    pub key: String,
    /// SHA-256 of what it asks for.
    pub digest: [u8; 32],
    /// How long it is remembered.
    pub expires_at: i64,
}

/// What became of an incident that somebody wanted to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is open.
    New(Box<Incident>),
    /// The same request opened it before; this is how it was then, as JSON.
    Before(Uuid, String),
    /// Another request was called the same.
    Mismatch,
    /// There is an open one with this key.
    Open(Uuid),
    /// There is no such service.
    NoService,
}

/// What is said of an incident that was just opened by somebody.
pub(in crate::store) fn opening(incident: &Incident, new: &NewIncident) -> Result<Step, StoreError> {
    let kind = if incident.status == Status::Suppressed { "incident.suppressed" } else { "incident.triggered" };
    let data = format!("{{\"incident\":{}}}", incident.for_event().map_err(not_json)?);
    let actor = serde_json::to_string(&new.actor).map_err(not_json)?;
    Ok(Step { after: incident.clone(), events: vec![StepEvent { kind, data }], actor, now: new.now })
}

/// An incident as it is answered.
pub(in crate::store) fn answer_of(incident: &Incident) -> Result<String, StoreError> {
    serde_json::to_string(incident).map_err(not_json)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(in crate::store) fn not_json(error: serde_json::Error) -> StoreError {
    StoreError::Fault(format!("what is kept is no JSON: {error}"))
}

/// Which incident is meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// The one with this id.
    Id(Uuid),
    /// The open one with this dedup key, of the service of the integration key with this digest.
    Open([u8; 32], String),
}

/// Why an incident is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It stands so that this cannot be done.
    Status,
    /// It is not as whoever asks thinks it is.
    Stale,
}

/// What becomes of an incident.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Nothing; it is as it should be.
    Keep,
    /// It is changed.
    Change(Box<Step>),
    /// It must not be changed.
    Refuse(Reason),
}

/// A change of an incident.
#[derive(Debug, Clone)]
pub struct Step {
    /// How it is afterwards. Its `seq` has grown by the number of events.
    pub after: Incident,
    /// What is to be said of it, in order.
    pub events: Vec<StepEvent>,
    /// Who did it, as JSON.
    pub actor: String,
    /// When.
    pub now: i64,
}

/// One event of a change.
#[derive(Debug, Clone)]
pub struct StepEvent {
    /// What happened, `incident.…`.
    pub kind: &'static str,
    /// What changed, as JSON.
    pub data: String,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transitioned {
    /// There is no such incident.
    Missing,
    /// It is as it should be already.
    Kept(Box<Incident>),
    /// It was changed, and is like this now.
    Changed(Box<Incident>),
    /// It was not changed.
    Refused(Box<Incident>, Reason),
}

impl Transitioned {
    /// The incident, if there is one.
    #[must_use]
    pub fn incident(&self) -> Option<&Incident> {
        match self {
            Self::Missing => None,
            Self::Kept(incident) | Self::Changed(incident) | Self::Refused(incident, _) => Some(incident),
        }
    }
}

/// An event in the timeline of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEvent {
    /// Its number, from 1 without a gap.
    pub seq: i64,
    /// What happened, `incident.…`.
    pub kind: String,
    /// Who did it, as JSON.
    pub actor: String,
    /// What changed, as JSON.
    pub data: String,
    /// When.
    pub at: i64,
}

/// An event that has to be said in rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The incident.
    pub incident: Uuid,
    /// The slug of its service.
    pub service: String,
    /// Whose service that is.
    pub team: Option<String>,
    /// What is said.
    pub event: TimelineEvent,
}

/// What waits in a part of the outbox: the events of an incident are all in the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPart {
    /// Its number.
    pub part: i16,
    /// The first of its events, in order.
    pub events: Vec<OutboxEvent>,
    /// Whether there were no others.
    pub is_whole: bool,
}

/// What became of a service that should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// There is none.
    Missing,
    /// It has incidents.
    InUse,
}
