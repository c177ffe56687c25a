-- Work on many deliveries: replays of events, and retries and cancellations in bulk. What a step of a job has done and its
-- progress are written in one transaction.
CREATE TABLE jobs (
    id           bigint PRIMARY KEY,
    tenant_id    bigint NOT NULL,
    hook_id      bigint,                  -- the only hook that it is about, if there is one
    work         text NOT NULL,           -- JSON object: what it does, and to which events or deliveries
    rate         bigint NOT NULL,         -- deliveries in 1,000 seconds, at most
    started_by   bigint,                  -- an API key; NULL: the operator
    state        bigint NOT NULL,         -- 0 running, 1 paused, 2 completed, 3 cancelled, 4 failed
    reason       text,                    -- why it failed
    examined_to  bigint NOT NULL,         -- the last event or delivery that was examined
    examined     bigint NOT NULL,
    made         bigint NOT NULL,
    next_due_at  bigint NOT NULL,         -- no delivery that it makes is due before
    outstanding  text NOT NULL,           -- JSON: ids of deliveries that may not have been attempted yet
    finished_at  bigint,
    lease_node   integer,                 -- the node that works on it
    lease_epoch  bigint,                  -- in this epoch of that node
    lease_id     bigint                   -- a step under another lease changes nothing
) WITH (fillfactor = 50);
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE state < 2;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state >= 2;
