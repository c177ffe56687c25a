//! Samples of what the API answers, for tests.

use super::wire::{Attempt, Change, Delivery, Fault};

pub(super) fn delivery() -> Delivery {
    Delivery {
        id: "dlv_01m8rz4g3k2v7".to_owned(),
        hook: "hook_01m8rz4g3k2v1".to_owned(),
        event: "evt_01m8rz4g3k2v5".to_owned(),
        event_id: Some("order-1".to_owned()),
        event_type: "order.paid".to_owned(),
        trigger: "event".to_owned(),
        state: "pending".to_owned(),
        attempt_count: 0,
        next_attempt_at: None,
        created_at: "2026-06-01T09:30:00.000Z".to_owned(),
    }
}

pub(super) fn created(delivery: Delivery) -> Change {
    let at = delivery.created_at.clone();
    Change { change: "created".to_owned(), at, delivery, attempt: None }
}

pub(super) fn attempt(status: u16) -> Attempt {
    Attempt {
        id: "atp_01m8rz4g3k2v9".to_owned(),
        number: 1,
        started_at: "2026-06-01T09:30:00.100Z".to_owned(),
        duration_ms: 12,
        outcome: "response".to_owned(),
        status: Some(status),
        error: None,
        step: None,
        fault: None,
    }
}

/// A change by an attempt that got this status.
pub(super) fn attempted(state: &str, status: u16) -> Change {
    let delivery = Delivery { state: state.to_owned(), attempt_count: 1, ..delivery() };
    Change {
        change: "attempted".to_owned(),
        at: "2026-06-01T09:30:00.112Z".to_owned(),
        delivery,
        attempt: Some(attempt(status)),
    }
}

pub(super) fn faulted() -> Attempt {
    let fault = Fault { kind: "trap".to_owned(), message: "division by zero".to_owned() };
    let outcome = "faulted".to_owned();
    Attempt { outcome, status: None, step: Some(1), fault: Some(fault), ..attempt(200) }
}
