-- Tenants that are being deleted or are gone. A row stays: nothing is stored for these tenants any more.
CREATE TABLE tenant_deletions (
    tenant_id    INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,            -- as it was
    requested_at INTEGER NOT NULL,
    finished_at  INTEGER,
    events_to    INTEGER NOT NULL,         -- up to this key, events were searched for those of the tenant
    events       INTEGER NOT NULL,         -- how many were removed
    deliveries   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL
) STRICT;

-- How much tenants have published, by the day of acceptance.
CREATE TABLE tenant_usage (
    tenant_id INTEGER NOT NULL,
    day       INTEGER NOT NULL,            -- since the Unix epoch
    node      INTEGER NOT NULL,
    events    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day, node)
) STRICT, WITHOUT ROWID;
