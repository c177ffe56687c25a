//! Bodies of requests that hooks have kept.

use async_trait::async_trait;

use super::stores::SqliteStores;
use crate::domain::{AttemptId, TenantId, UnixMillis};
use crate::storage::{KeptBodyStore, StorageError};

#[async_trait]
impl KeptBodyStore for SqliteStores {
    async fn kept_body(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT body FROM kept_bodies WHERE attempt_id = ? AND tenant_id = ? AND expires_at > ?";
        let query = sqlx::query_scalar(sql).bind(attempt.0).bind(tenant.0).bind(now.0);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    async fn remove_expired_bodies(&self, now: UnixMillis, most: u32) -> Result<u64, StorageError> {
        let sql = "DELETE FROM kept_bodies WHERE attempt_id IN \
            (SELECT attempt_id FROM kept_bodies WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
        self.changes(sqlx::query(sql).bind(now.0).bind(most)).await
    }
}
