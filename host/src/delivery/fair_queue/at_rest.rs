//! Whether anything of a tenant is in memory or in progress.

use super::queue::FairQueue;
use crate::domain::{DeliveryId, TenantId};

impl FairQueue {
    /// Whether deliveries of `tenant` are queued, reserved or in flight.
    pub(in crate::delivery) fn has_any_of(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|tenant| tenant.taken > 0 || tenant.in_flight > 0)
    }

    /// How many requests of `tenant` are in flight.
    pub(in crate::delivery) fn in_flight_of(&self, tenant: TenantId) -> usize {
        self.tenants.get(&tenant).map_or(0, |tenant| tenant.in_flight)
    }

    /// The deliveries with an attempt that is in progress or not recorded yet.
    pub(in crate::delivery) fn unrecorded(&self) -> Vec<DeliveryId> {
        self.attempted.keys().copied().collect()
    }

    /// Leaves out deliveries whose attempts have been recorded.
    pub(in crate::delivery) fn retain_unrecorded(&self, deliveries: &mut Vec<DeliveryId>) {
        deliveries.retain(|delivery| self.is_attempted(*delivery));
    }
}
