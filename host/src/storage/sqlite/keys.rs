//! Keys of operators, and when keys were last used.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::rows::{
    OPERATORS, OperatorKeyRow, operator_key_columns, operator_key_from_row, readable, to_json,
};
use super::stores::SqliteStores;
use crate::domain::{AuditEntry, KeyId, OperatorKey, OperatorKeyId, TenantId, UnixMillis};
use crate::storage::{ConfigChange, ConfigKey, KeyStore, Revision, StorageError, UsedKeys};

#[async_trait]
impl KeyStore for SqliteStores {
    async fn load_operator_keys(&self) -> Result<Vec<OperatorKey>, StorageError> {
        let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys ORDER BY id");
        let rows: Vec<OperatorKeyRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().filter_map(|row| readable(operator_key_from_row(row))).collect())
    }

    async fn insert_operator_key(
        &self,
        key: &OperatorKey,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql =
            concat!("INSERT INTO operator_keys (", operator_key_columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?)");
        let query = sqlx::query(sql).bind(key.id.0).bind(&key.name).bind(key.role.as_str());
        let query = query.bind(key.hash.as_slice()).bind(&key.prefix);
        let query = query.bind(key.expires_at.map(|end| end.0)).bind(key.created_at.0);
        let what = |column: &str| what_is_taken(column, key);
        let change = (ConfigKey::OperatorKey(key.id), entry);
        self.insert_one((OPERATORS, Revision::ANY), change, query, what).await
    }

    async fn update_operator_key(
        &self,
        key: &OperatorKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql = "UPDATE operator_keys SET name = ?, role = ?, expires_at = ? WHERE id = ?";
        let query = sqlx::query(sql).bind(&key.name).bind(key.role.as_str());
        let query = query.bind(key.expires_at.map(|end| end.0)).bind(key.id.0);
        let what = |column: &str| what_is_taken(column, key);
        let change = (ConfigKey::OperatorKey(key.id), entry);
        self.change_unique((OPERATORS, basis), change, query, what).await
    }

    async fn delete_operator_key(
        &self,
        id: OperatorKeyId,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let query = sqlx::query("DELETE FROM operator_keys WHERE id = ?").bind(id.0);
        self.change_one((OPERATORS, basis), (ConfigKey::OperatorKey(id), entry), query).await
    }

    async fn note_uses(&self, used: &UsedKeys, now: UnixMillis) -> Result<(), StorageError> {
        let keys: Vec<i64> = used.keys.iter().map(|key| key.0).collect();
        let operator_keys: Vec<i64> = used.operator_keys.iter().map(|key| key.0).collect();
        let (keys, operator_keys) = (to_json(&keys)?, to_json(&operator_keys)?);
        for (sql, ids) in [
            ("UPDATE api_keys SET last_used_at = ?1 WHERE id IN (SELECT value FROM json_each(?2))", keys),
            (
                "UPDATE operator_keys SET last_used_at = ?1 WHERE id IN (SELECT value FROM json_each(?2))",
                operator_keys,
            ),
        ] {
            if ids != "[]" {
                self.changes(sqlx::query(sql).bind(now.0).bind(ids)).await?;
            }
        }
        Ok(())
    }

    async fn key_uses(&self, tenant: TenantId) -> Result<Vec<(KeyId, UnixMillis)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT id, last_used_at FROM api_keys WHERE tenant_id = ? AND last_used_at IS NOT NULL";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).bind(tenant.0).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(id, at)| (KeyId(id), UnixMillis(at))).collect())
    }

    async fn operator_key_uses(&self) -> Result<Vec<(OperatorKeyId, UnixMillis)>, StorageError> {
        let sql = "SELECT id, last_used_at FROM operator_keys WHERE last_used_at IS NOT NULL";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(id, at)| (OperatorKeyId(id), UnixMillis(at))).collect())
    }
}

fn what_is_taken(column: &str, key: &OperatorKey) -> String {
    match column {
        "operator_keys.name" => format!("the name \"{}\"", key.name),
        _ => format!("the id {}", key.id),
    }
}

/// One key of an operator; none if its row is damaged.
pub async fn operator_key(
    connection: &mut SqliteConnection,
    id: OperatorKeyId,
) -> Result<Option<OperatorKey>, StorageError> {
    let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys WHERE id = ?");
    let row: Option<OperatorKeyRow> = sqlx::query_as(sql).bind(id.0).fetch_optional(connection).await?;
    Ok(row.and_then(|row| readable(operator_key_from_row(row))))
}
