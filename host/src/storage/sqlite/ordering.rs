//! Deliveries that are in the order of their group.
//!
//! Of a group only the first is due; the others wait. Whatever takes the first out of its group says so here, in the same
//! transaction.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::rows::RecordRow;
use super::script::{MultiRow, Script};
use crate::domain::{DeliveryId, OrderingGroup, OrderingKey, OrderingScope, TenantId};
use crate::storage::StorageError;

/// What waits is due eight days later, in milliseconds: before [`FURTHEST_AHEAD`](crate::storage::FURTHEST_AHEAD), and long
/// after it has got its turn.
macro_rules! waiting_ms {
    () => {
        "691200000"
    };
}
pub(super) use waiting_ms;

/// After `SELECT … FROM deliveries`: whether one that is in order is not the first of its group.
macro_rules! is_behind {
    () => {
        "iif(ordering_seq IS NULL, 0, EXISTS (SELECT 1 FROM deliveries b INDEXED BY deliveries_in_order \
        WHERE b.hook_id = deliveries.hook_id AND b.ordering_key = deliveries.ordering_key AND b.state < 3 \
        AND b.ordering_seq IS NOT NULL AND b.ordering_seq < deliveries.ordering_seq))"
    };
}
pub(super) use is_behind;

// The first of each group, if it has waited for that. Its time was so much too late.
static ADVANCE: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH g (hook_id, ordering_key) AS (VALUES";
    let tail = concat!(
        ") UPDATE deliveries SET ordering_waits = 0, due_at = due_at - ",
        waiting_ms!(),
        " WHERE ordering_waits = 1 AND (tenant_id, id) IN (SELECT n.tenant_id, n.id FROM g CROSS JOIN deliveries n \
        INDEXED BY deliveries_in_order WHERE n.hook_id = g.hook_id AND n.ordering_key = g.ordering_key AND n.state < 3 \
        AND n.ordering_seq IS NOT NULL AND n.ordering_seq = (SELECT min(m.ordering_seq) FROM deliveries m \
        INDEXED BY deliveries_in_order WHERE m.hook_id = g.hook_id AND m.ordering_key = g.ordering_key AND m.state < 3 \
        AND m.ordering_seq IS NOT NULL))"
    );
    MultiRow::new(head, "(?,?)", tail)
});

/// Adds to `script` what makes the first of each group due.
pub fn advance(script: &mut Script, groups: &BTreeSet<(i64, OrderingKey)>) -> Result<(), StorageError> {
    let groups: Vec<_> = groups.iter().collect();
    Ok(script.push_rows(&ADVANCE, &groups, |(hook, key), to: &mut SqliteArguments| {
        to.add(*hook)?;
        to.add(key.as_str().to_owned())
    })?)
}

// Those behind it need not wait for it any more.
static LEAVE: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (id, tenant_id, lease_id) AS (VALUES";
    let tail = ") UPDATE deliveries SET ordering_seq = NULL, ordering_waits = NULL FROM r \
        WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id AND deliveries.state = 1 \
        AND deliveries.lease_id = r.lease_id";
    MultiRow::new(head, "(?,?,?)", tail)
});

/// Adds to `script` that deliveries leave their groups that are not final. Their records come after it.
pub fn leave(script: &mut Script, records: &[&RecordRow]) -> Result<(), StorageError> {
    let leaving: Vec<&RecordRow> = records
        .iter()
        .filter(|record| record.leaves.is_some() && !record.state.is_final())
        .copied()
        .collect();
    Ok(script.push_rows(&LEAVE, &leaving, |record, to| {
        to.add(record.delivery.0)?;
        to.add(record.tenant)?;
        to.add(record.lease.0)
    })?)
}

