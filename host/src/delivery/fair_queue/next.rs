//! What may be done next.

use std::time::Instant;

use super::health::Class;
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, HookId, TenantId};

/// What may be done now.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is moved once for each request, which costs less than an allocation"
)]
pub(in crate::delivery) enum Next {
    /// This attempt starts.
    Start(Started),
    /// Nothing starts before this time, unless something changes.
    WaitUntil(Instant),
    /// Nothing starts until something changes.
    Idle,
}

/// An attempt that starts now.
#[derive(Debug)]
pub(in crate::delivery) struct Started {
    /// What is attempted.
    pub work: Work,
    /// What goes in the same request, if its hook wants that.
    pub others: Vec<Work>,
    /// Requests of its hook in flight, including this one.
    pub of_hook: usize,
    /// Whether its hook has more on disk that should be in memory by the time it may start.
    pub wants_more: bool,
    /// Identifies it for `FairQueue::request_ended` and `FairQueue::recorded`.
    pub key: AttemptKey,
}

/// Identifies an attempt in progress.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct AttemptKey {
    pub(super) delivery: DeliveryId,
    pub(super) hook: HookId,
    pub(super) tenant: TenantId,
    pub(super) class: Class,
    pub(super) started_at: Instant,
    /// Since when the receiver is waited for: if plugins run for many events before, that takes long.
    pub(super) sent_at: Instant,
    /// Whether it counts for a rate.
    pub(super) counts: bool,
    pub(super) of: KeyOf,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOf {
    /// A request and its delivery.
    Attempt,
    /// A request with several deliveries.
    Request,
    /// A delivery in the request of several.
    Delivery,
}

impl AttemptKey {
    /// The key of another delivery in the same request.
    pub(in crate::delivery) fn of_other(self, delivery: DeliveryId) -> Self {
        Self { delivery, of: KeyOf::Delivery, ..self }
    }

    /// Whether its request counts for a rate.
    pub(in crate::delivery) fn counts(self) -> bool {
        self.counts
    }

    /// Divides it: the key of the request, and that of its first delivery.
    pub(in crate::delivery) fn divide(self) -> (Self, Self) {
        (Self { of: KeyOf::Request, ..self }, self.of_other(self.delivery))
    }
}
