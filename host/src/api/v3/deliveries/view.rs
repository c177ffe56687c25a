//! A delivery as answers show it.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::attempt::AttemptView;
use crate::api::page::{Page, Wanted};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryState, EventId, EventKey, FaultKind, Outcome, TenantId,
};
use crate::storage::{Storage, StorageError};

/// An event for a hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in crate::api::v3) struct DeliveryView {
    #[schema(value_type = schemas::DeliveryId)]
    id: String,
    #[schema(value_type = schemas::HookId)]
    hook: String,
    /// The engine's own id of the event. `GET /events/{id}` takes both ids.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The id of the event that the receiver sees as `webhook-id`: the sender's, if it gave one.
    #[schema(value_type = schemas::EventId)]
    event_id: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    /// What made it: `event` or `test`.
    #[schema(value_type = schemas::Trigger)]
    trigger: &'static str,
    /// `pending`, `delivering`, `waiting`, `succeeded`, `exhausted`, `dropped` or `cancelled`.
    #[schema(value_type = schemas::DeliveryState)]
    state: &'static str,
    /// How many attempts there have been.
    attempt_count: u32,
    /// When it is attempted next; null while it is attempted and once it is final.
    next_attempt_at: Option<Time>,
    created_at: Time,
}

impl DeliveryView {
    pub(in crate::api::v3) fn of(delivery: Delivery, event_id: &EventId) -> Self {
        // While it is leased, what is due is the end of the lease: no matter of its reader.
        let waits = matches!(delivery.state, DeliveryState::Pending | DeliveryState::Waiting);
        Self {
            id: delivery.id.to_string(),
            hook: delivery.hook.to_string(),
            event: delivery.event.to_string(),
            event_id: event_id.to_string(),
            event_type: delivery.event_type.to_string(),
            trigger: delivery.trigger.as_str(),
            state: delivery.state.as_str(),
            attempt_count: delivery.attempts,
            next_attempt_at: delivery.due_at.filter(|_| waits).map(Time),
            created_at: Time(delivery.id.created_at()),
        }
    }
}

/// What the senders of deliveries' events call them.
pub(super) struct EventIds(HashMap<EventKey, EventId>);

impl EventIds {
    /// # Errors
    /// If storage cannot be read.
    pub(super) async fn of(
        storage: &Storage,
        tenant: TenantId,
        deliveries: &[Delivery],
    ) -> Result<Self, StorageError> {
        let mut events: Vec<_> = deliveries.iter().map(|delivery| delivery.event).collect();
        events.sort_unstable();
        events.dedup();
        storage.events.sender_ids(tenant, &events).await.map(Self)
    }

    /// The view of a delivery, with both ids of its event.
    pub(super) fn view(&self, delivery: Delivery) -> DeliveryView {
        match self.0.get(&delivery.event) {
            Some(id) => DeliveryView::of(delivery, id),
            None => {
                let id = EventId::of_key(delivery.event);
                DeliveryView::of(delivery, &id)
            }
        }
    }
}

/// A delivery with its latest attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryWithAttempts)]
pub(super) struct FullDeliveryView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// What happens next, if that is not plain: a plugin called its failure final, and the delivery waits all the same.
    note: Option<&'static str>,
    /// The latest 20, oldest first.
    attempts: Vec<AttemptView>,
    /// The `cursor` of `GET /deliveries/{id}/attempts` for those before; null: there are none.
    attempts_next: Option<String>,
}

/// Why a delivery waits although its plugin says that the same call will fail again.
const ATTEMPTED_ALL_THE_SAME: &str = "The plugin says that the same call will fail again. It is made again all the same, at \
    `next_attempt_at` and on the hook's schedule from there, because the plugin or the hook's settings may have been mended by \
    then. After mending them, retry the delivery to have it attempted at once; cancel it if it is not wanted any more.";

impl FullDeliveryView {
    /// `latest` are its attempts, newest first, for the page that `wanted` describes.
    pub(super) fn of(
        state: DeliveryState,
        delivery: DeliveryView,
        latest: Vec<Attempt>,
        wanted: &Wanted<AttemptId>,
    ) -> Self {
        let note = note(state, latest.first().map(|attempt| &attempt.outcome));
        let Page { data: mut attempts, next } = page_of_attempts(latest, wanted);
        attempts.reverse();
        Self { delivery, note, attempts, attempts_next: next }
    }
}

/// The page of `attempts`, newest first.
pub(super) fn page_of_attempts(attempts: Vec<Attempt>, wanted: &Wanted<AttemptId>) -> Page<AttemptView> {
    wanted.cut(attempts, None, |attempt| attempt.id, |attempt| AttemptView::from(&attempt))
}

fn note(state: DeliveryState, last: Option<&Outcome>) -> Option<&'static str> {
    match (state, last) {
        (DeliveryState::Waiting, Some(Outcome::Faulted { fault, .. }))
            if fault.kind == FaultKind::Failure && !fault.retryable =>
        {
            Some(ATTEMPTED_ALL_THE_SAME)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Fault;

    #[test]
    fn a_note_says_that_a_final_failure_is_attempted_again() {
        let failure = |retryable| Outcome::Faulted {
            step: 0,
            fault: Fault { retryable, ..Fault::new(FaultKind::Failure, "no") },
        };
        let trap = Outcome::Faulted { step: 0, fault: Fault::new(FaultKind::Trap, "no") };
        for (state, outcome, is_noted) in [
            (DeliveryState::Waiting, Some(failure(false)), true),
            (DeliveryState::Waiting, Some(failure(true)), false),
            (DeliveryState::Exhausted, Some(failure(false)), false),
            (DeliveryState::Waiting, Some(trap), false),
            (DeliveryState::Waiting, None, false),
        ] {
            assert_eq!(note(state, outcome.as_ref()).is_some(), is_noted, "{state:?} {outcome:?}");
        }
    }
}
