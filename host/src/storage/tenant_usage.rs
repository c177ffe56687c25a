//! How much tenants have published. Each node counts in memory, and adds what it counted from time to time.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::columns::damaged;
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
    /// What [`Self::set_overdue`] stored last.
    async fn overdue(&self) -> Result<OverdueBytes, StorageError>;
    /// Stores how much is kept of all tenants although it is older than their retention. The node that deletes does so.
    async fn set_overdue(&self, overdue: &OverdueBytes) -> Result<(), StorageError>;
}

/// About how many bytes the events of tenants take that are kept although they are older than their retention, since a delivery
/// of theirs is not final, or a replay is about to send them. Tenants without any are left out.
pub type OverdueBytes = BTreeMap<TenantId, u64>;

/// In `engine_state`: the [`OverdueBytes`], as a JSON array of pairs.
pub(super) const OVERDUE: &str = "overdue-bytes";

pub(super) fn overdue_to_json(overdue: &OverdueBytes) -> Result<Vec<u8>, StorageError> {
    let pairs: Vec<(i64, u64)> = overdue.iter().map(|(tenant, bytes)| (tenant.0, *bytes)).collect();
    serde_json::to_vec(&pairs).map_err(|error| damaged("overdue bytes", error))
}

pub(super) fn overdue_from_json(json: Option<Vec<u8>>) -> Result<OverdueBytes, StorageError> {
    let Some(json) = json else { return Ok(OverdueBytes::new()) };
    let pairs: Vec<(i64, u64)> =
        serde_json::from_slice(&json).map_err(|error| damaged("overdue bytes", error))?;
    Ok(pairs.into_iter().map(|(tenant, bytes)| (TenantId(tenant), bytes)).collect())
}

/// Tenant, day, events and bytes.
pub(super) type UsageRow = (i64, i64, i64, i64);

pub(super) fn usage_from_row((tenant, day, events, bytes): UsageRow) -> DayUsage {
    let [events, bytes] = [events, bytes].map(|count| u64::try_from(count).unwrap_or(0));
    DayUsage { tenant: TenantId(tenant), day: Day(day), events, bytes }
}
