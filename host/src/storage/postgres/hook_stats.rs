//! Counts of hooks' attempts by hour.

use std::collections::HashMap;

use async_trait::async_trait;

use super::stores::PostgresStores;
use crate::domain::hook_stats::{AttemptStats, HookHour, Hour};
use crate::domain::{HookId, NodeNumber, TenantId};
use crate::storage::StorageError;
use crate::storage::columns::{stats_from_text, stats_to_text};
use crate::storage::hook_stats::{HookStatsStore, by_hour};

#[async_trait]
impl HookStatsStore for PostgresStores {
    async fn add_stats(&self, node: NodeNumber, counted: &[HookHour]) -> Result<(), StorageError> {
        let hours: Vec<i64> = counted.iter().map(|one| one.hour.0).collect();
        let tenants: Vec<i64> = counted.iter().map(|one| one.tenant.0).collect();
        let hooks: Vec<i64> = counted.iter().map(|one| one.hook.0).collect();
        let node = i64::from(node.0);
        // Only this node writes its rows, so nothing is added between reading and writing.
        let sql = "SELECT s.hour, s.tenant_id, s.hook_id, s.stats \
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) w (hour, tenant_id, hook_id) \
            JOIN hook_stats s ON s.hour = w.hour AND s.tenant_id = w.tenant_id AND s.hook_id = w.hook_id AND s.node = $4";
        let query = sqlx::query_as(sql).bind(&hours).bind(&tenants).bind(&hooks).bind(node);
        let stored: Vec<(i64, i64, i64, String)> = query.fetch_all(self.pool()).await?;
        let stored: HashMap<_, _> =
            stored.into_iter().map(|(hour, tenant, hook, stats)| ((hour, tenant, hook), stats)).collect();
        let merged = |one: &HookHour| {
            let stored = stored.get(&(one.hour.0, one.tenant.0, one.hook.0));
            let stored = stored.map(String::as_str);
            let mut stats = stored.map_or_else(|| Ok(AttemptStats::default()), stats_from_text)?;
            stats.merge(&one.stats);
            stats_to_text(&stats)
        };
        let stats = counted.iter().map(merged).collect::<Result<Vec<String>, _>>()?;
        let sql = "INSERT INTO hook_stats (hour, tenant_id, hook_id, node, stats) \
            SELECT w.hour, w.tenant_id, w.hook_id, $4, w.stats \
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::text[]) w (hour, tenant_id, hook_id, stats) \
            WHERE NOT EXISTS (SELECT FROM tenant_deletions d WHERE d.tenant_id = w.tenant_id) \
            ON CONFLICT (hour, tenant_id, hook_id, node) DO UPDATE SET stats = excluded.stats";
        let query = sqlx::query(sql).bind(hours).bind(tenants).bind(hooks).bind(node).bind(stats);
        query.execute(self.pool()).await?;
        Ok(())
    }

    async fn stats(
        &self,
        tenant: TenantId,
        hook: Option<HookId>,
        first: Hour,
        last: Hour,
    ) -> Result<Vec<(Hour, AttemptStats)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // One search for each hour: the key begins with the hour.
        let sql = "SELECT s.hour, s.stats FROM generate_series($1::bigint, $2::bigint) h (hour) CROSS JOIN LATERAL \
            (SELECT hour, stats FROM hook_stats s WHERE s.hour = h.hour AND s.tenant_id = $3 \
                AND s.hook_id BETWEEN $4 AND $5) s ORDER BY 1";
        let (least, greatest) = hook.map_or((i64::MIN, i64::MAX), |hook| (hook.0, hook.0));
        let query = sqlx::query_as(sql).bind(first.0).bind(last.0).bind(tenant.0).bind(least).bind(greatest);
        by_hour(query.fetch_all(self.pool()).await?)
    }

    async fn remove_stats_before(&self, first: Hour, most: u32) -> Result<u64, StorageError> {
        let sql = "DELETE FROM hook_stats WHERE (hour, tenant_id, hook_id, node) IN \
            (SELECT hour, tenant_id, hook_id, node FROM hook_stats WHERE hour < $1 ORDER BY hour LIMIT $2)";
        let query = sqlx::query(sql).bind(first.0).bind(i64::from(most));
        Ok(query.execute(self.pool()).await?.rows_affected())
    }
}
