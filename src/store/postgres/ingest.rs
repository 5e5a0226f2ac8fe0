//! Events of monitoring: one statement at READ COMMITTED for all that came while the last one ran.
//!
//! The open incident of each key is counted up under its row lock. If there is none, one is opened; the partial unique index
//! decides who of several was first, and the others count up. Whoever meets an incident that somebody is about to resolve
//! waits, and opens a new one then.
//!
//! No more incidents of a service are opened than may be open, as far as the statement knows: it counts what was committed when it
//! began, so statements that begin at the same time may each open as many as there was room for. The next one sees them all.
//!
//! A statement locks the incidents of several keys. So that two of them never wait for each other, it has its lane to itself,
//! in the whole cluster, and keys are dealt to lanes ([`super::lanes`]).

use super::rows::{get, status};
use super::{Param, connect};
use crate::store::limits::Limits;
use crate::store::records::{ALERT_DETAILS_MAX_BYTES, EVENT_DETAILS_MAX_BYTES, show_time};
use crate::store::{Ingested, OUTBOX_PARTS, StoreError, Trigger};
use tokio_postgres::types::Type;

/// First half of the locks of the lanes; the second is the lane.
const LOCK: i32 = 0x6c61_6e65;

/// For how long a statement waits for its lane.
const LANE_WAIT: &str = "3s";

/// For how long it waits for an incident that somebody else changes, which takes milliseconds.
const ROW_WAIT: &str = "1s";

/// The same for an event that is alone in its statement. Less than those who wait behind it have patience for.
const ROW_WAIT_ALONE: &str = "500ms";

