-- Notes on a few deliveries: which replay made them, and how often a lease of them ended without a record, so
-- that they may have been sent and are sent again.
CREATE TABLE delivery_notes (
    delivery_id  bigint PRIMARY KEY,
    tenant_id    bigint NOT NULL,
    job_id       bigint,                  -- the replay that made it
    interrupted  bigint NOT NULL DEFAULT 0
);
CREATE INDEX delivery_notes_by_job ON delivery_notes (job_id, delivery_id) WHERE job_id IS NOT NULL;
CREATE INDEX delivery_notes_interrupted ON delivery_notes (tenant_id, delivery_id) WHERE interrupted > 0;
-- The settings of a replay's own pipeline, encrypted: a JSON array of texts, one for each step in `work`.
ALTER TABLE jobs ADD COLUMN sealed bytea;

-- Like `end_leases`, for a node that stopped without an order: what it had leased may have been sent.
CREATE FUNCTION end_lost_leases(p_node integer, p_now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_mark bigint := coalesce((SELECT written_until FROM nodes WHERE number = p_node), 0);
BEGIN
    INSERT INTO delivery_notes (delivery_id, tenant_id, interrupted)
        SELECT d.id, e.tenant_id, 1
            FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids, e.hook_ids) d (id, hook_id)
            WHERE e.key > v_mark AND node_of(e.key) = p_node AND e.lease_until IS NOT NULL
                AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = d.id)
                AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = d.id)
        UNION ALL
        SELECT id, tenant_id, 1 FROM unfinished_deliveries WHERE state = 1 AND lease_owner = p_node
    ON CONFLICT (delivery_id) DO UPDATE SET interrupted = delivery_notes.interrupted + 1;
    RETURN end_leases(p_node, p_now);
END $$;

-- As before, with `end_lost_leases`.
CREATE OR REPLACE FUNCTION take_over(p_node integer, p_epoch bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_node(p_node);
    UPDATE nodes SET epoch = epoch + 1, ended = true
        WHERE number = p_node AND epoch = p_epoch AND NOT ended AND heartbeat_at < clock_timestamp() - interval '10 seconds';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN end_lost_leases(p_node, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
END $$;
