//! The deletion of tenants, in steps that are transactions of their own. Steps may be repeated, and made by two nodes.

use async_trait::async_trait;

use super::directory::ConfigChange;
use super::error::StorageError;
use crate::domain::{AuditEntry, EventKey, RemovedRows, Tenant, TenantDeletion, TenantId, UnixMillis};

/// See the module's head.
#[async_trait]
pub trait TenantDeletionStore: Send + Sync {
    /// Begins a deletion: `tenant` is as it is from then on. Its jobs end.
    async fn begin(
        &self,
        tenant: &Tenant,
        deletion: &TenantDeletion,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// How far the deletion of a tenant is, or when it ended; `None` if it never began.
    async fn deletion(&self, tenant: TenantId) -> Result<Option<TenantDeletion>, StorageError>;
    /// Whether no node has a delivery of the tenant in memory or in progress, by what is stored. Nothing of it is leased
    /// again: it is held.
    async fn is_at_rest(&self, tenant: TenantId, now: UnixMillis) -> Result<bool, StorageError>;
    /// Removes some rows of a tenant that is at rest.
    async fn remove_some(&self, deletion: &TenantDeletion) -> Result<DeletionStep, StorageError>;
    /// Removes the tenant itself, which has nothing else left.
    async fn end(
        &self,
        deletion: &TenantDeletion,
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletionStep {
    /// The deletion as it is now. There may be more.
    Removed(TenantDeletion),
    /// Nothing is left but the tenant itself.
    Empty,
}

/// How many deliveries one step removes, with all that belongs to them.
pub(super) const DELIVERIES_AT_ONCE: i64 = 100;
/// How many events of all tenants one step visits.
pub(super) const EVENTS_VISITED: i64 = 1_000;
/// How many rows of other tables one step removes.
pub(super) const ROWS_AT_ONCE: i64 = 500;

/// Tenant, name, request, end, last visited event, removed events, deliveries and attempts.
pub(super) type DeletionRow = (i64, String, i64, Option<i64>, i64, i64, i64, i64);

/// A deletion from its row.
pub(super) fn deletion_from_row(row: DeletionRow) -> TenantDeletion {
    let (tenant, name, requested_at, finished_at, events_to, events, deliveries, attempts) = row;
    let [events, deliveries, attempts] = [events, deliveries, attempts].map(i64::unsigned_abs);
    TenantDeletion {
        tenant: TenantId(tenant),
        name,
        requested_at: UnixMillis(requested_at),
        finished_at: finished_at.map(UnixMillis),
        removed: RemovedRows { events, deliveries, attempts },
        events_to: EventKey(events_to),
    }
}
