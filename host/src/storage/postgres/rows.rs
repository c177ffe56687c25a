//! What this database's rows look like beside those of SQLite.

use sqlx_postgres::PgExecutor;

use crate::storage::StorageError;

/// After `SELECT … FROM deliveries`: what [`delivery_from_row`](crate::storage::columns::delivery_from_row) reads.
macro_rules! delivery_columns {
    () => {
        "id, tenant_id, hook_id, event_key, event_type, made_by, state, attempts, failures, due_at, lease_owner, \
        lease_id, lease_until"
    };
}
pub(super) use delivery_columns;

/// Whether the database can store and find `text`: PostgreSQL has no text with U+0000.
pub fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

/// The greatest id below `end` in any table, 0 if there is none. Ids of finished deliveries are not read: their events name
/// them, and of each node the newest events have the greatest.
pub async fn greatest_id(executor: impl PgExecutor<'_>, end: i64) -> Result<i64, StorageError> {
    let sql = "SELECT coalesce(greatest( \
        (SELECT max(id) FROM tenants WHERE id < $1), (SELECT max(id) FROM api_keys WHERE id < $1), \
        (SELECT max(id) FROM hooks WHERE id < $1), \
        (SELECT max(id) FROM jobs WHERE id < $1), (SELECT max(id) FROM attempts WHERE id < $1), \
        (SELECT max(id) FROM operator_keys WHERE id < $1), (SELECT max(id) FROM audit_log WHERE id < $1), \
        (SELECT max(greatest(id, lease_id)) FROM unfinished_deliveries WHERE id < $1 AND coalesce(lease_id, 0) < $1), \
        (SELECT max(greatest(key, (SELECT max(d) FROM unnest(delivery_ids) d))) FROM \
            (SELECT key, delivery_ids FROM events WHERE key < $1 ORDER BY key DESC LIMIT 10000) newest)), 0)";
    Ok(sqlx::query_scalar(sql).bind(end).fetch_one(executor).await?)
}
