//! Which of a tenant's deliveries are meant.

use super::{Delivery, DeliveryState, EventId, HookId, TypePattern, UnixMillis};

/// Conditions that a delivery must meet, all of them. Empty ones are met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// In one of these states; empty: in any.
    pub states: Vec<DeliveryState>,
    /// For this hook.
    pub hook: Option<HookId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of an event of these types.
    pub event_type: Option<TypePattern>,
    /// Created at this time or later.
    pub since: Option<UnixMillis>,
    /// Created before this time.
    pub until: Option<UnixMillis>,
}

impl DeliveryFilter {
    /// Whether a delivery meets the conditions, apart from that on its event.
    #[must_use]
    pub fn selects(&self, delivery: &Delivery) -> bool {
        let made = delivery.id.created_at();
        (self.states.is_empty() || self.states.contains(&delivery.state))
            && self.hook.is_none_or(|hook| delivery.hook == hook)
            && self.event_type.as_ref().is_none_or(|pattern| pattern.matches(&delivery.event_type))
            && self.since.is_none_or(|since| made >= since)
            && self.until.is_none_or(|until| made < until)
    }
}
