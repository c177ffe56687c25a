//! The view of a change in a stream.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::delivery::{AttemptSummary, DeliveryChange};
use crate::domain::{Delivery, EventId};

/// A change of a delivery, the data of the event `delivery` in a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryChange)]
pub(in crate::api::v3) struct ChangeView {
    /// `created`, `attempted`, `retried`, `cancelled`, or `changed` if another node did something.
    change: &'static str,
    /// When it happened.
    at: Time,
    delivery: ChangedView,
    /// The attempt that ended; null if none did, or if it was another node's.
    attempt: Option<SummaryView>,
}

/// A delivery in a stream. Its members are as in `GET /deliveries`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedDelivery)]
pub(in crate::api::v3) struct ChangedView {
    #[schema(value_type = schemas::DeliveryId)]
    id: String,
    #[schema(value_type = schemas::HookId)]
    hook: String,
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The event's id that receivers see; absent if this node does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::EventId, required = false)]
    event_id: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    #[schema(value_type = schemas::Trigger)]
    trigger: &'static str,
    #[schema(value_type = schemas::DeliveryState)]
    state: &'static str,
    attempt_count: u32,
    next_attempt_at: Option<Time>,
    created_at: Time,
}

/// An attempt in a stream, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptSummary)]
pub(in crate::api::v3) struct SummaryView {
    #[schema(value_type = schemas::AttemptId)]
    id: String,
    number: u32,
    started_at: Time,
    duration_ms: u64,
    #[schema(value_type = schemas::Outcome)]
    outcome: &'static str,
    /// The status of the response.
    status: Option<u16>,
    /// Why there was no response.
    error: Option<String>,
    /// The step that failed or dropped the event, counted from 0.
    step: Option<usize>,
    /// How that step failed.
    fault: Option<FaultSummaryView>,
}

/// How a step failed, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FaultSummary)]
pub(in crate::api::v3) struct FaultSummaryView {
    #[schema(value_type = schemas::FaultKind)]
    kind: &'static str,
    message: String,
}

impl From<&DeliveryChange> for ChangeView {
    fn from(change: &DeliveryChange) -> Self {
        Self {
            change: change.kind.as_str(),
            at: Time(change.at),
            delivery: ChangedView::of(&change.delivery, change.event_id.as_ref()),
            attempt: change.attempt.as_ref().map(SummaryView::from),
        }
    }
}

impl ChangedView {
    fn of(delivery: &Delivery, event_id: Option<&EventId>) -> Self {
        Self {
            id: delivery.id.to_string(),
            hook: delivery.hook.to_string(),
            event: delivery.event.to_string(),
            event_id: event_id.map(ToString::to_string),
            event_type: delivery.event_type.to_string(),
            trigger: delivery.trigger.as_str(),
            state: delivery.state.as_str(),
            attempt_count: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at().map(Time),
            created_at: Time(delivery.id.created_at()),
        }
    }
}

impl From<&AttemptSummary> for SummaryView {
    fn from(attempt: &AttemptSummary) -> Self {
        let fault = attempt.fault.as_ref();
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            started_at: Time(attempt.started_at),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome,
            status: attempt.status,
            error: attempt.error.clone(),
            step: attempt.step,
            fault: fault
                .map(|(kind, message)| FaultSummaryView { kind: kind.as_str(), message: message.clone() }),
        }
    }
}
