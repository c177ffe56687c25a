-- What every delivery is written to: its event, its attempt and itself, and no index.

-- In which spans of ids a hook has deliveries; 2^30 ids are 256 ms. Deliveries are clustered by tenant: those of a hook
-- are looked for where there are some.
CREATE TABLE hook_spans (
    hook INTEGER NOT NULL,
    span INTEGER NOT NULL,                -- the ids from span << 30 on
    PRIMARY KEY (hook, span)
) STRICT, WITHOUT ROWID;
INSERT INTO hook_spans SELECT DISTINCT hook_id, id >> 30 FROM deliveries INDEXED BY deliveries_by_hook;
DROP INDEX deliveries_by_hook;

-- The attempt under a delivery's first lease has the delivery's own id.
DROP INDEX attempts_by_delivery;
CREATE INDEX later_attempts ON attempts (delivery_id) WHERE delivery_id <> id;
