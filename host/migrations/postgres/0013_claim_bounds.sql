-- Like `lock_due`, from a time on for each hook: what was claimed before that leaves rows that are passed over one by one
-- as long as somebody's snapshot sees them.
CREATE FUNCTION lock_due_from(
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
                ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most + 1) c) d (count)
    LEFT JOIN LATERAL (
        SELECT u AS delivery FROM unfinished_deliveries u
            WHERE u.hook_id = h.hook_id AND coalesce(u.due_at, u.lease_until) BETWEEN h.begins AND p_now
            ORDER BY u.hook_id, coalesce(u.due_at, u.lease_until), u.id LIMIT h.most FOR UPDATE SKIP LOCKED) l ON true
    WHERE d.count > 0 AND NOT EXISTS (SELECT FROM deleted_hooks g WHERE g.id = h.hook_id)
    ORDER BY h.ordinal, coalesce((l.delivery).due_at, (l.delivery).lease_until), (l.delivery).id;
END $$;
