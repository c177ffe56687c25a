//! Searches for a tenant's events, counts of their deliveries, and more deliveries of them.

use sqlx::QueryBuilder;
use sqlx_postgres::Postgres;

use super::pool::BoundedPool;
use super::rows::is_text;
use crate::domain::{DeliveryId, EventKey, HookId, TenantId, TypePattern, UnixMillis};
use crate::storage::columns::{DeliveryRow, delivery_from_row};
use crate::storage::event_search::{Collected, MAX_DELIVERIES, MAX_VISITED, STEP, counts_from_rows};
use crate::storage::{DeliveryCounts, EventQuery, ListedEvents, Redelivered, StorageError};

/// A tenant's events, newest first.
pub(super) async fn search(
    pool: &BoundedPool,
    tenant: TenantId,
    query: &EventQuery,
) -> Result<ListedEvents, StorageError> {
    let (first, mut last) = query.keys();
    let mut found = Collected::new(query);
    for _ in 0..MAX_VISITED / STEP {
        let sql = "SELECT key FROM events WHERE key BETWEEN $1 AND $2 ORDER BY key DESC LIMIT 1 OFFSET $3";
        let end = sqlx::query_scalar(sql).bind(first).bind(last).bind(i64::from(STEP) - 1);
        let end: Option<i64> = end.fetch_optional(pool).await?;
        let mut step = step(tenant, query, (end.unwrap_or(first), last), found.wanted());
        if found.add(step.build_query_as().fetch_all(pool).await?)? {
            return Ok(found.finish(None));
        }
        match end {
            Some(end) => last = end - 1,
            None => return Ok(found.finish(None)),
        }
    }
    Ok(found.finish(Some(last + 1)))
}

fn step(tenant: TenantId, query: &EventQuery, keys: (i64, i64), limit: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT key, external_id, event_type, project, occurred_at, coalesce(cardinality(delivery_ids), 0)::bigint \
         FROM events WHERE key BETWEEN ",
    );
    sql.push_bind(keys.0).push(" AND ").push_bind(keys.1).push(" AND tenant_id = ").push_bind(tenant.0);
    if let Some(pattern) = &query.event_type {
        push_type(&mut sql, pattern);
    }
    if let Some(project) = query.project {
        sql.push(" AND project = ").push_bind(project);
    }
    sql.push(" ORDER BY key DESC LIMIT ").push_bind(limit);
    sql
}

/// Adds the condition that `event_type` matches.
pub(super) fn push_type(sql: &mut QueryBuilder<Postgres>, pattern: &TypePattern) {
    match pattern {
        TypePattern::Any => {}
        TypePattern::Exact(exact) if !is_text(exact.as_str()) => {
            sql.push(" AND false");
        }
        TypePattern::Prefix(prefix) if !is_text(prefix) => {
            sql.push(" AND false");
        }
        TypePattern::Exact(exact) => {
            sql.push(" AND event_type = ").push_bind(exact.as_str().to_owned());
        }
        TypePattern::Prefix(prefix) => {
            sql.push(" AND starts_with(event_type, ").push_bind(prefix.clone());
            sql.push(") AND event_type <> ").push_bind(prefix.clone());
        }
    }
}

/// How many deliveries of each event are in each state. One without a row is leased.
pub(super) async fn count_deliveries(
    pool: &BoundedPool,
    tenant: TenantId,
    events: &[EventKey],
) -> Result<DeliveryCounts, StorageError> {
    let keys: Vec<i64> = events.iter().map(|event| event.0).collect();
    // Scalar subqueries, so that each delivery is looked up by its key, whatever the planner knows of the tables.
    let sql = "SELECT key, state, count(*) FROM \
        (SELECT e.key, coalesce( \
            (SELECT u.state FROM unfinished_deliveries u WHERE u.tenant_id = $2 AND u.id = d.id), \
            (SELECT f.state FROM finished_deliveries f WHERE f.tenant_id = $2 AND f.id = d.id), \
            CASE WHEN e.lease_until IS NOT NULL THEN 1 END)::bigint AS state \
        FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id) WHERE e.key = ANY ($1) AND e.tenant_id = $2) found \
        WHERE state IS NOT NULL GROUP BY key, state ORDER BY key, state";
    counts_from_rows(sqlx::query_as(sql).bind(keys).bind(tenant.0).fetch_all(pool).await?)
}

/// Makes another delivery of a stored event, due at `now`. The event's row names it, too.
pub(super) async fn redeliver(
    pool: &BoundedPool,
    (tenant, hook): (TenantId, HookId),
    (event, id): (EventKey, DeliveryId),
    now: UnixMillis,
) -> Result<Redelivered, StorageError> {
    // The lock on the hook keeps it from being deleted meanwhile.
    let sql = "WITH hook AS MATERIALIZED (SELECT id FROM hooks WHERE id = $3 AND tenant_id = $4 FOR SHARE), \
        named AS (UPDATE events e SET delivery_ids = array_append(e.delivery_ids, $2), \
            hook_ids = array_append(e.hook_ids, $3) \
            WHERE e.key = $1 AND e.tenant_id = $4 AND EXISTS (SELECT FROM hook) \
                AND coalesce(cardinality(e.delivery_ids), 0) < $6 AND can_be_sent(e.key) \
            RETURNING e.key, e.tenant_id, e.event_type) \
        INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, \
            failures, due_at) SELECT tenant_id, $2, $3, key, event_type, 2, 0, 0, 0, $5 FROM named \
        RETURNING id, tenant_id, hook_id, event_key, event_type, made_by::bigint, state::bigint, attempts::bigint, \
            failures::bigint, due_at, lease_owner::bigint, lease_id, lease_until";
    let query = sqlx::query_as(sql).bind(event.0).bind(id.0).bind(hook.0).bind(tenant.0).bind(now.0);
    let made: Option<DeliveryRow> = query.bind(i64::from(MAX_DELIVERIES)).fetch_optional(pool).await?;
    if let Some(row) = made {
        return Ok(Redelivered::Made(delivery_from_row(row)?));
    }
    let sql = "SELECT EXISTS (SELECT FROM hooks WHERE id = $1 AND tenant_id = $2), \
        EXISTS (SELECT FROM events WHERE key = $3 AND tenant_id = $2 \
            AND key > (SELECT max(h.key) FROM retention_horizon h)), \
        EXISTS (SELECT FROM erased_events WHERE event_key = $3 AND tenant_id = $2)";
    let query = sqlx::query_as(sql).bind(hook.0).bind(tenant.0).bind(event.0);
    let found: (bool, bool, bool) = query.fetch_one(pool).await?;
    Ok(match found {
        (false, ..) => Redelivered::NoHook,
        (_, false, _) => Redelivered::NoEvent,
        (true, true, true) => Redelivered::Erased,
        (true, true, false) => Redelivered::TooMany,
    })
}
