-- Ids are 63-bit numbers that ascend with time: 41 bits of milliseconds since 2020, 10 bits of node, 12 bits of sequence.
-- Times are milliseconds since the Unix epoch, unless they compare nodes: those come from the database's clock.
-- There are no foreign keys: events and deliveries are the hot path, and everything else is removed by the statement that
-- removes what it belongs to.
--
-- Rows that are written once are in tables that are partitioned by day, that is by a range of ids. Rows that change are in
-- small tables.

-- The processes that accept and deliver. A node's epoch is the lease of everything that it has in memory.
CREATE TABLE nodes (
    number        smallint PRIMARY KEY CHECK (number BETWEEN 0 AND 1023),
    name          text NOT NULL UNIQUE,      -- of the data directory: a node that restarts finds its number again
    epoch         bigint NOT NULL,           -- raised by each start and by each takeover
    address       text NOT NULL,
    version       text NOT NULL,
    started_at    timestamptz NOT NULL,
    heartbeat_at  timestamptz NOT NULL,
    ended         boolean NOT NULL,          -- it has nothing in memory: it was shut down, or another node took its work over
    written_until bigint NOT NULL            -- of events up to this key, each of the node's deliveries has a row of its own
) WITH (fillfactor = 50);

-- What the engine must know of its own past.
CREATE TABLE engine_state (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

-- How many changes of configuration there have been. A change locks it until it is committed.
CREATE TABLE directory_revision (
    revision bigint NOT NULL
);
INSERT INTO directory_revision VALUES (0);

-- What changed, by which nodes follow. Old rows are deleted.
CREATE TABLE directory_changes (
    revision  bigint PRIMARY KEY,
    kind      text NOT NULL,                 -- tenant, project, key, login, token, hook or plugin
    tenant_id bigint NOT NULL,
    name      text NOT NULL                  -- the name, number or id of what changed
);

CREATE TABLE tenants (
    id         bigint PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    client_id  bigint UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE projects (
    tenant_id  bigint NOT NULL,
    number     bigint NOT NULL,
    name       text,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, number)
);

CREATE TABLE api_keys (
    id         bigint PRIMARY KEY,
    tenant_id  bigint NOT NULL,
    name       text NOT NULL,
    scopes     text NOT NULL,                -- JSON: ["events:write", …]
    hash       bytea NOT NULL UNIQUE,        -- SHA-256 of the key
    created_at bigint NOT NULL
);

CREATE TABLE logins (
    tenant_id  bigint NOT NULL,
    name       text COLLATE "C" NOT NULL,
    secret     bytea NOT NULL,               -- encrypted
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE domain_tokens (
    id         text PRIMARY KEY,             -- a UUID
    tenant_id  bigint NOT NULL,
    role       text NOT NULL,
    enabled    boolean NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE hooks (
    id                    bigint PRIMARY KEY,
    tenant_id             bigint NOT NULL,
    surface               text NOT NULL,
    surface_members       text NOT NULL,     -- JSON, of the surface's own making; what may be secret is in `sealed`
    url                   text NOT NULL,     -- its origin
    subscription          text NOT NULL,     -- JSON: ["session.*", …]
    project               bigint,
    enabled               boolean NOT NULL,
    description           text NOT NULL,
    headers               text NOT NULL,     -- JSON; they are in `sealed`
    masked_headers        text NOT NULL,     -- JSON: ["name", …]
    preflight             text NOT NULL,     -- JSON, as pipeline
    pipeline              text NOT NULL,     -- JSON: [{"plugin": "name@3", "settings": "{}"}, …]
    timeout_ms            bigint NOT NULL,
    retry_ms              text NOT NULL,     -- JSON: [5000, …]
    signing               text NOT NULL,
    "authorization"       bytea,             -- encrypted
    authorization_enabled boolean NOT NULL,
    sealed                bytea NOT NULL,    -- encrypted: URL, headers, settings, members, signing secrets
    created_at            bigint NOT NULL,
    updated_at            bigint NOT NULL
);

-- Hooks that are gone. What is accepted for one of them is cancelled.
CREATE TABLE deleted_hooks (
    id bigint PRIMARY KEY
);

CREATE TABLE plugin_versions (
    owner      bigint NOT NULL,              -- a tenant's id; 0 for a standard plugin
    name       text COLLATE "C" NOT NULL,
    version    integer NOT NULL,
    digest     bytea NOT NULL,
    roles      text NOT NULL,                -- JSON: ["mapper", …]
    imports    text NOT NULL,                -- JSON: ["hookwright:plugin/log@1.0.0", …]
    size_bytes bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (owner, name, version)
);
CREATE INDEX plugin_versions_by_digest ON plugin_versions (digest);

CREATE TABLE plugin_blobs (
    digest bytea PRIMARY KEY,
    wasm   bytea NOT NULL
);

CREATE TABLE events (
    key          bigint NOT NULL,
    tenant_id    bigint NOT NULL,
    external_id  text,                       -- the sender's id; NULL if the key is the id
    project      bigint,
    event_type   text NOT NULL,
    occurred_at  bigint NOT NULL,
    lease_until  bigint,                     -- of the deliveries that have no row of their own: see below
    delivery_ids bigint[],                   -- of all its deliveries, NULL if there are none
    hook_ids     bigint[],                   -- for each of them
    data         text NOT NULL,
    PRIMARY KEY (key)
) PARTITION BY RANGE (key);

-- Deduplication. A unique index of `events` would have to contain its key, so names have a table of their own.
CREATE TABLE event_names (
    tenant_id      bigint NOT NULL,
    kind           smallint NOT NULL,        -- 0 the sender's id, 1 an idempotency key
    name           text COLLATE "C" NOT NULL,
    event_key      bigint NOT NULL,
    external_id    text,
    content        bytea NOT NULL,           -- SHA-256
    delivery_count integer NOT NULL,
    PRIMARY KEY (tenant_id, kind, name)
);

-- A delivery is in one of three places. It moves from one to the other in one transaction.
-- 1. Only its event names it. It is leased to the node that made its id, which has it in memory; the lease's id is the
--    delivery's. This place is left under the node's lock: see `lock_node`.
-- 2. In `unfinished_deliveries`: it is due at some time, or leased.
-- 3. In `finished_deliveries`.
-- state: 0 pending, 1 delivering, 2 waiting, 3 succeeded, 4 exhausted, 5 dropped, 6 cancelled
-- made_by: 0 event, 1 test, 2 replay
CREATE TABLE unfinished_deliveries (
    tenant_id   bigint NOT NULL,
    id          bigint NOT NULL,
    hook_id     bigint NOT NULL,
    event_key   bigint NOT NULL,
    event_type  text NOT NULL,
    made_by     smallint NOT NULL,
    state       smallint NOT NULL CHECK (state < 3),
    attempts    integer NOT NULL,
    failures    integer NOT NULL,
    due_at      bigint,                      -- NULL while it is leased
    lease_owner smallint,                    -- a node's number
    lease_id    bigint,
    lease_until bigint,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- From when on it may be claimed: it is due, or its lease has ended.
CREATE INDEX unfinished_deliveries_by_hook ON unfinished_deliveries (hook_id, coalesce(due_at, lease_until), id);

CREATE TABLE finished_deliveries (
    tenant_id  bigint NOT NULL,
    id         bigint NOT NULL,
    hook_id    bigint NOT NULL,
    event_key  bigint NOT NULL,
    event_type text NOT NULL,
    made_by    smallint NOT NULL,
    state      smallint NOT NULL CHECK (state >= 3),
    attempts   integer NOT NULL,
    failures   integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
-- A delivery that succeeds is not in it.
CREATE INDEX finished_deliveries_by_state ON finished_deliveries (tenant_id, state, id) WHERE state <> 3;

CREATE TABLE attempts (
    id          bigint NOT NULL,
    delivery_id bigint NOT NULL,
    number      integer NOT NULL,
    started_at  bigint NOT NULL,
    duration_ns bigint NOT NULL,
    outcome     text NOT NULL,               -- response, timed-out, unreachable, faulted, dropped
    status      integer,
    detail      text NOT NULL,               -- JSON, by outcome
    body        bytea,                       -- the beginning of a response's body
    steps       text,                        -- JSON; NULL if no plugin ran
    request     text,                        -- JSON; NULL if nothing was sent
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
-- The attempt under the lease with which a delivery was stored has the delivery's own id.
CREATE INDEX attempts_with_own_id ON attempts (delivery_id) WHERE delivery_id <> id;

-- The unsigned requests that retries send again.
CREATE TABLE rendered_requests (
    delivery_id     bigint PRIMARY KEY,
    method          text NOT NULL,
    body_kind       smallint NOT NULL,       -- 0 none, 1 text, 2 binary
    body            bytea,
    hook_updated_at bigint NOT NULL,
    sealed          bytea NOT NULL           -- URL and headers
);

-- Ids that no partition of a day covers: from a clock that was wrong.
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE TABLE finished_deliveries_other PARTITION OF finished_deliveries DEFAULT;
CREATE TABLE attempts_other PARTITION OF attempts DEFAULT;

-- Makes the partitions of today and of some days ahead. Returns how many days after today have all of theirs.
CREATE FUNCTION create_partitions(p_days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_today  integer := floor(extract(epoch FROM now()) / 86400)::integer - 18262;  -- days since 2020-01-01
    v_ahead  integer := -1;
    v_table  text;
    v_name   text;
BEGIN
    PERFORM pg_advisory_xact_lock(1213681235, 0);
    FOR v_day IN v_today .. v_today + p_days LOOP
        FOREACH v_table IN ARRAY ARRAY['events', 'finished_deliveries', 'attempts'] LOOP
            v_name := v_table || '_' || to_char(date '2020-01-01' + v_day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', v_name, v_table,
                (v_day * 86400000::bigint) << 22, ((v_day + 1) * 86400000::bigint) << 22);
        END LOOP;
        v_ahead := v_ahead + 1;
    END LOOP;
    RETURN v_ahead;
EXCEPTION WHEN check_violation THEN
    -- The default partition holds ids of that day: they stay there, and so do those to come.
    RETURN v_ahead;
END $$;
SELECT create_partitions(7);

CREATE FUNCTION node_of(p_id bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT ((p_id >> 12) & 1023)::integer';

-- Excludes all transactions that check a node's epoch: see `check_epoch`. Statements after it see what they committed.
CREATE FUNCTION lock_node(p_node integer) RETURNS void LANGUAGE sql AS
    'SELECT pg_advisory_xact_lock(1213681234, p_node)';

-- Begins each transaction in which a node accepts, records or leases. Nothing of an earlier epoch commits after a takeover.
CREATE FUNCTION check_epoch(p_node integer, p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1213681234, p_node);
    IF NOT EXISTS (SELECT FROM nodes WHERE number = p_node AND epoch = p_epoch) THEN
        RAISE EXCEPTION USING ERRCODE = 'HW001', MESSAGE = 'another node took over the work of this one';
    END IF;
END $$;

-- Stores events. Returns the deleted hooks among `p_hooks`; then nothing is stored.
CREATE FUNCTION accept_events(
    p_node integer, p_epoch bigint, p_hooks bigint[],
    p_keys bigint[], p_tenants bigint[], p_external_ids text[], p_projects bigint[], p_types text[], p_occurred bigint[],
    p_lease_until bigint[], p_delivery_ids text[], p_hook_ids text[], p_data text[],
    n_tenants bigint[], n_kinds smallint[], n_names text[], n_events bigint[], n_external_ids text[], n_contents bytea[],
    n_counts integer[],
    d_tenants bigint[], d_ids bigint[], d_hooks bigint[], d_events bigint[], d_types text[], d_made_by smallint[],
    d_states smallint[], d_due_at bigint[], d_lease_until bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_deleted bigint[];
BEGIN
    PERFORM check_epoch(p_node, p_epoch);
    v_deleted := ARRAY(SELECT id FROM deleted_hooks WHERE id = ANY (p_hooks));
    IF cardinality(v_deleted) > 0 THEN
        RETURN v_deleted;
    END IF;
    IF cardinality(n_names) > 0 THEN
        INSERT INTO event_names (tenant_id, kind, name, event_key, external_id, content, delivery_count)
            SELECT * FROM unnest(n_tenants, n_kinds, n_names, n_events, n_external_ids, n_contents, n_counts);
    END IF;
    INSERT INTO events (key, tenant_id, external_id, project, event_type, occurred_at, lease_until, delivery_ids,
            hook_ids, data)
        SELECT e.key, e.tenant_id, e.external_id, e.project, e.event_type, e.occurred_at, e.lease_until,
            e.delivery_ids::bigint[], e.hook_ids::bigint[], e.data
        FROM unnest(p_keys, p_tenants, p_external_ids, p_projects, p_types, p_occurred, p_lease_until, p_delivery_ids,
            p_hook_ids, p_data)
            e (key, tenant_id, external_id, project, event_type, occurred_at, lease_until, delivery_ids, hook_ids, data);
    IF cardinality(d_ids) > 0 THEN
        INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts,
                failures, due_at, lease_owner, lease_id, lease_until)
            SELECT d.tenant_id, d.id, d.hook_id, d.event_key, d.event_type, d.made_by, d.state, 0, 0, d.due_at,
                CASE WHEN d.state = 1 THEN node_of(d.id) END, CASE WHEN d.state = 1 THEN d.id END, d.lease_until
            FROM unnest(d_tenants, d_ids, d_hooks, d_events, d_types, d_made_by, d_states, d_due_at, d_lease_until)
                d (tenant_id, id, hook_id, event_key, event_type, made_by, state, due_at, lease_until)
            WHERE d.state < 3;
        INSERT INTO finished_deliveries
            SELECT d.tenant_id, d.id, d.hook_id, d.event_key, d.event_type, d.made_by, d.state, 0, 0
            FROM unnest(d_tenants, d_ids, d_hooks, d_events, d_types, d_made_by, d_states)
                d (tenant_id, id, hook_id, event_key, event_type, made_by, state)
            WHERE d.state >= 3;
    END IF;
    RETURN '{}';
END $$;

-- Gives these deliveries a row, if only their event names them. Their leases last on.
CREATE FUNCTION materialize(p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_node(node) FROM (SELECT DISTINCT node_of(id) AS node FROM unnest(p_ids) id ORDER BY node) nodes;
    INSERT INTO unfinished_deliveries
        SELECT e.tenant_id, i.id, e.hook_ids[array_position(e.delivery_ids, i.id)], e.key, e.event_type, 0, 1, 0, 0, NULL,
            node_of(i.id), i.id, e.lease_until
        FROM unnest(p_ids) i (id) CROSS JOIN LATERAL (
            -- An event's deliveries get their ids at once after its key.
            SELECT * FROM events WHERE key < i.id AND key > i.id - (1 << 30) AND i.id = ANY (delivery_ids)
                ORDER BY key DESC LIMIT 1) e
        WHERE e.lease_until IS NOT NULL
            AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = i.id)
            AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = i.id);
END $$;

-- Records what came of deliveries: of some that only their events name and that are finished (`f_…`), and of others
-- (`r_…`), some of which get a row first (`l_…`). Returns the deliveries for which another transaction was first, or that
-- have no row: materialize them, and record them again as others. An id stands in one of `f_ids` and `r_ids`, once.
CREATE FUNCTION record_attempts(
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
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_missing bigint[] := '{}';
BEGIN
    -- If the database crashes, a lost record costs a repetition. The next commit that is waited for writes it, too.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM check_epoch(p_node, p_epoch);
    IF cardinality(f_ids) > 0 THEN
        WITH f AS (
            SELECT * FROM unnest(f_tenants, f_ids, f_hooks, f_events, f_types, f_states, f_attempts, f_failures)
                f (tenant_id, id, hook_id, event_key, event_type, state, attempts, failures)),
        inserted AS (
            INSERT INTO finished_deliveries
                SELECT f.tenant_id, f.id, f.hook_id, f.event_key, f.event_type, 0, f.state, f.attempts, f.failures FROM f
                WHERE NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = f.tenant_id AND u.id = f.id)
                ON CONFLICT DO NOTHING RETURNING id)
        SELECT coalesce(array_agg(f.id), '{}') INTO v_missing FROM f WHERE f.id NOT IN (SELECT id FROM inserted);
    END IF;
    IF cardinality(r_ids) > 0 THEN
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
        UPDATE finished_deliveries f SET attempts = greatest(f.attempts, r.attempts),
                state = CASE WHEN f.state = 6 AND r.state = 3 THEN 3 ELSE f.state END
            FROM unnest(r_tenants, r_ids, r_states, r_attempts) r (tenant_id, id, state, attempts)
            WHERE f.tenant_id = r.tenant_id AND f.id = r.id
                AND (f.attempts < r.attempts OR f.state = 6 AND r.state = 3);
        v_missing := v_missing || ARRAY(
            SELECT r.id FROM unnest(r_tenants, r_ids) r (tenant_id, id)
            WHERE NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = r.tenant_id AND u.id = r.id)
                AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = r.tenant_id AND f.id = r.id));
    END IF;
    IF cardinality(a_ids) > 0 THEN
        -- One that exists already was recorded by a call whose answer got lost.
        INSERT INTO attempts
            SELECT * FROM unnest(a_ids, a_deliveries, a_numbers, a_started, a_durations, a_outcomes, a_statuses, a_details,
                a_bodies, a_steps, a_requests)
            ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN v_missing;
END $$;

-- Locks what is due of each hook, oldest first, up to its limit, and tells how many bytes each takes. `due` counts what is
-- due of the hook, up to one more than the limit. A hook of which nothing is due has no row; one whose limit is 0 has a row
-- without a delivery.
CREATE FUNCTION lock_due(
    p_node integer, p_epoch bigint, p_hooks bigint[], p_limits bigint[], p_now bigint
) RETURNS TABLE (ordinal bigint, due bigint, delivery unfinished_deliveries, bytes bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_epoch(p_node, p_epoch);
    RETURN QUERY
    SELECT h.ordinal, d.count, l.delivery,
        coalesce((SELECT octet_length(e.data) FROM events e WHERE e.key = (l.delivery).event_key), 0)::bigint
        + CASE WHEN (l.delivery).attempts = 0 THEN 0 ELSE
            coalesce((SELECT octet_length(q.body) FROM rendered_requests q WHERE q.delivery_id = (l.delivery).id), 0) END
    FROM unnest(p_hooks, p_limits) WITH ORDINALITY h (hook_id, most, ordinal)
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM unfinished_deliveries u
                WHERE u.hook_id = h.hook_id AND coalesce(u.due_at, u.lease_until) <= p_now
                ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most + 1) c) d (count)
    LEFT JOIN LATERAL (
        SELECT u AS delivery FROM unfinished_deliveries u
            WHERE u.hook_id = h.hook_id AND coalesce(u.due_at, u.lease_until) <= p_now
            ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most FOR UPDATE SKIP LOCKED) l ON true
    WHERE d.count > 0 AND NOT EXISTS (SELECT FROM deleted_hooks g WHERE g.id = h.hook_id)
    ORDER BY h.ordinal, coalesce((l.delivery).due_at, (l.delivery).lease_until), (l.delivery).id;
END $$;

-- Ends everything that an earlier epoch of this node left: what it had in memory, and its leases. All of it is due at
-- `p_now`. Its tests are cancelled: a test is sent once, and it is not known whether it was. Returns how many deliveries
-- are due by that. The caller holds the node's lock.
CREATE FUNCTION end_leases(p_node integer, p_now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_mark  bigint := coalesce((SELECT written_until FROM nodes WHERE number = p_node), 0);
    v_count bigint;
    v_more  bigint;
BEGIN
    INSERT INTO unfinished_deliveries
        SELECT e.tenant_id, d.id, d.hook_id, e.key, e.event_type, 0, 0, 0, 0, p_now, NULL, NULL, NULL
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids, e.hook_ids) d (id, hook_id)
        WHERE e.key > v_mark AND node_of(e.key) = p_node AND e.lease_until IS NOT NULL
            AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = d.id)
            AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = d.id);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    WITH gone AS (
        DELETE FROM unfinished_deliveries WHERE made_by = 1 AND coalesce(lease_owner, node_of(id)) = p_node RETURNING *)
    INSERT INTO finished_deliveries
        SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 6, attempts, failures FROM gone;
    UPDATE unfinished_deliveries SET state = CASE WHEN attempts = 0 THEN 0 ELSE 2 END, due_at = p_now,
            lease_owner = NULL, lease_id = NULL, lease_until = NULL
        WHERE state = 1 AND lease_owner = p_node;
    GET DIAGNOSTICS v_more = ROW_COUNT;
    UPDATE nodes SET written_until = greatest(v_mark, coalesce((SELECT max(key) FROM events), 0)) WHERE number = p_node;
    RETURN v_count + v_more;
END $$;

-- Cancels deliveries of a deleted hook, some at a time. Returns whether there may be more.
CREATE FUNCTION cancel_some(p_hook bigint, p_most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    WITH gone AS (
        DELETE FROM unfinished_deliveries WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM unfinished_deliveries WHERE hook_id = p_hook ORDER BY tenant_id, id LIMIT p_most
                FOR UPDATE)
        RETURNING *),
    rendered AS (DELETE FROM rendered_requests USING gone WHERE delivery_id = gone.id)
    INSERT INTO finished_deliveries
        SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 6, attempts, failures FROM gone;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count = p_most;
END $$;

-- Cancels the deliveries of a deleted hook that only their events name, on all nodes. What is accepted later sees the hook
-- in `deleted_hooks`.
CREATE FUNCTION cancel_unwritten(p_hook bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_mark bigint;
BEGIN
    PERFORM lock_node(number) FROM (SELECT number FROM nodes ORDER BY number) n;
    v_mark := coalesce((SELECT min(written_until) FROM nodes WHERE NOT ended), 0);
    INSERT INTO finished_deliveries
        SELECT e.tenant_id, d.id, d.hook_id, e.key, e.event_type, 0, 6, 0, 0
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids, e.hook_ids) d (id, hook_id)
        WHERE e.key > v_mark AND e.lease_until IS NOT NULL AND p_hook = ANY (e.hook_ids) AND d.hook_id = p_hook
            AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = d.id)
            AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = d.id);
