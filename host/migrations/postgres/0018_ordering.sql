-- Order: of the deliveries of a hook that have the same ordering key (a group), one is sent after the other.

ALTER TABLE events ADD COLUMN ordering_key text;         -- as its publisher gave it

-- A delivery with a number is in the order of its group, by these numbers. Until it is the first, it waits: `due_at` is then
-- eight days too late, so that a claim does not find it. Without a number it is in no order.
ALTER TABLE unfinished_deliveries
    ADD COLUMN ordering_key   text COLLATE "C",          -- '' if the whole hook is in one order
    ADD COLUMN ordering_seq   bigint,
    ADD COLUMN ordering_waits boolean;

CREATE INDEX unfinished_deliveries_in_order ON unfinished_deliveries (hook_id, ordering_key, ordering_seq)
    WHERE ordering_seq IS NOT NULL;
CREATE INDEX unfinished_deliveries_in_order_leased ON unfinished_deliveries (hook_id, ordering_key)
    WHERE ordering_seq IS NOT NULL AND state = 1;

-- In the accepting transaction: an event that is published after another was answered has the greater number, whatever the
-- clocks of nodes say.
CREATE SEQUENCE ordering_numbers;

-- What waits has no time of its next attempt.
CREATE OR REPLACE VIEW deliveries AS
    SELECT id, tenant_id, hook_id, event_key, event_type, made_by::bigint AS made_by, state::bigint AS state,
        attempts::bigint AS attempts, failures::bigint AS failures,
        CASE WHEN ordering_waits THEN NULL ELSE due_at END AS due_at, lease_owner::bigint AS lease_owner, lease_id,
        lease_until
    FROM unfinished_deliveries
    UNION ALL
    SELECT id, tenant_id, hook_id, event_key, event_type, made_by::bigint, state::bigint, attempts::bigint,
        failures::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM finished_deliveries;

-- Transactions that add to the groups of hooks hold this shared, those that take the first out of a group alone: the later sees what
-- the earlier did. It comes after the check of the epoch and before all locks on rows.
CREATE FUNCTION lock_groups_to_add(p_hooks bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1213681236, hook)
        FROM (SELECT DISTINCT hashint8(h) AS hook FROM unnest(p_hooks) h ORDER BY 1) hooks;
END $$;

CREATE FUNCTION lock_groups_to_remove(p_hooks bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1213681236, hook)
        FROM (SELECT DISTINCT hashint8(h) AS hook FROM unnest(p_hooks) h ORDER BY 1) hooks;
END $$;

-- Makes the new first of each group due at `p_at`; without it, since it was accepted. The caller has `lock_groups_to_remove`.
CREATE FUNCTION advance_groups(p_hooks bigint[], p_keys text[], p_at bigint) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_tenants bigint[];
    v_ids     bigint[];
BEGIN
    SELECT array_agg(first.tenant_id), array_agg(first.id) INTO v_tenants, v_ids
        FROM (SELECT DISTINCT hook_id, key FROM unnest(p_hooks, p_keys) g (hook_id, key)) g
        CROSS JOIN LATERAL (
            SELECT u.tenant_id, u.id FROM unfinished_deliveries u
                WHERE u.hook_id = g.hook_id AND u.ordering_key = g.key AND u.ordering_seq IS NOT NULL
                ORDER BY u.ordering_seq LIMIT 1) first;
    -- A claim that has just found it too early makes it wait: the next statement must see that.
    PERFORM FROM unnest(v_tenants, v_ids) f (tenant_id, id)
        JOIN unfinished_deliveries u ON u.tenant_id = f.tenant_id AND u.id = f.id
        FOR UPDATE OF u;
    UPDATE unfinished_deliveries u SET due_at = coalesce(p_at, u.due_at - 691200000), ordering_waits = false
        FROM unnest(v_tenants, v_ids) f (tenant_id, id)
        WHERE u.tenant_id = f.tenant_id AND u.id = f.id AND u.ordering_waits AND u.state <> 1;
END $$;

-- A safety net: makes the first of each group due that waits nevertheless. A node of the build before that cancels the first of
-- a group leaves such a one. Skips from group to group on the index.
CREATE FUNCTION advance_waiting_groups(p_at bigint) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_hooks bigint[];
    v_keys  text[];
