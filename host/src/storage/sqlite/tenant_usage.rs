//! How much tenants have published.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::engine_state;
use super::rows::{count_column, to_json};
use super::stores::SqliteStores;
use crate::domain::{Day, DayUsage, NodeNumber, TenantId};
use crate::storage::tenant_usage::{OVERDUE, UsageRow, overdue_from_json, overdue_to_json, usage_from_row};
use crate::storage::{OverdueBytes, StorageError, TenantUsageStore};

#[async_trait]
impl TenantUsageStore for SqliteStores {
    async fn add_usage(&self, node: NodeNumber, counted: &[DayUsage]) -> Result<(), StorageError> {
        let mut writer = self.writer().await;
        let added = add(writer.begin().await?, node, counted).await;
        writer.finish(added).await
    }

    async fn usage(&self, tenants: &[TenantId]) -> Result<Vec<DayUsage>, StorageError> {
        let tenants = to_json(&tenants.iter().map(|tenant| tenant.0).collect::<Vec<_>>())?;
        let sql = "SELECT u.tenant_id, u.day, sum(u.events), sum(u.bytes) FROM json_each(?) w \
            CROSS JOIN tenant_usage u ON u.tenant_id = w.value GROUP BY 1, 2 ORDER BY 1, 2";
        let rows: Vec<UsageRow> = sqlx::query_as(sql).bind(tenants).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(usage_from_row).collect())
    }

    async fn remove_usage_before(&self, tenant: TenantId, first: Day) -> Result<(), StorageError> {
        let sql = "DELETE FROM tenant_usage WHERE tenant_id = ? AND day < ?";
        self.changes(sqlx::query(sql).bind(tenant.0).bind(first.0)).await.map(drop)
    }

    async fn overdue(&self) -> Result<OverdueBytes, StorageError> {
        overdue_from_json(engine_state::get(&mut *self.readers.acquire().await?, OVERDUE).await?)
    }

    async fn set_overdue(&self, overdue: &OverdueBytes) -> Result<(), StorageError> {
        let json = overdue_to_json(overdue)?;
        let mut writer = self.writer().await;
        let done = engine_state::set(writer.begin().await?, OVERDUE, &json).await;
        writer.finish(done).await
    }
}

async fn add(
    connection: &mut SqliteConnection,
    node: NodeNumber,
    counted: &[DayUsage],
) -> Result<(), StorageError> {
    for one in counted {
        let sql = "INSERT INTO tenant_usage (tenant_id, day, node, events, bytes) SELECT ?1, ?2, ?3, ?4, ?5 \
            WHERE NOT EXISTS (SELECT 1 FROM tenant_deletions WHERE tenant_id = ?1) \
            ON CONFLICT (tenant_id, day, node) DO UPDATE SET events = events + excluded.events, \
            bytes = bytes + excluded.bytes";
        let query = sqlx::query(sql).bind(one.tenant.0).bind(one.day.0).bind(i64::from(node.0));
        let query = query.bind(count_column(one.events)).bind(count_column(one.bytes));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
