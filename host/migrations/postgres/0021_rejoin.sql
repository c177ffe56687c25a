-- Which process has the number, by a random number that it made, and since which epoch. It is valid only until that epoch
-- is over: nodes of earlier versions do not write it.
ALTER TABLE nodes
    ADD COLUMN process       bigint,
    ADD COLUMN process_epoch bigint;

-- Registers a node again whose work another one took over. If the answer is lost, it may be called again. Returns nothing if
-- another process has its number.
CREATE FUNCTION rejoin_process(p_node integer, p_process bigint) RETURNS TABLE (epoch bigint, mark bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(1213681235, 1);
    PERFORM lock_node(p_node);
    UPDATE nodes SET epoch = epoch + 1, process_epoch = epoch + 1, ended = false, started_at = clock_timestamp(),
            heartbeat_at = clock_timestamp(), written_until = coalesce((SELECT max(key) FROM events), 0),
            view_epoch = epoch + 1, view = 0, draining = false
        WHERE number = p_node AND process = p_process AND ended AND epoch = process_epoch + 1;
    RETURN QUERY SELECT n.epoch, n.written_until FROM nodes n
        WHERE number = p_node AND process = p_process AND NOT ended AND epoch = process_epoch;
END $$;
