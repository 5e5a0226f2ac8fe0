-- Times are microseconds since 1970, so that SQLite and the program mean the same. No types but built-in ones: a pooler
-- between the program and the server has no place for what a client would have to look up.

CREATE TABLE services (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    maintenance_until bigint,
    created_at bigint NOT NULL
);

CREATE TABLE integration_keys (
    id uuid PRIMARY KEY,
    service_id uuid NOT NULL REFERENCES services ON DELETE CASCADE,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX integration_keys_of_service ON integration_keys (service_id, id);

CREATE TABLE incidents (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    service_id uuid NOT NULL REFERENCES services,
    dedup_key text NOT NULL,
    status text NOT NULL CHECK (status IN ('triggered', 'acknowledged', 'snoozed', 'suppressed', 'resolved')),
    severity text NOT NULL CHECK (severity IN ('critical', 'error', 'warning', 'info')),
    title text NOT NULL,
    details text,
    assignee text,
    seq bigint NOT NULL,
    trigger_count bigint NOT NULL,
    opened_at bigint NOT NULL,
    last_event_at bigint NOT NULL,
    acknowledged_at bigint,
    resolved_at bigint,
    wakes_at bigint,
    previous_id uuid
) WITH (fillfactor = 85);
-- At most one open incident for a key. seq, trigger_count and last_event_at are in no index, so that a trigger that repeats
-- touches none.
CREATE UNIQUE INDEX incidents_open ON incidents (service_id, dedup_key) WHERE status <> 'resolved';
CREATE INDEX incidents_of_key ON incidents (service_id, dedup_key, opened_at DESC);
CREATE INDEX incidents_newest ON incidents (opened_at DESC, id DESC);
CREATE INDEX incidents_of_service ON incidents (service_id, opened_at DESC, id DESC);
CREATE INDEX incidents_newest_open ON incidents (opened_at DESC, id DESC) WHERE status <> 'resolved';
CREATE INDEX incidents_due ON incidents (wakes_at) WHERE status IN ('snoozed', 'suppressed');

CREATE TABLE incident_events (
    incident_id uuid NOT NULL REFERENCES incidents ON DELETE CASCADE,
    seq bigint NOT NULL,
    type text NOT NULL,
    actor text NOT NULL,
    data text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (incident_id, seq)
);

-- What has to be said in rooms: written with what it is about, deleted when it was said.
CREATE TABLE outbox (
    part smallint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    incident_id uuid NOT NULL,
    seq bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (part, id)
);

CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    incident_id uuid NOT NULL,
    answer text NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
