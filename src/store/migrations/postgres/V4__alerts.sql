-- What monitoring said, word by word. Nothing refers to it, and it refers to nothing: it is written with every event, and
-- forgotten by its age or with its incident. Clocks of nodes differ and jump: ids do not follow the times.
CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id uuid NOT NULL,
    service_id uuid NOT NULL,
    key_id uuid NOT NULL,
    action text NOT NULL CHECK (action IN ('trigger', 'acknowledge', 'resolve')),
    dedup_key text NOT NULL,
    severity text,
    title text,
    details text,
    details_cut boolean NOT NULL DEFAULT false,
    received_at bigint NOT NULL
);
CREATE INDEX alerts_of_incident ON alerts (incident_id, id);
CREATE INDEX alerts_received ON alerts (received_at);
