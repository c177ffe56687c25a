//! Deliveries that other nodes have in memory: only their events name them.

use super::session::Session;
use crate::domain::{Delivery, TenantId};
use crate::storage::StorageError;
use crate::storage::columns::{DeliveryRow, delivery_from_row};

/// How many events are searched, the newest of all tenants. Most deliveries get a row of their own within a moment.
const MAX_EVENTS: i64 = 5_000;

/// Those of `tenant` with ids from `first` to `last` that have no row yet.
pub async fn list(
    session: &Session,
    tenant: TenantId,
    (first, last): (i64, i64),
) -> Result<Vec<Delivery>, StorageError> {
    let sql = "WITH newest AS MATERIALIZED ( \
            SELECT key, tenant_id, event_type, lease_until, delivery_ids, hook_ids FROM events \
            WHERE key > (SELECT coalesce(min(written_until), 0) FROM nodes WHERE NOT ended AND number <> $4) \
                AND key <= $3 \
            ORDER BY key DESC LIMIT $5) \
        SELECT d.id, e.tenant_id, d.hook_id, e.key, e.event_type, 0::bigint, 1::bigint, 0::bigint, 0::bigint, NULL::bigint, \
            node_of(d.id)::bigint, d.id, e.lease_until \
        FROM newest e CROSS JOIN LATERAL unnest(e.delivery_ids, e.hook_ids) d (id, hook_id) \
        WHERE e.tenant_id = $1 AND e.lease_until IS NOT NULL AND node_of(e.key) <> $4 AND d.id BETWEEN $2 AND $3 \
            AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = e.tenant_id AND u.id = d.id) \
            AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = e.tenant_id AND f.id = d.id)";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(first).bind(last);
    let rows: Vec<DeliveryRow> =
        query.bind(session.number()).bind(MAX_EVENTS).fetch_all(&session.pool).await?;
    rows.into_iter().map(delivery_from_row).collect()
}
