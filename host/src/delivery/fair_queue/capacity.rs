//! How many more deliveries there is room for in memory, and who has taken it.

use super::hook_queue::limit_with;
use super::queue::FairQueue;
use super::shares;
use crate::delivery::work::Work;
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
    /// Takes room for `work` if there is any. A hook with a backlog on disk has no room, so that older deliveries go first.
    /// A test does not wait for them.
    pub(in crate::delivery) fn reserve(&mut self, work: &Work) -> bool {
        let backlog = self.hooks.get(&work.hook).is_some_and(|queue| queue.backlog);
        let waits = backlog && work.trigger != Trigger::Test;
        let fits = !waits
            && (self.most_in_flight(work.hook, work.tenant()) > 0 || work.trigger == Trigger::Test)
            && self.capacity(work.hook, work.tenant(), work.trigger) > 0
            && work.weight() <= self.capacity_in_bytes(work.tenant());
        if fits {
            self.take(work);
        }
        fits
    }

    /// Gives back the room of work that was reserved and never pushed. Returns whether the hook has more on disk and there
    /// is room for it now.
    pub(in crate::delivery) fn unreserve(&mut self, work: &Work) -> bool {
        self.release(work);
        let wants_more = self.wants_more(work.hook);
        self.forget_if_idle(work.hook);
        wants_more
    }

    /// Takes room for `work`.
    pub(super) fn take(&mut self, work: &Work) {
        self.rooms_taken += 1;
        let number = self.rooms_taken;
        let queue = self.hook_queue(work.hook, work.tenant());
        queue.taken += 1;
        queue.took_room = number;
        let is_aside = queue.aside;
        let tenant = self.tenants.entry(work.tenant()).or_default();
        tenant.taken += 1;
        tenant.aside += usize::from(is_aside);
        tenant.taken_bytes += work.weight();
        self.queued += 1;
        self.queued_bytes += work.weight();
    }

    /// Gives back the room of `work`.
    pub(super) fn release(&mut self, work: &Work) {
        self.release_of(work.hook, work.tenant(), work.weight());
    }

    pub(super) fn release_of(&mut self, hook: HookId, tenant: TenantId, weight: usize) {
        self.queued -= 1;
        self.queued_bytes -= weight;
        let mut is_aside = false;
        if let Some(queue) = self.hooks.get_mut(&hook) {
            queue.taken -= 1;
            is_aside = queue.aside;
        }
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.taken -= 1;
            tenant.aside -= usize::from(is_aside);
            tenant.taken_bytes -= weight;
        }
    }

    /// How many more deliveries of `hook` there is room for in number. [`Self::capacity_in_bytes`] also limits them.
    pub(super) fn capacity(&self, hook: HookId, tenant: TenantId, trigger: Trigger) -> usize {
        let room = self.room_beside(hook, tenant).filter(|_| trigger != Trigger::Test);
        let of_tenant = self.capacity_of_tenant(tenant).min(room.unwrap_or(usize::MAX));
        of_tenant.min(self.capacity_of_hook(hook, trigger))
    }

    fn capacity_of_hook(&self, hook: HookId, trigger: Trigger) -> usize {
        let queue = self.hooks.get(&hook);
        let limit = match queue {
            _ if trigger == Trigger::Test => self.limits.queued_per_hook,
            Some(queue) => queue.limit(&self.limits),
            None => limit_with(self.flows.hooks.get(&hook).map(|flow| &**flow), self.limits.queued_per_hook),
        };
        limit.saturating_sub(queue.map_or(0, |queue| queue.taken))
    }

    fn capacity_of_tenant(&self, tenant: TenantId) -> usize {
        let held = self.tenants.get(&tenant).map_or(0, |tenant| tenant.taken);
        let limit = self.limits.queued;
        let first = usize::from(held == 0 && self.queued < limit);
        shares::capacity(held, self.queued, limit, FEW.min(limit / 64)).max(first)
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
        let room = self.room_beside(hook, tenant).unwrap_or(usize::MAX);
        let of_tenant = self.capacity_of_tenant(tenant).min(room).saturating_sub(claimed);
        let deliveries = of_tenant.min(self.capacity_of_hook(hook, Trigger::Event));
        // A first delivery is claimed however large it is.
        ClaimCapacity { deliveries, tenant_bytes: self.share_in_bytes(tenant).max(1) }
    }
}

fn few_bytes(limit: usize) -> usize {
    FEW_BYTES.min(limit / 256)
}
