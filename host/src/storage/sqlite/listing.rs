//! Lists of deliveries: what leads to those that are asked for.

use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite};

use super::rows::{DeliveryRow, delivery_columns, delivery_from_row, read_error, state_code};
use super::spans;
use crate::domain::{DeliveryId, DeliveryState, HookId, TenantId};
use crate::storage::{DeliveryQuery, Listed, StorageError};

/// How many deliveries one list looks at: some milliseconds' worth. One that keeps few of what it looks at is told in
/// several pages, so that no tenant's question holds the readers of all for long.
pub const MOST_LOOKED_AT: u32 = 100_000;

/// What leads to the deliveries of a list. It is named in the statement: there are no statistics which the planner could
/// choose by.
#[derive(Clone, Copy)]
enum Way {
    /// The table itself, which is clustered by tenant.
    Table,
    /// Those in this state, which is neither leased nor succeeded.
    ByState(DeliveryState),
    /// Those that are not final, to find those under a lease.
    Unfinished,
    /// The parts of the table in which this hook has some.
    Spans(HookId),
}

impl Way {
    fn of(query: &DeliveryQuery) -> Self {
        match (query.state, query.hook) {
            (Some(DeliveryState::Delivering), _) => Self::Unfinished,
            (Some(state), _) if state != DeliveryState::Succeeded => Self::ByState(state),
            (_, Some(hook)) => Self::Spans(hook),
            (_, None) => Self::Table,
        }
    }

    /// Whether it may pass over many deliveries that are not asked for, newest first.
    fn passes_over(self, query: &DeliveryQuery) -> bool {
        match self {
            Self::Table => query.event_type.is_some() || query.state.is_some(),
            Self::ByState(_) => query.event_type.is_some() || query.hook.is_some(),
            Self::Spans(_) => true,
            // Its order is not that of ids: it is walked whole.
            Self::Unfinished => false,
        }
    }
}

/// A search for a tenant's deliveries.
pub(super) struct Search<'a> {
    tenant: TenantId,
    query: &'a DeliveryQuery,
    way: Way,
    /// The least and the greatest id that may be found.
    ids: (i64, i64),
}

impl<'a> Search<'a> {
    pub(super) fn new(tenant: TenantId, query: &'a DeliveryQuery) -> Self {
        let until = query.until.map(DeliveryId::first_at);
        let first = query.since.map_or(0, |since| DeliveryId::first_at(since).0);
        let last = [until, query.before].into_iter().flatten().min();
        let last = last.map_or(i64::MAX, |before| before.0.saturating_sub(1));
        Self { tenant, query, way: Way::of(query), ids: (first, last) }
    }

    /// What is found, newest first.
    pub(super) fn statement(&self) -> QueryBuilder<Sqlite> {
        let mut sql = self.selected(delivery_columns!());
        if let Some(hook) = self.query.hook {
            sql.push(" AND hook_id = ").push_bind(hook.0);
        }
        if let Some(event_type) = &self.query.event_type {
            sql.push(" AND event_type = ").push_bind(event_type.as_str());
        }
        if let Some(state) = self.query.state {
            sql.push(" AND state = ").push_bind(state_code(state));
        }
        sql.push(self.order()).push(" LIMIT ").push_bind(self.query.limit);
        sql
    }

    /// The id of the last delivery that is looked at, where at most `most` are.
    pub(super) fn end_statement(&self, most: u32) -> QueryBuilder<Sqlite> {
        let mut sql = self.selected("id");
        sql.push(self.order()).push(" LIMIT 1 OFFSET ").push_bind(most.saturating_sub(1));
        sql
    }

    /// The beginning of a statement: where it looks, without what it keeps.
    fn selected(&self, columns: &str) -> QueryBuilder<Sqlite> {
        let (first, last) = self.ids;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
        sql.push(columns).push(match self.way {
            Way::Table => " FROM deliveries",
            Way::ByState(_) => " FROM deliveries INDEXED BY deliveries_by_state",
            Way::Unfinished => " FROM deliveries INDEXED BY deliveries_unfinished",
            Way::Spans(_) => " FROM hook_spans CROSS JOIN deliveries",
        });
        sql.push(" WHERE tenant_id = ").push_bind(self.tenant.0);
        match self.way {
            Way::Table => {}
            // The condition of a partial index must stand in the statement word for word.
            Way::ByState(state) => {
                sql.push(" AND state <> 1 AND state <> 3 AND state = ").push_bind(state_code(state));
            }
            Way::Unfinished => {
                sql.push(" AND state < 3 AND hook_id IN (SELECT id FROM hooks WHERE tenant_id = ");
                sql.push_bind(self.tenant.0).push(")");
            }
            Way::Spans(hook) => {
                sql.push(" AND hook = ").push_bind(hook.0);
                sql.push(" AND span BETWEEN ").push_bind(first >> spans::BITS);
                sql.push(" AND ").push_bind(last >> spans::BITS);
                // One bound for each end, since SQLite begins and ends a search by one alone.
                sql.push(" AND id BETWEEN max(span << ").push_bind(spans::BITS).push(", ").push_bind(first);
                sql.push(") AND min((span << ").push_bind(spans::BITS).push(") | ");
                sql.push_bind((1_i64 << spans::BITS) - 1).push(", ").push_bind(last).push(")");
                return sql;
            }
        }
        sql.push(" AND id BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        sql
    }

    fn order(&self) -> &'static str {
        if matches!(self.way, Way::Spans(_)) { " ORDER BY span DESC, id DESC" } else { " ORDER BY id DESC" }
    }
}

/// A tenant's deliveries, newest first; `most` are looked at.
pub async fn list(
    readers: &SqlitePool,
    tenant: TenantId,
    query: &DeliveryQuery,
    most: u32,
) -> Result<Listed, StorageError> {
    let mut search = Search::new(tenant, query);
    let mut end = None;
    if search.way.passes_over(query) {
        let mut statement = search.end_statement(most);
        end = statement.build_query_scalar().fetch_optional(readers).await.map_err(read_error)?;
        search.ids.0 = end.unwrap_or(search.ids.0);
    }
    let mut statement = search.statement();
    let rows: Vec<DeliveryRow> = statement.build_query_as().fetch_all(readers).await.map_err(read_error)?;
    let deliveries = rows.into_iter().map(delivery_from_row).collect::<Result<Vec<_>, _>>()?;
    let searched_to = end.filter(|_| deliveries.len() < query.limit as usize).map(DeliveryId);
    Ok(Listed { deliveries, searched_to })
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
