//! How incidents come to be and change in SQLite. Only one thread writes, so nobody else changes the same meanwhile.

use super::alerts;
use super::error;
use super::rows::{find_incident, newest_of_key};
use crate::store::limits::Limits;
use crate::store::records::{answer_of, not_json, opening};
use crate::store::{
    Actor, Created, Decide, Incident, Ingested, NewIncident, Once, Status, Step, StepEvent, StoreError, Transitioned,
    Trigger, Verdict, Which, outbox_part,
};
use rusqlite::{OptionalExtension as _, Transaction};
use serde_json::json;
use uuid::Uuid;

/// What became of an event, and how often the incident has happened. One open incident more than may be is an error, which
/// undoes the transaction.
pub(super) fn ingest(
    tx: &Transaction<'_>,
    trigger: &Trigger,
    limits: Limits,
) -> Result<Option<(Ingested, i64)>, StoreError> {
    let sql = "SELECT k.id, k.name, s.id, s.slug FROM integration_keys k JOIN services s ON s.id = k.service_id \
               WHERE k.digest = ?1 AND k.revoked_at IS NULL";
    let key = tx.query_row(sql, [trigger.key], |row| {
        Ok::<(Uuid, String, Uuid, String), _>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let Some((key, name, service_id, service)) = key.optional().map_err(error)? else { return Ok(None) };
    let actor = Actor { kind: "integration", id: key.to_string(), name };
    let last = newest_of_key(tx, service_id, &trigger.dedup_key)?;
    let incident = match last.filter(|last| last.status != Status::Resolved) {
        Some(open) => happen_again(tx, open, &actor, trigger.now)?,
        None => {
            let Trigger { id, dedup_key, severity, title, details, now, .. } = trigger.clone();
            let new = NewIncident { id, service, dedup_key, severity, title, details, assignee: None, actor, now };
            let incident = insert(tx, &new, limits.open)?.ok_or(StoreError::Conflict)?;
            say(tx, &opening(&incident, &new)?)?;
            incident
        }
    };
    let Incident { id, number, status, seq, trigger_count, .. } = incident;
    let ingested = Ingested { id, number, status, seq };
    if trigger_count <= limits.alerts {
        alerts::keep(tx, trigger, (key, service_id), id, trigger_count == 1)?;
    }
    Ok(Some((ingested, trigger_count)))
}

fn happen_again(tx: &Transaction<'_>, open: Incident, actor: &Actor, now: i64) -> Result<Incident, StoreError> {
    let after = Incident {
        seq: open.seq + 1,
        trigger_count: open.trigger_count + 1,
        last_event_at: open.last_event_at.max(now),
        ..open
    };
    let sql = "UPDATE incidents SET seq = ?2, trigger_count = ?3, last_event_at = ?4 WHERE id = ?1";
    tx.execute(sql, (after.id, after.seq, after.trigger_count, after.last_event_at)).map_err(error)?;
    let data = json!({"trigger_count": after.trigger_count, "status": after.status.as_str()}).to_string();
    let actor = serde_json::to_string(actor).map_err(not_json)?;
    let step = Step { after, events: vec![StepEvent { kind: "incident.retriggered", data }], actor, now };
    say(tx, &step)?;
    Ok(step.after)
}

/// Opens an incident, unless one with its key is open or there is no such service.
fn insert(tx: &Transaction<'_>, new: &NewIncident, most: i64) -> Result<Option<Incident>, StoreError> {
    let sql = "SELECT id, maintenance_until, coalesce(max_open, ?2) FROM services WHERE slug = ?1";
    let service = tx.query_row(sql, (&new.service, most), |row| {
        Ok::<(Uuid, Option<i64>, i64), _>((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    let Some((service, maintenance, most)) = service.optional().map_err(error)? else { return Ok(None) };
    let previous = newest_of_key(tx, service, &new.dedup_key)?.map(|last| last.id);
    let wakes_at = maintenance.filter(|until| *until > new.now);
    let status = if wakes_at.is_some() { Status::Suppressed } else { Status::Triggered };
    let sql = "INSERT INTO incidents (id, service_id, dedup_key, status, severity, title, details, assignee, seq, \
               trigger_count, opened_at, last_event_at, wakes_at, previous_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 1, ?9, ?9, ?10, ?11) \
               ON CONFLICT (service_id, dedup_key) WHERE status <> 'resolved' DO NOTHING";
    let made = tx.execute(
        sql,
        (
            new.id,
            service,
            &new.dedup_key,
            status.as_str(),
            new.severity.as_str(),
            &new.title,
            &new.details,
            &new.assignee,
            new.now,
            wakes_at,
            previous,
        ),
    );
    if made.map_err(error)? == 0 {
        return Ok(None);
    }
    check_open(tx, service, most)?;
    find_incident(tx, "i.id = ?1", [new.id])
}

/// Whether no more incidents of a service are open than may be, with the one that was just opened.
fn check_open(tx: &Transaction<'_>, service: Uuid, most: i64) -> Result<(), StoreError> {
    let sql =
        "SELECT count(*) FROM (SELECT 1 FROM incidents WHERE service_id = ?1 AND status <> 'resolved' LIMIT ?2 + 1)";
    let mut statement = tx.prepare_cached(sql).map_err(error)?;
    let open: i64 = statement.query_row((service, most), |row| row.get(0)).map_err(error)?;
    if open > most { Err(StoreError::Full) } else { Ok(()) }
}

pub(super) fn create(
    tx: &Transaction<'_>,
    new: &NewIncident,
    once: Option<&Once>,
    most: i64,
) -> Result<Created, StoreError> {
    if let Some(once) = once
        && let Some(before) = remembered(tx, once, new.now)?
    {
        return Ok(before);
    }
    let Some(incident) = insert(tx, new, most)? else { return in_the_way(tx, new) };
    say(tx, &opening(&incident, new)?)?;
    if let Some(once) = once {
        let sql = "INSERT INTO idempotency_keys (principal, key, digest, incident_id, answer, expires_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = (&once.principal, &once.key, once.digest, incident.id, answer_of(&incident)?, once.expires_at);
        tx.execute(sql, values).map_err(error)?;
    }
    Ok(Created::New(Box::new(incident)))
}

/// What the same request came to before.
fn remembered(tx: &Transaction<'_>, once: &Once, now: i64) -> Result<Option<Created>, StoreError> {
    let sql = "DELETE FROM idempotency_keys WHERE principal = ?1 AND key = ?2 AND expires_at <= ?3";
    tx.execute(sql, (&once.principal, &once.key, now)).map_err(error)?;
    let sql = "SELECT digest, incident_id, answer FROM idempotency_keys WHERE principal = ?1 AND key = ?2";
    let before = tx.query_row(sql, (&once.principal, &once.key), |row| {
        let digest: [u8; 32] = row.get(0)?;
        Ok(if digest == once.digest { Created::Before(row.get(1)?, row.get(2)?) } else { Created::Mismatch })
    });
    before.optional().map_err(error)
}

/// Why no incident was opened.
fn in_the_way(tx: &Transaction<'_>, new: &NewIncident) -> Result<Created, StoreError> {
    let open = find_incident(
        tx,
        "s.slug = ?1 AND i.dedup_key = ?2 AND i.status <> 'resolved'",
        (&new.service, &new.dedup_key),
    )?;
    Ok(open.map_or(Created::NoService, |open| Created::Open(open.id)))
}

pub(super) fn change(tx: &Transaction<'_>, which: &Which, decide: &Decide) -> Result<Transitioned, StoreError> {
    let before = match which {
        Which::Id(id) => find_incident(tx, "i.id = ?1", [id])?,
        Which::Open(key, dedup_key) => {
            let condition = "i.dedup_key = ?2 AND i.status <> 'resolved' AND i.service_id = \
                 (SELECT service_id FROM integration_keys WHERE digest = ?1 AND revoked_at IS NULL)";
            find_incident(tx, condition, (key, dedup_key))?
        }
    };
    let Some(before) = before else { return Ok(Transitioned::Missing) };
    let step = match decide(&before) {
        Verdict::Keep => return Ok(Transitioned::Kept(Box::new(before))),
        Verdict::Refuse(reason) => return Ok(Transitioned::Refused(Box::new(before), reason)),
        Verdict::Change(step) => step,
    };
    let after = &step.after;
    let sql = "UPDATE incidents SET status = ?2, severity = ?3, title = ?4, assignee = ?5, seq = ?6, \
               acknowledged_at = ?7, resolved_at = ?8, wakes_at = ?9 WHERE id = ?1";
    let values = (
        after.id,
        after.status.as_str(),
        after.severity.as_str(),
        &after.title,
        &after.assignee,
        after.seq,
        after.acknowledged_at,
        after.resolved_at,
        after.wakes_at,
    );
    tx.execute(sql, values).map_err(error)?;
    say(tx, &step)?;
    Ok(Transitioned::Changed(Box::new(step.after)))
}

/// Writes the events of a step into the timeline and the outbox.
fn say(tx: &Transaction<'_>, step: &Step) -> Result<(), StoreError> {
    let (id, part) = (step.after.id, outbox_part(step.after.id));
    let first = step.after.seq + 1 - i64::try_from(step.events.len()).unwrap_or(i64::MAX);
    for (seq, event) in (first..).zip(&step.events) {
        let sql = "INSERT INTO incident_events (incident_id, seq, type, actor, data, created_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut statement = tx.prepare_cached(sql).map_err(error)?;
        statement.execute((id, seq, event.kind, &step.actor, &event.data, step.now)).map_err(error)?;
        let sql = "INSERT INTO outbox (part, incident_id, seq, created_at) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = tx.prepare_cached(sql).map_err(error)?;
        statement.execute((part, id, seq, step.now)).map_err(error)?;
    }
    Ok(())
}
