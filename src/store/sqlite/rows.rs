//! Rows as what they mean.

use super::error;
use crate::store::{Incident, Service, Severity, Status, StoreError, TimelineEvent};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Params, Row, Transaction};
use uuid::Uuid;

/// The columns of an incident `i` of a service `s`, in the order in which [`incident`] reads them, and where they are.
pub(super) const FROM_INCIDENTS: &str = "SELECT i.id, i.number, s.slug, i.dedup_key, i.status, i.severity, i.title, \
     i.details, i.assignee, i.seq, i.trigger_count, i.opened_at, i.last_event_at, i.acknowledged_at, i.resolved_at, \
     i.wakes_at, i.previous_id FROM incidents i JOIN services s ON s.id = i.service_id";

pub(super) fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let bad =
        |column| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(FromSqlError::InvalidType));
    let (status, severity): (String, String) = (row.get(4)?, row.get(5)?);
    Ok(Incident {
        id: row.get(0)?,
        number: row.get(1)?,
        service: row.get(2)?,
        dedup_key: row.get(3)?,
        status: Status::parse(&status).ok_or_else(|| bad(4))?,
        severity: Severity::parse(&severity).ok_or_else(|| bad(5))?,
        title: row.get(6)?,
        details: row.get(7)?,
        assignee: row.get(8)?,
        seq: row.get(9)?,
        trigger_count: row.get(10)?,
        opened_at: row.get(11)?,
        last_event_at: row.get(12)?,
        acknowledged_at: row.get(13)?,
        resolved_at: row.get(14)?,
        wakes_at: row.get(15)?,
        previous_id: row.get(16)?,
    })
}

/// Columns `id, slug, name, maintenance_until, created_at, team, ack_target_secs, max_open`.
pub(super) fn service(row: &Row<'_>) -> rusqlite::Result<Service> {
    Ok(Service {
        id: row.get(0)?,
        slug: row.get(1)?,
        name: row.get(2)?,
        maintenance_until: row.get(3)?,
        created_at: row.get(4)?,
        team: row.get(5)?,
        ack_target_secs: row.get(6)?,
        max_open: row.get(7)?,
    })
}

/// Columns `seq, type, actor, data, created_at` from `first` on.
pub(super) fn timeline_event(row: &Row<'_>, first: usize) -> rusqlite::Result<TimelineEvent> {
    Ok(TimelineEvent {
        seq: row.get(first)?,
        kind: row.get(first + 1)?,
        actor: row.get(first + 2)?,
        data: row.get(first + 3)?,
        at: row.get(first + 4)?,
    })
}

/// The incident that a condition names, if there is one.
pub(super) fn find_incident(
    transaction: &Transaction<'_>,
    condition: &str,
    params: impl Params,
) -> Result<Option<Incident>, StoreError> {
    let sql = format!("{FROM_INCIDENTS} WHERE {condition}");
    let mut statement = transaction.prepare_cached(&sql).map_err(error)?;
    let mut rows = statement.query_map(params, incident).map_err(error)?;
    rows.next().transpose().map_err(error)
}

/// The newest incident of a key, whatever became of it.
pub(super) fn newest_of_key(
    transaction: &Transaction<'_>,
    service: Uuid,
    dedup_key: &str,
) -> Result<Option<Incident>, StoreError> {
    let condition = "i.service_id = ?1 AND i.dedup_key = ?2 ORDER BY i.opened_at DESC, i.number DESC LIMIT 1";
    find_incident(transaction, condition, (service, dedup_key))
}
