-- Services belong to teams and say how soon somebody should take care of what happens to them; nothing says so of those that
-- were there before.
ALTER TABLE services ADD COLUMN team text;
ALTER TABLE services ADD COLUMN ack_target_secs bigint;
CREATE INDEX services_of_team ON services (team) WHERE team IS NOT NULL;

-- What was acknowledged and resolved of late, for dashboards.
CREATE INDEX incidents_acknowledged ON incidents (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
CREATE INDEX incidents_resolved ON incidents (resolved_at) WHERE resolved_at IS NOT NULL;
