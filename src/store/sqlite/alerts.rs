//! Alerts in SQLite, and the end of what is old.

use super::{Sqlite, error};
use crate::metrics::PoolShare::{Interactive, Workers};
use crate::store::limits::note_kept;
use crate::store::records::{ALERT_DETAILS_MAX_BYTES, ALERTS_MAX_BYTES, keep_statement, page_statement};
use crate::store::{
    Alert, AlertFilter, AlertPage, AlertStore, Answer, FORGOTTEN_INCIDENTS, NewAlert, StoreError, Trigger,
};
use rusqlite::{Row, Transaction};
use uuid::Uuid;

impl AlertStore for Sqlite {
    fn alerts(&self, filter: AlertFilter) -> Answer<'_, AlertPage> {
        Box::pin(self.read(Interactive, "alerts", move |db| {
            let mut statement = db.prepare_cached(&page_statement('?')).map_err(error)?;
            let (before, limit) = (filter.before.unwrap_or(i64::MAX), i64::from(filter.limit) + 1);
            let rows = statement.query_map((filter.incident, before, limit, ALERTS_MAX_BYTES), alert);
            let found = rows.map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
            let (alerts, counts): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            Ok(AlertPage::of(alerts, counts.first().copied(), filter.limit))
        }))
    }

    fn keep_alert(&self, alert: NewAlert) -> Answer<'_, ()> {
        let most = self.limits.alerts;
        if most == 0 {
            return Box::pin(std::future::ready(Ok(())));
        }
        let kept = self.write(Interactive, "keep alert", move |tx| {
            let NewAlert { key, incident, action, dedup_key, now } = alert;
            tx.execute(&keep_statement('?'), (key, incident, action, dedup_key, now, most)).map_err(error)
        });
        Box::pin(async move { note_kept(&self.stats, kept.await.map(|rows| rows as u64)) })
    }

    fn oldest_alert(&self) -> Answer<'_, Option<i64>> {
        Box::pin(self.read(Workers, "oldest alert", move |db| {
            let sql = "SELECT min(received_at) FROM alerts";
            db.query_row(sql, [], |row| row.get(0)).map_err(error)
        }))
    }

    fn forget_alerts(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>> {
        let sql = "DELETE FROM alerts WHERE id IN \
                   (SELECT id FROM alerts WHERE received_at < ?1 ORDER BY received_at LIMIT ?2)";
        Box::pin(self.write(Workers, "forget alerts", move |tx| {
            Ok(Some(tx.execute(sql, (before, limit)).map_err(error)? as u64))
        }))
    }

    fn forget_incidents(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>> {
        let old = "SELECT id FROM incidents i WHERE resolved_at < ?1 AND status = 'resolved' \
                   AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.incident_id = i.id) ORDER BY resolved_at LIMIT ?2";
        Box::pin(self.write(Workers, "forget incidents", move |tx| {
            let sql = format!(
                "DELETE FROM incident_events WHERE (incident_id, seq) IN (SELECT incident_id, seq FROM incident_events \
                 WHERE incident_id IN ({old}) LIMIT ?3)"
            );
            let events = tx.execute(&sql, (before, FORGOTTEN_INCIDENTS, limit)).map_err(error)?;
            let sql =
                format!("DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE incident_id IN ({old}) LIMIT ?3)");
            let alerts = tx.execute(&sql, (before, FORGOTTEN_INCIDENTS, limit)).map_err(error)?;
            let sql = format!(
                "DELETE FROM incidents WHERE id IN ({old}) \
                 AND NOT EXISTS (SELECT 1 FROM incident_events e WHERE e.incident_id = incidents.id) \
                 AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.incident_id = incidents.id)"
            );
            let gone = tx.execute(&sql, (before, FORGOTTEN_INCIDENTS)).map_err(error)?;
            Ok(Some((events + alerts + gone) as u64))
        }))
    }
}

/// Keeps an event that was taken up, by the key and the service that it came with. Long details are kept of the first one of its
/// incident only.
pub(super) fn keep(
    tx: &Transaction<'_>,
    trigger: &Trigger,
    (key, service): (Uuid, Uuid),
    incident: Uuid,
    is_first: bool,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO alerts (incident_id, service_id, key_id, action, dedup_key, severity, title, received_at, \
               details, details_cut) VALUES (?1, ?2, ?3, 'trigger', ?4, ?5, ?6, ?7, ?8, ?9)";
    let Trigger { dedup_key, severity, title, details, now, .. } = trigger;
    let is_long = |details: &String| i64::try_from(details.len()).is_ok_and(|len| len > ALERT_DETAILS_MAX_BYTES);
    let cut = !is_first && details.as_ref().is_some_and(is_long);
    let details = details.as_ref().filter(|_| !cut);
    let values = (incident, service, key, dedup_key, severity.as_str(), title, now, details, cut);
    tx.prepare_cached(sql).map_err(error)?.execute(values).map(drop).map_err(error)
}

/// An alert, and how many were found.
fn alert(row: &Row<'_>) -> rusqlite::Result<(Alert, i64)> {
    let alert = Alert {
        id: row.get(0)?,
        action: row.get(1)?,
        dedup_key: row.get(2)?,
        severity: row.get(3)?,
        title: row.get(4)?,
        details: row.get(5)?,
        key_id: row.get(6)?,
        received_at: row.get(7)?,
        details_cut: row.get(8)?,
    };
    Ok((alert, row.get(9)?))
}
