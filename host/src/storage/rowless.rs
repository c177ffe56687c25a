//! What the databases share of deliveries that have no row of their own.

use std::collections::HashMap;

use super::records::Backlog;
use crate::domain::{Delivery, DeliveryId, DeliveryState, Event, HookId, Lease, Trigger, UnixMillis};

/// The key up to which every delivery has its row rises in steps of 1,024 ms of ids, whose milliseconds begin at bit 22: a
/// start after a crash reads the events of a few seconds.
pub const MARK_STEP: i64 = 1 << 32;
/// A delivery whose event is this much older than the newest gets its row, so that a slow receiver does not hold that key
/// back.
pub const MAX_AGE: i64 = 8 * MARK_STEP;

/// A delivery that an event made and that is leased since, as it would be read from its row.
pub fn delivery(id: DeliveryId, event: &Event, hook: HookId, lease_until: UnixMillis) -> Delivery {
    Delivery {
        id,
        tenant: event.tenant,
        hook,
        event: event.key,
        event_type: event.event_type.clone(),
        trigger: Trigger::Event,
        state: DeliveryState::Delivering,
        attempts: 0,
        failures: 0,
        due_at: None,
        lease: Some(Lease::of_stored(id, lease_until)),
    }
}

/// Adds to the backlog in the database when these leases of hooks end.
pub fn add_leases(backlog: &mut Vec<Backlog>, leases: impl Iterator<Item = (HookId, UnixMillis)>) {
    let mut first: HashMap<HookId, UnixMillis> = HashMap::new();
    for (hook, ends) in leases {
        let at = first.entry(hook).or_insert(ends);
        *at = ends.min(*at);
    }
    for one in backlog.iter_mut() {
        if let Some(ends) = first.remove(&one.hook) {
            one.first_due_at = one.first_due_at.min(ends);
        }
    }
    backlog.extend(first.into_iter().map(|(hook, first_due_at)| Backlog { hook, first_due_at }));
}