END $$;

-- Deliveries that have a row, with columns of one type.
CREATE VIEW deliveries AS
    SELECT id, tenant_id, hook_id, event_key, event_type, made_by::bigint AS made_by, state::bigint AS state,
        attempts::bigint AS attempts, failures::bigint AS failures, due_at, lease_owner::bigint AS lease_owner, lease_id,
        lease_until
    FROM unfinished_deliveries
    UNION ALL
    SELECT id, tenant_id, hook_id, event_key, event_type, made_by::bigint, state::bigint, attempts::bigint,
        failures::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM finished_deliveries;

-- A delivery, wherever it is.
CREATE FUNCTION delivery(p_tenant bigint, p_id bigint) RETURNS SETOF deliveries LANGUAGE sql STABLE AS $$
    SELECT * FROM deliveries WHERE tenant_id = p_tenant AND id = p_id
    UNION ALL
    (SELECT p_id, e.tenant_id, e.hook_ids[array_position(e.delivery_ids, p_id)], e.key, e.event_type, 0::bigint, 1::bigint,
        0::bigint, 0::bigint, NULL::bigint, node_of(p_id)::bigint, p_id, e.lease_until
    FROM events e
    WHERE e.key < p_id AND e.key > p_id - (1 << 30) AND e.tenant_id = p_tenant AND p_id = ANY (e.delivery_ids)
        AND e.lease_until IS NOT NULL
    ORDER BY e.key DESC LIMIT 1)
    LIMIT 1
