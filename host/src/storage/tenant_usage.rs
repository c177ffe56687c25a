//! How much tenants have published. Each node counts in memory, and adds what it counted from time to time.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::{Day, DayUsage, NodeNumber, TenantId};

/// See the module's head.
#[async_trait]
pub trait TenantUsageStore: Send + Sync {
    /// Adds what `node` counted, except of tenants that are deleted. All or nothing.
    async fn add_usage(&self, node: NodeNumber, counted: &[DayUsage]) -> Result<(), StorageError>;
    /// What these tenants published, of all nodes together: one row for a tenant and day, in order.
    async fn usage(&self, tenants: &[TenantId]) -> Result<Vec<DayUsage>, StorageError>;
    /// Removes days of a tenant before `first`.
    async fn remove_usage_before(&self, tenant: TenantId, first: Day) -> Result<(), StorageError>;
}

/// Tenant, day, events and bytes.
pub(super) type UsageRow = (i64, i64, i64, i64);

pub(super) fn usage_from_row((tenant, day, events, bytes): UsageRow) -> DayUsage {
    let [events, bytes] = [events, bytes].map(|count| u64::try_from(count).unwrap_or(0));
    DayUsage { tenant: TenantId(tenant), day: Day(day), events, bytes }
}
