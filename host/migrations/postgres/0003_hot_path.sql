-- Records what came of deliveries: of some that only their events name and that are finished (`f_…`), and of others
-- (`r_…`), some of which get a row first (`l_…`). Returns the deliveries for which another transaction was first, or that
-- have no row: materialize them, and record them again as others. An id stands in one of `f_ids` and `r_ids`, once.
--
-- The plan is kept for as long as the connection lives, and the tables may be empty when it is made: it must look rows up
-- one by one in any case.
CREATE OR REPLACE FUNCTION record_attempts(
    p_node integer, p_epoch bigint,
    f_tenants bigint[], f_ids bigint[], f_hooks bigint[], f_events bigint[], f_types text[], f_states smallint[],
    f_attempts integer[], f_failures integer[],
    l_tenants bigint[], l_ids bigint[], l_hooks bigint[], l_events bigint[], l_types text[], l_until bigint[],
    s_tenants bigint[], s_ids bigint[], s_leases bigint[], s_methods text[], s_body_kinds smallint[], s_bodies bytea[],
    s_updated bigint[], s_sealed bytea[],
    r_tenants bigint[], r_ids bigint[], r_leases bigint[], r_states smallint[], r_attempts integer[],
    r_failures integer[], r_due_at bigint[], r_removes boolean[],
    a_ids bigint[], a_deliveries bigint[], a_numbers integer[], a_started bigint[], a_durations bigint[],
    a_outcomes text[], a_statuses integer[], a_details text[], a_bodies bytea[], a_steps text[], a_requests text[]
) RETURNS bigint[] LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_missing bigint[] := '{}';
    v_first   bigint[];
    v_done    bigint;
    v_changed bigint;
