//! How the limits of hooks are divided between nodes.

use std::time::Instant;

use super::queue::FairQueue;
use crate::domain::{HookId, Members, TenantId};

impl FairQueue {
    /// How many requests of `hook` this node may have in flight, beside the other nodes. If none, it starts no delivery of
    /// the hook; a test may always start.
    pub(in crate::delivery) fn most_in_flight(&self, hook: HookId, tenant: TenantId) -> usize {
        let known = self.hooks.get(&hook).map(|queue| queue.most);
        known.unwrap_or_else(|| self.share(hook, tenant))
    }

    pub(super) fn share(&self, hook: HookId, tenant: TenantId) -> usize {
        self.flows.share(&self.members, self.limits.in_flight_per_hook, (hook, tenant))
    }

    /// This queue, beside those of other nodes.
    pub(in crate::delivery) fn beside(mut self, members: Members) -> Self {
        self.members = members;
        self
    }

    /// The nodes have changed.
    pub(in crate::delivery) fn set_members(&mut self, members: Members, now: Instant) {
        self.members = members;
        for (hook, queue) in &mut self.hooks {
            let of = (*hook, queue.tenant);
            queue.most = self.flows.share(&self.members, self.limits.in_flight_per_hook, of);
        }
        let queued = self.hooks.iter().filter(|(_, queue)| !queue.works.is_empty());
        let queued: Vec<HookId> = queued.map(|(hook, _)| *hook).collect();
        queued.into_iter().for_each(|hook| self.add_runnable(hook, now));
    }

    /// Whether more of any hook is in flight than this node may have, or something is queued that it may not start.
    pub(in crate::delivery) fn exceeds_shares(&self) -> bool {
        self.hooks
            .values()
            .any(|queue| queue.in_flight > queue.most || (queue.most == 0 && !queue.works.is_empty()))
    }
}