/// One array for each column of the events: $1 digest of the key, $2 id if it is new, $3 dedup key, $4 severity, $5 title, $6 details,
/// $7 when, $8 when as events carry it, $9 details as events carry them. $10 parts of the outbox, $11 and $12 the lane's lock,
/// $13 and $14 for how long it may wait for the lane and for each incident; what waits reads it when it begins to wait. $15 most open
/// incidents of a service that does not say, $16 most alerts of an incident, $17 longest details of those that did not open it.
///
/// `nth` of `times` events of the same key share the row that they count up. A number is drawn only where an incident is
/// opened, so that they have few gaps.
const INGEST: &str = r#"
WITH bounds AS MATERIALIZED (
    SELECT set_config('lock_timeout', $13, true) AS bound
), mine AS MATERIALIZED (
    SELECT pg_advisory_xact_lock($11, $12) FROM bounds WHERE bound <> ''
), lane AS MATERIALIZED (
    SELECT set_config('lock_timeout', $14, true) FROM mine
), e AS MATERIALIZED (
    SELECT e.ord, e.id, e.dedup_key, e.severity, e.title, e.details, e.at, e.shown_at, e.short,
        k.id AS key_id, k.name AS key_name, s.id AS service_id, s.slug, s.maintenance_until,
        coalesce(s.max_open, $15) AS max_open,
        row_number() OVER (PARTITION BY s.id, e.dedup_key ORDER BY e.ord) AS nth,
        count(*) OVER same AS times, max(e.at) OVER same AS last_at
    FROM lane, unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
        WITH ORDINALITY AS e (digest, id, dedup_key, severity, title, details, at, shown_at, short, ord)
    JOIN integration_keys k ON k.digest = e.digest AND k.revoked_at IS NULL
    JOIN services s ON s.id = k.service_id
    WINDOW same AS (PARTITION BY s.id, e.dedup_key)
), again AS (
    UPDATE incidents i
    SET seq = i.seq + e.times, trigger_count = i.trigger_count + e.times, last_event_at = greatest(i.last_event_at, e.last_at)
    FROM e
    WHERE e.nth = 1 AND i.service_id = e.service_id AND i.dedup_key = e.dedup_key AND i.status <> 'resolved'
    RETURNING i.service_id, i.dedup_key, i.id, i.number, i.status, i.severity, i.title, i.seq, i.trigger_count, i.previous_id
), fresh AS (
    SELECT e.*, row_number() OVER (PARTITION BY e.service_id ORDER BY e.ord) AS place FROM e
    WHERE e.nth = 1 AND NOT EXISTS
        (SELECT FROM again WHERE again.service_id = e.service_id AND again.dedup_key = e.dedup_key)
), room AS MATERIALIZED (
    SELECT f.service_id, f.max_open - here.n AS places FROM (SELECT DISTINCT service_id, max_open FROM fresh) f,
    LATERAL (SELECT count(*) AS n FROM (SELECT FROM incidents i
        WHERE i.service_id = f.service_id AND i.status <> 'resolved' LIMIT f.max_open) one) here
), opened AS (
    INSERT INTO incidents AS i (id, service_id, dedup_key, status, severity, title, details, seq, trigger_count,
        opened_at, last_event_at, wakes_at, previous_id)
    SELECT e.id, e.service_id, e.dedup_key, CASE WHEN e.maintenance_until > e.at THEN 'suppressed' ELSE 'triggered' END,
        e.severity, e.title, e.details, e.times, e.times, e.at, e.last_at,
        CASE WHEN e.maintenance_until > e.at THEN e.maintenance_until END,
        (SELECT p.id FROM incidents p WHERE p.service_id = e.service_id AND p.dedup_key = e.dedup_key
         ORDER BY p.opened_at DESC LIMIT 1)
    FROM fresh e JOIN room ON room.service_id = e.service_id AND e.place <= room.places
    ORDER BY e.ord
    ON CONFLICT (service_id, dedup_key) WHERE status <> 'resolved'
    DO UPDATE SET seq = i.seq + excluded.seq, trigger_count = i.trigger_count + excluded.trigger_count,
        last_event_at = greatest(i.last_event_at, excluded.last_event_at)
    RETURNING i.service_id, i.dedup_key, i.id, i.number, i.status, i.severity, i.title, i.seq, i.trigger_count, i.previous_id
), told AS (
    SELECT e.ord, e.key_id, e.key_name, e.slug, e.dedup_key, e.at, e.shown_at, e.short,
        i.id, i.number, i.status, i.severity, i.title, i.previous_id,
        i.seq - e.times + e.nth AS seq, i.trigger_count - e.times + e.nth AS trigger_count
    FROM e JOIN (SELECT * FROM again UNION ALL SELECT * FROM opened) i
        ON i.service_id = e.service_id AND i.dedup_key = e.dedup_key
), said AS (
    INSERT INTO incident_events (incident_id, seq, type, actor, data, created_at)
    SELECT t.id, t.seq,
        CASE WHEN t.seq > 1 THEN 'incident.retriggered' ELSE 'incident.' || t.status END,
        json_build_object('type', 'integration', 'id', t.key_id, 'name', t.key_name)::text,
        CASE WHEN t.seq > 1 THEN json_build_object('trigger_count', t.trigger_count, 'status', t.status)::text
        ELSE '{"incident":' || coalesce(left(shown.incident, -1) || ',"details":' || t.short || '}', shown.incident) || '}' END,
        t.at
    FROM told t LEFT JOIN LATERAL (
        SELECT json_build_object('id', t.id, 'number', t.number, 'service', t.slug, 'dedup_key', t.dedup_key,
            'status', t.status, 'severity', t.severity, 'title', t.title, 'assignee', null, 'seq', t.seq,
            'trigger_count', t.trigger_count, 'opened_at', t.shown_at, 'last_event_at', t.shown_at, 'acknowledged_at', null,
            'resolved_at', null, 'snoozed_until', null, 'previous_id', t.previous_id)::text AS incident
    ) shown ON t.seq = 1
), queued AS (
    INSERT INTO outbox (part, incident_id, seq, created_at)
    SELECT (get_byte(uuid_send(t.id), 15) % $10)::int2, t.id, t.seq, t.at FROM told t ORDER BY t.ord
), kept AS (
    INSERT INTO alerts (incident_id, service_id, key_id, action, dedup_key, severity, title, received_at, details, details_cut)
    SELECT t.id, e.service_id, e.key_id, 'trigger', e.dedup_key, e.severity, e.title, e.at,
        CASE WHEN NOT long.cut THEN e.details END, long.cut
    FROM e JOIN told t ON t.ord = e.ord, LATERAL
        (SELECT t.trigger_count > 1 AND coalesce(octet_length(e.details) > $17, false) AS cut) long
    WHERE t.trigger_count <= $16 ORDER BY e.ord
)
SELECT e.ord, t.id, t.number, t.status, t.seq, t.trigger_count FROM e LEFT JOIN told t ON t.ord = e.ord
"#;

