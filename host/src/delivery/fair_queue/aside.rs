//! How the hooks of a tenant with a rate divide the room in memory that it leaves.
//!
//! A hook that sends nothing for long is set *aside*: it has at most one request in memory, which is not counted. So it
//! leaves the room to the tenant's other hooks. They take turns, and the one that took room first is next.

use std::time::Instant;

use super::pacer::{QUEUED_TIME, most_queued};
use super::queue::FairQueue;
use super::round_robin::Tenant;
use crate::domain::{HookId, TenantId};

impl FairQueue {
    /// Sets `hook` aside or not, after what it waits for may have changed.
    pub(super) fn update_aside(&mut self, hook: HookId, now: Instant) {
        let Some(queue) = self.hooks.get(&hook) else { return };
        let id = queue.tenant;
        let waits_long = || queue.not_before.is_some_and(|until| until > now + QUEUED_TIME);
        let aside = self.tenant_rate(id).is_some() && (queue.health.hangs() || waits_long());
        let Some(queue) = self.hooks.get_mut(&hook).filter(|queue| queue.aside != aside) else { return };
        queue.aside = aside;
        let (taken, keep) = (queue.taken, queue.limit(&self.limits));
        if let Some(tenant) = self.tenants.get_mut(&id) {
            match aside {
                true => tenant.aside += taken,
                false => tenant.aside -= taken,
            }
        }
        if aside {
            self.give_back_beyond(hook, keep);
            self.refill |= self.tenant_wants_more(id);
        }
    }

    /// How many more deliveries of `hook` there is room for beside those of its tenant's other hooks, if the tenant has a
    /// rate.
    pub(super) fn room_beside(&self, hook: HookId, tenant: TenantId) -> Option<usize> {
        let most = most_queued(self.tenant_rate(tenant)?);
        let is_aside = self.hooks.get(&hook).is_some_and(|queue| queue.aside);
        (!is_aside).then(|| most.saturating_sub(self.tenants.get(&tenant).map_or(0, Tenant::counted)))
    }

    /// What `hook` may have of the room for its tenant, if `claimed` deliveries are about to be claimed for others and `due`
    /// hooks with this one still want some.
    pub(in crate::delivery) fn share_of_room(
        &self,
        (hook, tenant): (HookId, TenantId),
        claimed: usize,
        due: usize,
    ) -> usize {
        let room = self.room_beside(hook, tenant);
        room.map_or(usize::MAX, |room| room.saturating_sub(claimed).div_ceil(due.max(1)))
    }

    /// If `hook` shares the room of a tenant with a rate: after which other hooks it is its turn.
    pub(in crate::delivery) fn last_room(&self, hook: HookId, tenant: TenantId) -> Option<u64> {
        self.room_beside(hook, tenant)?;
        Some(self.hooks.get(&hook).map_or(0, |queue| queue.took_room))
    }

    /// Whether a tenant with a rate has more than half of what it may have in memory.
    fn is_well_filled(&self, tenant: TenantId) -> bool {
        let counted = self.tenants.get(&tenant).map_or(0, Tenant::counted);
        self.tenant_rate(tenant).is_some_and(|rate| counted > most_queued(rate) / 2)
    }

    /// Has the feeder woken when there is room for the tenant of `hook` again, if there is none because of the tenant's rate.
    pub(super) fn waits_for_room(&mut self, hook: HookId) -> bool {
        let Some(queue) = self.hooks.get(&hook).filter(|queue| !queue.aside) else { return false };
        let id = queue.tenant;
        let waits = self.is_well_filled(id);
        if let Some(tenant) = self.tenants.get_mut(&id).filter(|_| waits) {
            tenant.held_back = true;
        }
        waits
    }

    /// Whether there is room again for a tenant that has been waiting for it.
    pub(super) fn tenant_wants_more(&mut self, id: TenantId) -> bool {
        if self.tenant_rate(id).is_none() || self.is_well_filled(id) {
            return false;
        }
        self.tenants.get_mut(&id).is_some_and(|tenant| std::mem::take(&mut tenant.held_back))
    }
}