BEGIN
    WITH RECURSIVE g (hook_id, key, waits) AS (
        (SELECT hook_id, ordering_key, ordering_waits FROM unfinished_deliveries WHERE ordering_seq IS NOT NULL
            ORDER BY hook_id, ordering_key, ordering_seq LIMIT 1)
        UNION ALL
        SELECT next.* FROM g CROSS JOIN LATERAL (
            SELECT u.hook_id, u.ordering_key, u.ordering_waits FROM unfinished_deliveries u
                WHERE u.ordering_seq IS NOT NULL AND (u.hook_id, u.ordering_key) > (g.hook_id, g.key)
                ORDER BY u.hook_id, u.ordering_key, u.ordering_seq LIMIT 1) next)
    SELECT array_agg(hook_id), array_agg(key) INTO v_hooks, v_keys FROM (SELECT * FROM g WHERE waits LIMIT 1000) w;
    IF v_hooks IS NOT NULL THEN
        PERFORM lock_groups_to_remove(v_hooks);
        PERFORM advance_groups(v_hooks, v_keys, p_at);
    END IF;
END $$;

-- Of deliveries that this transaction has added to groups and that all wait, makes those due that are the first.
CREATE FUNCTION begin_groups(p_tenants bigint[], p_ids bigint[]) RETURNS void LANGUAGE sql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
    UPDATE unfinished_deliveries u SET due_at = u.due_at - 691200000, ordering_waits = false
        FROM unnest(p_tenants, p_ids) n (tenant_id, id)
        WHERE u.tenant_id = n.tenant_id AND u.id = n.id AND u.ordering_waits AND NOT EXISTS (
            SELECT FROM unfinished_deliveries b
                WHERE b.hook_id = u.hook_id AND b.ordering_key = u.ordering_key AND b.ordering_seq IS NOT NULL
                    AND b.ordering_seq < u.ordering_seq)
$$;

