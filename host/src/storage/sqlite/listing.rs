//! Lists of deliveries: which index serves which question.

use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite};

use super::rows::{DeliveryRow, delivery_columns, delivery_from_row, read_error, state_code};
use crate::domain::{Delivery, DeliveryId, DeliveryState, TenantId};
use crate::storage::{DeliveryQuery, StorageError};

/// The index is named in the statement: there are no statistics which the planner could choose by. None is the
/// table itself, which is clustered by tenant.
fn index(query: &DeliveryQuery) -> Option<&'static str> {
    match (query.state, query.hook) {
        // Few at any time: what is in the memory of the process.
        (Some(DeliveryState::Delivering), _) => Some("deliveries_unfinished"),
        (Some(state), _) if state != DeliveryState::Succeeded => Some("deliveries_by_state"),
        (_, Some(_)) => Some("deliveries_by_hook"),
        (_, None) => None,
    }
}

/// A tenant's deliveries, newest first.
pub async fn list(
    readers: &SqlitePool,
    tenant: TenantId,
    query: &DeliveryQuery,
) -> Result<Vec<Delivery>, StorageError> {
    let mut sql = QueryBuilder::<Sqlite>::new(concat!("SELECT ", delivery_columns!(), " FROM deliveries"));
    if let Some(index) = index(query) {
        sql.push(" INDEXED BY ").push(index);
    }
    sql.push(" WHERE tenant_id = ").push_bind(tenant.0);
    if let Some(hook) = query.hook {
        sql.push(" AND hook_id = ").push_bind(hook.0);
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state_code(state));
        // The condition of a partial index must stand in the statement word for word.
        match index(query) {
            Some("deliveries_by_state") => drop(sql.push(" AND state <> 1 AND state <> 3")),
            Some("deliveries_unfinished") => {
                sql.push(" AND state < 3 AND hook_id IN (SELECT id FROM hooks WHERE tenant_id = ");
                sql.push_bind(tenant.0).push(")");
            }
            _ => {}
        }
    }
    if let Some(event_type) = &query.event_type {
        sql.push(" AND event_type = ").push_bind(event_type.as_str());
    }
    if let Some(since) = query.since {
        sql.push(" AND id >= ").push_bind(DeliveryId::first_at(since).0);
    }
    let until = query.until.map(DeliveryId::first_at);
    if let Some(before) = [until, query.before].into_iter().flatten().min() {
        sql.push(" AND id < ").push_bind(before.0);
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(query.limit);
    let rows: Vec<DeliveryRow> = sql.build_query_as().fetch_all(readers).await.map_err(read_error)?;
    rows.into_iter().map(delivery_from_row).collect()
}

/// How many deliveries stand in each state, in the order of [`DeliveryState::ALL`].
///
/// The bulk, which succeeded, is not visited: it is what is left of the number of all, which SQLite reads off
/// the pages of an index.
pub async fn count_by_state(readers: &SqlitePool) -> Result<Vec<(DeliveryState, u64)>, StorageError> {
    // In one statement, so that all numbers are of one moment.
    let sql = "SELECT (SELECT count(*) FROM deliveries), \
        (SELECT count(*) FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1), \
        total(state = 0), total(state = 2), total(state = 4), total(state = 5), total(state = 6) \
        FROM deliveries INDEXED BY deliveries_by_state WHERE state <> 1 AND state <> 3";
    let (all, delivering, pending, waiting, exhausted, dropped, cancelled): (
        i64,
        i64,
        f64,
        f64,
        f64,
        f64,
        f64,
    ) = sqlx::query_as(sql).fetch_one(readers).await.map_err(read_error)?;
    let [pending, waiting, exhausted, dropped, cancelled] =
        [pending, waiting, exhausted, dropped, cancelled].map(|count| count as i64);
    let succeeded = all - delivering - pending - waiting - exhausted - dropped - cancelled;
    let counts = [pending, delivering, waiting, succeeded, exhausted, dropped, cancelled];
    Ok(DeliveryState::ALL.into_iter().zip(counts.map(|count| u64::try_from(count).unwrap_or(0))).collect())
}
