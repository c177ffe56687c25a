-- Work on many deliveries: replays of events, and retries and cancellations in bulk. What a step of a job has done and its
-- progress are written in one transaction.
CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY,
    tenant_id    INTEGER NOT NULL,
    hook_id      INTEGER,                 -- the only hook that it is about, if there is one
    work         TEXT NOT NULL,           -- JSON object: what it does, and to which events or deliveries
    rate         INTEGER NOT NULL,        -- deliveries in 1,000 seconds, at most
    started_by   INTEGER,                 -- an API key; NULL: the operator
    state        INTEGER NOT NULL,        -- 0 running, 1 paused, 2 completed, 3 cancelled, 4 failed
    reason       TEXT,                    -- why it failed
    examined_to  INTEGER NOT NULL,        -- the last event or delivery that was examined
    examined     INTEGER NOT NULL,
    made         INTEGER NOT NULL,
    next_due_at  INTEGER NOT NULL,        -- no delivery that it makes is due before
    outstanding  TEXT NOT NULL,           -- JSON: ids of deliveries that may not have been attempted yet
    finished_at  INTEGER,
    lease_node   INTEGER,                 -- the node that works on it
    lease_id     INTEGER                  -- a step under another lease changes nothing
) STRICT;
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE state < 2;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state >= 2;
