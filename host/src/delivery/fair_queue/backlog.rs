//! Which hooks may have more deliveries on disk.

use std::ops::Bound;

use rustc_hash::FxHashSet;

use super::queue::FairQueue;
use crate::domain::{HookId, TenantId};

impl FairQueue {
    /// A read of the disk begins. What it does not find may have been stored since: only what was noted before is forgotten
    /// then. Returns the number of the read.
    pub(in crate::delivery) fn begin_read(&mut self) -> u64 {
        self.reads += 1;
        self.reads
    }

    /// The read with this number has found nothing more of `hook`.
    pub(in crate::delivery) fn end_backlog(&mut self, hook: HookId, read: u64) {
        let Some(queue) = self.hooks.get(&hook).filter(|queue| queue.noted_after < read) else { return };
        let tenant = queue.tenant;
        self.set_backlog(hook, tenant, false);
    }

    /// Notes whether `hook` may have more on disk.
    pub(in crate::delivery) fn set_backlog(&mut self, hook: HookId, tenant: TenantId, backlog: bool) {
        if backlog {
            self.backlogs.insert(hook);
            let reads = self.reads;
            let queue = self.hook_queue(hook, tenant);
            (queue.backlog, queue.noted_after) = (true, reads);
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

    /// Forgets the backlogs of hooks that are not `due`, which had nothing on disk when `read` began. Looks at no more than
    /// `limit` backlogs `after` a hook. Returns the hook after which to go on, or none at the end.
    pub(in crate::delivery) fn retain_backlogs(
        &mut self,
        (due, read): (&FxHashSet<HookId>, u64),
        after: Option<HookId>,
        limit: usize,
    ) -> Option<HookId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let step: Vec<HookId> = self.backlogs.range((from, Bound::Unbounded)).take(limit).copied().collect();
        for hook in step.iter().filter(|hook| !due.contains(hook)) {
            self.end_backlog(*hook, read);
        }
        step.last().copied().filter(|_| step.len() == limit)
    }

    /// Whether a start or an end of a request, or [`Self::unreserve`], will ask for more of `hook`.
    pub(in crate::delivery) fn wakes_feeder(&mut self, hook: HookId) -> bool {
        let Some(queue) = self.hooks.get(&hook).filter(|queue| queue.backlog) else { return false };
        !queue.wants_more(&self.limits) || self.waits_for_room(hook)
    }

    /// Whether the hook may have more on disk and its queue runs low, or what its tenant has in memory.
    pub(super) fn wants_more(&mut self, hook: HookId) -> bool {
        let Some(queue) = self.hooks.get(&hook) else { return false };
        let (id, wants_more) = (queue.tenant, queue.wants_more(&self.limits));
        (wants_more && !self.waits_for_room(hook)) || self.tenant_wants_more(id)
    }

    /// Whether the feeder shall look for more, because of what has happened since the last call.
    pub(in crate::delivery) fn take_refill(&mut self) -> bool {
        std::mem::take(&mut self.refill)
    }
}
