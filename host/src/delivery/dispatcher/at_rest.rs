//! Whether anything of a tenant is in memory or in progress on this node.

use super::Dispatcher;
use crate::domain::{DeliveryId, TenantId};

impl Dispatcher {
    /// Whether deliveries of `tenant` are queued, reserved or in flight.
    #[must_use]
    pub fn has_in_memory(&self, tenant: TenantId) -> bool {
        self.queue().has_any_of(tenant)
    }

    /// How many requests of `tenant` are in flight.
    #[must_use]
    pub fn in_flight_of(&self, tenant: TenantId) -> usize {
        self.queue().in_flight_of(tenant)
    }

    /// The deliveries of all tenants with an attempt that is in progress or not recorded yet.
    #[must_use]
    pub fn unrecorded(&self) -> Vec<DeliveryId> {
        self.queue().unrecorded()
    }

    /// Leaves out deliveries whose attempts have been recorded.
    pub fn retain_unrecorded(&self, deliveries: &mut Vec<DeliveryId>) {
        self.queue().retain_unrecorded(deliveries);
    }
}
