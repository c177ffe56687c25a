//! A delivery as answers show it.

use serde::Serialize;
use utoipa::ToSchema;

use super::attempt::AttemptView;
use crate::api::time::Time;
use crate::domain::{Attempt, Delivery, DeliveryState};

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
    /// Oldest first.
    attempts: Vec<AttemptView>,
}

impl FullDeliveryView {
    pub(super) fn of(delivery: Delivery, attempts: &[Attempt]) -> Self {
        Self { delivery: delivery.into(), attempts: attempts.iter().map(AttemptView::from).collect() }
    }
}
