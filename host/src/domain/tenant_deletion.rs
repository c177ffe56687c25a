//! The deletion of a tenant.

use super::{EventKey, TenantId, UnixMillis};

/// How far the deletion of a tenant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantDeletion {
    /// The tenant. Its id is never used again.
    pub tenant: TenantId,
    /// The name that it had. Another tenant may have it by now.
    pub name: String,
    /// Since when it is being deleted.
    pub requested_at: UnixMillis,
    /// When everything was removed.
    pub finished_at: Option<UnixMillis>,
    /// What was removed so far.
    pub removed: RemovedRows,
    /// Up to this key, events were searched for those of the tenant.
    pub events_to: EventKey,
}

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedRows {
    /// Events.
    pub events: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Attempts.
    pub attempts: u64,
}

impl TenantDeletion {
    /// One that begins at `now`.
    #[must_use]
    pub fn begun(tenant: TenantId, name: String, now: UnixMillis) -> Self {
        let removed = RemovedRows::default();
        Self { tenant, name, requested_at: now, finished_at: None, removed, events_to: EventKey(0) }
    }
}
