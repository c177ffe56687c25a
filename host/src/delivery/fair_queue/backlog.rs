//! Which hooks may have more deliveries on disk.

use std::ops::Bound;

use rustc_hash::FxHashSet;

use super::pacer::most_queued;
use super::queue::FairQueue;
use crate::domain::{HookId, TenantId};

impl FairQueue {
    /// Notes whether `hook` may have more on disk.
    pub(in crate::delivery) fn set_backlog(&mut self, hook: HookId, tenant: TenantId, backlog: bool) {
        if backlog {
            self.backlogs.insert(hook);
            self.hook_queue(hook, tenant).backlog = true;
            self.wait_for_others(hook);
        } else if self.backlogs.remove(&hook)
            && let Some(queue) = self.hooks.get_mut(&hook)
        {
            queue.backlog = false;
            self.forget_if_idle(hook);
        }
    }

    /// The hooks that may have more on disk.
    pub(in crate::delivery) fn backlogs(&self) -> Vec<HookId> {
        self.backlogs.iter().copied().collect()
    }

    /// Forgets the backlogs of hooks that are not `due`, which have nothing on disk. Looks at no more than `limit` backlogs
    /// `after` a hook. Returns the hook after which to go on, or none at the end.
    pub(in crate::delivery) fn retain_backlogs(
        &mut self,
        due: &FxHashSet<HookId>,
        after: Option<HookId>,
        limit: usize,
    ) -> Option<HookId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let step: Vec<HookId> = self.backlogs.range((from, Bound::Unbounded)).take(limit).copied().collect();
        for hook in step.iter().filter(|hook| !due.contains(hook)) {
            let Some(tenant) = self.hooks.get(hook).map(|queue| queue.tenant) else { continue };
            self.set_backlog(*hook, tenant, false);
        }
        step.last().copied().filter(|_| step.len() == limit)
    }

    /// Whether [`Self::request_ended`] or [`Self::unreserve`] will ask for more of `hook`.
    pub(in crate::delivery) fn wakes_feeder(&mut self, hook: HookId) -> bool {
        let Some(queue) = self.hooks.get(&hook).filter(|queue| queue.backlog) else { return false };
        let id = queue.tenant;
        if !queue.wants_more(&self.limits) {
            return true;
        }
        let Some(rate) = self.tenant_rate(id) else { return false };
        let Some(tenant) = self.tenants.get_mut(&id) else { return false };
        tenant.held_back = tenant.taken > most_queued(rate) / 2;
        tenant.held_back
    }

    /// Whether the hook may have more on disk and its queue runs low, or what its tenant has in memory.
    pub(super) fn wants_more(&mut self, hook: HookId) -> bool {
        let Some(queue) = self.hooks.get(&hook) else { return false };
        queue.wants_more(&self.limits) || self.tenant_wants_more(queue.tenant)
    }

    fn tenant_wants_more(&mut self, id: TenantId) -> bool {
        let Some(rate) = self.tenant_rate(id) else { return false };
        let Some(tenant) = self.tenants.get_mut(&id) else { return false };
        let wants_more = tenant.held_back && tenant.taken <= most_queued(rate) / 2;
        tenant.held_back &= !wants_more;
        wants_more
    }
}
