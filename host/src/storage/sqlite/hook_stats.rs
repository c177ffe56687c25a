//! Counts of hooks' attempts by hour.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::rows::{stats_from_text, stats_to_text};
use super::stores::SqliteStores;
use crate::domain::hook_stats::{AttemptStats, HookHour, Hour};
use crate::domain::{HookId, NodeNumber, TenantId};
use crate::storage::StorageError;
use crate::storage::hook_stats::{HookStatsStore, by_hour};

#[async_trait]
impl HookStatsStore for SqliteStores {
    async fn add_stats(&self, node: NodeNumber, counted: &[HookHour]) -> Result<(), StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let added = add(writer.begin().await?, node, counted).await;
        writer.finish(added).await
    }

    async fn stats(
        &self,
        tenant: TenantId,
        hook: Option<HookId>,
        first: Hour,
        last: Hour,
    ) -> Result<Vec<(Hour, AttemptStats)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // One search for each hour: rows are clustered by hour, tenant and hook.
        let sql = "WITH RECURSIVE hours (hour) AS (SELECT ?1 UNION ALL SELECT hour + 1 FROM hours WHERE hour < ?2) \
            SELECT s.hour, s.stats FROM hours h CROSS JOIN hook_stats s ON s.hour = h.hour AND s.tenant_id = ?3 \
            AND s.hook_id BETWEEN ?4 AND ?5 ORDER BY 1";
        let (least, greatest) = hook.map_or((i64::MIN, i64::MAX), |hook| (hook.0, hook.0));
        let query = sqlx::query_as(sql).bind(first.0).bind(last.0).bind(tenant.0).bind(least).bind(greatest);
        by_hour(query.fetch_all(&self.readers).await?)
    }

    async fn remove_stats_before(&self, first: Hour, most: u32) -> Result<u64, StorageError> {
        let sql = "DELETE FROM hook_stats WHERE (hour, tenant_id, hook_id, node) IN \
            (SELECT hour, tenant_id, hook_id, node FROM hook_stats WHERE hour < ? ORDER BY hour LIMIT ?)";
        self.changes(sqlx::query(sql).bind(first.0).bind(most)).await
    }
}

/// Only this node writes its rows, so nothing is added between reading and writing.
async fn add(
    connection: &mut SqliteConnection,
    node: NodeNumber,
    counted: &[HookHour],
) -> Result<(), StorageError> {
    for one in counted {
        let sql =
            "SELECT stats FROM hook_stats WHERE hour = ? AND tenant_id = ? AND hook_id = ? AND node = ?";
        let key = (one.hour.0, one.tenant.0, one.hook.0, i64::from(node.0));
        let query = sqlx::query_scalar(sql).bind(key.0).bind(key.1).bind(key.2).bind(key.3);
        let stored: Option<String> = query.fetch_optional(&mut *connection).await?;
        let mut stats = stored.as_deref().map_or_else(|| Ok(AttemptStats::default()), stats_from_text)?;
        stats.merge(&one.stats);
        let sql = "INSERT INTO hook_stats (hour, tenant_id, hook_id, node, stats) SELECT ?1, ?2, ?3, ?4, ?5 \
            WHERE NOT EXISTS (SELECT 1 FROM tenant_deletions WHERE tenant_id = ?2) \
            ON CONFLICT (hour, tenant_id, hook_id, node) DO UPDATE SET stats = excluded.stats";
        let query = sqlx::query(sql).bind(key.0).bind(key.1).bind(key.2).bind(key.3);
        query.bind(stats_to_text(&stats)?).execute(&mut *connection).await?;
    }
    Ok(())
}
