-- A delivery that succeeds at once is written with its event, its attempt and itself, and mostly nothing else.

-- In which spans of ids a hook has deliveries; 2^30 ids are 256 ms. Deliveries are clustered by tenant: a hook's list
-- reads only these parts of its tenant's.
CREATE TABLE hook_spans (
    hook INTEGER NOT NULL,
    span INTEGER NOT NULL,                -- the ids from span << 30 on
    PRIMARY KEY (hook, span)
) STRICT, WITHOUT ROWID;
INSERT INTO hook_spans SELECT DISTINCT hook_id, id >> 30 FROM deliveries INDEXED BY deliveries_by_hook;
DROP INDEX deliveries_by_hook;

-- The attempt under the lease with which a delivery was stored has the delivery's own id.
DROP INDEX attempts_by_delivery;
CREATE INDEX attempts_with_own_id ON attempts (delivery_id) WHERE delivery_id <> id;
