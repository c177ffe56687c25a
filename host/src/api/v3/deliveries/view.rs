//! A delivery as answers show it.

use serde::Serialize;
use utoipa::ToSchema;

use super::attempt::AttemptView;
use crate::api::time::Time;
use crate::domain::{Attempt, Delivery, DeliveryState, FaultKind, Outcome};

/// An event for a hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in crate::api::v3) struct DeliveryView {
    #[schema(example = "dlv_01m8rz4g3k2v7")]
    id: String,
    #[schema(example = "hook_01m8rz4g3k2v7")]
    hook: String,
    /// The event's own number, by which `GET /events/{id}` finds it too.
    #[schema(example = "evt_01m8rz4g3k2v7")]
    event: String,
    /// The event's type.
    #[serde(rename = "type")]
    event_type: String,
    /// What made it: `event` or `test`.
    trigger: &'static str,
    /// `pending`, `delivering`, `waiting`, `succeeded`, `exhausted`, `dropped` or `cancelled`.
    state: &'static str,
    /// How many attempts there have been.
    attempt_count: u32,
    /// When it is attempted next; null while it is attempted and once it is final.
    next_attempt_at: Option<Time>,
    created_at: Time,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        // While it is leased, what is due is the end of the lease: no matter of its reader.
        let waits = matches!(delivery.state, DeliveryState::Pending | DeliveryState::Waiting);
        Self {
            id: delivery.id.to_string(),
            hook: delivery.hook.to_string(),
            event: delivery.event.to_string(),
            event_type: delivery.event_type.to_string(),
            trigger: delivery.trigger.as_str(),
            state: delivery.state.as_str(),
            attempt_count: delivery.attempts,
            next_attempt_at: delivery.due_at.filter(|_| waits).map(Time),
            created_at: Time(delivery.id.created_at()),
        }
    }
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryWithAttempts)]
pub(super) struct FullDeliveryView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// What happens next, if that is not plain: a plugin called its failure final, and the delivery waits all the same.
    note: Option<&'static str>,
    /// Oldest first.
    attempts: Vec<AttemptView>,
}

/// Why a delivery waits although its plugin says that the same call will fail again.
const ATTEMPTED_ALL_THE_SAME: &str = "The plugin says that the same call will fail again. It is made again all the same, at \
    `next_attempt_at` and on the hook's schedule from there, because the plugin or the hook's settings may have been mended by \
    then. After mending them, retry the delivery to have it attempted at once; cancel it if it is not wanted any more.";

impl FullDeliveryView {
    pub(super) fn of(delivery: Delivery, attempts: &[Attempt]) -> Self {
        let note = note(delivery.state, attempts.last().map(|attempt| &attempt.outcome));
        Self { delivery: delivery.into(), note, attempts: attempts.iter().map(AttemptView::from).collect() }
    }
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
