-- Counts of attempts by hook, hour and node. What is older than some days is deleted.
CREATE TABLE hook_stats (
    hour      INTEGER NOT NULL,           -- since the Unix epoch
    tenant_id INTEGER NOT NULL,
    hook_id   INTEGER NOT NULL,
    node      INTEGER NOT NULL,
    stats     TEXT NOT NULL,              -- JSON
    PRIMARY KEY (hour, tenant_id, hook_id, node)
) STRICT, WITHOUT ROWID;
