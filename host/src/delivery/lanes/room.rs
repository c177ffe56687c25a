//! How much more there is room for in memory.

use super::{Lanes, places};
use crate::domain::{HookId, TenantId, Trigger};

/// A tenant with fewer deliveries in memory than this finds room beside tenants that fill what they may have.
const LITTLE: usize = 16;
/// The same, in bytes.
const LITTLE_BYTES: usize = 64 << 10;

impl Lanes {
    /// How many more deliveries of `hook` there is room for; one at least has to be within
    /// [`Self::room_in_bytes`], too.
    pub(super) fn room(&self, hook: HookId, tenant: TenantId, trigger: Trigger) -> usize {
        self.room_of_tenant(tenant).min(self.room_in_lane(hook, trigger))
    }

    fn room_in_lane(&self, hook: HookId, trigger: Trigger) -> usize {
        let lane = self.lanes.get(&hook);
        let most = match lane {
            Some(lane) if trigger != Trigger::Test => lane.most_queued(&self.limits),
            _ => self.limits.queued_per_hook,
        };
        most.saturating_sub(lane.map_or(0, |lane| lane.taken))
    }

    fn room_of_tenant(&self, tenant: TenantId) -> usize {
        let of_tenant = self.tenants.get(&tenant).map_or(0, |tenant| tenant.taken);
        let limit = self.limits.queued;
        let first = usize::from(of_tenant == 0 && self.queued < limit);
        places::room(of_tenant, self.queued, limit, LITTLE.min(limit / 64)).max(first)
    }

    pub(super) fn room_in_bytes(&self, tenant: TenantId) -> usize {
        let of_tenant = self.tenants.get(&tenant).map_or(0, |tenant| tenant.taken_bytes);
        let (used, limit) = (self.queued_bytes, self.limits.queued_bytes);
        let little = LITTLE_BYTES.min(limit / 256);
        match of_tenant {
            // The reserve is for something small of tenants that have nothing in memory.
            0 => {
                places::before_reserve(limit).saturating_sub(used).max(little.min(limit.saturating_sub(used)))
            }
            of_tenant => places::room(of_tenant, used, limit, little),
        }
    }

    /// What may be claimed from disk for all tenants together, in bytes.
    pub(in crate::delivery) fn free_bytes(&self) -> usize {
        self.limits.queued_bytes.saturating_sub(self.queued_bytes)
    }

    /// How many deliveries of `hook` may be claimed from disk, and how many bytes of its tenant; `claimed` deliveries are
    /// about to be claimed for the tenant's other hooks. There is no room in number if there is none in bytes.
    pub(in crate::delivery) fn room_for_claims(
        &self,
        hook: HookId,
        tenant: TenantId,
        claimed: usize,
    ) -> (usize, usize) {
        let bytes = self.room_in_bytes(tenant);
        if bytes == 0 {
            return (0, 0);
        }
        let of_tenant = self.room_of_tenant(tenant).saturating_sub(claimed);
        (of_tenant.min(self.room_in_lane(hook, Trigger::Event)), bytes)
    }
}
