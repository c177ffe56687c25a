//! How much tenants have published.

use async_trait::async_trait;

use super::engine_state;
use super::stores::PostgresStores;
use crate::domain::{Day, DayUsage, NodeNumber, TenantId};
use crate::storage::columns::count_column;
use crate::storage::tenant_usage::{OVERDUE, UsageRow, overdue_from_json, overdue_to_json, usage_from_row};
use crate::storage::{OverdueBytes, StorageError, TenantUsageStore};

#[async_trait]
impl TenantUsageStore for PostgresStores {
    async fn add_usage(&self, node: NodeNumber, counted: &[DayUsage]) -> Result<(), StorageError> {
        let sql = "INSERT INTO tenant_usage (tenant_id, day, node, events, bytes) \
            SELECT c.tenant_id, c.day, $1, c.events, c.bytes \
            FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) c (tenant_id, day, events, bytes) \
            WHERE NOT EXISTS (SELECT FROM tenant_deletions d WHERE d.tenant_id = c.tenant_id) \
            ON CONFLICT (tenant_id, day, node) DO UPDATE SET events = tenant_usage.events + excluded.events, \
            bytes = tenant_usage.bytes + excluded.bytes";
        let query = sqlx::query(sql).bind(i64::from(node.0));
        let query = query.bind(counted.iter().map(|one| one.tenant.0).collect::<Vec<_>>());
        let query = query.bind(counted.iter().map(|one| one.day.0).collect::<Vec<_>>());
        let query = query.bind(counted.iter().map(|one| count_column(one.events)).collect::<Vec<_>>());
        let query = query.bind(counted.iter().map(|one| count_column(one.bytes)).collect::<Vec<_>>());
        query.execute(self.pool()).await?;
        Ok(())
    }

    async fn usage(&self, tenants: &[TenantId]) -> Result<Vec<DayUsage>, StorageError> {
        let sql = "SELECT tenant_id, day, sum(events)::bigint, sum(bytes)::bigint FROM tenant_usage \
            WHERE tenant_id = ANY ($1) GROUP BY 1, 2 ORDER BY 1, 2";
        let query = sqlx::query_as(sql).bind(tenants.iter().map(|tenant| tenant.0).collect::<Vec<_>>());
        let rows: Vec<UsageRow> = query.fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(usage_from_row).collect())
    }

    async fn remove_usage_before(&self, tenant: TenantId, first: Day) -> Result<(), StorageError> {
        let sql = "DELETE FROM tenant_usage WHERE tenant_id = $1 AND day < $2";
        sqlx::query(sql).bind(tenant.0).bind(first.0).execute(self.pool()).await?;
        Ok(())
    }

    async fn overdue(&self) -> Result<OverdueBytes, StorageError> {
        overdue_from_json(engine_state::get(self.pool(), OVERDUE).await?)
    }

    async fn set_overdue(&self, overdue: &OverdueBytes) -> Result<(), StorageError> {
        engine_state::set(self.pool(), OVERDUE, &overdue_to_json(overdue)?).await
    }
}
