//! The outbox in PostgreSQL: each part is relayed by one process at a time, and forgotten with the transaction in which it was
//! said. Whoever dies in between has it said twice.

use super::bounds::bounds;
use super::rows::{get, timeline_event};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::Relay;
use crate::store::{Answer, OUTBOX_PARTS, OutboxEvent, OutboxPart, OutboxStore, Publish, StoreError};
use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::Type;

/// First half of the locks of the parts; the second is the part.
const LOCK: i32 = 0x726f_6f6d;

/// Takes the parts that are free. Should the server fall before what follows is on the disk, the events are there again, and are
/// said again: nobody has to wait for that.
const TAKE: &str = concat!(
    "SELECT part::int2, pg_try_advisory_xact_lock($1, part), set_config('synchronous_commit', 'off', true), ",
    bounds!(),
    " FROM generate_series(0, $2 - 1) part"
);

const READ: &str = "SELECT o.id, o.incident_id, s.slug, e.seq, e.type, e.actor, e.data, e.created_at, s.team, p.part \
     FROM unnest($1) p (part) CROSS JOIN LATERAL \
     (SELECT * FROM outbox first WHERE first.part = p.part ORDER BY first.id LIMIT $2) o \
     JOIN incident_events e ON e.incident_id = o.incident_id AND e.seq = o.seq \
     JOIN incidents i ON i.id = o.incident_id JOIN services s ON s.id = i.service_id ORDER BY p.part, o.id";

const FORGET: &str =
    "DELETE FROM outbox o USING unnest($1, $2) said (part, id) WHERE o.part = said.part AND o.id = said.id";

impl OutboxStore for Postgres {
    fn is_waiting(&self) -> Answer<'_, bool> {
        Box::pin(self.run(Relay, "outbox", move |client| {
            Box::pin(async move {
                let sql = "SELECT EXISTS (SELECT FROM outbox)";
                get(&client.query_typed_one(sql, &[]).await.map_err(connect::error)?, 0)
            })
        }))
    }

    fn relay(&self, limit: u32, publish: Publish) -> Answer<'_, usize> {
        Box::pin(self.run(Relay, "relay", move |client| Box::pin(relay(client, limit, publish))))
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

/// All free parts in one transaction: each costs the database five round trips, however little waits.
async fn relay(client: &mut Object, limit: u32, publish: Publish) -> Result<usize, StoreError> {
    let transaction = client.build_transaction().start().await.map_err(connect::error)?;
    let (parts, ids) = read(&transaction, take(&transaction).await?, limit).await?;
    if parts.is_empty() {
        return Ok(0);
    }
    let numbers: Vec<_> = parts.iter().map(|part| part.part).collect();
    let said = publish(parts).await;
    let (mut of_part, mut forgotten) = (Vec::new(), Vec::new());
    for ((number, ids), said) in numbers.iter().zip(&ids).zip(said) {
        let said = &ids[..said.min(ids.len())];
        of_part.resize(of_part.len() + said.len(), *number);
        forgotten.extend_from_slice(said);
    }
    if forgotten.is_empty() {
        return Ok(0);
    }
    let params: [Param<'_>; 2] = [(&of_part, Type::INT2_ARRAY), (&forgotten, Type::INT8_ARRAY)];
    transaction.execute_typed(FORGET, &params).await.map_err(connect::error)?;
    transaction.commit().await.map_err(connect::error)?;
    Ok(forgotten.len())
}

/// The parts that nobody else relays: they are this transaction's now.
async fn take(transaction: &Transaction<'_>) -> Result<Vec<i16>, StoreError> {
    let params: [Param<'_>; 2] = [(&LOCK, Type::INT4), (&i32::from(OUTBOX_PARTS), Type::INT4)];
    let rows = transaction.query_typed(TAKE, &params).await.map_err(connect::error)?;
    let mut free = Vec::new();
    for row in &rows {
        if get(row, 1)? {
            free.push(get(row, 0)?);
        }
    }
    Ok(free)
}

/// What waits in these parts, and the ids of the rows of each.
async fn read(
    transaction: &Transaction<'_>,
    free: Vec<i16>,
    limit: u32,
) -> Result<(Vec<OutboxPart>, Vec<Vec<i64>>), StoreError> {
    let params: [Param<'_>; 2] = [(&free, Type::INT2_ARRAY), (&i64::from(limit), Type::INT8)];
    let rows = transaction.query_typed(READ, &params).await.map_err(connect::error)?;
    let mut ids = vec![Vec::new(); free.len()];
    let mut parts: Vec<_> = free.into_iter().map(|part| OutboxPart { part, events: Vec::new() }).collect();
    for row in &rows {
        let number: i16 = get(row, 9)?;
        let place = parts.iter().position(|part| part.part == number);
        let place = place.ok_or_else(|| StoreError::Fault("an event of no part".into()))?;
        let (incident, service, team) = (get(row, 1)?, get(row, 2)?, get(row, 8)?);
        parts[place].events.push(OutboxEvent { incident, service, team, event: timeline_event(row, 3)? });
        ids[place].push(get(row, 0)?);
    }
    Ok((parts, ids))
}
