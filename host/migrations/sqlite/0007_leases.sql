-- A lease is explicit: a delivery that is being attempted has an owner, an id and an end of its lease, and no due_at.

-- The processes that deliver from this database. SQLite serves one at a time, which is always the same node.
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY             -- 0 to 1023, part of each id that the node makes
) STRICT;
INSERT INTO nodes VALUES (0);

ALTER TABLE deliveries ADD COLUMN lease_owner INTEGER;   -- the number of the node that attempts it
ALTER TABLE deliveries ADD COLUMN lease_id INTEGER;      -- a record of another lease changes nothing
ALTER TABLE deliveries ADD COLUMN lease_until INTEGER;
UPDATE deliveries SET lease_owner = (id >> 12) & 1023, lease_id = id, lease_until = due_at, due_at = NULL
    WHERE (tenant_id, id) IN
    (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1);

-- From when on it may be claimed: it is due, or its lease has ended.
ALTER TABLE deliveries ADD COLUMN ready_at INTEGER GENERATED ALWAYS AS (ifnull(due_at, lease_until)) VIRTUAL;
DROP INDEX deliveries_unfinished;
CREATE INDEX deliveries_unfinished ON deliveries (hook_id, ready_at, id, state) WHERE state < 3;

-- A range of 2^30 ids is called a bucket in the code.
ALTER TABLE hook_spans RENAME TO hook_id_buckets;
ALTER TABLE hook_id_buckets RENAME COLUMN span TO bucket;
