-- What monitoring said, word by word. Nothing refers to it, and it refers to nothing: it is written with every event, and
-- forgotten by its age or with its incident. Clocks of nodes differ and jump: ids do not follow the times.
CREATE TABLE alerts (
    id integer PRIMARY KEY AUTOINCREMENT,
    incident_id blob NOT NULL,
    service_id blob NOT NULL,
    key_id blob NOT NULL,
    action text NOT NULL CHECK (action IN ('trigger', 'acknowledge', 'resolve')),
    dedup_key text NOT NULL,
    severity text,
    title text,
    details text,
    details_cut integer NOT NULL DEFAULT 0,
    received_at integer NOT NULL
) STRICT;
CREATE INDEX alerts_of_incident ON alerts (incident_id, id);
CREATE INDEX alerts_received ON alerts (received_at);