/// The group of a delivery that is in order and not final.
pub async fn group_of(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<(i64, OrderingKey)>, StorageError> {
    let sql = "SELECT hook_id, ordering_key FROM deliveries \
        WHERE tenant_id = ? AND id = ? AND state < 3 AND ordering_seq IS NOT NULL";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(id.0);
    let found: Option<(i64, String)> = query.fetch_optional(connection).await?;
    Ok(found.map(|(hook, key)| (hook, OrderingKey::from_stored(&key))))
}

/// Adds a new delivery that is due to the end of its group, where it waits. Returns the key, if it is in order.
pub async fn join(
    connection: &mut SqliteConnection,
    (tenant, id): (TenantId, DeliveryId),
    scope: OrderingScope,
    seq: i64,
) -> Result<Option<OrderingKey>, StorageError> {
    let sql = "SELECT e.ordering_key FROM deliveries d JOIN events e ON e.key = d.event_key \
        WHERE d.tenant_id = ? AND d.id = ?";
    let query = sqlx::query_scalar(sql).bind(tenant.0).bind(id.0);
    let given: Option<String> = query.fetch_optional(&mut *connection).await?.flatten();
    let given = given.as_deref().map(OrderingKey::from_stored);
    let Some(key) = scope.key_of(given.as_ref()) else { return Ok(None) };
    let sql = concat!(
        "UPDATE deliveries SET ordering_key = ?, ordering_seq = ?, ordering_waits = 1, due_at = due_at + ",
        waiting_ms!(),
        " WHERE tenant_id = ? AND id = ?"
    );
    let query = sqlx::query(sql).bind(key.as_str().to_owned()).bind(seq).bind(tenant.0).bind(id.0);
    query.execute(connection).await?;
    Ok(Some(key))
}

/// Makes the first of each group due.
pub async fn advance_now(
    connection: &mut SqliteConnection,
    groups: &BTreeSet<(i64, OrderingKey)>,
) -> Result<(), StorageError> {
    let mut script = Script::default();
    advance(&mut script, groups)?;
    Ok(script.run(connection).await?)
}

/// The group as [`advance`] takes it.
pub fn key_of(group: &OrderingGroup) -> (i64, OrderingKey) {
    (group.hook.0, group.key.clone())
}

/// A safety net for a start: makes the first of each group due that waits nevertheless. Skips from group to group on the index.
pub async fn advance_waiting(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let sql = "WITH RECURSIVE h (id) AS ( \
          SELECT min(hook_id) FROM deliveries INDEXED BY deliveries_in_order \
            WHERE ordering_seq IS NOT NULL AND state < 3 \
          UNION ALL \
          SELECT (SELECT min(hook_id) FROM deliveries INDEXED BY deliveries_in_order \
            WHERE ordering_seq IS NOT NULL AND state < 3 AND hook_id > h.id) FROM h WHERE h.id IS NOT NULL), \
        g (hook_id, ordering_key) AS ( \
          SELECT id, (SELECT min(ordering_key) FROM deliveries INDEXED BY deliveries_in_order \
            WHERE hook_id = h.id AND ordering_seq IS NOT NULL AND state < 3) FROM h WHERE id IS NOT NULL \
          UNION ALL \
          SELECT hook_id, (SELECT min(d.ordering_key) FROM deliveries d INDEXED BY deliveries_in_order \
            WHERE d.hook_id = g.hook_id AND d.ordering_key > g.ordering_key AND d.ordering_seq IS NOT NULL \
            AND d.state < 3) FROM g WHERE ordering_key IS NOT NULL) \
        SELECT hook_id, ordering_key FROM g WHERE ordering_key IS NOT NULL AND (SELECT ordering_waits FROM deliveries f \
          INDEXED BY deliveries_in_order WHERE f.hook_id = g.hook_id AND f.ordering_key = g.ordering_key \
          AND f.ordering_seq IS NOT NULL AND f.state < 3 ORDER BY f.ordering_seq LIMIT 1) = 1";
    let waiting: Vec<(i64, String)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    let groups = waiting.into_iter().map(|(hook, key)| (hook, OrderingKey::from_stored(&key)));
    advance_now(connection, &groups.collect()).await
}
