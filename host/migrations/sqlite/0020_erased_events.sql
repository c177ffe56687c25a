-- Events whose content was erased. The event's row stays until it is deleted with all others of its time.
CREATE TABLE erased_events (
    event_key INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL,
    erased_at INTEGER NOT NULL
) STRICT;
CREATE INDEX erased_events_by_time ON erased_events (erased_at);
