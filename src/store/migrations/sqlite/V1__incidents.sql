-- The same as for PostgreSQL. Times are microseconds since 1970, ids are 16 bytes.

CREATE TABLE services (
    id blob PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    maintenance_until integer,
    created_at integer NOT NULL
) STRICT;

CREATE TABLE integration_keys (
    id blob PRIMARY KEY,
    service_id blob NOT NULL REFERENCES services ON DELETE CASCADE,
    name text NOT NULL,
    digest blob NOT NULL UNIQUE,
    created_at integer NOT NULL,
    revoked_at integer
) STRICT;
CREATE INDEX integration_keys_of_service ON integration_keys (service_id, id);

CREATE TABLE incidents (
    number integer PRIMARY KEY AUTOINCREMENT,
    id blob NOT NULL UNIQUE,
    service_id blob NOT NULL REFERENCES services,
    dedup_key text NOT NULL,
    status text NOT NULL CHECK (status IN ('triggered', 'acknowledged', 'snoozed', 'suppressed', 'resolved')),
    severity text NOT NULL CHECK (severity IN ('critical', 'error', 'warning', 'info')),
    title text NOT NULL,
    details text,
    assignee text,
    seq integer NOT NULL,
    trigger_count integer NOT NULL,
    opened_at integer NOT NULL,
    last_event_at integer NOT NULL,
    acknowledged_at integer,
    resolved_at integer,
    wakes_at integer,
    previous_id blob
) STRICT;
CREATE UNIQUE INDEX incidents_open ON incidents (service_id, dedup_key) WHERE status <> 'resolved';
CREATE INDEX incidents_of_key ON incidents (service_id, dedup_key, opened_at DESC);
CREATE INDEX incidents_newest ON incidents (opened_at DESC, id DESC);
CREATE INDEX incidents_of_service ON incidents (service_id, opened_at DESC, id DESC);
CREATE INDEX incidents_newest_open ON incidents (opened_at DESC, id DESC) WHERE status <> 'resolved';
CREATE INDEX incidents_due ON incidents (wakes_at) WHERE status IN ('snoozed', 'suppressed');

CREATE TABLE incident_events (
    incident_id blob NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    seq integer NOT NULL,
    type text NOT NULL,
    actor text NOT NULL,
    data text NOT NULL,
    created_at integer NOT NULL,
    PRIMARY KEY (incident_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id integer PRIMARY KEY AUTOINCREMENT,
    part integer NOT NULL,
    incident_id blob NOT NULL,
    seq integer NOT NULL,
    created_at integer NOT NULL
) STRICT;
CREATE INDEX outbox_parts ON outbox (part, id);

CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    digest blob NOT NULL,
    incident_id blob NOT NULL,
    answer text NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
