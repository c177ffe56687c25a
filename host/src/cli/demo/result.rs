//! The results of the demo's events.

use super::receiver::Arrival;

/// The result of an event for one hook.
pub(super) enum DemoResult {
    /// The event arrived at the receiver.
    Arrived(Box<Arrival>),
    /// The step with this index, counted from 0, dropped the event.
    Dropped(u64),
    /// The delivery failed.
    Failed(String),
}

impl DemoResult {
    /// Whether the event arrived with a valid signature.
    pub(super) fn is_verified(&self) -> bool {
        matches!(self, Self::Arrived(arrival) if arrival.is_verified)
    }
}
