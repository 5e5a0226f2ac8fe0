//! An event of monitoring: one statement at READ COMMITTED, and nothing is ever tried again.
//!
//! The open incident of the key is counted up under its row lock. If there is none, one is opened; the partial unique index decides
//! who of several was first, and the others count up. Whoever meets an incident that somebody is about to resolve waits,
//! and opens a new one then.

use super::rows::{get, status};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::Interactive;
use crate::store::records::{EVENT_DETAILS_MAX_BYTES, show_time};
use crate::store::{Answer, Ingested, OUTBOX_PARTS, Trigger};
use tokio_postgres::types::Type;

/// $1 digest of the key, $2 id if it is new, $3 dedup key, $4 severity, $5 title, $6 details, $7 now, $8 now as events carry it,
/// $9 details as events carry them, $10 parts of the outbox. A number is drawn only where an incident is opened, so that they
/// have few gaps.
const INGEST: &str = r#"
WITH k AS (
    SELECT k.id AS key_id, k.name AS key_name, s.id AS service_id, s.slug, s.maintenance_until
    FROM integration_keys k JOIN services s ON s.id = k.service_id
    WHERE k.digest = $1 AND k.revoked_at IS NULL
), again AS (
    UPDATE incidents i
    SET seq = i.seq + 1, trigger_count = i.trigger_count + 1, last_event_at = greatest(i.last_event_at, $7)
    FROM k
    WHERE i.service_id = k.service_id AND i.dedup_key = $3 AND i.status <> 'resolved'
    RETURNING i.id, i.number, i.status, i.severity, i.title, i.seq, i.trigger_count, i.previous_id
), opened AS (
    INSERT INTO incidents AS i (id, service_id, dedup_key, status, severity, title, details, seq, trigger_count,
        opened_at, last_event_at, wakes_at, previous_id)
    SELECT $2, k.service_id, $3, CASE WHEN k.maintenance_until > $7 THEN 'suppressed' ELSE 'triggered' END, $4, $5, $6,
        1, 1, $7, $7, CASE WHEN k.maintenance_until > $7 THEN k.maintenance_until END,
        (SELECT p.id FROM incidents p WHERE p.service_id = k.service_id AND p.dedup_key = $3
         ORDER BY p.opened_at DESC LIMIT 1)
    FROM k
    WHERE NOT EXISTS (SELECT FROM again)
    ON CONFLICT (service_id, dedup_key) WHERE status <> 'resolved'
    DO UPDATE SET seq = i.seq + 1, trigger_count = i.trigger_count + 1,
        last_event_at = greatest(i.last_event_at, excluded.last_event_at)
    RETURNING i.id, i.number, i.status, i.severity, i.title, i.seq, i.trigger_count, i.previous_id
), i AS (
    SELECT * FROM again UNION ALL SELECT * FROM opened
), shown AS (
    SELECT i.id, json_build_object('id', i.id, 'number', i.number, 'service', k.slug, 'dedup_key', $3,
        'status', i.status, 'severity', i.severity, 'title', i.title, 'assignee', null, 'seq', i.seq,
        'trigger_count', i.trigger_count, 'opened_at', $8, 'last_event_at', $8, 'acknowledged_at', null,
        'resolved_at', null, 'snoozed_until', null, 'previous_id', i.previous_id)::text AS incident
    FROM i, k
    WHERE i.seq = 1
), said AS (
    INSERT INTO incident_events (incident_id, seq, type, actor, data, created_at)
    SELECT i.id, i.seq,
        CASE WHEN i.seq > 1 THEN 'incident.retriggered' ELSE 'incident.' || i.status END,
        json_build_object('type', 'integration', 'id', k.key_id, 'name', k.key_name)::text,
        CASE WHEN i.seq > 1 THEN json_build_object('trigger_count', i.trigger_count, 'status', i.status)::text
        ELSE '{"incident":' || coalesce(left(shown.incident, -1) || ',"details":' || $9 || '}', shown.incident) || '}' END,
        $7
    FROM i CROSS JOIN k LEFT JOIN shown ON shown.id = i.id
), queued AS (
    INSERT INTO outbox (part, incident_id, seq, created_at)
    SELECT (get_byte(uuid_send(i.id), 15) % $10)::int2, i.id, i.seq, $7 FROM i
)
SELECT i.id, i.number, i.status, i.seq FROM i
"#;

impl Postgres {
    pub(super) fn ingest_trigger(&self, trigger: Trigger) -> Answer<'_, Option<Ingested>> {
        Box::pin(self.run(Interactive, "ingest", move |client| {
            Box::pin(async move {
                let shown = show_time(trigger.now);
                let short = trigger.details.as_ref().filter(|details| details.len() <= EVENT_DETAILS_MAX_BYTES);
                let (key, severity, parts) = (&trigger.key[..], trigger.severity.as_str(), i32::from(OUTBOX_PARTS));
                let params: [Param<'_>; 10] = [
                    (&key, Type::BYTEA),
                    (&trigger.id, Type::UUID),
                    (&trigger.dedup_key, Type::TEXT),
                    (&severity, Type::TEXT),
                    (&trigger.title, Type::TEXT),
                    (&trigger.details, Type::TEXT),
                    (&trigger.now, Type::INT8),
                    (&shown, Type::TEXT),
                    (&short, Type::TEXT),
                    (&parts, Type::INT4),
                ];
                let row = client.query_typed_opt(INGEST, &params).await.map_err(connect::error)?;
                let ingested = |row| {
                    let (id, number, seq) = (get(&row, 0)?, get(&row, 1)?, get(&row, 3)?);
                    Ok(Ingested { id, number, status: status(get(&row, 2)?)?, seq })
                };
                row.map(ingested).transpose()
            })
        }))
    }
}