-- Like `accept_events`, for events with ordering keys, and deliveries in groups.
CREATE FUNCTION accept_events_in_order(
    p_node integer, p_epoch bigint, p_hooks bigint[],
    p_keys bigint[], p_tenants bigint[], p_external_ids text[], p_projects bigint[], p_types text[], p_occurred bigint[],
    p_lease_until bigint[], p_delivery_ids text[], p_hook_ids text[], p_data text[],
    n_tenants bigint[], n_kinds smallint[], n_names text[], n_events bigint[], n_external_ids text[], n_contents bytea[],
    n_counts integer[],
    d_tenants bigint[], d_ids bigint[], d_hooks bigint[], d_events bigint[], d_types text[], d_made_by smallint[],
    d_states smallint[], d_due_at bigint[], d_lease_until bigint[],
    p_ordering_keys text[], d_ordering_keys text[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_deleted bigint[];
BEGIN
    PERFORM check_epoch(p_node, p_epoch);
    PERFORM lock_groups_to_add(ARRAY(
        SELECT d.hook_id FROM unnest(d_hooks, d_ordering_keys) d (hook_id, key) WHERE d.key IS NOT NULL));
    v_deleted := ARRAY(SELECT id FROM deleted_hooks WHERE id = ANY (p_hooks));
    IF cardinality(v_deleted) > 0 THEN
        RETURN v_deleted;
    END IF;
    IF cardinality(n_names) > 0 THEN
        INSERT INTO event_names (tenant_id, kind, name, event_key, external_id, content, delivery_count)
            SELECT * FROM unnest(n_tenants, n_kinds, n_names, n_events, n_external_ids, n_contents, n_counts);
    END IF;
    INSERT INTO events (key, tenant_id, external_id, project, event_type, occurred_at, lease_until, delivery_ids,
            hook_ids, data, ordering_key)
        SELECT e.key, e.tenant_id, e.external_id, e.project, e.event_type, e.occurred_at, e.lease_until,
            e.delivery_ids::bigint[], e.hook_ids::bigint[], e.data, e.ordering_key
        FROM unnest(p_keys, p_tenants, p_external_ids, p_projects, p_types, p_occurred, p_lease_until, p_delivery_ids,
            p_hook_ids, p_data, p_ordering_keys)
            e (key, tenant_id, external_id, project, event_type, occurred_at, lease_until, delivery_ids, hook_ids, data,
                ordering_key);
    IF cardinality(d_ids) > 0 THEN
        INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts,
                failures, due_at, lease_owner, lease_id, lease_until, ordering_key, ordering_seq, ordering_waits)
            SELECT d.tenant_id, d.id, d.hook_id, d.event_key, d.event_type, d.made_by, d.state, 0, 0,
                CASE WHEN d.key IS NULL THEN d.due_at ELSE d.due_at + 691200000 END,
                CASE WHEN d.state = 1 THEN node_of(d.id) END, CASE WHEN d.state = 1 THEN d.id END, d.lease_until,
                d.key, CASE WHEN d.key IS NOT NULL THEN nextval('ordering_numbers') END,
                CASE WHEN d.key IS NOT NULL THEN true END
            FROM (SELECT * FROM unnest(d_tenants, d_ids, d_hooks, d_events, d_types, d_made_by, d_states, d_due_at,
                    d_lease_until, d_ordering_keys) WITH ORDINALITY
                    d (tenant_id, id, hook_id, event_key, event_type, made_by, state, due_at, lease_until, key, position)
                ORDER BY position) d
            WHERE d.state < 3;
        INSERT INTO finished_deliveries
            SELECT d.tenant_id, d.id, d.hook_id, d.event_key, d.event_type, d.made_by, d.state, 0, 0
            FROM unnest(d_tenants, d_ids, d_hooks, d_events, d_types, d_made_by, d_states)
                d (tenant_id, id, hook_id, event_key, event_type, made_by, state)
            WHERE d.state >= 3;
        PERFORM begin_groups(d_tenants, d_ids);
    END IF;
    RETURN '{}';
END $$;

-- Adds deliveries that this transaction has made to the ends of their groups, in the order of their events, if they have a key.
-- The caller has `lock_groups_to_add`.
CREATE FUNCTION join_groups(p_tenants bigint[], p_ids bigint[]) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
    UPDATE unfinished_deliveries u
        SET ordering_seq = n.seq, ordering_waits = true, due_at = u.due_at + 691200000
        FROM (SELECT m.tenant_id, m.id, nextval('ordering_numbers') AS seq FROM (
            SELECT w.tenant_id, w.id FROM unnest(p_tenants, p_ids) i (tenant_id, id)
                JOIN unfinished_deliveries w ON w.tenant_id = i.tenant_id AND w.id = i.id
                WHERE w.ordering_key IS NOT NULL ORDER BY w.event_key, w.id) m) n
        WHERE u.tenant_id = n.tenant_id AND u.id = n.id;
    PERFORM begin_groups(p_tenants, p_ids);
END $$;

-- Like `record_attempts`, for records by which deliveries leave their groups (`o_…`): because they are final, or because those
-- behind them need not wait any more (`k_…`). What is due then is due at `o_at`.
CREATE FUNCTION record_attempts_in_order(
    o_hooks bigint[], o_keys text[], o_at bigint, k_tenants bigint[], k_ids bigint[], k_leases bigint[],
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
    v_missing bigint[];
BEGIN
    PERFORM check_epoch(p_node, p_epoch);
    PERFORM lock_groups_to_remove(o_hooks);
    UPDATE unfinished_deliveries u SET ordering_seq = NULL, ordering_waits = NULL
        FROM unnest(k_tenants, k_ids, k_leases) k (tenant_id, id, lease_id)
        WHERE u.tenant_id = k.tenant_id AND u.id = k.id AND u.state = 1 AND u.lease_id = k.lease_id;
    v_missing := record_attempts(p_node, p_epoch,
        f_tenants, f_ids, f_hooks, f_events, f_types, f_states, f_attempts, f_failures,
        l_tenants, l_ids, l_hooks, l_events, l_types, l_until,
        s_tenants, s_ids, s_leases, s_methods, s_body_kinds, s_bodies, s_updated, s_sealed,
        r_tenants, r_ids, r_leases, r_states, r_attempts, r_failures, r_due_at, r_removes,
        a_ids, a_deliveries, a_numbers, a_started, a_durations, a_outcomes, a_statuses, a_details, a_bodies, a_steps,
        a_requests);
    PERFORM advance_groups(o_hooks, o_keys, o_at);
    RETURN v_missing;
END $$;

-- As before, but only deliveries that are in no order: nodes of the build before do not keep it.
CREATE OR REPLACE FUNCTION lock_due_from(
    p_node integer, p_epoch bigint, p_hooks bigint[], p_limits bigint[], p_from bigint[], p_now bigint
) RETURNS TABLE (ordinal bigint, due bigint, delivery unfinished_deliveries, bytes bigint) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    PERFORM check_epoch(p_node, p_epoch);
    RETURN QUERY
    SELECT h.ordinal, d.count, l.delivery,
        coalesce((SELECT octet_length(e.data) FROM events e WHERE e.key = (l.delivery).event_key), 0)::bigint
        + CASE WHEN (l.delivery).attempts = 0 THEN 0 ELSE
            coalesce((SELECT octet_length(q.body) FROM rendered_requests q WHERE q.delivery_id = (l.delivery).id), 0) END
    FROM unnest(p_hooks, p_limits, p_from) WITH ORDINALITY h (hook_id, most, begins, ordinal)
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM unfinished_deliveries u
                WHERE u.hook_id = h.hook_id AND coalesce(u.due_at, u.lease_until) BETWEEN h.begins AND p_now
                    AND u.ordering_seq IS NULL
                ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most + 1) c) d (count)
    LEFT JOIN LATERAL (
        SELECT u AS delivery FROM unfinished_deliveries u
            WHERE u.hook_id = h.hook_id AND coalesce(u.due_at, u.lease_until) BETWEEN h.begins AND p_now
                AND u.ordering_seq IS NULL
            ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most FOR UPDATE SKIP LOCKED) l ON true
    WHERE d.count > 0 AND NOT EXISTS (SELECT FROM deleted_hooks g WHERE g.id = h.hook_id)
    ORDER BY h.ordinal, coalesce((l.delivery).due_at, (l.delivery).lease_until), (l.delivery).id;
