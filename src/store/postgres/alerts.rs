//! Alerts in PostgreSQL, and the end of what is old: one process at a time forgets, a batch in each transaction.

use super::bounds::bounds;
use super::question::Question;
use super::rows::get;
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::{Interactive, Workers};
use crate::store::limits::note_kept;
use crate::store::records::{ALERTS_MAX_BYTES, keep_statement, page_statement};
use crate::store::{Alert, AlertFilter, AlertPage, AlertStore, Answer, FORGOTTEN_INCIDENTS, NewAlert, StoreError};
use deadpool_postgres::{Object, Transaction};
use futures_util::future::BoxFuture;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

/// Both halves of the lock of those who forget. One for all that is forgotten: alerts go by their age and with their incidents,
/// and two who delete the same in different orders would wait for each other.
const LOCK: (i32, i32) = (0x666f_7267, 0);

/// Incidents that were resolved before a time. Whoever changes one locks it first: what is not locked changes no more, and what
/// somebody is changing is left alone.
const LOCK_OLD: &str = "SELECT id FROM incidents i WHERE resolved_at < $1 AND status = 'resolved' \
     AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.id) ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Of those that are locked, the ones of which nothing waits to be said: known only to a statement that begins after the lock.
const FORGET_EVENTS: &str = "DELETE FROM incident_events e USING (SELECT incident_id, seq FROM incident_events few \
     WHERE incident_id = ANY ($1) AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = few.incident_id) LIMIT $2) AS few \
     WHERE e.incident_id = few.incident_id AND e.seq = few.seq";

const FORGET_THEIR_ALERTS: &str = "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts a WHERE incident_id = ANY ($1) \
     AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = a.incident_id) LIMIT $2)";

const FORGET_INCIDENTS: &str = "DELETE FROM incidents i WHERE id = ANY ($1) \
     AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.id) \
     AND NOT EXISTS (SELECT FROM incident_events e WHERE e.incident_id = i.id) \
     AND NOT EXISTS (SELECT FROM alerts a WHERE a.incident_id = i.id)";

impl AlertStore for Postgres {
    fn alerts(&self, filter: AlertFilter) -> Answer<'_, AlertPage> {
        Box::pin(self.ask(Interactive, "alerts", filter.newest, filter))
    }

    fn keep_alert(&self, alert: NewAlert) -> Answer<'_, ()> {
        let most = self.limits.alerts;
        if most == 0 {
            return Box::pin(std::future::ready(Ok(())));
        }
        let kept = Box::pin(self.run(Interactive, "keep alert", move |client| {
            Box::pin(async move {
                let params: [Param<'_>; 6] = [
                    (&&alert.key[..], Type::BYTEA),
                    (&alert.incident, Type::UUID),
                    (&alert.action, Type::TEXT),
                    (&alert.dedup_key, Type::TEXT),
                    (&alert.now, Type::INT8),
                    (&most, Type::INT8),
                ];
                client.execute_typed(&keep_statement('$'), &params).await.map_err(connect::error)
            })
        }));
        Box::pin(async move { note_kept(&self.stats, kept.await) })
    }

    fn oldest_alert(&self) -> Answer<'_, Option<i64>> {
        Box::pin(self.run(Workers, "oldest alert", move |client| {
            Box::pin(async move {
                let sql = "SELECT min(received_at) FROM alerts";
                get(&client.query_typed_one(sql, &[]).await.map_err(connect::error)?, 0)
            })
        }))
    }

    fn forget_alerts(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>> {
        Box::pin(self.run(Workers, "forget alerts", move |client| {
            Box::pin(async move {
                let Some(transaction) = alone(client).await? else { return Ok(None) };
                let sql = "DELETE FROM alerts WHERE id IN \
                           (SELECT id FROM alerts WHERE received_at < $1 ORDER BY received_at LIMIT $2)";
                let params: [Param<'_>; 2] = [(&before, Type::INT8), (&i64::from(limit), Type::INT8)];
                let gone = transaction.execute_typed(sql, &params).await.map_err(connect::error)?;
                transaction.commit().await.map_err(connect::error)?;
                Ok(Some(gone))
            })
        }))
    }

    fn forget_incidents(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>> {
        Box::pin(self.run(Workers, "forget incidents", move |client| {
            Box::pin(async move {
                let Some(transaction) = alone(client).await? else { return Ok(None) };
                let old = lock_old(&transaction, before).await?;
                let params: [Param<'_>; 2] = [(&old, Type::UUID_ARRAY), (&i64::from(limit), Type::INT8)];
                let events = transaction.execute_typed(FORGET_EVENTS, &params).await.map_err(connect::error)?;
                let alerts = transaction.execute_typed(FORGET_THEIR_ALERTS, &params).await.map_err(connect::error)?;
                let gone = transaction.execute_typed(FORGET_INCIDENTS, &params[..1]).await.map_err(connect::error)?;
                transaction.commit().await.map_err(connect::error)?;
                Ok(Some(events + alerts + gone))
            })
        }))
    }
}

/// A transaction in which nobody else forgets anything; none while somebody does.
async fn alone(client: &mut Object) -> Result<Option<Transaction<'_>>, StoreError> {
    let transaction = client.build_transaction().start().await.map_err(connect::error)?;
    let sql = concat!("SELECT pg_try_advisory_xact_lock($1, $2), ", bounds!());
    let lock = transaction.query_typed_one(sql, &[(&LOCK.0, Type::INT4), (&LOCK.1, Type::INT4)]).await;
    Ok(get::<bool>(&lock.map_err(connect::error)?, 0)?.then_some(transaction))
}

/// Some incidents that were resolved before this time, which are this transaction's now.
async fn lock_old(transaction: &Transaction<'_>, before: i64) -> Result<Vec<Uuid>, StoreError> {
    let params: [Param<'_>; 2] = [(&before, Type::INT8), (&i64::from(FORGOTTEN_INCIDENTS), Type::INT8)];
    let rows = transaction.query_typed(LOCK_OLD, &params).await.map_err(connect::error)?;
    rows.iter().map(|row| get(row, 0)).collect()
}

impl Question for AlertFilter {
    type Answer = AlertPage;

    fn ask<'c>(&'c self, client: &'c Client) -> BoxFuture<'c, Result<AlertPage, StoreError>> {
        Box::pin(async move {
            let (before, limit) = (self.before.unwrap_or(i64::MAX), i64::from(self.limit) + 1);
            let params: [Param<'_>; 4] = [
                (&self.incident, Type::UUID),
                (&before, Type::INT8),
                (&limit, Type::INT8),
                (&ALERTS_MAX_BYTES, Type::INT8),
            ];
            let rows = client.query_typed(&page_statement('$'), &params).await.map_err(connect::error)?;
            let found = rows.first().map(|row| get(row, 9)).transpose()?;
            let alerts = rows.iter().map(alert).collect::<Result<Vec<_>, _>>()?;
            Ok(AlertPage::of(alerts, found, self.limit))
        })
    }
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: get(row, 0)?,
        action: get(row, 1)?,
        dedup_key: get(row, 2)?,
        severity: get(row, 3)?,
        title: get(row, 4)?,
        details: get(row, 5)?,
        key_id: get(row, 6)?,
        received_at: get(row, 7)?,
        details_cut: get(row, 8)?,
    })
}
