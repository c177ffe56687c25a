-- The trace of which an event's deliveries are a part: the values of the headers `traceparent` and `tracestate`.
ALTER TABLE events ADD COLUMN trace text;

-- Like `accept_events_in_order`, for events of which one has a trace.
CREATE FUNCTION accept_traced_events(
    p_node integer, p_epoch bigint, p_hooks bigint[],
    p_keys bigint[], p_tenants bigint[], p_external_ids text[], p_projects bigint[], p_types text[], p_occurred bigint[],
    p_lease_until bigint[], p_delivery_ids text[], p_hook_ids text[], p_data text[],
    n_tenants bigint[], n_kinds smallint[], n_names text[], n_events bigint[], n_external_ids text[], n_contents bytea[],
    n_counts integer[],
    d_tenants bigint[], d_ids bigint[], d_hooks bigint[], d_events bigint[], d_types text[], d_made_by smallint[],
    d_states smallint[], d_due_at bigint[], d_lease_until bigint[],
    p_ordering_keys text[], d_ordering_keys text[], p_traces text[]
) RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_deleted bigint[];
BEGIN
    v_deleted := accept_events_in_order(p_node, p_epoch, p_hooks,
        p_keys, p_tenants, p_external_ids, p_projects, p_types, p_occurred, p_lease_until, p_delivery_ids, p_hook_ids,
        p_data, n_tenants, n_kinds, n_names, n_events, n_external_ids, n_contents, n_counts,
        d_tenants, d_ids, d_hooks, d_events, d_types, d_made_by, d_states, d_due_at, d_lease_until,
        p_ordering_keys, d_ordering_keys);
    IF cardinality(v_deleted) = 0 THEN
        UPDATE events e SET trace = t.trace FROM unnest(p_keys, p_traces) t (key, trace)
            WHERE e.key = t.key AND t.trace IS NOT NULL;
    END IF;
    RETURN v_deleted;
END $$;