$$;

-- A delivery that has a row, which nobody else changes until the transaction ends.
CREATE FUNCTION lock_delivery(p_tenant bigint, p_id bigint) RETURNS SETOF deliveries LANGUAGE plpgsql AS $$
BEGIN
    -- It may move to the other table between two statements.
    FOR i IN 1 .. 3 LOOP
        PERFORM FROM unfinished_deliveries WHERE tenant_id = p_tenant AND id = p_id FOR UPDATE;
        IF NOT FOUND THEN
            PERFORM FROM finished_deliveries WHERE tenant_id = p_tenant AND id = p_id FOR UPDATE;
            CONTINUE WHEN NOT FOUND;
        END IF;
        RETURN QUERY SELECT * FROM deliveries WHERE tenant_id = p_tenant AND id = p_id;
        RETURN;
    END LOOP;
END $$;

-- The deliveries of one event.
CREATE FUNCTION deliveries_of(p_tenant bigint, p_event bigint) RETURNS SETOF deliveries LANGUAGE sql STABLE AS $$
    WITH named AS MATERIALIZED (
        SELECT e.*, d.id AS delivery_id, d.hook_id
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids, e.hook_ids) d (id, hook_id)
        WHERE e.key = p_event AND e.tenant_id = p_tenant),
    written AS MATERIALIZED (
        SELECT d.* FROM deliveries d WHERE d.tenant_id = p_tenant AND d.id IN (SELECT delivery_id FROM named))
    SELECT * FROM written
    UNION ALL
    SELECT n.delivery_id, n.tenant_id, n.hook_id, n.key, n.event_type, 0, 1, 0, 0, NULL, node_of(n.delivery_id),
        n.delivery_id, n.lease_until
    FROM named n WHERE n.lease_until IS NOT NULL AND n.delivery_id NOT IN (SELECT id FROM written)
$$;
;

-- Takes over the work of a node that is dead by the database's clock. Returns how many of its deliveries are due by that,
-- NULL if it lives.
CREATE FUNCTION take_over(p_node integer, p_epoch bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM lock_node(p_node);
    UPDATE nodes SET epoch = epoch + 1, ended = true
        WHERE number = p_node AND epoch = p_epoch AND NOT ended AND heartbeat_at < clock_timestamp() - interval '10 seconds';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN end_leases(p_node, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
END $$;
