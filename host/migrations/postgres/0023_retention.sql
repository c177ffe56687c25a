-- Events whose content was erased. The event's row stays until it is deleted with all others of its time.
CREATE TABLE erased_events (
    event_key bigint PRIMARY KEY,
    tenant_id bigint NOT NULL,
    erased_at bigint NOT NULL
);
CREATE INDEX erased_events_by_time ON erased_events (erased_at);

-- Events up to this key are deleted with their days, or are about to be: no further delivery of them is made.
CREATE TABLE retention_horizon (
    key    bigint NOT NULL,
    set_at timestamptz NOT NULL
);
INSERT INTO retention_horizon VALUES (0, now());

-- Whether another delivery of a stored event may be made.
CREATE FUNCTION can_be_sent(p_event bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM erased_events WHERE event_key = p_event)
        AND p_event > (SELECT max(key) FROM retention_horizon)
$$;

-- Deletes events with all that belongs to them, unless a delivery of theirs is not final. Returns how much, and the events that
-- are kept. Whoever makes a delivery of an event locks the event's row; whoever makes one due again, that of the delivery.
CREATE FUNCTION purge_events(p_keys bigint[])
RETURNS TABLE (events bigint, deliveries bigint, attempts bigint, bodies bigint, kept bigint[]) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_first    bigint := (SELECT min(k) FROM unnest(p_keys) k);
    v_last     bigint := (SELECT max(k) FROM unnest(p_keys) k);
    v_tenants  bigint[];
    v_ids      bigint[];
    v_attempts bigint[];
BEGIN
    PERFORM FROM events e WHERE e.key = ANY (p_keys) AND e.key BETWEEN v_first AND v_last ORDER BY e.key FOR UPDATE;
    SELECT array_agg(e.tenant_id ORDER BY d.id), array_agg(d.id ORDER BY d.id) INTO v_tenants, v_ids
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id)
        WHERE e.key = ANY (p_keys) AND e.key BETWEEN v_first AND v_last;
    PERFORM FROM unnest(v_tenants, v_ids) d (tenant_id, id)
        JOIN finished_deliveries f ON f.tenant_id = d.tenant_id AND f.id = d.id FOR UPDATE OF f;
    kept := ARRAY(SELECT DISTINCT e.key FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id)
        WHERE e.key = ANY (p_keys) AND e.key BETWEEN v_first AND v_last AND (
            EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = d.id)
            OR e.lease_until IS NOT NULL AND NOT EXISTS
                (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = d.id)));
    SELECT array_agg(e.tenant_id ORDER BY d.id), array_agg(d.id ORDER BY d.id) INTO v_tenants, v_ids
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id)
        WHERE e.key = ANY (p_keys) AND e.key BETWEEN v_first AND v_last AND e.key <> ALL (kept);
    WITH own AS (
        DELETE FROM attempts a USING unnest(v_ids) d (id) WHERE a.id = d.id AND a.delivery_id = d.id RETURNING a.id),
    others AS (
        DELETE FROM attempts a USING unnest(v_ids) d (id)
            WHERE a.delivery_id = d.id AND a.delivery_id <> a.id AND a.id > d.id - (1::bigint << 48) RETURNING a.id)
    SELECT array_agg(id) INTO v_attempts FROM (SELECT id FROM own UNION ALL SELECT id FROM others) gone;
    attempts := coalesce(cardinality(v_attempts), 0);
    DELETE FROM kept_bodies k WHERE k.attempt_id = ANY (v_attempts);
    GET DIAGNOSTICS bodies = ROW_COUNT;
    DELETE FROM rendered_requests r WHERE r.delivery_id = ANY (v_ids);
    -- A later migration makes this table.
    DELETE FROM delivery_notes n WHERE n.delivery_id = ANY (v_ids);
    DELETE FROM finished_deliveries f USING unnest(v_tenants, v_ids) d (tenant_id, id)
        WHERE f.tenant_id = d.tenant_id AND f.id = d.id;
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    DELETE FROM erased_events x WHERE x.event_key = ANY (p_keys) AND x.event_key <> ALL (kept);
    DELETE FROM events e WHERE e.key = ANY (p_keys) AND e.key BETWEEN v_first AND v_last AND e.key <> ALL (kept);
    GET DIAGNOSTICS events = ROW_COUNT;
    RETURN NEXT;
END $$;

-- Cancels the deliveries of an event that are not final, and removes what was sent and answered. One that another node attempts
-- in an order is left: the next one would be sent beside it.
CREATE FUNCTION erase_event(p_node integer, p_tenant bigint, p_event bigint, p_now bigint) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_ids      bigint[];
    v_id       text;
    v_hooks    bigint[];
    v_keys     text[];
    v_attempts bigint[];
    v_at       bigint;
