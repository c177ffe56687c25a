//! Keys of operators, and when keys were last used.

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::stores::PostgresStores;
use crate::domain::{AuditEntry, KeyId, OperatorKey, OperatorKeyId, TenantId, UnixMillis};
use crate::storage::columns::{
    OPERATORS, OperatorKeyRow, operator_key_columns, operator_key_from_row, readable,
};
use crate::storage::{ConfigChange, ConfigKey, KeyStore, Revision, StorageError, UsedKeys};

#[async_trait]
impl KeyStore for PostgresStores {
    async fn load_operator_keys(&self) -> Result<Vec<OperatorKey>, StorageError> {
        let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys ORDER BY id");
        let rows: Vec<OperatorKeyRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().filter_map(|row| readable(operator_key_from_row(row))).collect())
    }

    async fn insert_operator_key(
        &self,
        key: &OperatorKey,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql = concat!(
            "INSERT INTO operator_keys (",
            operator_key_columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7)"
        );
        let query = sqlx::query(sql).bind(key.id.0).bind(&key.name).bind(key.role.as_str());
        let query = query.bind(key.hash.as_slice()).bind(&key.prefix);
        let query = query.bind(key.expires_at.map(|end| end.0)).bind(key.created_at.0);
        let what = |constraint: &str| what_is_taken(constraint, key);
        let change = (ConfigKey::OperatorKey(key.id), entry);
        self.insert_one((OPERATORS, Revision::ANY), change, query, what).await
    }

    async fn update_operator_key(
        &self,
        key: &OperatorKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql = "UPDATE operator_keys SET name = $1, role = $2, expires_at = $3 WHERE id = $4";
        let query = sqlx::query(sql).bind(&key.name).bind(key.role.as_str());
        let query = query.bind(key.expires_at.map(|end| end.0)).bind(key.id.0);
        let what = |constraint: &str| what_is_taken(constraint, key);
        let change = (ConfigKey::OperatorKey(key.id), entry);
        self.change_unique((OPERATORS, basis), change, query, what).await
    }

    async fn delete_operator_key(
        &self,
        id: OperatorKeyId,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let query = sqlx::query("DELETE FROM operator_keys WHERE id = $1").bind(id.0);
        self.change_one((OPERATORS, basis), (ConfigKey::OperatorKey(id), entry), query).await
    }

    async fn note_uses(&self, used: &UsedKeys, now: UnixMillis) -> Result<(), StorageError> {
        let keys: Vec<i64> = used.keys.iter().map(|key| key.0).collect();
        let operator_keys: Vec<i64> = used.operator_keys.iter().map(|key| key.0).collect();
        // Other nodes note theirs: the latest counts. Rows are locked in one order.
        for (sql, ids) in [
            (
                "WITH used AS MATERIALIZED (SELECT id FROM api_keys WHERE id = ANY ($2) ORDER BY id FOR UPDATE) \
                UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, $1) FROM used WHERE k.id = used.id",
                keys,
            ),
            (
                "WITH used AS MATERIALIZED (SELECT id FROM operator_keys WHERE id = ANY ($2) ORDER BY id FOR UPDATE) \
                UPDATE operator_keys k SET last_used_at = greatest(k.last_used_at, $1) FROM used WHERE k.id = used.id",
                operator_keys,
            ),
        ] {
            if !ids.is_empty() {
                sqlx::query(sql).bind(now.0).bind(ids).execute(self.pool()).await?;
            }
        }
        Ok(())
    }

    async fn key_uses(&self, tenant: TenantId) -> Result<Vec<(KeyId, UnixMillis)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT id, last_used_at FROM api_keys WHERE tenant_id = $1 AND last_used_at IS NOT NULL";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).bind(tenant.0).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(id, at)| (KeyId(id), UnixMillis(at))).collect())
    }

    async fn operator_key_uses(&self) -> Result<Vec<(OperatorKeyId, UnixMillis)>, StorageError> {
        let sql = "SELECT id, last_used_at FROM operator_keys WHERE last_used_at IS NOT NULL";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(id, at)| (OperatorKeyId(id), UnixMillis(at))).collect())
    }
}

fn what_is_taken(constraint: &str, key: &OperatorKey) -> String {
    match constraint {
        "operator_keys_name_key" => format!("the name \"{}\"", key.name),
        _ => format!("the id {}", key.id),
    }
}

/// One key of an operator; none if its row is damaged.
pub async fn operator_key(
    connection: &mut PgConnection,
    id: OperatorKeyId,
) -> Result<Option<OperatorKey>, StorageError> {
    let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys WHERE id = $1");
    let row: Option<OperatorKeyRow> = sqlx::query_as(sql).bind(id.0).fetch_optional(connection).await?;
    Ok(row.and_then(|row| readable(operator_key_from_row(row))))
}
