-- What a node publishes of itself with its heartbeat. It is valid if `view_epoch` is the node's epoch: nodes of earlier
-- versions do not write it.
ALTER TABLE nodes
    ADD COLUMN view_epoch bigint,
    ADD COLUMN view       bigint NOT NULL DEFAULT 0,          -- which view of the nodes it has applied; 0: none
    ADD COLUMN draining   boolean NOT NULL DEFAULT false;     -- it is shutting down: it owns no hook

-- What becomes due at which time, of all hooks.
CREATE INDEX unfinished_deliveries_by_time ON unfinished_deliveries (coalesce(due_at, lease_until), hook_id);

-- Shows that a node is alive. Returns the nodes, the database's time, and whether each is dead by it; none if the work of
-- this one was taken over.
CREATE FUNCTION beat(p_node integer, p_epoch bigint, p_mark bigint, p_view bigint, p_draining boolean)
RETURNS TABLE (node integer, epoch bigint, draining boolean, view bigint, is_dead boolean, now_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE nodes SET heartbeat_at = clock_timestamp(), written_until = greatest(written_until, p_mark),
            view_epoch = p_epoch, view = p_view, draining = p_draining
        WHERE number = p_node AND epoch = p_epoch;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT number::integer, n.epoch, n.draining AND n.view_epoch IS NOT DISTINCT FROM n.epoch,
            CASE WHEN n.view_epoch = n.epoch THEN n.view END,
            n.heartbeat_at < clock_timestamp() - interval '10 seconds',
            floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
        FROM nodes n WHERE NOT n.ended;
END $$;

-- Registers a node again whose work another one took over. Returns nothing if another process has its number.
CREATE FUNCTION rejoin(p_node integer, p_name text, p_epoch bigint) RETURNS TABLE (epoch bigint, mark bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(1213681235, 1);
    PERFORM lock_node(p_node);
    RETURN QUERY UPDATE nodes SET epoch = p_epoch + 2, ended = false, started_at = clock_timestamp(),
            heartbeat_at = clock_timestamp(), written_until = coalesce((SELECT max(key) FROM events), 0),
            view_epoch = p_epoch + 2, view = 0, draining = false
        WHERE number = p_node AND name = p_name AND ended AND epoch = p_epoch + 1
        RETURNING nodes.epoch, nodes.written_until;
END $$;