BEGIN
    v_ids := (SELECT e.delivery_ids FROM events e WHERE e.key = p_event AND e.tenant_id = p_tenant);
    PERFORM lock_groups_to_remove(ARRAY(SELECT u.hook_id FROM unfinished_deliveries u
        WHERE u.tenant_id = p_tenant AND u.id = ANY (v_ids) AND u.ordering_seq IS NOT NULL));
    SELECT e.delivery_ids, e.external_id INTO v_ids, v_id
        FROM events e WHERE e.key = p_event AND e.tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO erased_events VALUES (p_event, p_tenant, p_now) ON CONFLICT DO NOTHING;
    WITH gone AS (
        DELETE FROM unfinished_deliveries u WHERE u.tenant_id = p_tenant AND u.id = ANY (v_ids)
            AND NOT (u.ordering_seq IS NOT NULL AND u.state = 1 AND u.lease_owner <> p_node)
        RETURNING *),
    done AS (
        INSERT INTO finished_deliveries
            SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 6, attempts, failures FROM gone)
    SELECT array_agg(hook_id), array_agg(ordering_key) INTO v_hooks, v_keys FROM gone WHERE ordering_seq IS NOT NULL;
    IF v_hooks IS NOT NULL THEN
        PERFORM advance_groups(v_hooks, v_keys, NULL);
    END IF;
    DELETE FROM rendered_requests r WHERE r.delivery_id = ANY (v_ids);
    WITH own AS (
        DELETE FROM attempts a USING unnest(v_ids) d (id) WHERE a.id = d.id AND a.delivery_id = d.id RETURNING a.id),
    others AS (
        DELETE FROM attempts a USING unnest(v_ids) d (id)
            WHERE a.delivery_id = d.id AND a.delivery_id <> a.id AND a.id > d.id - (1::bigint << 48) RETURNING a.id)
    SELECT array_agg(id) INTO v_attempts FROM (SELECT id FROM own UNION ALL SELECT id FROM others) gone;
    DELETE FROM kept_bodies k WHERE k.attempt_id = ANY (v_attempts);
    UPDATE events e SET data = 'null', ordering_key = NULL
        WHERE e.key = p_event AND (e.data <> 'null' OR e.ordering_key IS NOT NULL);
    -- The digest of the content would confirm a guess.
    UPDATE event_names n SET content = decode(repeat('00', 32), 'hex')
        WHERE n.tenant_id = p_tenant AND n.kind = 0 AND n.name = v_id AND n.event_key = p_event;
    SELECT x.erased_at INTO v_at FROM erased_events x WHERE x.event_key = p_event;
    RETURN v_at;
END $$;

-- Deletes one day of a table as a whole, except for some events and deliveries, which move to the default partition. It needs
-- the table for itself: all others wait while it waits, which must not be long.
CREATE FUNCTION drop_day(p_table text, p_day text, p_events bigint[], p_deliveries bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_name  text := p_table || '_' || p_day;
    v_count bigint;
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    IF to_regclass(v_name) IS NULL THEN
        RETURN 0;
    END IF;
    v_count := (SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass(v_name));
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', p_table, v_name);
    EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE ', p_table, v_name) || CASE p_table
        WHEN 'events' THEN 'key = ANY ($1)'
        WHEN 'finished_deliveries' THEN 'id = ANY ($2) AND tenant_id = ANY (ARRAY(SELECT tenant_id FROM events WHERE key = ANY ($1)))'
        ELSE 'id = ANY ($2) OR delivery_id = ANY ($2) AND delivery_id <> id' END
        USING p_events, p_deliveries;
    EXECUTE format('DROP TABLE %I', v_name);
    RETURN v_count;
END $$;

-- Deletes the attempts of some deliveries, or only bodies, of those made before the attempt `p_until`. Returns how many, and the
-- deliveries that have later ones or may get some.
CREATE FUNCTION trim_attempts(p_tenant bigint, p_ids bigint[], p_only_bodies boolean, p_until bigint)
RETURNS TABLE (attempts bigint, bodies bigint, kept bigint[]) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_attempts bigint[];
    v_count    bigint;
BEGIN
    v_attempts := ARRAY(
        SELECT a.id FROM unnest(p_ids) d (id) JOIN attempts a ON a.id = d.id AND a.delivery_id = d.id AND a.id < p_until
        UNION ALL
        SELECT a.id FROM unnest(p_ids) d (id) JOIN attempts a ON a.delivery_id = d.id AND a.delivery_id <> a.id
            AND a.id > d.id - (1::bigint << 48) AND a.id < p_until);
    DELETE FROM kept_bodies k WHERE k.attempt_id = ANY (v_attempts);
    GET DIAGNOSTICS bodies = ROW_COUNT;
    IF p_only_bodies THEN
        attempts := 0;
        UPDATE attempts a SET body = NULL FROM unnest(v_attempts) d (id) WHERE a.id = d.id AND a.body IS NOT NULL;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        bodies := bodies + v_count;
    ELSE
        DELETE FROM attempts a USING unnest(v_attempts) d (id) WHERE a.id = d.id;
        GET DIAGNOSTICS attempts = ROW_COUNT;
    END IF;
    kept := ARRAY(SELECT d.id FROM unnest(p_ids) d (id) WHERE
        EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = p_tenant AND u.id = d.id)
        OR EXISTS (SELECT FROM attempts a WHERE a.id = d.id AND a.id >= p_until)
        OR EXISTS (SELECT FROM attempts a WHERE a.delivery_id = d.id AND a.delivery_id <> a.id AND a.id >= p_until));
    RETURN NEXT;
END $$;
