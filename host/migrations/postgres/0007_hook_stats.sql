-- Counts of attempts by hook, hour and node. What is older than some days is deleted.
CREATE TABLE hook_stats (
    hour      bigint NOT NULL,            -- since the Unix epoch
    tenant_id bigint NOT NULL,
    hook_id   bigint NOT NULL,
    node      bigint NOT NULL,
    stats     text NOT NULL,              -- JSON
    PRIMARY KEY (hour, tenant_id, hook_id, node)
) WITH (fillfactor = 50);
