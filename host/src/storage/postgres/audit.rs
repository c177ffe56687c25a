//! The audit log.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx_postgres::{PgConnection, PgExecutor};

use super::stores::PostgresStores;
use crate::domain::{AuditEntry, AuditId, TenantId, UnixMillis};
use crate::storage::audit::{MAX_VISITED, Selection};
use crate::storage::columns::{AuditRow, audit_columns, audit_from_row, audit_to_row, readable};
use crate::storage::{AuditQuery, AuditStore, ListedEntries, StorageError};

#[async_trait]
impl AuditStore for PostgresStores {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StorageError> {
        insert(self.pool(), entry).await
    }

    async fn list(&self, query: &AuditQuery) -> Result<ListedEntries, StorageError> {
        let _permit = self.permit_read(query.filter.tenant.unwrap_or(TenantId(0))).await?;
        let of_tenant = concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit_log WHERE id >= $1 AND id < $2 AND tenant_id = $3 ORDER BY id DESC LIMIT $4"
        );
        let all = concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit_log WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        let (since, end) = query.ids();
        // The server sends all rows of a statement: it must know where to stop.
        let most = i64::try_from(MAX_VISITED).unwrap_or(i64::MAX);
        let rows = match query.filter.tenant {
            Some(tenant) => {
                sqlx::query_as::<_, AuditRow>(of_tenant).bind(since).bind(end).bind(tenant.0).bind(most)
            }
            None => sqlx::query_as::<_, AuditRow>(all).bind(since).bind(end).bind(most),
        };
        let mut rows = rows.fetch(self.pool());
        let mut selection = Selection::of(query);
        while let Some(row) = rows.try_next().await? {
            if !selection.visit(AuditId(row.0), readable(audit_from_row(row))) {
                break;
            }
        }
        Ok(selection.listed())
    }

    async fn remove_entries(&self, end: UnixMillis, most: u32) -> Result<u64, StorageError> {
        // Several nodes may do this at a time.
        let sql = "DELETE FROM audit_log WHERE id IN \
            (SELECT id FROM audit_log WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)";
        let query = sqlx::query(sql).bind(AuditId::first_at(end).0).bind(i64::from(most));
        Ok(query.execute(self.pool()).await?.rows_affected())
    }
}

/// Adds an entry, in the transaction of what it is about.
pub async fn add(connection: &mut PgConnection, entry: &AuditEntry) -> Result<(), StorageError> {
    insert(connection, entry).await
}

async fn insert(executor: impl PgExecutor<'_>, entry: &AuditEntry) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO audit_log (",
        audit_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    let row = audit_to_row(entry)?;
    let query = sqlx::query(sql).bind(row.0).bind(row.1).bind(row.2).bind(row.3).bind(row.4).bind(row.5);
    let query = query.bind(row.6).bind(row.7).bind(row.8).bind(row.9).bind(row.10).bind(row.11).bind(row.12);
    query.execute(executor).await?;
    Ok(())
}
