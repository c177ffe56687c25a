-- Tenants that are being deleted or are gone. A row stays: nothing is stored for these tenants any more.
CREATE TABLE tenant_deletions (
    tenant_id    bigint PRIMARY KEY,
    name         text NOT NULL,            -- as it was
    requested_at bigint NOT NULL,
    finished_at  bigint,
    events_to    bigint NOT NULL,          -- up to this key, events were searched for those of the tenant
    events       bigint NOT NULL,          -- how many were removed
    deliveries   bigint NOT NULL,
    attempts     bigint NOT NULL
);

-- How much tenants have published, by the day of acceptance.
CREATE TABLE tenant_usage (
    tenant_id bigint NOT NULL,
    day       bigint NOT NULL,             -- since the Unix epoch
    node      bigint NOT NULL,
    events    bigint NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, node)
) WITH (fillfactor = 70);
