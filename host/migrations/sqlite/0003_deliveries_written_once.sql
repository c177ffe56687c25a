-- A delivery that has room in memory is part of its event's row until there is more to say of it than that: most
-- are written once, when they are done.

ALTER TABLE events ADD COLUMN deliveries TEXT;   -- JSON: [[id less the event's key, hook_id], …]; NULL if there are none
UPDATE events SET deliveries =
    (SELECT json_group_array(json_array(id - event_key, hook_id)) FROM deliveries WHERE event_key = key)
    WHERE delivery_count > 0;

-- Of events up to this key, every delivery has a row of its own.
CREATE TABLE written_until (
    event_key INTEGER NOT NULL
) STRICT;
INSERT INTO written_until SELECT ifnull(max(key), 0) FROM events;

-- Clustered by tenant, which is how deliveries are listed; those of an event are named in its row.
CREATE TABLE deliveries_by_key (
    tenant_id  INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    hook_id    INTEGER NOT NULL,
    event_key  INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    made_by    INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    due_at     INTEGER,                   -- NULL once final; the lease's end while delivering
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO deliveries_by_key SELECT tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, failures, due_at
    FROM deliveries ORDER BY tenant_id, id;
DROP TABLE deliveries;
ALTER TABLE deliveries_by_key RENAME TO deliveries;
-- What is to be done. The state stands in it so that leases can be found without reading a backlog's rows.
CREATE INDEX deliveries_unfinished ON deliveries (hook_id, due_at, id, state) WHERE state < 3;
-- What people ask for. A delivery that succeeds at once is never in it: it costs the hot path nothing.
CREATE INDEX deliveries_by_state ON deliveries (tenant_id, state, id) WHERE state <> 1 AND state <> 3;
-- The type stands in it so that a rare type is found without reading the rows of all others.
CREATE INDEX deliveries_by_hook ON deliveries (hook_id, id, event_type);
