//! The audit log.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteConnection;

use super::rows::{AuditRow, audit_columns, audit_from_row, audit_to_row, readable};
use super::stores::SqliteStores;
use crate::domain::{AuditEntry, AuditId, TenantId, UnixMillis};
use crate::storage::audit::Selection;
use crate::storage::{AuditQuery, AuditStore, ListedEntries, StorageError};

#[async_trait]
impl AuditStore for SqliteStores {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StorageError> {
        let mut writer = self.writer().await;
        let added = add(writer.begin().await?, entry).await;
        writer.finish(added).await
    }

    async fn list(&self, query: &AuditQuery) -> Result<ListedEntries, StorageError> {
        let _permit = self.permit_read(query.filter.tenant.unwrap_or(TenantId(0))).await?;
        let of_tenant = concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit_log WHERE id >= ? AND id < ? AND tenant_id = ? ORDER BY id DESC"
        );
        let all =
            concat!("SELECT ", audit_columns!(), " FROM audit_log WHERE id >= ? AND id < ? ORDER BY id DESC");
        let (since, end) = query.ids();
        let rows = match query.filter.tenant {
            Some(tenant) => sqlx::query_as::<_, AuditRow>(of_tenant).bind(since).bind(end).bind(tenant.0),
            None => sqlx::query_as::<_, AuditRow>(all).bind(since).bind(end),
        };
        let mut rows = rows.fetch(&self.readers);
        let mut selection = Selection::of(query);
        while let Some(row) = rows.try_next().await? {
            if !selection.visit(AuditId(row.0), readable(audit_from_row(row))) {
                break;
            }
        }
        Ok(selection.listed())
    }

    async fn remove_entries(&self, end: UnixMillis, most: u32) -> Result<u64, StorageError> {
        let sql =
            "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id < ? ORDER BY id LIMIT ?)";
        self.changes(sqlx::query(sql).bind(AuditId::first_at(end).0).bind(most)).await
    }
}

/// Adds an entry, in the transaction of what it is about.
pub async fn add(connection: &mut SqliteConnection, entry: &AuditEntry) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO audit_log (",
        audit_columns!(),
        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let row = audit_to_row(entry)?;
    let query = sqlx::query(sql).bind(row.0).bind(row.1).bind(row.2).bind(row.3).bind(row.4).bind(row.5);
    let query = query.bind(row.6).bind(row.7).bind(row.8).bind(row.9).bind(row.10).bind(row.11).bind(row.12);
    query.execute(connection).await?;
    Ok(())
}
