//! How many more deliveries there is room for in memory.

use super::hook_queue::limit_with;
use super::pacer::most_queued;
use super::queue::FairQueue;
use super::shares;
use crate::domain::{HookId, TenantId, Trigger};

/// A tenant with fewer deliveries in memory than this finds room even if other tenants have all that they may have.
const FEW: usize = 16;
/// The same in bytes.
const FEW_BYTES: usize = 64 << 10;

/// What may be claimed from disk for one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct ClaimCapacity {
    /// Deliveries of the hook.
    pub deliveries: usize,
    /// Bytes of its tenant, over all hooks.
    pub tenant_bytes: usize,
}

impl ClaimCapacity {
    /// Nothing may be claimed.
    pub const NONE: Self = Self { deliveries: 0, tenant_bytes: 0 };
}

impl FairQueue {
    /// How many more deliveries of `hook` there is room for in number. [`Self::capacity_in_bytes`] also limits them.
    pub(super) fn capacity(&self, hook: HookId, tenant: TenantId, trigger: Trigger) -> usize {
        self.capacity_of_tenant(tenant, trigger).min(self.capacity_of_hook(hook, trigger))
    }

    fn capacity_of_hook(&self, hook: HookId, trigger: Trigger) -> usize {
        let queue = self.hooks.get(&hook);
        let limit = match queue {
            _ if trigger == Trigger::Test => self.limits.queued_per_hook,
            Some(queue) => queue.limit(&self.limits),
            None if self.flows.is_empty() => self.limits.queued_per_hook,
            None => limit_with(self.flows.hooks.get(&hook).map(|flow| &**flow), self.limits.queued_per_hook),
        };
        limit.saturating_sub(queue.map_or(0, |queue| queue.taken))
    }

    fn capacity_of_tenant(&self, tenant: TenantId, trigger: Trigger) -> usize {
        let held = self.tenants.get(&tenant).map_or(0, |tenant| tenant.taken);
        let rate = self.tenant_rate(tenant).filter(|_| trigger != Trigger::Test);
        let most = rate.map_or(usize::MAX, |rate| most_queued(rate).saturating_sub(held));
        let limit = self.limits.queued;
        let first = usize::from(held == 0 && self.queued < limit);
        shares::capacity(held, self.queued, limit, FEW.min(limit / 64)).max(first).min(most)
    }

    pub(super) fn capacity_in_bytes(&self, tenant: TenantId) -> usize {
        let (used, limit) = (self.queued_bytes, self.limits.queued_bytes);
        match self.bytes_of(tenant) {
            // The reserve is for something small of tenants that have nothing in memory.
            0 => shares::before_reserve(limit)
                .saturating_sub(used)
                .max(few_bytes(limit).min(self.free_bytes())),
            _ => self.share_in_bytes(tenant),
        }
    }

    /// The tenant's share of what is free.
    fn share_in_bytes(&self, tenant: TenantId) -> usize {
        let limit = self.limits.queued_bytes;
        shares::capacity(self.bytes_of(tenant), self.queued_bytes, limit, few_bytes(limit))
    }

    fn bytes_of(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, |tenant| tenant.taken_bytes)
    }

    /// How many bytes may be claimed from disk for all tenants together. Small claims may also use the reserve, whose rest
    /// stays free for tenants that have nothing in memory.
    pub(in crate::delivery) fn claimable_bytes(&self) -> usize {
        let limit = self.limits.queued_bytes;
        let unreserved = shares::before_reserve(limit).saturating_sub(self.queued_bytes);
        unreserved.max(few_bytes(limit).min(self.free_bytes()))
    }

    /// How many bytes are free in all.
    pub(in crate::delivery) fn free_bytes(&self) -> usize {
        self.limits.queued_bytes.saturating_sub(self.queued_bytes)
    }

    /// What may be claimed from disk for `hook`, if `claimed` deliveries are about to be claimed for its tenant's other hooks.
    pub(in crate::delivery) fn claim_capacity(
        &self,
        hook: HookId,
        tenant: TenantId,
        claimed: usize,
    ) -> ClaimCapacity {
        if self.capacity_in_bytes(tenant) == 0 {
            return ClaimCapacity::NONE;
        }
        let of_tenant = self.capacity_of_tenant(tenant, Trigger::Event).saturating_sub(claimed);
        let deliveries = of_tenant.min(self.capacity_of_hook(hook, Trigger::Event));
        // A first delivery is claimed however large it is.
        ClaimCapacity { deliveries, tenant_bytes: self.share_in_bytes(tenant).max(1) }
    }
}

fn few_bytes(limit: usize) -> usize {
    FEW_BYTES.min(limit / 256)
}
