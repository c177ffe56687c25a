//! Records of leases that end: without an attempt, or in an order.

use super::work::Work;
use crate::domain::{DeliveryState, Trigger, UnixMillis};
use crate::storage::{Record, Rendered};

/// When a delivery that is not sent now is due: without an attempt at the time of its acceptance, so that what is held is
/// sent in that order.
pub(super) fn since_accepted(work: &Work, now: UnixMillis) -> UnixMillis {
    if work.attempts == 0 { work.delivery.created_at().min(now) } else { now }
}

/// Ends the lease: the delivery is due at `at`, as if it had not been leased. A test is cancelled instead.
pub(super) fn wait_until(work: &Work, at: UnixMillis) -> Record {
    if work.trigger == Trigger::Test {
        return end_lease(work, DeliveryState::Cancelled, None);
    }
    let state = if work.attempts == 0 { DeliveryState::Pending } else { DeliveryState::Waiting };
    end_lease(work, state, Some(at))
}

/// The record of a delivery that was attempted in an order. Those behind it may follow, if it is final.
pub(super) fn leave_group(record: Record, work: &Work, now: UnixMillis) -> Record {
    match record.state.is_final() || record.leaves.is_some() {
        true => Record { leaves: work.group_left(now), ..record },
        false => record,
    }
}

/// The record of a lease that ends without an attempt.
pub(super) fn end_lease(work: &Work, state: DeliveryState, due_at: Option<UnixMillis>) -> Record {
    Record {
        delivery: work.delivery,
        tenant: work.event.tenant,
        lease: work.lease,
        state,
        attempts: work.attempts,
        failures: work.failures,
        due_at,
        attempt: None,
        rendered: Rendered::Keep,
        leaves: None,
        kept_body: None,
    }
}