BEGIN
    -- If the database crashes, a lost record costs a repetition. The next commit that is waited for writes it, too.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM check_epoch(p_node, p_epoch);
    BEGIN
        IF cardinality(f_ids) > 0 THEN
            v_missing := ARRAY(
                SELECT u.id FROM unnest(f_tenants, f_ids) f (tenant_id, id)
                JOIN unfinished_deliveries u ON u.tenant_id = f.tenant_id AND u.id = f.id);
            INSERT INTO finished_deliveries
                SELECT f.tenant_id, f.id, f.hook_id, f.event_key, f.event_type, 0, f.state, f.attempts, f.failures
                FROM unnest(f_tenants, f_ids, f_hooks, f_events, f_types, f_states, f_attempts, f_failures)
                    f (tenant_id, id, hook_id, event_key, event_type, state, attempts, failures)
                WHERE f.id <> ALL (v_missing);
        END IF;
        INSERT INTO attempts
            SELECT * FROM unnest(a_ids, a_deliveries, a_numbers, a_started, a_durations, a_outcomes, a_statuses, a_details,
                a_bodies, a_steps, a_requests);
    EXCEPTION WHEN unique_violation THEN
        -- Another transaction finished some, or a call whose answer got lost recorded them.
        WITH inserted AS (
            INSERT INTO finished_deliveries
                SELECT f.tenant_id, f.id, f.hook_id, f.event_key, f.event_type, 0, f.state, f.attempts, f.failures
                FROM unnest(f_tenants, f_ids, f_hooks, f_events, f_types, f_states, f_attempts, f_failures)
                    f (tenant_id, id, hook_id, event_key, event_type, state, attempts, failures)
                WHERE NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = f.tenant_id AND u.id = f.id)
                ON CONFLICT DO NOTHING RETURNING id)
        SELECT coalesce(array_agg(f.id), '{}') INTO v_missing FROM unnest(f_ids) f (id)
            WHERE f.id NOT IN (SELECT id FROM inserted);
        INSERT INTO attempts
            SELECT * FROM unnest(a_ids, a_deliveries, a_numbers, a_started, a_durations, a_outcomes, a_statuses, a_details,
                a_bodies, a_steps, a_requests)
            ON CONFLICT (id) DO NOTHING;
    END;
    IF cardinality(r_ids) = 0 THEN
        RETURN v_missing;
    END IF;
    IF cardinality(l_ids) > 0 THEN
        INSERT INTO unfinished_deliveries
            SELECT l.tenant_id, l.id, l.hook_id, l.event_key, l.event_type, 0, 1, 0, 0, NULL, node_of(l.id), l.id,
                l.lease_until
            FROM unnest(l_tenants, l_ids, l_hooks, l_events, l_types, l_until)
                l (tenant_id, id, hook_id, event_key, event_type, lease_until)
            WHERE NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = l.tenant_id AND f.id = l.id)
            ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(s_ids) > 0 THEN
        INSERT INTO rendered_requests
            SELECT s.id, s.method, s.body_kind, s.body, s.hook_updated_at, s.sealed
            FROM unnest(s_tenants, s_ids, s_leases, s_methods, s_body_kinds, s_bodies, s_updated, s_sealed)
                s (tenant_id, id, lease_id, method, body_kind, body, hook_updated_at, sealed)
            JOIN unfinished_deliveries u ON u.tenant_id = s.tenant_id AND u.id = s.id
            WHERE u.state = 1 AND u.lease_id = s.lease_id
            ON CONFLICT (delivery_id) DO UPDATE SET method = excluded.method, body_kind = excluded.body_kind,
                body = excluded.body, hook_updated_at = excluded.hook_updated_at, sealed = excluded.sealed;
    END IF;
    IF true = ANY (r_removes) THEN
        DELETE FROM rendered_requests USING unnest(r_tenants, r_ids, r_leases, r_removes)
            r (tenant_id, id, lease_id, removes)
            JOIN unfinished_deliveries u ON u.tenant_id = r.tenant_id AND u.id = r.id
            WHERE delivery_id = r.id AND r.removes AND u.state = 1 AND u.lease_id = r.lease_id;
    END IF;
    -- The rest of a record counts only under its lease; the number of attempts is a fact. So is a success: a delivery
    -- that was cancelled has then succeeded.
    WITH gone AS (
        DELETE FROM unfinished_deliveries u
            USING unnest(r_tenants, r_ids, r_leases, r_states, r_attempts, r_failures)
                r (tenant_id, id, lease_id, state, attempts, failures)
            WHERE u.tenant_id = r.tenant_id AND u.id = r.id AND u.state = 1 AND u.lease_id = r.lease_id
                AND r.state >= 3
            RETURNING u.tenant_id, u.id, u.hook_id, u.event_key, u.event_type, u.made_by, r.state,
                greatest(u.attempts, r.attempts), r.failures)
    INSERT INTO finished_deliveries SELECT * FROM gone;
    GET DIAGNOSTICS v_done = ROW_COUNT;
    IF v_done = cardinality(r_ids) THEN
        RETURN v_missing;
    END IF;
    UPDATE unfinished_deliveries u SET attempts = greatest(u.attempts, r.attempts),
            failures = CASE WHEN r.has_lease THEN r.failures ELSE u.failures END,
            due_at = CASE WHEN r.has_lease THEN r.due_at ELSE u.due_at END,
            state = CASE WHEN r.has_lease THEN r.state ELSE u.state END,
            lease_owner = CASE WHEN r.has_lease THEN NULL ELSE u.lease_owner END,
            lease_id = CASE WHEN r.has_lease THEN NULL ELSE u.lease_id END,
            lease_until = CASE WHEN r.has_lease THEN NULL ELSE u.lease_until END
        FROM (SELECT r.*, v.state = 1 AND v.lease_id = r.lease_id AS has_lease
            FROM unnest(r_tenants, r_ids, r_leases, r_states, r_attempts, r_failures, r_due_at)
                r (tenant_id, id, lease_id, state, attempts, failures, due_at)
            JOIN unfinished_deliveries v ON v.tenant_id = r.tenant_id AND v.id = r.id
            ORDER BY v.tenant_id, v.id FOR UPDATE OF v) r
        WHERE u.tenant_id = r.tenant_id AND u.id = r.id;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    IF v_done + v_changed = cardinality(r_ids) THEN
        RETURN v_missing;
    END IF;
    UPDATE finished_deliveries f SET attempts = greatest(f.attempts, r.attempts),
            state = CASE WHEN f.state = 6 AND r.state = 3 THEN 3 ELSE f.state END
        FROM unnest(r_tenants, r_ids, r_states, r_attempts) r (tenant_id, id, state, attempts)
        WHERE f.tenant_id = r.tenant_id AND f.id = r.id
            AND (f.attempts < r.attempts OR f.state = 6 AND r.state = 3);
    RETURN v_missing || ARRAY(
        SELECT r.id FROM unnest(r_tenants, r_ids) r (tenant_id, id)
        WHERE NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = r.tenant_id AND u.id = r.id)
            AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = r.tenant_id AND f.id = r.id));
END $$;
