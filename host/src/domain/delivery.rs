//! Deliveries: the sending of one event to one hook.

use super::attempt::named_enum;
use super::{DeliveryId, EventKey, EventType, HookId, Invalid, Lease, TenantId, UnixMillis};
use std::fmt;
use std::str::FromStr;

named_enum! {
    /// State of a delivery.
    DeliveryState {
    /// It waits for its first attempt.
    Pending = "pending",
    /// It is leased to a process that attempts it.
    Delivering = "delivering",
    /// An attempt failed, and it waits for the next.
    Waiting = "waiting",
    /// The receiver accepted it.
    Succeeded = "succeeded",
    /// All attempts failed.
    Exhausted = "exhausted",
    /// The pipeline dropped it.
    Dropped = "dropped",
    /// It was cancelled, or its hook was deleted.
        Cancelled = "cancelled",
    }
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Delivering,
        Self::Waiting,
        Self::Succeeded,
        Self::Exhausted,
        Self::Dropped,
        Self::Cancelled,
    ];

    /// Whether the engine makes no further attempt by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Delivering | Self::Waiting)
    }
}

named_enum! {
    /// What created a delivery.
    Trigger {
        /// An event that the hook's subscription matches.
        Event = "event",
        /// A test of the hook.
        Test = "test",
        /// An accepted event that was sent again.
        Replay = "replay",
    }
}

/// The sending of one event to one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The hook.
    pub hook: HookId,
    /// The event.
    pub event: EventKey,
    /// The event's type.
    pub event_type: EventType,
    /// What created it.
    pub trigger: Trigger,
    /// Its state.
    pub state: DeliveryState,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Number of failed attempts since it was created or last retried by hand: its position in the retry schedule.
    pub failures: u32,
    /// When it is attempted next. `None` while it is leased, and in a final state.
    pub due_at: Option<UnixMillis>,
    /// The lease under which it is attempted. `None` unless it is in state `delivering`.
    pub lease: Option<Lease>,
}

impl Delivery {
    /// When it is attempted next, if it waits for that.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<UnixMillis> {
        self.due_at.filter(|_| matches!(self.state, DeliveryState::Pending | DeliveryState::Waiting))
    }
}
