//! Lists of deliveries.

use sqlx::QueryBuilder;
use sqlx_postgres::Postgres;

use super::session::Session;
use super::{event_search, rowless_of_others};
use crate::domain::{Delivery, DeliveryId, DeliveryState, TenantId};
use crate::storage::columns::{DeliveryRow, delivery_from_row, state_code};
use crate::storage::{DeliveryQuery, ListOrder, Listed, StorageError};

/// How many deliveries of each table one list visits, at most: some milliseconds of work. A list that keeps few of them comes
/// in several pages, so that no tenant holds connections for long.
pub const MAX_VISITED: i64 = 100_000;

/// A part of the deliveries, and what of it is read.
#[derive(Clone, Copy)]
enum Table {
    Unfinished,
    Finished,
}

impl Table {
    fn columns(self) -> &'static str {
        match self {
            Self::Unfinished => {
                "id, tenant_id, hook_id, event_key, event_type, made_by::bigint, state::bigint, attempts::bigint, \
                failures::bigint, CASE WHEN ordering_waits THEN NULL ELSE due_at END, lease_owner::bigint, lease_id, \
                lease_until FROM unfinished_deliveries"
            }
            Self::Finished => {
                "id, tenant_id, hook_id, event_key, event_type, made_by::bigint, state::bigint, attempts::bigint, \
                failures::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint FROM finished_deliveries"
            }
        }
    }

    fn holds(self, state: DeliveryState) -> bool {
        state.is_final() == matches!(self, Self::Finished)
    }
}

/// A search for a tenant's deliveries.
struct Search<'a> {
    tenant: TenantId,
    query: &'a DeliveryQuery,
    /// The least and the greatest id to find.
    ids: (i64, i64),
}

impl<'a> Search<'a> {
    fn new(tenant: TenantId, query: &'a DeliveryQuery) -> Self {
        Self { tenant, query, ids: query.ids() }
    }

    fn tables(&self) -> impl Iterator<Item = Table> {
        let state = self.query.state;
        let tables = [Table::Unfinished, Table::Finished].into_iter();
        tables.filter(move |table| state.is_none_or(|state| table.holds(state)))
    }

    /// Whether many deliveries may be visited that the query does not want.
    fn may_skip_many(&self) -> bool {
        let DeliveryQuery { hook, state, event_type, .. } = self.query;
        hook.is_some() || event_type.is_some() || state.is_some()
    }

    /// Selects the wanted deliveries, in order.
    fn statement(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT * FROM (");
        for (number, table) in self.tables().enumerate() {
            sql.push(if number > 0 { " UNION ALL (SELECT " } else { "(SELECT " }).push(table.columns());
            self.push_range(&mut sql);
            if let Some(hook) = self.query.hook {
                sql.push(" AND hook_id = ").push_bind(hook.0);
            }
            if let Some(pattern) = &self.query.event_type {
                event_search::push_type(&mut sql, pattern);
            }
            if let Some(state) = self.query.state {
                // Literally, for the partial index.
                sql.push(" AND state = ").push(state_code(state));
            }
            sql.push(" ORDER BY id").push(self.direction()).push(" LIMIT ");
            sql.push_bind(i64::from(self.query.limit)).push(")");
        }
        sql.push(") found ORDER BY 1").push(self.direction()).push(" LIMIT ");
        sql.push_bind(i64::from(self.query.limit));
        sql
    }

    /// Selects the id of the last delivery that is visited of a table.
    fn end_statement(&self, table: Table, most: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT id FROM (SELECT ");
        sql.push(table.columns());
        self.push_range(&mut sql);
        sql.push(" ORDER BY id").push(self.direction()).push(" LIMIT 1 OFFSET ");
        sql.push_bind(most - 1).push(") visited");
        sql
    }

    fn direction(&self) -> &'static str {
        match self.query.order {
            ListOrder::NewestFirst => " DESC",
            ListOrder::OldestFirst => "",
        }
    }

    fn push_range(&self, sql: &mut QueryBuilder<Postgres>) {
        let (first, last) = self.ids;
        sql.push(" WHERE tenant_id = ").push_bind(self.tenant.0);
        sql.push(" AND id BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
    }

    fn keeps(&self, delivery: &Delivery) -> bool {
        let DeliveryQuery { hook, state, event_type, .. } = self.query;
        (self.ids.0..=self.ids.1).contains(&delivery.id.0)
            && hook.is_none_or(|hook| delivery.hook == hook)
            && state.is_none_or(|state| delivery.state == state)
            && event_type.as_ref().is_none_or(|wanted| wanted.matches(&delivery.event_type))
    }
}

/// A tenant's deliveries in the order of the query. Visits at most `most` of each table.
///
/// Those that only their events name are taken from this node's memory, and for other nodes from the newest events.
pub async fn list(
    session: &Session,
    tenant: TenantId,
    query: &DeliveryQuery,
    most: i64,
) -> Result<Listed, StorageError> {
    let mut search = Search::new(tenant, query);
    // Before the rows are read: what gets a row in between is found there.
    let mut rowless = session.rowless.list(tenant, |delivery| search.keeps(delivery));
    if query.state.is_none_or(|state| state == DeliveryState::Delivering) {
        let of_others = rowless_of_others::list(session, tenant, search.ids).await?;
        rowless.extend(of_others.into_iter().filter(|delivery| search.keeps(delivery)));
    }
    let mut end: Option<i64> = None;
    if search.may_skip_many() {
        for table in search.tables() {
            let mut statement = search.end_statement(table, most);
            let found: Option<i64> = statement.build_query_scalar().fetch_optional(&session.pool).await?;
            // Where the first of both searches ends.
            end = match query.order {
                ListOrder::NewestFirst => end.max(found),
                ListOrder::OldestFirst => [end, found].into_iter().flatten().min(),
            };
        }
        search.ids = query.ending_at(search.ids, end);
    }
    let mut statement = search.statement();
    let rows: Vec<DeliveryRow> = statement.build_query_as().fetch_all(&session.pool).await?;
    let rows = rows.into_iter().map(delivery_from_row).collect::<Result<Vec<_>, _>>()?;
    let deliveries = merged(rows, rowless, search.ids, query);
    let searched_to = end.filter(|_| deliveries.len() < query.limit as usize).map(DeliveryId);
    Ok(Listed { deliveries, searched_to })
}

/// Both lists as one, in order. A row is newer than what memory says.
fn merged(
    rows: Vec<Delivery>,
    rowless: Vec<Delivery>,
    (first, last): (i64, i64),
    query: &DeliveryQuery,
) -> Vec<Delivery> {
    let mut all = rows;
    all.extend(rowless.into_iter().filter(|delivery| (first..=last).contains(&delivery.id.0)));
    // Stable: the row comes first.
    match query.order {
        ListOrder::NewestFirst => all.sort_by_key(|delivery| std::cmp::Reverse(delivery.id)),
        ListOrder::OldestFirst => all.sort_by_key(|delivery| delivery.id),
    }
    all.dedup_by_key(|delivery| delivery.id);
    all.truncate(query.limit as usize);
    all
}
