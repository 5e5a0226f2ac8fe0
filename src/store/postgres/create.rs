//! Incidents that somebody opens, each request once.

use super::bounds::bound;
use super::rows::{INCIDENT, get, incident};
use super::{Param, Postgres, change, connect};
use crate::metrics::PoolShare::Interactive;
use crate::store::records::{answer_of, opening};
use crate::store::{Answer, Created, NewIncident, Once, StoreError};
use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::Type;
use uuid::Uuid;

const OPEN: &str = "WITH s AS (SELECT id, maintenance_until, coalesce(max_open, $9) AS max_open FROM services WHERE slug = $2) \
     INSERT INTO incidents (id, service_id, dedup_key, status, severity, title, details, assignee, seq, trigger_count, \
     opened_at, last_event_at, wakes_at, previous_id) \
     SELECT $1, s.id, $3, CASE WHEN s.maintenance_until > $8 THEN 'suppressed' ELSE 'triggered' END, $4, $5, $6, $7, 1, 1, \
     $8, $8, CASE WHEN s.maintenance_until > $8 THEN s.maintenance_until END, \
     (SELECT p.id FROM incidents p WHERE p.service_id = s.id AND p.dedup_key = $3 ORDER BY p.opened_at DESC LIMIT 1) \
     FROM s WHERE (SELECT count(*) FROM (SELECT FROM incidents i WHERE i.service_id = s.id AND i.status <> 'resolved' \
     LIMIT s.max_open) one) < s.max_open ON CONFLICT (service_id, dedup_key) WHERE status <> 'resolved' DO NOTHING";

impl Postgres {
    pub(super) fn create_incident(&self, new: NewIncident, once: Option<Once>) -> Answer<'_, Created> {
        let most = self.limits.open;
        Box::pin(self.run(Interactive, "create incident", move |client| Box::pin(create(client, new, once, most))))
    }
}

/// A request that comes a second time while the first is under way waits for it: for its row of `idempotency_keys`.
async fn create(client: &mut Object, new: NewIncident, once: Option<Once>, most: i64) -> Result<Created, StoreError> {
    let transaction = client.build_transaction().start().await.map_err(connect::error)?;
    bound(&transaction).await?;
    if let Some(once) = &once
        && let Some(before) = remember(&transaction, once, &new).await?
    {
        return Ok(before);
    }
    let severity = new.severity.as_str();
    let params: [Param<'_>; 9] = [
        (&new.id, Type::UUID),
        (&new.service, Type::TEXT),
        (&new.dedup_key, Type::TEXT),
        (&severity, Type::TEXT),
        (&new.title, Type::TEXT),
        (&new.details, Type::TEXT),
        (&new.assignee, Type::TEXT),
        (&new.now, Type::INT8),
        (&most, Type::INT8),
    ];
    if transaction.execute_typed(OPEN, &params).await.map_err(connect::error)? == 0 {
        return in_the_way(&transaction, &new, most).await;
    }
    let sql = format!("SELECT {INCIDENT} FROM incidents i JOIN services s ON s.id = i.service_id WHERE i.id = $1");
    let row = transaction.query_typed_one(&sql, &[(&new.id, Type::UUID)]).await.map_err(connect::error)?;
    let incident = incident(&row)?;
    change::say(&transaction, &opening(&incident, &new)?).await?;
    if let Some(once) = &once {
        let answer = answer_of(&incident)?;
        let sql = "UPDATE idempotency_keys SET answer = $3 WHERE principal = $1 AND key = $2";
        let params: [Param<'_>; 3] = [(&once.principal, Type::TEXT), (&once.key, Type::TEXT), (&answer, Type::TEXT)];
        transaction.execute_typed(sql, &params).await.map_err(connect::error)?;
    }
    transaction.commit().await.map_err(connect::error)?;
    Ok(Created::New(Box::new(incident)))
}

/// Remembers the request; `Some` when it was remembered before.
async fn remember(tx: &Transaction<'_>, once: &Once, new: &NewIncident) -> Result<Option<Created>, StoreError> {
    let digest = &once.digest[..];
    let named = |column: &str| format!("{column} idempotency_keys WHERE principal = $1 AND key = $2");
    let name: [Param<'_>; 2] = [(&once.principal, Type::TEXT), (&once.key, Type::TEXT)];
    let sql = format!("{} AND expires_at <= $3", named("DELETE FROM"));
    tx.execute_typed(&sql, &[name[0].clone(), name[1].clone(), (&new.now, Type::INT8)])
        .await
        .map_err(connect::error)?;
    let sql = "INSERT INTO idempotency_keys (principal, key, digest, incident_id, answer, expires_at) \
               VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT DO NOTHING";
    let params: [Param<'_>; 5] = [
        name[0].clone(),
        name[1].clone(),
        (&digest, Type::BYTEA),
        (&new.id, Type::UUID),
        (&once.expires_at, Type::INT8),
    ];
    if tx.execute_typed(sql, &params).await.map_err(connect::error)? == 1 {
        return Ok(None);
    }
    let sql = named("SELECT digest, incident_id, answer FROM");
    let row = tx.query_typed_one(&sql, &name).await.map_err(connect::error)?;
    if get::<&[u8]>(&row, 0)? != digest {
        return Ok(Some(Created::Mismatch));
    }
    Ok(Some(Created::Before(get(&row, 1)?, get(&row, 2)?)))
}

/// Why no incident was opened.
async fn in_the_way(transaction: &Transaction<'_>, new: &NewIncident, most: i64) -> Result<Created, StoreError> {
    let sql = "SELECT i.id, (SELECT count(*) FROM incidents o WHERE o.service_id = s.id AND o.status <> 'resolved') \
               >= coalesce(s.max_open, $3) FROM services s LEFT JOIN incidents i ON i.service_id = s.id AND i.dedup_key = $2 \
               AND i.status <> 'resolved' WHERE s.slug = $1";
    let params: [Param<'_>; 3] = [(&new.service, Type::TEXT), (&new.dedup_key, Type::TEXT), (&most, Type::INT8)];
    let Some(row) = transaction.query_typed_opt(sql, &params).await.map_err(connect::error)? else {
        return Ok(Created::NoService);
    };
    match (get::<Option<Uuid>>(&row, 0)?, get::<bool>(&row, 1)?) {
        (Some(open), _) => Ok(Created::Open(open)),
        (None, true) => Err(StoreError::Full),
        // What was in the way is there no longer; whoever asks again opens a new one.
        (None, false) => Err(StoreError::Conflict),
    }
}
