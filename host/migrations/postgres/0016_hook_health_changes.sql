-- When a row changed, by the database's clock: other nodes read only what has changed. The row of a hook that is well again
-- stays for a while, so that they see it.
ALTER TABLE hook_health
    ADD COLUMN changed_at bigint NOT NULL DEFAULT 0,
    ADD COLUMN is_well    boolean NOT NULL DEFAULT false;

CREATE INDEX hook_health_changes ON hook_health (changed_at);
CREATE INDEX hook_health_well ON hook_health (changed_at) WHERE is_well;
