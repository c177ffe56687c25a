//! Events to delete.

use crate::domain::{DeliveryId, EventKey, TenantId};

/// Events to delete in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Purge(pub Vec<PurgedEvent>);

/// An event as it was read.
#[derive(Debug, Clone)]
pub struct PurgedEvent {
    /// Its key.
    pub key: EventKey,
    /// Its tenant.
    pub tenant: TenantId,
    /// The deliveries as its row names them.
    pub named: Option<String>,
    /// Those to delete.
    pub deliveries: Vec<DeliveryId>,
    /// What its row names from then on, if it is not deleted yet: too many deliveries are left.
    pub left: Option<String>,
}

impl PurgedEvent {
    fn rows(&self) -> usize {
        1 + 2 * self.deliveries.len()
    }
}

impl Purge {
    /// About how many rows it deletes.
    pub fn rows(&self) -> usize {
        self.0.iter().map(PurgedEvent::rows).sum()
    }
}
