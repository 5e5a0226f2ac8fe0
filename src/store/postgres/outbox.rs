//! The outbox in PostgreSQL: each part is relayed by one process at a time, and forgotten with the transaction in which it was
//! said. Whoever dies in between has it said twice.

use super::bounds::bounds;
use super::rows::{get, timeline_event};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::Relay;
use crate::store::{Answer, OutboxEvent, OutboxStore, Publish, StoreError};
use deadpool_postgres::Object;
use tokio_postgres::types::Type;

/// First half of the locks of the parts; the second is the part.
const LOCK: i32 = 0x726f_6f6d;

impl OutboxStore for Postgres {
    fn waiting(&self) -> Answer<'_, Vec<i16>> {
        Box::pin(self.run(Relay, "outbox", move |client| {
            Box::pin(async move {
                let rows = client.query_typed("SELECT DISTINCT part FROM outbox", &[]).await.map_err(connect::error)?;
                rows.iter().map(|row| get(row, 0)).collect()
            })
        }))
    }

    fn relay(&self, part: i16, limit: u32, publish: Publish) -> Answer<'_, usize> {
        Box::pin(self.run(Relay, "relay", move |client| Box::pin(relay(client, part, limit, publish))))
    }

    fn look(&self) -> Answer<'_, (u64, Option<i64>)> {
        Box::pin(self.run(Relay, "look", move |client| {
            Box::pin(async move {
                let sql = "SELECT count(*), min(created_at) FROM outbox";
                let row = client.query_typed_one(sql, &[]).await.map_err(connect::error)?;
                Ok((u64::try_from(get::<i64>(&row, 0)?).unwrap_or(0), get(&row, 1)?))
            })
        }))
    }
}

async fn relay(client: &mut Object, part: i16, limit: u32, publish: Publish) -> Result<usize, StoreError> {
    let transaction = client.build_transaction().start().await.map_err(connect::error)?;
    // Should the server fall before this is on the disk, the events are there again, and are said again: nobody has to wait.
    let sql =
        concat!("SELECT pg_try_advisory_xact_lock($1, $2), set_config('synchronous_commit', 'off', true), ", bounds!());
    let params: [Param<'_>; 2] = [(&LOCK, Type::INT4), (&i32::from(part), Type::INT4)];
    let lock = transaction.query_typed_one(sql, &params).await.map_err(connect::error)?;
    if !get::<bool>(&lock, 0)? {
        return Ok(0);
    }
    let sql = "SELECT o.id, o.incident_id, s.slug, e.seq, e.type, e.actor, e.data, e.created_at, s.team FROM outbox o \
               JOIN incident_events e ON e.incident_id = o.incident_id AND e.seq = o.seq \
               JOIN incidents i ON i.id = o.incident_id JOIN services s ON s.id = i.service_id \
               WHERE o.part = $1 ORDER BY o.id LIMIT $2";
    let limit = i64::from(limit);
    let rows = transaction.query_typed(sql, &[(&part, Type::INT2), (&limit, Type::INT8)]).await;
    let rows = rows.map_err(connect::error)?;
    let event = |row| {
        let (incident, service, team) = (get(row, 1)?, get(row, 2)?, get(row, 8)?);
        Ok(OutboxEvent { incident, service, team, event: timeline_event(row, 3)? })
    };
    let events = rows.iter().map(event).collect::<Result<Vec<_>, StoreError>>()?;
    let count = events.len();
    let said = publish(events).await.min(count);
    if said == 0 {
        return Ok(0);
    }
    let ids = rows[..said].iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>, _>>()?;
    let sql = "DELETE FROM outbox WHERE part = $1 AND id = ANY($2)";
    let params: [Param<'_>; 2] = [(&part, Type::INT2), (&ids, Type::INT8_ARRAY)];
    transaction.execute_typed(sql, &params).await.map_err(connect::error)?;
    transaction.commit().await.map_err(connect::error)?;
    Ok(said)
}
