//! The newest events that a hook got, on which a pipeline is tried.

use crate::domain::{EventKey, EventType, Hook, Trigger};
use crate::storage::{DeliveryQuery, EventQuery, Storage, StorageError};

/// How many deliveries of the hook are looked at for each event. Several can be of one event.
const DELIVERIES_PER_EVENT: u32 = 4;
/// How many events of the tenant are looked at, if the hook has no deliveries.
const EVENTS: u32 = 1_000;

/// The newest events that `hook` got, or would get if it has got none: at most `limit`, the newest first, without tests.
///
/// # Errors
/// If storage fails.
pub async fn newest_events(
    storage: &Storage,
    hook: &Hook,
    limit: usize,
) -> Result<Vec<EventKey>, StorageError> {
    let wanted = u32::try_from(limit).unwrap_or(u32::MAX).saturating_mul(DELIVERIES_PER_EVENT);
    let query = DeliveryQuery { hook: Some(hook.id), limit: wanted, ..DeliveryQuery::default() };
    let mut events = Vec::with_capacity(limit);
    for delivery in storage.deliveries.list(hook.tenant, &query).await?.deliveries {
        if delivery.trigger != Trigger::Test && !events.contains(&delivery.event) && events.len() < limit {
            events.push(delivery.event);
        }
    }
    if events.is_empty() {
        let query = EventQuery { limit: EVENTS, ..EventQuery::default() };
        let found = storage.events.search(hook.tenant, &query).await?.events.into_iter();
        let test = EventType::test();
        let wanted =
            found.filter(|event| event.event_type != test && hook.wants(&event.event_type, event.project));
        events.extend(wanted.take(limit).map(|event| event.key));
    }
    Ok(events)
}
