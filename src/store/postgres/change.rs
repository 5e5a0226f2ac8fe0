//! Changes of incidents: one transaction each, and for people one that is serializable and tried again.

use super::bounds::bound;
use super::rows::{INCIDENT, incident};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare;
use crate::store::{Answer, Decide, Incident, Isolation, Step, StoreError, Transitioned, Verdict, Which, outbox_part};
use deadpool_postgres::{Object, Transaction};
use futures_util::future::try_join;
use std::time::Duration;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::Type;

/// How long to wait before each further try of a serializable transaction, and as much again at most.
const PAUSES_MS: [u64; 2] = [10, 25];

const UPDATE: &str = "UPDATE incidents SET status = $2, severity = $3, title = $4, assignee = $5, seq = $6, \
     acknowledged_at = $7, resolved_at = $8, wakes_at = $9 WHERE id = $1";

const SAY: &str = "WITH said AS (INSERT INTO incident_events (incident_id, seq, type, actor, data, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)) \
     INSERT INTO outbox (part, incident_id, seq, created_at) VALUES ($7, $1, $2, $6)";

impl Postgres {
    pub(super) fn change_incident(
        &self,
        which: Which,
        isolation: Isolation,
        decide: Decide,
    ) -> Answer<'_, Transitioned> {
        Box::pin(async move {
            // A timer names an incident and locks it; whoever else changes something waits for the answer.
            let is_timer = isolation == Isolation::Locked && matches!(which, Which::Id(_));
            let share = if is_timer { PoolShare::Workers } else { PoolShare::Interactive };
            for pause in PAUSES_MS.into_iter().map(Some).chain([None]) {
                let (which, decide) = (which.clone(), decide.clone());
                let tried = self
                    .run(share, "change incident", move |client| Box::pin(change(client, which, isolation, decide)));
                match (tried.await, pause) {
                    (Err(StoreError::Conflict), Some(ms)) => {
                        self.primary.gate.retried();
                        tokio::time::sleep(Duration::from_millis(ms + jitter(ms))).await;
                    }
                    (outcome, _) => return outcome,
                }
            }
            Err(StoreError::Conflict)
        })
    }
}

/// Up to `ms`, so that those who met do not meet again.
fn jitter(ms: u64) -> u64 {
    let mut byte = [0];
    // Without randomness they meet once more, which is no fault.
    getrandom::fill(&mut byte).map_or(0, |()| ms * u64::from(byte[0]) / 255)
}

async fn change(
    client: &mut Object,
    which: Which,
    isolation: Isolation,
    decide: Decide,
) -> Result<Transitioned, StoreError> {
    let level = match isolation {
        Isolation::Locked => IsolationLevel::ReadCommitted,
        Isolation::Serializable => IsolationLevel::Serializable,
    };
    let transaction = client.build_transaction().isolation_level(level).start().await.map_err(connect::error)?;
    let ((), before) = try_join(bound(&transaction), lock(&transaction, &which)).await?;
    let Some(before) = before else { return Ok(Transitioned::Missing) };
    match decide(&before) {
        Verdict::Keep => Ok(Transitioned::Kept(Box::new(before))),
        Verdict::Refuse(reason) => Ok(Transitioned::Refused(Box::new(before), reason)),
        Verdict::Change(step) => {
            write(&transaction, &step).await?;
            transaction.commit().await.map_err(connect::error)?;
            Ok(Transitioned::Changed(Box::new(step.after)))
        }
    }
}

async fn lock(transaction: &Transaction<'_>, which: &Which) -> Result<Option<Incident>, StoreError> {
    let from = format!("SELECT {INCIDENT} FROM incidents i JOIN services s ON s.id = i.service_id");
    let row = match which {
        Which::Id(id) => {
            let sql = format!("{from} WHERE i.id = $1 FOR UPDATE OF i");
            transaction.query_typed_opt(&sql, &[(id, Type::UUID)]).await
        }
        Which::Open(key, dedup_key) => {
            let sql = format!(
                "{from} JOIN integration_keys k ON k.service_id = s.id WHERE k.digest = $1 AND k.revoked_at IS NULL \
                 AND i.dedup_key = $2 AND i.status <> 'resolved' FOR UPDATE OF i"
            );
            transaction.query_typed_opt(&sql, &[(&&key[..], Type::BYTEA), (dedup_key, Type::TEXT)]).await
        }
    };
    row.map_err(connect::error)?.as_ref().map(incident).transpose()
}

/// Writes the incident as it is now, and what is to be said of it.
pub(super) async fn write(transaction: &Transaction<'_>, step: &Step) -> Result<(), StoreError> {
    let after = &step.after;
    let (status, severity) = (after.status.as_str(), after.severity.as_str());
    let params: [Param<'_>; 9] = [
        (&after.id, Type::UUID),
        (&status, Type::TEXT),
        (&severity, Type::TEXT),
        (&after.title, Type::TEXT),
        (&after.assignee, Type::TEXT),
        (&after.seq, Type::INT8),
        (&after.acknowledged_at, Type::INT8),
        (&after.resolved_at, Type::INT8),
        (&after.wakes_at, Type::INT8),
    ];
    transaction.execute_typed(UPDATE, &params).await.map_err(connect::error)?;
    say(transaction, step).await
}

/// Writes the events of a step into the timeline and the outbox.
pub(super) async fn say(transaction: &Transaction<'_>, step: &Step) -> Result<(), StoreError> {
    let (id, part) = (step.after.id, outbox_part(step.after.id));
    let first = step.after.seq + 1 - i64::try_from(step.events.len()).unwrap_or(i64::MAX);
    for (seq, event) in (first..).zip(&step.events) {
        let params: [Param<'_>; 7] = [
            (&id, Type::UUID),
            (&seq, Type::INT8),
            (&event.kind, Type::TEXT),
            (&step.actor, Type::TEXT),
            (&event.data, Type::TEXT),
            (&step.now, Type::INT8),
            (&part, Type::INT2),
        ];
        transaction.execute_typed(SAY, &params).await.map_err(connect::error)?;
    }
    Ok(())
}
