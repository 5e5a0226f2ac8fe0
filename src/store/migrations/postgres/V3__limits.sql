-- Most incidents of a service that may be open; nothing: as the setting says.
ALTER TABLE services ADD COLUMN max_open bigint;
