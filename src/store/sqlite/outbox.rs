//! The outbox in SQLite: said first, forgotten then. Whoever dies in between has it said twice.

use super::rows::timeline_event;
use super::{Sqlite, error};
use crate::metrics::PoolShare::Relay;
use crate::store::{Answer, OUTBOX_PARTS, OutboxEvent, OutboxPart, OutboxStore, Publish, READ_OF_PART, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rusqlite::{Row, Transaction};

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
                Relayed::Saying(ids, gone, said) => {
                    let said = said.await;
                    Ok(gone + self.write(Relay, "relay", move |tx| forget(tx, &ids, &said)).await?)
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
    /// It is not known yet. So many others are forgotten, as their incidents are gone.
    Saying(Vec<Ids>, usize, BoxFuture<'static, Vec<usize>>),
}

fn relay(tx: &Transaction<'_>, limit: u32, publish: &Publish) -> Result<Relayed, StoreError> {
    let (mut parts, mut ids, mut gone) = (Vec::new(), Vec::new(), 0);
    for number in 0..i16::from(OUTBOX_PARTS) {
        let (part, of_part, of_nothing) = read(tx, number, limit)?;
        for id in &of_nothing {
            gone += tx.execute("DELETE FROM outbox WHERE id = ?1", [id]).map_err(error)?;
        }
        ids.push((number, of_part));
        parts.push(part);
    }
    let mut said = publish(parts);
    match (&mut said).now_or_never() {
        Some(said) => Ok(Relayed::Done(gone + forget(tx, &ids, &said)?)),
        None => Ok(Relayed::Saying(ids, gone, said)),
    }
}

/// What waits in a part, its rows, and rows whose incidents are gone.
fn read(tx: &Transaction<'_>, part: i16, limit: u32) -> Result<(OutboxPart, Vec<i64>, Vec<i64>), StoreError> {
    let sql = "SELECT o.id, o.incident_id, s.slug, e.seq, e.type, e.actor, e.data, e.created_at, s.team FROM outbox o \
               LEFT JOIN incident_events e ON e.incident_id = o.incident_id AND e.seq = o.seq \
               LEFT JOIN incidents i ON i.id = e.incident_id LEFT JOIN services s ON s.id = i.service_id \
               WHERE o.part = ?1 ORDER BY o.id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(error)?;
    let mut rows = statement.query((part, limit)).map_err(error)?;
    let (mut ids, mut gone, mut bytes, mut is_cut) = (Vec::new(), Vec::new(), 0, false);
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(error)? {
        is_cut = bytes >= READ_OF_PART;
        if is_cut {
            break;
        }
        let id = row.get(0).map_err(error)?;
        match event(row).map_err(error)? {
            Some(event) => {
                bytes += event.event.actor.len() + event.event.data.len();
                events.push(event);
                ids.push(id);
            }
            None => gone.push(id),
        }
    }
    let is_whole = !is_cut && ids.len() + gone.len() < limit as usize;
    Ok((OutboxPart { part, events, is_whole }, ids, gone))
}

/// What a row is about, unless that is gone.
fn event(row: &Row<'_>) -> rusqlite::Result<Option<OutboxEvent>> {
    let (incident, Some(service), team) = (row.get(1)?, row.get(2)?, row.get(8)?) else { return Ok(None) };
    Ok(Some(OutboxEvent { incident, service, team, event: timeline_event(row, 3)? }))
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
