//! Incidents in SQLite.

use super::rows::{FROM_INCIDENTS, incident, timeline_event};
use super::{Sqlite, changing, error};
use crate::metrics::PoolShare::{Interactive, Workers};
use crate::store::{
    Answer, Created, Decide, Incident, IncidentFilter, IncidentStore, Ingested, Isolation, NewIncident, Once, Page,
    TimelineEvent, Transitioned, Trigger, Which,
};
use rusqlite::{OptionalExtension as _, named_params};
use uuid::Uuid;

impl IncidentStore for Sqlite {
    fn ingest(&self, trigger: Trigger) -> Answer<'_, Option<Ingested>> {
        let limits = self.limits;
        let taken = self.write(Interactive, "ingest", move |tx| changing::ingest(tx, &trigger, limits));
        Box::pin(async move {
            let (ingested, times) = taken.await?.unzip();
            self.stats.alerts_unkept.add_shared(u64::from(times.is_some_and(|times| limits.is_too_many(times))));
            Ok(ingested)
        })
    }

    fn create(&self, new: NewIncident, once: Option<Once>) -> Answer<'_, Created> {
        let most = self.limits.open;
        Box::pin(self.write(Interactive, "create incident", move |tx| changing::create(tx, &new, once.as_ref(), most)))
    }

    fn change(&self, which: Which, isolation: Isolation, decide: Decide) -> Answer<'_, Transitioned> {
        let is_timer = isolation == Isolation::Locked && matches!(which, Which::Id(_));
        let share = if is_timer { Workers } else { Interactive };
        Box::pin(self.write(share, "change incident", move |tx| changing::change(tx, &which, &decide)))
    }

    fn incident(&self, id: Uuid) -> Answer<'_, Option<Incident>> {
        Box::pin(self.read(Interactive, "one incident", move |db| {
            let sql = format!("{FROM_INCIDENTS} WHERE i.id = ?1");
            db.query_row(&sql, [id], incident).optional().map_err(error)
        }))
    }

    fn incidents(&self, filter: IncidentFilter) -> Answer<'_, Page> {
        Box::pin(self.read(Interactive, "incidents", move |db| {
            let mut sql = format!("{FROM_INCIDENTS} WHERE true");
            for (asked, condition) in [
                (filter.open, "i.status <> 'resolved'"),
                (filter.status.is_some(), "i.status = :status"),
                (filter.severity.is_some(), "i.severity = :severity"),
                (filter.service.is_some(), "s.slug = :service"),
                (filter.assignee.is_some(), "i.assignee = :assignee"),
                (filter.team.is_some(), "s.team = :team"),
                (filter.text.is_some(), "i.title LIKE :text ESCAPE '\\'"),
                (filter.since.is_some(), "i.opened_at >= :since"),
                (filter.until.is_some(), "i.opened_at < :until"),
                (filter.updated_after.is_some(), "i.last_event_at > :updated"),
                (filter.after.is_some(), "(i.opened_at, i.id) < (:opened, :id)"),
            ] {
                if asked {
                    sql.push_str(" AND ");
                    sql.push_str(condition);
                }
            }
            sql.push_str(" ORDER BY i.opened_at DESC, i.id DESC LIMIT :limit");
            let (status, severity) = (filter.status.map(|s| s.as_str()), filter.severity.map(|s| s.as_str()));
            let (pattern, (opened, id)) = (filter.title_pattern(), filter.after.unzip());
            let limit = i64::from(filter.limit) + 1;
            let mut statement = db.prepare_cached(&sql).map_err(error)?;
            let values = named_params! {
                ":status": status, ":severity": severity, ":service": filter.service, ":assignee": filter.assignee,
                ":team": filter.team, ":text": pattern, ":updated": filter.updated_after, ":since": filter.since,
                ":until": filter.until, ":opened": opened, ":id": id, ":limit": limit,
            };
            // SQLite refuses names that the statement does not have.
            let used: Vec<_> = values.iter().filter(|(name, _)| sql.contains(name)).copied().collect();
            let rows = statement.query_map(&used[..], incident).map_err(error)?;
            let mut incidents = rows.collect::<Result<Vec<_>, _>>().map_err(error)?;
            let more = incidents.len() > filter.limit as usize;
            incidents.truncate(filter.limit as usize);
            Ok(Page { incidents, more })
        }))
    }

    fn timeline(&self, id: Uuid, after_seq: i64, _: i64, limit: u32) -> Answer<'_, Vec<TimelineEvent>> {
        let sql = "SELECT seq, type, actor, data, created_at FROM incident_events WHERE incident_id = ?1 AND seq > ?2 \
                   ORDER BY seq LIMIT ?3";
        Box::pin(self.read(Interactive, "timeline", move |db| {
            let mut statement = db.prepare_cached(sql).map_err(error)?;
            let rows = statement.query_map((id, after_seq, limit), |row| timeline_event(row, 0)).map_err(error)?;
            rows.collect::<Result<_, _>>().map_err(error)
        }))
    }

    fn due(&self, now: i64, limit: u32) -> Answer<'_, Vec<Uuid>> {
        let sql = "SELECT id FROM incidents WHERE status IN ('snoozed', 'suppressed') AND wakes_at <= ?1 \
                   ORDER BY wakes_at LIMIT ?2";
        Box::pin(self.read(Workers, "due incidents", move |db| {
            let mut statement = db.prepare_cached(sql).map_err(error)?;
            let rows = statement.query_map((now, limit), |row| row.get(0)).map_err(error)?;
            rows.collect::<Result<_, _>>().map_err(error)
        }))
    }

    fn triggered(&self, service: Uuid, after: Uuid, limit: u32) -> Answer<'_, Vec<Uuid>> {
        let sql = "SELECT id FROM incidents WHERE service_id = ?1 AND status = 'triggered' AND id > ?2 \
                   ORDER BY id LIMIT ?3";
        Box::pin(self.read(Interactive, "open incidents", move |db| {
            let mut statement = db.prepare_cached(sql).map_err(error)?;
            let rows = statement.query_map((service, after, limit), |row| row.get(0)).map_err(error)?;
            rows.collect::<Result<_, _>>().map_err(error)
        }))
    }

    fn forget_requests(&self, now: i64, limit: u32) -> Answer<'_, u64> {
        let sql = "DELETE FROM idempotency_keys WHERE (principal, key) IN \
                   (SELECT principal, key FROM idempotency_keys WHERE expires_at <= ?1 LIMIT ?2)";
        Box::pin(self.write(Workers, "forget", move |tx| Ok(tx.execute(sql, (now, limit)).map_err(error)? as u64)))
    }
}
