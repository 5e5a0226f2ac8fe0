//! Rows as what they mean.

use super::connect;
use crate::store::{Incident, Service, Severity, Status, StoreError, TimelineEvent};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// The columns of an incident `i` of a service `s`, in the order in which [`incident`] reads them.
pub(super) const INCIDENT: &str = "i.id, i.number, s.slug, i.dedup_key, i.status, i.severity, i.title, i.details, \
     i.assignee, i.seq, i.trigger_count, i.opened_at, i.last_event_at, i.acknowledged_at, i.resolved_at, i.wakes_at, \
     i.previous_id";

/// A column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(connect::error)
}

pub(super) fn incident(row: &Row) -> Result<Incident, StoreError> {
    Ok(Incident {
        id: get(row, 0)?,
        number: get(row, 1)?,
        service: get(row, 2)?,
        dedup_key: get(row, 3)?,
        status: status(get(row, 4)?)?,
        severity: severity(get(row, 5)?)?,
        title: get(row, 6)?,
        details: get(row, 7)?,
        assignee: get(row, 8)?,
        seq: get(row, 9)?,
        trigger_count: get(row, 10)?,
        opened_at: get(row, 11)?,
        last_event_at: get(row, 12)?,
        acknowledged_at: get(row, 13)?,
        resolved_at: get(row, 14)?,
        wakes_at: get(row, 15)?,
        previous_id: get(row, 16)?,
    })
}

pub(super) fn status(word: &str) -> Result<Status, StoreError> {
    Status::parse(word).ok_or_else(|| StoreError::Fault(format!("no status {word:?}")))
}

fn severity(word: &str) -> Result<Severity, StoreError> {
    Severity::parse(word).ok_or_else(|| StoreError::Fault(format!("no severity {word:?}")))
}

/// Columns `id, slug, name, maintenance_until, created_at, team, ack_target_secs, max_open`.
pub(super) fn service(row: &Row) -> Result<Service, StoreError> {
    Ok(Service {
        id: get(row, 0)?,
        slug: get(row, 1)?,
        name: get(row, 2)?,
        maintenance_until: get(row, 3)?,
        created_at: get(row, 4)?,
        team: get(row, 5)?,
        ack_target_secs: get(row, 6)?,
        max_open: get(row, 7)?,
    })
}

/// Columns `seq, type, actor, data, created_at` from `first` on.
pub(super) fn timeline_event(row: &Row, first: usize) -> Result<TimelineEvent, StoreError> {
    Ok(TimelineEvent {
        seq: get(row, first)?,
        kind: get(row, first + 1)?,
        actor: get(row, first + 2)?,
        data: get(row, first + 3)?,
        at: get(row, first + 4)?,
    })
}
