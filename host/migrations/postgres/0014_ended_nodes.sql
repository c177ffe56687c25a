-- As before, and nothing of a node commits after it has left: others have taken what it had.
CREATE OR REPLACE FUNCTION check_epoch(p_node integer, p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1213681234, p_node);
    IF NOT EXISTS (SELECT FROM nodes WHERE number = p_node AND epoch = p_epoch AND NOT ended) THEN
        RAISE EXCEPTION USING ERRCODE = 'HW001', MESSAGE = 'another node took over the work of this one';
    END IF;
END $$;
