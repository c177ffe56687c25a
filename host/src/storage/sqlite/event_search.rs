//! Searches for a tenant's events, counts of their deliveries, and more deliveries of them.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};

use super::id_buckets;
use super::rows::{DeliveryRow, delivery_columns, delivery_from_row, state_code, to_json, trigger_code};
use crate::domain::{
    DeliveryId, DeliveryState, EventKey, HookId, TenantId, Trigger, TypePattern, UnixMillis,
};
use crate::storage::event_search::{Collected, MAX_DELIVERIES, MAX_VISITED, STEP, counts_from_rows};
use crate::storage::{DeliveryCounts, EventQuery, ListedEvents, Redelivered, StorageError};

/// A tenant's events, newest first. Their data is not read: it comes after the other columns.
pub(super) async fn search(
    readers: &SqlitePool,
    tenant: TenantId,
    query: &EventQuery,
) -> Result<ListedEvents, StorageError> {
    let (first, mut last) = query.keys();
    let mut found = Collected::new(query);
    for _ in 0..MAX_VISITED / STEP {
        let sql = "SELECT key FROM events WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1 OFFSET ?";
        let end = sqlx::query_scalar(sql).bind(first).bind(last).bind(STEP - 1);
        let end: Option<i64> = end.fetch_optional(readers).await?;
        let mut step = step(tenant, query, (end.unwrap_or(first), last), found.wanted());
        if found.add(step.build_query_as().fetch_all(readers).await?)? {
            return Ok(found.finish(None));
        }
        match end {
            Some(end) => last = end - 1,
            None => return Ok(found.finish(None)),
        }
    }
    Ok(found.finish(Some(last + 1)))
}

fn step(tenant: TenantId, query: &EventQuery, keys: (i64, i64), limit: i64) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(
        "SELECT key, ifnull(external_id, sender_id), event_type, project, occurred_at, delivery_count FROM events WHERE key BETWEEN ",
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
pub(super) fn push_type(sql: &mut QueryBuilder<Sqlite>, pattern: &TypePattern) {
    match pattern {
        TypePattern::Any => {}
        TypePattern::Exact(exact) => {
            sql.push(" AND event_type = ").push_bind(exact.as_str().to_owned());
        }
        TypePattern::Prefix(prefix) => {
            sql.push(" AND substr(event_type, 1, length(").push_bind(prefix.clone());
            sql.push(")) = ").push_bind(prefix.clone());
            sql.push(" AND event_type <> ").push_bind(prefix.clone());
        }
    }
}

/// How many deliveries of each event are in each state. One without a row is leased.
pub(super) async fn count_deliveries(
    readers: &SqlitePool,
    tenant: TenantId,
    events: &[EventKey],
) -> Result<DeliveryCounts, StorageError> {
    let keys: Vec<i64> = events.iter().map(|event| event.0).collect();
    let sql = "SELECT e.key, ifnull(d.state, 1) AS state, count(*) FROM json_each(?1) w \
        CROSS JOIN events e ON e.key = w.value AND e.tenant_id = ?2 CROSS JOIN json_each(e.deliveries) n \
        LEFT JOIN deliveries d ON d.tenant_id = ?2 AND d.id = e.key + (n.value ->> 0) GROUP BY 1, 2 ORDER BY 1, 2";
    let query = sqlx::query_as(sql).bind(to_json(&keys)?).bind(tenant.0);
    counts_from_rows(query.fetch_all(readers).await?)
}

/// Makes another delivery of a stored event, due at `now`. The event's row names it, too.
pub(super) async fn redeliver(
    connection: &mut SqliteConnection,
    (tenant, hook): (TenantId, HookId),
    (event, id): (EventKey, DeliveryId),
    now: UnixMillis,
) -> Result<Redelivered, StorageError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM hooks WHERE id = ? AND tenant_id = ?)";
    let has_hook: bool =
        sqlx::query_scalar(sql).bind(hook.0).bind(tenant.0).fetch_one(&mut *connection).await?;
    if !has_hook {
        return Ok(Redelivered::NoHook);
    }
    let sql = "SELECT json_array_length(ifnull(deliveries, '[]')), EXISTS (SELECT 1 FROM erased_events WHERE event_key = key) \
        FROM events WHERE key = ? AND tenant_id = ?";
    let found = sqlx::query_as(sql).bind(event.0).bind(tenant.0);
    match found.fetch_optional(&mut *connection).await? {
        None => return Ok(Redelivered::NoEvent),
        Some((_, true)) => return Ok(Redelivered::Erased),
        Some((count, _)) if i64::from(MAX_DELIVERIES) <= count => return Ok(Redelivered::TooMany),
        Some(_) => {}
    }
    let sql = "UPDATE events SET deliveries = json_insert(ifnull(deliveries, '[]'), '$[#]', json_array(? - key, ?)) \
        WHERE key = ?";
    sqlx::query(sql).bind(id.0).bind(hook.0).bind(event.0).execute(&mut *connection).await?;
    let sql = "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, \
        failures, due_at) SELECT tenant_id, ?, ?, key, event_type, ?, ?, 0, 0, ? FROM events WHERE key = ?";
    let query = sqlx::query(sql).bind(id.0).bind(hook.0).bind(trigger_code(Trigger::Replay));
    let query = query.bind(state_code(DeliveryState::Pending)).bind(now.0).bind(event.0);
    query.execute(&mut *connection).await?;
    id_buckets::add(connection, hook, id).await?;
    let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries WHERE id = ? AND tenant_id = ?");
    let row: DeliveryRow = sqlx::query_as(sql).bind(id.0).bind(tenant.0).fetch_one(connection).await?;
    Ok(Redelivered::Made(delivery_from_row(row)?))
}