/// What became of an event: nothing when its integration key is not known.
pub(super) type Taken = Result<Option<Ingested>, StoreError>;

/// Takes up events of one lane, in their order. Comes to what became of them, and how many were not kept as alerts.
pub(super) async fn ingest(
    client: &tokio_postgres::Client,
    triggers: &[Trigger],
    lane: i32,
    limits: Limits,
) -> Result<(Vec<Taken>, u64), StoreError> {
    let digests: Vec<&[u8]> = triggers.iter().map(|trigger| &trigger.key[..]).collect();
    let ids: Vec<_> = triggers.iter().map(|trigger| trigger.id).collect();
    let dedup_keys: Vec<_> = triggers.iter().map(|trigger| trigger.dedup_key.as_str()).collect();
    let severities: Vec<_> = triggers.iter().map(|trigger| trigger.severity.as_str()).collect();
    let titles: Vec<_> = triggers.iter().map(|trigger| trigger.title.as_str()).collect();
    let details: Vec<_> = triggers.iter().map(|trigger| trigger.details.as_deref()).collect();
    let times: Vec<_> = triggers.iter().map(|trigger| trigger.now).collect();
    let shown: Vec<_> = times.iter().map(|at| show_time(*at)).collect();
    let is_short = |details: &&str| details.len() <= EVENT_DETAILS_MAX_BYTES;
    let short: Vec<_> = details.iter().map(|details| details.filter(is_short)).collect();
    let parts = i32::from(OUTBOX_PARTS);
    let row_wait = if triggers.len() > 1 { ROW_WAIT } else { ROW_WAIT_ALONE };
    let params: [Param<'_>; 17] = [
        (&digests, Type::BYTEA_ARRAY),
        (&ids, Type::UUID_ARRAY),
        (&dedup_keys, Type::TEXT_ARRAY),
        (&severities, Type::TEXT_ARRAY),
        (&titles, Type::TEXT_ARRAY),
        (&details, Type::TEXT_ARRAY),
        (&times, Type::INT8_ARRAY),
        (&shown, Type::TEXT_ARRAY),
        (&short, Type::TEXT_ARRAY),
        (&parts, Type::INT4),
        (&LOCK, Type::INT4),
        (&lane, Type::INT4),
        (&LANE_WAIT, Type::TEXT),
        (&row_wait, Type::TEXT),
        (&limits.open, Type::INT8),
        (&limits.alerts, Type::INT8),
        (&ALERT_DETAILS_MAX_BYTES, Type::INT8),
    ];
    let rows = client.query_typed(INGEST, &params).await.map_err(connect::error)?;
    let (mut taken, mut unkept): (Vec<Taken>, _) = (triggers.iter().map(|_| Ok(None)).collect(), 0);
    for row in &rows {
        let place = usize::try_from(get::<i64>(row, 0)? - 1).ok().and_then(|at| taken.get_mut(at));
        let place = place.ok_or_else(|| StoreError::Fault("an answer about no event".into()))?;
        *place = match get::<Option<_>>(row, 1)? {
            None => Err(StoreError::Full),
            Some(id) => {
                unkept += u64::from(limits.is_too_many(get(row, 5)?));
                let (number, status, seq) = (get(row, 2)?, status(get(row, 3)?)?, get(row, 4)?);
                Ok(Some(Ingested { id, number, status, seq }))
            }
        };
    }
    Ok((taken, unkept))
}
