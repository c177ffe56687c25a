//! Deliveries: an event for a hook.

use super::attempt::words;
use super::{DeliveryId, EventKey, EventType, HookId, Invalid, TenantId, UnixMillis};
use std::fmt;
use std::str::FromStr;

words! {
    /// Where a delivery stands.
    DeliveryState {
        /// Waits for its first attempt.
        Pending = "pending",
        /// Leased to a process, which attempts it.
        Delivering = "delivering",
        /// An attempt failed; waits for its next.
        Waiting = "waiting",
        /// A receiver took it.
        Succeeded = "succeeded",
        /// Every attempt failed and none is left.
        Exhausted = "exhausted",
        /// The pipeline wants nothing sent.
        Dropped = "dropped",
        /// Called off, or its hook is gone.
        Cancelled = "cancelled",
    }
}

impl DeliveryState {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Delivering,
        Self::Waiting,
        Self::Succeeded,
        Self::Exhausted,
        Self::Dropped,
        Self::Cancelled,
    ];

    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Delivering | Self::Waiting)
    }
}

words! {
    /// What made a delivery.
    Trigger {
        /// An event which the hook's subscription covers.
        Event = "event",
        /// A test of the hook.
        Test = "test",
        /// An event shown again. Nothing makes one yet.
        Replay = "replay",
    }
}

/// An event for a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Whose it is.
    pub tenant: TenantId,
    /// For which hook.
    pub hook: HookId,
    /// Which event.
    pub event: EventKey,
    /// The event's type.
    pub event_type: EventType,
    /// What made it.
    pub trigger: Trigger,
    /// Where it stands.
    pub state: DeliveryState,
    /// How many attempts there have been.
    pub attempts: u32,
    /// How many attempts failed since it began or was last retried by hand: its place in the schedule.
    pub failures: u32,
    /// When it is attempted next; none once it is final. While it is leased, when the lease ends.
    pub due_at: Option<UnixMillis>,
}
