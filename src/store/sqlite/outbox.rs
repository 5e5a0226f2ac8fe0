//! The outbox in SQLite: said first, forgotten then. Whoever dies in between has it said twice.

use super::rows::timeline_event;
use super::{Sqlite, error};
use crate::metrics::PoolShare::Relay;
use crate::store::{Answer, OUTBOX_PARTS, OutboxEvent, OutboxPart, OutboxStore, Publish, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rusqlite::Transaction;

impl OutboxStore for Sqlite {
    fn is_waiting(&self) -> Answer<'_, bool> {
        Box::pin(self.read(Relay, "outbox", move |db| {
            db.query_row("SELECT EXISTS (SELECT 1 FROM outbox)", [], |row| row.get(0)).map_err(error)
        }))
    }

    fn relay(&self, limit: u32, publish: Publish) -> Answer<'_, usize> {
        Box::pin(async move {
            // The thread that writes is the one process that relays.
            match self.write(Relay, "relay", move |tx| relay(tx, limit, &publish)).await? {
                Relayed::Done(said) => Ok(said),
                // Nobody who writes waits for the broker.
                Relayed::Saying(ids, said) => {
                    let said = said.await;
                    self.write(Relay, "relay", move |tx| forget(tx, &ids, &said)).await
                }
            }
        })
    }

    fn look(&self) -> Answer<'_, (u64, Option<i64>)> {
        Box::pin(self.read(Relay, "look", move |db| {
            let sql = "SELECT count(*), min(created_at) FROM outbox";
            let (depth, oldest): (i64, _) =
                db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(error)?;
            Ok((u64::try_from(depth).unwrap_or(0), oldest))
        }))
    }
}

/// The rows of a part.
type Ids = (i16, Vec<i64>);

/// What has become of events that were handed on.
enum Relayed {
    /// So many have been said, and are forgotten.
    Done(usize),
    /// It is not known yet.
    Saying(Vec<Ids>, BoxFuture<'static, Vec<usize>>),
}

fn relay(tx: &Transaction<'_>, limit: u32, publish: &Publish) -> Result<Relayed, StoreError> {
    let (mut parts, mut ids) = (Vec::new(), Vec::new());
    for part in 0..i16::from(OUTBOX_PARTS) {
        let (of_part, events) = read(tx, part, limit)?;
        ids.push((part, of_part));
        parts.push(OutboxPart { part, events });
    }
    let mut said = publish(parts);
    match (&mut said).now_or_never() {
        Some(said) => forget(tx, &ids, &said).map(Relayed::Done),
        None => Ok(Relayed::Saying(ids, said)),
    }
}

/// The first events of a part, and their rows.
fn read(tx: &Transaction<'_>, part: i16, limit: u32) -> Result<(Vec<i64>, Vec<OutboxEvent>), StoreError> {
    let sql = "SELECT o.id, o.incident_id, s.slug, e.seq, e.type, e.actor, e.data, e.created_at, s.team FROM outbox o \
               JOIN incident_events e ON e.incident_id = o.incident_id AND e.seq = o.seq \
               JOIN incidents i ON i.id = o.incident_id JOIN services s ON s.id = i.service_id \
               WHERE o.part = ?1 ORDER BY o.id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(error)?;
    let rows = statement.query_map((part, limit), |row| {
        let (incident, service, team) = (row.get(1)?, row.get(2)?, row.get(8)?);
        let event = OutboxEvent { incident, service, team, event: timeline_event(row, 3)? };
        Ok((row.get::<_, i64>(0)?, event))
    });
    rows.map_err(error)?.collect::<Result<_, _>>().map_err(error)
}

/// Forgets so many events of each part, from the first on.
fn forget(tx: &Transaction<'_>, ids: &[Ids], said: &[usize]) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    for ((part, ids), said) in ids.iter().zip(said) {
        let said = &ids[..ids.len().min(*said)];
        if let Some(last) = said.last() {
            tx.execute("DELETE FROM outbox WHERE part = ?1 AND id <= ?2", (part, last)).map_err(error)?;
            forgotten += said.len();
        }
    }
    Ok(forgotten)
}
