//! Erases the content of events.

use std::collections::HashMap;

use super::deliveries::{DeliveryError, DeliveryService};
use crate::domain::{DeliveryState, EventId, EventKey, TenantId, UnixMillis};

/// An event whose content was erased.
#[derive(Debug)]
pub struct Erased {
    /// When.
    pub at: UnixMillis,
    /// How many of its deliveries are in each state.
    pub states: HashMap<DeliveryState, u32>,
    /// How many of them were attempted.
    pub attempted: u32,
}

impl DeliveryService {
    /// Cancels what is not final of an event, and erases its content. What this process has in memory is not sent once this
    /// returns, except for requests that were being sent. `None`: the tenant has no such event.
    ///
    /// # Errors
    /// Fails if too many cancellations are in progress, or if storage fails. Repeat it then.
    pub async fn erase(&self, tenant: TenantId, event: EventKey) -> Result<Option<Erased>, DeliveryError> {
        let storage = self.storage();
        let mut in_progress = Vec::new();
        for delivery in storage.deliveries.of_event(tenant, event).await? {
            // Others are on disk, where they are cancelled together.
            if delivery.state != DeliveryState::Delivering {
                continue;
            }
            match self.cancel(tenant, delivery.id).await {
                Err(DeliveryError::InProgress) => in_progress.push(delivery.id),
                Ok(_) | Err(DeliveryError::WrongState { .. } | DeliveryError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let erased = storage.retention.erase(tenant, &EventId::of_key(event), self.now()).await?;
        let Some(at) = erased else { return Ok(None) };
        let (mut states, mut attempted) = (HashMap::new(), 0);
        for delivery in storage.deliveries.of_event(tenant, event).await? {
            *states.entry(delivery.state).or_default() += 1;
            attempted += u32::from(delivery.attempts > 0 || in_progress.contains(&delivery.id));
        }
        Ok(Some(Erased { at, states, attempted }))
    }
}
