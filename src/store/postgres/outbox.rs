//! The outbox in PostgreSQL: each part is relayed by one process at a time, and forgotten with the transaction in which it was
//! said. Whoever dies in between has it said twice.

use super::bounds::bounds;
use super::rows::{get, timeline_event};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::Relay;
use crate::store::{Answer, OUTBOX_PARTS, OutboxEvent, OutboxPart, OutboxStore, Publish, READ_OF_PART, StoreError};
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

/// The first rows of parts, with what they are about unless that is gone; how many there are of each part, of which those are
/// left out that have too many bytes before them.
const READ: &str = "SELECT id, incident_id, slug, seq, type, actor, data, created_at, team, part, waiting FROM \
     (SELECT o.id, o.incident_id, s.slug, e.seq, e.type, e.actor, e.data, e.created_at, s.team, p.part, \
     count(*) OVER (PARTITION BY p.part) AS waiting, \
     coalesce(sum(octet_length(e.actor) + octet_length(e.data)) OVER \
     (PARTITION BY p.part ORDER BY o.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS ahead \
     FROM unnest($1) p (part) CROSS JOIN LATERAL \
     (SELECT * FROM outbox first WHERE first.part = p.part ORDER BY first.id LIMIT $2) o \
     LEFT JOIN incident_events e ON e.incident_id = o.incident_id AND e.seq = o.seq \
     LEFT JOIN incidents i ON i.id = e.incident_id LEFT JOIN services s ON s.id = i.service_id) looked \
     WHERE ahead < $3 ORDER BY part, id";

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
    let Read { parts, ids, gone: (mut of_part, mut forgotten) } =
        read(&transaction, take(&transaction).await?, limit).await?;
    if parts.is_empty() {
        return Ok(0);
    }
    let numbers: Vec<_> = parts.iter().map(|part| part.part).collect();
    let said = publish(parts).await;
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

/// What waits in parts.
struct Read {
    parts: Vec<OutboxPart>,
    /// The rows of each.
    ids: Vec<Vec<i64>>,
    /// Rows whose incidents are gone: their parts, and their ids.
    gone: (Vec<i16>, Vec<i64>),
}

/// What waits in these parts.
async fn read(transaction: &Transaction<'_>, free: Vec<i16>, limit: u32) -> Result<Read, StoreError> {
    let (limit, bytes_max) = (i64::from(limit), i64::try_from(READ_OF_PART).unwrap_or(i64::MAX));
    let params: [Param<'_>; 3] = [(&free, Type::INT2_ARRAY), (&limit, Type::INT8), (&bytes_max, Type::INT8)];
    let rows = transaction.query_typed(READ, &params).await.map_err(connect::error)?;
    let (mut ids, mut gone) = (vec![Vec::new(); free.len()], (Vec::new(), Vec::new()));
    let whole = |part| OutboxPart { part, events: Vec::new(), is_whole: true };
    let mut parts: Vec<_> = free.into_iter().map(whole).collect();
    for rows in rows.chunk_by(|one, next| one.get::<_, i16>(9) == next.get::<_, i16>(9)) {
        let (number, waiting): (i16, i64) = (get(&rows[0], 9)?, get(&rows[0], 10)?);
        let place = parts.iter().position(|part| part.part == number);
        let place = place.ok_or_else(|| StoreError::Fault("an event of no part".into()))?;
        parts[place].is_whole = waiting < limit && i64::try_from(rows.len()) == Ok(waiting);
        for row in rows {
            let id = get(row, 0)?;
            let (Some(service), team) = (get(row, 2)?, get(row, 8)?) else {
                gone.0.push(number);
                gone.1.push(id);
                continue;
            };
            let event = OutboxEvent { incident: get(row, 1)?, service, team, event: timeline_event(row, 3)? };
            parts[place].events.push(event);
            ids[place].push(id);
        }
    }
    Ok(Read { parts, ids, gone })
}
