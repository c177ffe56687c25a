//! The log of configuration changes: each change has a revision.

use sqlx::sqlite::SqliteConnection;

use super::audit;
use super::rows::{config_key_columns, config_key_from_row};
use crate::domain::{AuditEntry, TenantId};
use crate::storage::{ConfigKey, Revision, StorageError};

/// How many changes the log keeps. A cache that is further behind loads everything again.
const KEPT: i64 = 10_000;

/// The revision of the last change, 0 if there was none.
pub async fn latest(connection: &mut SqliteConnection) -> Result<Revision, StorageError> {
    let sql = "SELECT ifnull(max(revision), 0) FROM directory_changes";
    Ok(Revision(sqlx::query_scalar(sql).fetch_one(connection).await?))
}

/// What changed after `revision`, each thing once; none if the log no longer has all of it.
pub async fn since(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<Option<Vec<ConfigKey>>, StorageError> {
    let sql = "SELECT ifnull(min(revision), 0) FROM directory_changes";
    let first: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    if revision.0 + 1 < first {
        return Ok(None);
    }
    let sql = "SELECT DISTINCT kind, tenant_id, name FROM directory_changes WHERE revision > ?";
    let rows: Vec<(String, i64, String)> = sqlx::query_as(sql).bind(revision.0).fetch_all(connection).await?;
    rows.into_iter().map(config_key_from_row).collect::<Result<_, _>>().map(Some)
}

/// Whether the configuration of `tenant` changed after `basis`, or may have: the log no longer has all changes since.
pub async fn is_stale(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    basis: Revision,
) -> Result<bool, StorageError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM directory_changes WHERE revision > ?1 AND tenant_id = ?2) \
        OR ?1 < (SELECT ifnull(min(revision), 0) FROM directory_changes) - 1";
    Ok(sqlx::query_scalar(sql).bind(basis.0).bind(tenant.0).fetch_one(connection).await?)
}

/// Adds a change and its entry in the audit log, in the transaction that makes it.
pub async fn add(
    connection: &mut SqliteConnection,
    key: &ConfigKey,
    entry: &AuditEntry,
) -> Result<Revision, StorageError> {
    audit::add(connection, entry).await?;
    count(connection, key).await
}

/// Adds a change that belongs to another one of its transaction, which has the entry in the audit log.
pub async fn count(connection: &mut SqliteConnection, key: &ConfigKey) -> Result<Revision, StorageError> {
    let (kind, tenant, name) = config_key_columns(key);
    let sql = "INSERT INTO directory_changes (kind, tenant_id, name) VALUES (?, ?, ?)";
    let inserted = sqlx::query(sql).bind(kind).bind(tenant.0).bind(name).execute(&mut *connection).await?;
    let revision = inserted.last_insert_rowid();
    let sql = "DELETE FROM directory_changes WHERE revision <= ?";
    sqlx::query(sql).bind(revision - KEPT).execute(connection).await?;
    Ok(Revision(revision))
}