END $$;

-- Like `lock_due_from`, for hooks whose deliveries may be in an order: of each group only the first, and none while one of the
-- group is leased. That holds by itself, whichever nodes claim at the same time. What is due too early waits again.
CREATE FUNCTION lock_due_in_order(
    p_node integer, p_epoch bigint, p_hooks bigint[], p_limits bigint[], p_from bigint[], p_now bigint
) RETURNS TABLE (ordinal bigint, due bigint, delivery unfinished_deliveries, bytes bigint) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_ordered bigint[];
    v_others  bigint[];
    v_hook    record;
    v_tenants bigint[];
    v_ids     bigint[];
    v_keys    text[];
    v_begun   bigint := 0;
    v_early   bigint;
    v_held    bigint;
    v_due     bigint;
BEGIN
    v_ordered := ARRAY(SELECT h.ordinal FROM unnest(p_hooks) WITH ORDINALITY h (hook_id, ordinal) WHERE EXISTS (
        SELECT FROM unfinished_deliveries u WHERE u.hook_id = h.hook_id AND u.ordering_seq IS NOT NULL));
    v_others := ARRAY(SELECT n FROM generate_series(1, cardinality(p_hooks)) n WHERE n <> ALL (v_ordered) ORDER BY n);
    RETURN QUERY SELECT v_others[d.ordinal], d.due, d.delivery, d.bytes
        FROM lock_due_from(p_node, p_epoch, ARRAY(SELECT p_hooks[n] FROM unnest(v_others) n),
            ARRAY(SELECT p_limits[n] FROM unnest(v_others) n), ARRAY(SELECT p_from[n] FROM unnest(v_others) n), p_now) d;
    FOR v_hook IN
        SELECT p_hooks[h.ordinal] AS hook_id, p_limits[h.ordinal] AS most, p_from[h.ordinal] AS begins, h.ordinal
            FROM unnest(v_ordered) h (ordinal)
            WHERE NOT EXISTS (SELECT FROM deleted_hooks g WHERE g.id = p_hooks[h.ordinal]) ORDER BY h.ordinal
    LOOP
        SELECT array_agg(c.tenant_id), array_agg(c.id), count(*) INTO v_tenants, v_ids, v_due FROM (
            SELECT u.tenant_id, u.id FROM unfinished_deliveries u
                WHERE u.hook_id = v_hook.hook_id
                    AND coalesce(u.due_at, u.lease_until) BETWEEN v_hook.begins AND p_now
                ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT v_hook.most + 100
                FOR UPDATE SKIP LOCKED) c;
        -- In statements of their own, after the locks: they see all that was committed before them, and what is committed later
        -- waits for them in `advance_groups`. What has others before it waits. The first one does not, but another may be
        -- leased that was accepted at the same time and committed before it.
        v_begun := 0;
        WITH early AS (
            UPDATE unfinished_deliveries u
                SET due_at = p_now + 691200000, ordering_waits = true, state = CASE WHEN u.attempts = 0 THEN 0 ELSE 2 END,
                    lease_owner = NULL, lease_id = NULL, lease_until = NULL
                FROM unnest(v_tenants, v_ids) c (tenant_id, id)
                WHERE u.tenant_id = c.tenant_id AND u.id = c.id AND u.ordering_seq IS NOT NULL
                    AND EXISTS (SELECT FROM unfinished_deliveries b
                        WHERE b.hook_id = u.hook_id AND b.ordering_key = u.ordering_key AND b.ordering_seq IS NOT NULL
                            AND b.ordering_seq < u.ordering_seq)
                RETURNING u.ordering_key)
        SELECT count(*), array_agg(DISTINCT ordering_key) INTO v_early, v_keys FROM early;
        IF v_early > 0 THEN
            -- For what they wait is due.
            WITH first AS (
                SELECT f.tenant_id, f.id FROM unnest(v_keys) k (key) CROSS JOIN LATERAL (
                    SELECT b.tenant_id, b.id FROM unfinished_deliveries b
                        WHERE b.hook_id = v_hook.hook_id AND b.ordering_key = k.key AND b.ordering_seq IS NOT NULL
                        ORDER BY b.ordering_seq LIMIT 1) f),
            locked AS (
                SELECT w.tenant_id, w.id FROM first JOIN unfinished_deliveries w
                    ON w.tenant_id = first.tenant_id AND w.id = first.id
                    WHERE w.ordering_waits AND w.state <> 1 FOR UPDATE OF w SKIP LOCKED)
            UPDATE unfinished_deliveries u SET due_at = p_now, ordering_waits = false FROM locked
                WHERE u.tenant_id = locked.tenant_id AND u.id = locked.id;
            GET DIAGNOSTICS v_begun = ROW_COUNT;
        END IF;
        UPDATE unfinished_deliveries u
            SET due_at = p_now + 1000, ordering_waits = false, state = CASE WHEN u.attempts = 0 THEN 0 ELSE 2 END,
                lease_owner = NULL, lease_id = NULL, lease_until = NULL
            FROM unnest(v_tenants, v_ids) c (tenant_id, id)
            WHERE u.tenant_id = c.tenant_id AND u.id = c.id AND u.ordering_seq IS NOT NULL
                AND coalesce(u.due_at, u.lease_until) <= p_now
                AND EXISTS (SELECT FROM unfinished_deliveries b
                    WHERE b.hook_id = u.hook_id AND b.ordering_key = u.ordering_key AND b.ordering_seq IS NOT NULL
                        AND b.state = 1 AND b.lease_until > p_now AND b.id <> u.id);
        GET DIAGNOSTICS v_held = ROW_COUNT;
        v_early := v_early + v_held;
        -- If it is all that was looked at, there may be more.
        v_due := greatest(v_due - v_early,
            CASE WHEN v_due = v_hook.most + 100 OR v_begun > 0 THEN 1 ELSE 0 END);
        -- A hook whose limit is 0 has a row without a delivery.
        RETURN QUERY
        SELECT v_hook.ordinal, v_due, l.delivery,
            coalesce((SELECT octet_length(e.data) FROM events e WHERE e.key = (l.delivery).event_key), 0)::bigint
            + CASE WHEN (l.delivery).attempts = 0 THEN 0 ELSE coalesce((SELECT octet_length(q.body)
                FROM rendered_requests q WHERE q.delivery_id = (l.delivery).id), 0) END
        FROM (SELECT 1) one LEFT JOIN LATERAL (
            SELECT u AS delivery FROM unnest(v_tenants, v_ids) c (tenant_id, id)
                JOIN unfinished_deliveries u ON u.tenant_id = c.tenant_id AND u.id = c.id
                WHERE coalesce(u.due_at, u.lease_until) <= p_now
                ORDER BY coalesce(u.due_at, u.lease_until), u.id LIMIT v_hook.most) l ON true
        WHERE v_due > 0
        ORDER BY coalesce((l.delivery).due_at, (l.delivery).lease_until), (l.delivery).id;
    END LOOP;
END $$;
