//! `POST /deliveries/{id}/retry` and `/cancel`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;

use super::read::no_delivery;
use super::view::{DeliveryView, EventIds};
use crate::api::auth::Caller;
use crate::api::body::Payload;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::api::{ApiState, SharedApiState};
use crate::delivery::NotRecalled;
use crate::domain::{Delivery, DeliveryId, RetrySchedule, Scope};
use crate::storage::{Cancelled, Changed, StorageError};

/// Retry a delivery
///
/// Requires `deliveries:write`. Attempts the delivery at once, runs the pipeline again, and restarts the
/// retry schedule. A delivery with 200 attempts cannot be retried; publish the event again instead. The
/// request has no body.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "The delivery's id")),
    responses(
        (status = 202, description = "The delivery is due", body = DeliveryView),
        (status = 409, description = "An attempt is in progress, the hook was deleted, or the delivery has 200 attempts", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn retry_delivery(
    State(SharedApiState(engine)): State<SharedApiState>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let ApiState { directory, storage, dispatcher, request_limits: limits, .. } = &*engine;
    let _permit = limits.changes.acquire(tenant).await?;
    let delivery = storage.deliveries.delivery(tenant, id).await?.ok_or_else(|| no_delivery(id))?;
    if directory.hook_of(tenant, delivery.hook).is_none() {
        let detail = format!("the delivery cannot be retried: its hook `{}` was deleted", delivery.hook);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    attempted_too_often(&delivery)?;
    let changed = storage.deliveries.retry(tenant, id, directory.clock().now()).await?;
    let delivery = done(id, changed, "retried")?;
    dispatcher.wake();
    let ids = EventIds::of(storage, tenant, std::slice::from_ref(&delivery)).await?;
    Ok((StatusCode::ACCEPTED, Json(ids.view(delivery))))
}

/// Cancel a delivery
///
/// Requires `deliveries:write`. After the response 202 the delivery is not sent. While an attempt is in
/// progress, the response is 409, because the attempt cannot be recalled; cancel again if it fails. The
/// request has no body.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "The delivery's id")),
    responses(
        (status = 202, description = "The delivery is cancelled", body = DeliveryView),
        (status = 409, description = "The delivery is in a final state, or an attempt is in progress", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn cancel_delivery(
    State(SharedApiState(engine)): State<SharedApiState>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let ApiState { directory, storage, dispatcher, request_limits: limits, .. } = &*engine;
    let permit = limits.changes.acquire(tenant).await?;
    let delivery = storage.deliveries.delivery(tenant, id).await?.ok_or_else(|| no_delivery(id))?;
    let recalled = dispatcher.recall(&delivery, directory.clock().now()).map_err(not_recalled)?;
    let deliveries = Arc::clone(&storage.deliveries);
    // Spawned, so that it completes even if the client disconnects: a delivery that is cancelled on disk must
    // not return to memory.
    let cancelling = tokio::spawn(async move {
        let _permit = permit;
        let cancelled = deliveries.cancel(tenant, id).await?;
        if let Some(Cancelled::Done { lease, .. }) = cancelled {
            recalled.cancelled(lease);
        }
        Ok::<_, StorageError>(cancelled)
    });
    let cancelled = cancelling.await.map_err(|_| StorageError::Closed)??;
    let changed = cancelled.map(|cancelled| match cancelled {
        Cancelled::Done { delivery, .. } => Changed::Done(delivery),
        Cancelled::Refused(state) => Changed::Refused(state),
    });
    let delivery = done(id, changed, "cancelled")?;
    let ids = EventIds::of(storage, tenant, std::slice::from_ref(&delivery)).await?;
    Ok((StatusCode::ACCEPTED, Json(ids.view(delivery))))
}

fn not_recalled(reason: NotRecalled) -> Problem {
    match reason {
        NotRecalled::AttemptInProgress => {
            let detail = "an attempt is in progress and may have reached the receiver; \
                cancel again when the attempt has ended, if it did not succeed";
            Problem::new(Kind::Conflict, detail)
        }
        NotRecalled::TooMany => {
            let detail = "too many cancelled deliveries are still being stored; try again later";
            Problem::new(Kind::TooManyRequests, detail)
        }
    }
}

/// Checks the limit on manual retries.
///
/// # Errors
/// Fails if the delivery has too many attempts.
fn attempted_too_often(delivery: &Delivery) -> Result<(), Problem> {
    const MOST: u32 = RetrySchedule::MAX_ATTEMPTS_FOR_MANUAL_RETRY;
    if delivery.attempts < MOST {
        return Ok(());
    }
    let times = delivery.attempts;
    let detail = format!(
        "the delivery has been attempted {times} times and can be retried up to {MOST} attempts; publish the event again"
    );
    Err(Problem::new(Kind::LimitReached, detail))
}

fn done(id: DeliveryId, changed: Option<Changed>, what: &'static str) -> Result<Delivery, Problem> {
    match changed.ok_or_else(|| no_delivery(id))? {
        Changed::Done(delivery) => Ok(delivery),
        Changed::Refused(state) => {
            let detail = format!("a delivery in the state `{state}` cannot be {what}");
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeliveryState, EventKey, HookId, TenantId, Trigger};

    fn attempted(attempts: u32) -> Delivery {
        Delivery {
            id: DeliveryId(1),
            tenant: TenantId(2),
            hook: HookId(3),
            event: EventKey(4),
            event_type: "a.b".parse().unwrap(),
            trigger: Trigger::Event,
            state: DeliveryState::Exhausted,
            attempts,
            failures: 1,
            due_at: None,
            lease: None,
        }
    }

    #[test]
    fn a_delivery_with_too_many_attempts_cannot_be_retried() {
        assert_eq!(attempted_too_often(&attempted(199)), Ok(()));
        let problem = attempted_too_often(&attempted(200)).unwrap_err();
        assert_eq!(problem.kind(), Kind::LimitReached);
        assert!(problem.detail().contains("attempted 200 times"), "{problem}");
    }
}
