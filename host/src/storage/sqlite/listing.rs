//! Lists of deliveries: what leads to those that are asked for.

use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite};

use super::rows::{DeliveryRow, delivery_columns, delivery_from_row, read_error, state_code};
use super::spans;
use crate::domain::{Delivery, DeliveryId, DeliveryState, HookId, TenantId};
use crate::storage::{DeliveryQuery, StorageError};

/// What leads to the deliveries of a list. It is named in the statement: there are no statistics which the planner could
/// choose by.
enum Way {
    /// The table itself, which is clustered by tenant.
    Table,
    Index(&'static str),
    /// The parts of the table in which this hook has some.
    Spans(HookId),
}

fn way(query: &DeliveryQuery) -> Way {
    match (query.state, query.hook) {
        // Few at any time: what is in the memory of the process.
        (Some(DeliveryState::Delivering), _) => Way::Index("deliveries_unfinished"),
        (Some(state), _) if state != DeliveryState::Succeeded => Way::Index("deliveries_by_state"),
        (_, Some(hook)) => Way::Spans(hook),
        (_, None) => Way::Table,
    }
}

/// A tenant's deliveries, newest first.
pub async fn list(
    readers: &SqlitePool,
    tenant: TenantId,
    query: &DeliveryQuery,
) -> Result<Vec<Delivery>, StorageError> {
    let mut statement = statement(tenant, query);
    let rows: Vec<DeliveryRow> = statement.build_query_as().fetch_all(readers).await.map_err(read_error)?;
    rows.into_iter().map(delivery_from_row).collect()
}

pub(super) fn statement(tenant: TenantId, query: &DeliveryQuery) -> QueryBuilder<Sqlite> {
    let way = way(query);
    let mut sql = QueryBuilder::<Sqlite>::new(concat!("SELECT ", delivery_columns!(), " FROM "));
    match way {
        Way::Table => sql.push("deliveries"),
        Way::Index(name) => sql.push("deliveries INDEXED BY ").push(name),
        Way::Spans(_) => sql.push("hook_spans CROSS JOIN deliveries"),
    };
    sql.push(" WHERE tenant_id = ").push_bind(tenant.0);
    if let Some(hook) = query.hook {
        sql.push(" AND hook_id = ").push_bind(hook.0);
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state_code(state));
        // The condition of a partial index must stand in the statement word for word.
        match way {
            Way::Index("deliveries_by_state") => drop(sql.push(" AND state <> 1 AND state <> 3")),
            Way::Index("deliveries_unfinished") => {
                sql.push(" AND state < 3 AND hook_id IN (SELECT id FROM hooks WHERE tenant_id = ");
                sql.push_bind(tenant.0).push(")");
            }
            _ => {}
        }
    }
    if let Some(event_type) = &query.event_type {
        sql.push(" AND event_type = ").push_bind(event_type.as_str());
    }
    let until = query.until.map(DeliveryId::first_at);
    let first = query.since.map_or(0, |since| DeliveryId::first_at(since).0);
    let last = [until, query.before].into_iter().flatten().min();
    let last = last.map_or(i64::MAX, |before| before.0.saturating_sub(1));
    if let Way::Spans(hook) = way {
        sql.push(" AND hook = ").push_bind(hook.0);
        sql.push(" AND span BETWEEN ").push_bind(first >> spans::BITS);
        sql.push(" AND ").push_bind(last >> spans::BITS);
        // One bound for each end, since SQLite begins and ends a search by one alone.
        sql.push(format_args!(" AND id BETWEEN max(span << {}, ", spans::BITS)).push_bind(first);
        sql.push(format_args!(") AND min((span << {}) | {}, ", spans::BITS, (1_i64 << spans::BITS) - 1));
        sql.push_bind(last).push(") ORDER BY span DESC, id DESC");
    } else {
        sql.push(" AND id BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        sql.push(" ORDER BY id DESC");
    }
    sql.push(" LIMIT ").push_bind(query.limit);
    sql
}

/// How many deliveries stand in each state, in the order of [`DeliveryState::ALL`].
///
/// The bulk, which succeeded, is not visited: it is what is left of the number of all, which SQLite reads off
/// the pages of the table.
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
