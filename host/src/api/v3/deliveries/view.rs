//! The view of a delivery.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::attempt::AttemptView;
use super::last_attempt::LastAttemptView;
use crate::api::page::{Page, PageRequest};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, DeliveryState, EventId, EventKey, FaultKind, LastAttempt,
    OrderingKey, Outcome, TenantId,
};
use crate::storage::{DeliveryNote, Storage, StorageError};

/// The delivery of one event to one hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in crate::api::v3) struct DeliveryView {
    #[schema(value_type = schemas::DeliveryId)]
    id: String,
    #[schema(value_type = schemas::HookId)]
    hook: String,
    /// The engine's id of the event. `GET /events/{id}` accepts both ids.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The event's id that the receiver sees as `webhook-id`: the sender's id if it gave one, else the
    /// engine's.
    #[schema(value_type = schemas::EventId)]
    event_id: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    /// What created the delivery: `event`, `test` or `replay`.
    #[schema(value_type = schemas::Trigger)]
    trigger: &'static str,
    /// `pending`, `delivering`, `waiting`, `succeeded`, `exhausted`, `dropped` or `cancelled`.
    #[schema(value_type = schemas::DeliveryState)]
    state: &'static str,
    /// The number of attempts so far.
    attempt_count: u32,
    /// How often it was taken over from a node that had it and died, or was cut off, without a word about it. If that is
    /// not 0, the receiver may have got it twice.
    interrupted: u64,
    /// The replay that made it; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::JobId)]
    job: Option<String>,
    /// The time of the next attempt; null while an attempt is in progress, while the delivery waits for others
    /// before it in the hook's order, and in final states.
    next_attempt_at: Option<Time>,
    /// The last attempt, only in lists whose request has `include=last_attempt`; absent if there was none, or if its
    /// record was deleted. It may be newer than `state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = LastAttemptView)]
    last_attempt: Option<LastAttemptView>,
    created_at: Time,
}

impl DeliveryView {
    pub(in crate::api::v3) fn of(delivery: Delivery, event_id: &EventId, note: DeliveryNote) -> Self {
        Self {
            id: delivery.id.to_string(),
            hook: delivery.hook.to_string(),
            event: delivery.event.to_string(),
            event_id: event_id.to_string(),
            event_type: delivery.event_type.to_string(),
            trigger: delivery.trigger.as_str(),
            state: delivery.state.as_str(),
            attempt_count: delivery.attempts,
            interrupted: note.interrupted,
            job: note.job.map(|job| job.to_string()),
            next_attempt_at: delivery.next_attempt_at().map(Time),
            last_attempt: None,
            created_at: Time(delivery.id.created_at()),
        }
    }

    /// The same, which shows its last attempt.
    pub(in crate::api::v3) fn with_last_attempt(self, last: Option<&LastAttempt>) -> Self {
        Self { last_attempt: last.cloned().map(LastAttemptView::from), ..self }
    }
}

/// What a page of deliveries shows beside them: the senders' ids of their events, and notes.
#[derive(Default)]
pub(in crate::api::v3) struct Details {
    ids: HashMap<EventKey, EventId>,
    notes: HashMap<DeliveryId, DeliveryNote>,
}

impl Details {
    /// Reads the details of `deliveries`.
    ///
    /// # Errors
    /// Fails if storage cannot be read.
    pub(in crate::api::v3) async fn of(
        storage: &Storage,
        tenant: TenantId,
        deliveries: &[Delivery],
    ) -> Result<Self, StorageError> {
        let mut events: Vec<_> = deliveries.iter().map(|delivery| delivery.event).collect();
        events.sort_unstable();
        events.dedup();
        let ids = storage.events.sender_ids(tenant, &events).await?;
        let deliveries: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
        Ok(Self { ids, notes: storage.delivery_notes.notes_of(tenant, &deliveries).await? })
    }

    /// The view of a delivery with both ids of its event.
    pub(in crate::api::v3) fn view(&self, delivery: Delivery) -> DeliveryView {
        let note = self.notes.get(&delivery.id).copied().unwrap_or_default();
        match self.ids.get(&delivery.event) {
            Some(id) => DeliveryView::of(delivery, id, note),
            None => {
                let id = EventId::of_key(delivery.event);
                DeliveryView::of(delivery, &id, note)
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
    /// The event's key by which hooks keep an order; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::OrderingKey)]
    ordering_key: Option<String>,
    /// An explanation of the next step, if a plugin reported a permanent failure and the delivery is retried
    /// all the same; else null.
    note: Option<&'static str>,
    /// The latest 20 attempts, oldest first.
    attempts: Vec<AttemptView>,
    /// The `cursor` of `GET /deliveries/{id}/attempts` for earlier attempts; null if there are none.
    attempts_next: Option<String>,
}

/// The note on a delivery that is retried although its plugin reported a permanent failure.
const RETRIED_PERMANENT_FAILURE: &str = "The plugin reported that the same call will fail again. The delivery is attempted again at \
    `next_attempt_at` and on the hook's schedule, because the plugin or its settings may be fixed by then. After fixing \
    them, retry the delivery to attempt it at once. Cancel it if it is no longer needed.";

impl FullDeliveryView {
    /// `latest` are the delivery's attempts, newest first, for the page `wanted`.
    pub(super) fn of(
        state: DeliveryState,
        (delivery, ordering_key): (DeliveryView, Option<OrderingKey>),
        latest: Vec<Attempt>,
        wanted: &PageRequest<AttemptId>,
    ) -> Self {
        let note = note(state, latest.first().map(|attempt| &attempt.outcome));
        let Page { data: mut attempts, next } = page_of_attempts(latest, wanted);
        attempts.reverse();
        let ordering_key = ordering_key.map(|key| key.as_str().to_owned());
        Self { delivery, ordering_key, note, attempts, attempts_next: next }
    }
}

/// The page of `attempts`, which are ordered newest first.
pub(super) fn page_of_attempts(attempts: Vec<Attempt>, wanted: &PageRequest<AttemptId>) -> Page<AttemptView> {
    wanted.cut(attempts, None, |attempt| attempt.id, |attempt| AttemptView::from(&attempt))
}

fn note(state: DeliveryState, last: Option<&Outcome>) -> Option<&'static str> {
    match (state, last) {
        (DeliveryState::Waiting, Some(Outcome::Faulted { fault, .. }))
            if fault.kind == FaultKind::Failure && !fault.retryable =>
        {
            Some(RETRIED_PERMANENT_FAILURE)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Fault;

    #[test]
    fn a_note_explains_that_a_permanent_failure_is_retried() {
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
