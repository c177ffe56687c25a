//! Lists of deliveries, and the indexes that they use.

use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite};

use super::rows::{DeliveryRow, delivery_columns, delivery_from_row, state_code};
use super::{event_search, id_buckets};
use crate::domain::{DeliveryId, DeliveryState, HookId, TenantId};
use crate::storage::{DeliveryQuery, ListOrder, Listed, StorageError};

/// How many deliveries one list visits, at most: some milliseconds of work. A list that keeps few of them comes in several
/// pages, so that no tenant holds the shared readers for long.
pub const MAX_VISITED: u32 = 100_000;

/// The access path of a list. Statements name it: the planner has no statistics to choose by.
#[derive(Clone, Copy)]
enum Path {
    /// The table, which is clustered by tenant.
    Table,
    /// The index by state, for a state other than leased and succeeded.
    ByState(DeliveryState),
    /// The index of unfinished deliveries, for those under a lease.
    Unfinished,
    /// The ranges of the table in which this hook has deliveries.
    Buckets(HookId),
}

impl Path {
    fn of(query: &DeliveryQuery) -> Self {
        match (query.state, query.hook) {
            (Some(DeliveryState::Delivering), _) => Self::Unfinished,
            (Some(state), _) if state != DeliveryState::Succeeded => Self::ByState(state),
            (_, Some(hook)) => Self::Buckets(hook),
            (_, None) => Self::Table,
        }
    }

    /// Whether it may visit many deliveries that the query does not want, in order.
    fn may_skip_many(self, query: &DeliveryQuery) -> bool {
        match self {
            Self::Table => query.event_type.is_some() || query.state.is_some(),
            Self::ByState(_) => query.event_type.is_some() || query.hook.is_some(),
            Self::Buckets(_) => true,
            // It is not in the order of ids: it is read whole.
            Self::Unfinished => false,
        }
    }
}

/// A search for a tenant's deliveries.
pub(super) struct Search<'a> {
    tenant: TenantId,
    query: &'a DeliveryQuery,
    path: Path,
    /// The least and the greatest id to find.
    ids: (i64, i64),
}

impl<'a> Search<'a> {
    pub(super) fn new(tenant: TenantId, query: &'a DeliveryQuery) -> Self {
        Self { tenant, query, path: Path::of(query), ids: query.ids() }
    }

    /// Selects the wanted deliveries, in order.
    pub(super) fn statement(&self) -> QueryBuilder<Sqlite> {
        let mut sql = self.selected(delivery_columns!());
        if let Some(hook) = self.query.hook {
            sql.push(" AND hook_id = ").push_bind(hook.0);
        }
        if let Some(pattern) = &self.query.event_type {
            event_search::push_type(&mut sql, pattern);
        }
        if let Some(state) = self.query.state {
            sql.push(" AND state = ").push_bind(state_code(state));
        }
        sql.push(self.order()).push(" LIMIT ").push_bind(self.query.limit);
        sql
    }

    /// Selects the id of the last delivery that is visited, if at most `most` are.
    pub(super) fn end_statement(&self, most: u32) -> QueryBuilder<Sqlite> {
        let mut sql = self.selected("id");
        sql.push(self.order()).push(" LIMIT 1 OFFSET ").push_bind(most.saturating_sub(1));
        sql
    }

    /// The beginning of a statement: what it visits, without the filters.
    fn selected(&self, columns: &str) -> QueryBuilder<Sqlite> {
        let (first, last) = self.ids;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
        sql.push(columns).push(match self.path {
            Path::Table => " FROM deliveries",
            Path::ByState(_) => " FROM deliveries INDEXED BY deliveries_by_state",
            Path::Unfinished => " FROM deliveries INDEXED BY deliveries_unfinished",
            Path::Buckets(_) => " FROM hook_id_buckets CROSS JOIN deliveries",
        });
        sql.push(" WHERE tenant_id = ").push_bind(self.tenant.0);
        match self.path {
            Path::Table => {}
            // The statement must contain the condition of the partial index literally.
            Path::ByState(state) => {
                sql.push(" AND state <> 1 AND state <> 3 AND state = ").push_bind(state_code(state));
            }
            Path::Unfinished => {
                sql.push(" AND state < 3 AND hook_id IN (SELECT id FROM hooks WHERE tenant_id = ");
                sql.push_bind(self.tenant.0).push(")");
            }
            Path::Buckets(hook) => {
                sql.push(" AND hook = ").push_bind(hook.0);
                sql.push(" AND bucket BETWEEN ").push_bind(first >> id_buckets::BITS);
                sql.push(" AND ").push_bind(last >> id_buckets::BITS);
                // One bound for each end, since SQLite uses only one of each for a search.
                sql.push(" AND id BETWEEN max(bucket << ")
                    .push_bind(id_buckets::BITS)
                    .push(", ")
                    .push_bind(first);
                sql.push(") AND min((bucket << ").push_bind(id_buckets::BITS).push(") | ");
                sql.push_bind((1_i64 << id_buckets::BITS) - 1).push(", ").push_bind(last).push(")");
                return sql;
            }
        }
        sql.push(" AND id BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        sql
    }

    fn order(&self) -> &'static str {
        match (self.path, self.query.order) {
            (Path::Buckets(_), ListOrder::NewestFirst) => " ORDER BY bucket DESC, id DESC",
            (Path::Buckets(_), ListOrder::OldestFirst) => " ORDER BY bucket, id",
            (_, ListOrder::NewestFirst) => " ORDER BY id DESC",
            (_, ListOrder::OldestFirst) => " ORDER BY id",
        }
    }
}

/// A tenant's deliveries in the order of the query. Visits at most `most`.
pub async fn list(
    readers: &SqlitePool,
    tenant: TenantId,
    query: &DeliveryQuery,
    most: u32,
) -> Result<Listed, StorageError> {
    let mut search = Search::new(tenant, query);
    let mut end = None;
    if search.path.may_skip_many(query) {
        let mut statement = search.end_statement(most);
        end = statement.build_query_scalar().fetch_optional(readers).await?;
        search.ids = query.ending_at(search.ids, end);
    }
    let mut statement = search.statement();
    let rows: Vec<DeliveryRow> = statement.build_query_as().fetch_all(readers).await?;
    let deliveries = rows.into_iter().map(delivery_from_row).collect::<Result<Vec<_>, _>>()?;
    let searched_to = end.filter(|_| deliveries.len() < query.limit as usize).map(DeliveryId);
    Ok(Listed { deliveries, searched_to })
}
