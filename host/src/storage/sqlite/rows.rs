//! What SQLite's rows have beside the columns that all databases share.

use sqlx::sqlite::SqliteConnection;

use crate::storage::StorageError;
pub use crate::storage::columns::*;
pub(in crate::storage) use crate::storage::columns::{audit_columns, key_columns, operator_key_columns};

/// The columns of an attempt, as they are read and written.
macro_rules! attempt_columns {
    () => {
        "id, delivery_id, number, started_at, duration_ns, outcome, status, detail, body, steps, request"
    };
}
pub(super) use attempt_columns;

/// What [`event_from_row`] reads, after `SELECT`.
macro_rules! event_columns {
    () => {
        "key, tenant_id, ifnull(external_id, sender_id), project, event_type, occurred_at, data, ordering_key, trace"
    };
}
pub(super) use event_columns;

/// What [`delivery_from_row`] reads, after `SELECT`.
macro_rules! delivery_columns {
    () => {
        "id, tenant_id, hook_id, event_key, event_type, made_by, state, attempts, failures, \
        iif(ordering_waits, NULL, due_at), \
        lease_owner, lease_id, lease_until"
    };
}
pub(super) use delivery_columns;

/// The number of these columns: the index of a column that is selected after them.
pub const DELIVERY_COLUMNS: usize = 13;

/// In an `UPDATE` of deliveries: the lease ends.
macro_rules! no_lease {
    () => {
        "lease_owner = NULL, lease_id = NULL, lease_until = NULL"
    };
}
pub(super) use no_lease;

/// After `SELECT`: the deliveries `d` that events `e` after `written_until` name.
macro_rules! named_after_mark {
    () => {
        " FROM events e CROSS JOIN json_each(e.deliveries) d WHERE e.key > (SELECT event_key FROM written_until)"
    };
}
pub(super) use named_after_mark;

/// The greatest id below `end` in any table, 0 if there is none. Deliveries are clustered by tenant: one lookup for each.
pub async fn greatest_id(connection: &mut SqliteConnection, end: i64) -> Result<i64, StorageError> {
    let sql = "WITH RECURSIVE t (id) AS (SELECT min(tenant_id) FROM deliveries UNION ALL \
          SELECT (SELECT min(tenant_id) FROM deliveries WHERE tenant_id > t.id) FROM t WHERE t.id IS NOT NULL) \
        SELECT max((SELECT ifnull(max(id), 0) FROM tenants WHERE id < ?1), \
        (SELECT ifnull(max(id), 0) FROM api_keys WHERE id < ?1), \
        (SELECT ifnull(max(id), 0) FROM hooks WHERE id < ?1), \
        (SELECT ifnull(max(id), 0) FROM jobs WHERE id < ?1), \
        (SELECT ifnull(max(id), 0) FROM operator_keys WHERE id < ?1), \
        (SELECT ifnull(max(id), 0) FROM audit_log WHERE id < ?1), \
        (SELECT ifnull(max(key), 0) FROM events WHERE key < ?1), \
        (SELECT ifnull(max((SELECT max(id) FROM deliveries WHERE tenant_id = t.id AND id < ?1)), 0) \
          FROM t WHERE t.id IS NOT NULL), \
        (SELECT ifnull(max(id), 0) FROM attempts WHERE id < ?1))";
    Ok(sqlx::query_scalar(sql).bind(end).fetch_one(connection).await?)
}
