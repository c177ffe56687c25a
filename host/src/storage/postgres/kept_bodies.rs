//! Bodies of requests that hooks have kept.

use async_trait::async_trait;

use super::stores::PostgresStores;
use crate::domain::{AttemptId, TenantId, UnixMillis};
use crate::storage::{KeptBodyStore, StorageError};

#[async_trait]
impl KeptBodyStore for PostgresStores {
    async fn kept_body(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT body FROM kept_bodies WHERE attempt_id = $1 AND tenant_id = $2 AND expires_at > $3";
        let query = sqlx::query_scalar(sql).bind(attempt.0).bind(tenant.0).bind(now.0);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    async fn remove_expired_bodies(&self, now: UnixMillis, most: u32) -> Result<u64, StorageError> {
        // Several nodes do it at the same time.
        let sql = "DELETE FROM kept_bodies WHERE attempt_id = ANY (ARRAY(SELECT attempt_id FROM kept_bodies \
            WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
        let query = sqlx::query(sql).bind(now.0).bind(i64::from(most));
        Ok(query.execute(self.pool()).await?.rows_affected())
    }
}
