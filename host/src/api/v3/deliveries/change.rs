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
use crate::api::{ApiState, Shared};
use crate::delivery::NotRecalled;
use crate::domain::{Delivery, DeliveryId, RetrySchedule, Scope};
use crate::storage::{Cancelled, Changed, StorageError};

/// Retry a delivery
///
/// Needs `deliveries:write`. It is attempted at once, from the start of its schedule, with the pipeline run anew. It takes no
/// members. After 200 attempts it is refused: publish the event again.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "Its id")),
    responses(
        (status = 202, description = "It will be attempted", body = DeliveryView),
        (status = 409, description = "It is being attempted right now, its hook is gone, or it has been attempted 200 times", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn retry_delivery(
    State(Shared(engine)): State<Shared>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let ApiState { directory, storage, dispatcher, turns, .. } = &*engine;
    let _turn = turns.changes.turn(tenant).await?;
    let delivery = storage.deliveries.delivery(tenant, id).await?.ok_or_else(|| no_delivery(id))?;
    if directory.hook_of(tenant, delivery.hook).is_none() {
        let detail = format!("the delivery cannot be retried: its hook {} is gone", delivery.hook);
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
/// Needs `deliveries:write`. Once this is answered with 202, it is not sent. An attempt that is being made cannot be called
/// back, so it is refused meanwhile; cancel the delivery again if the attempt fails. It takes no members.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "Its id")),
    responses(
        (status = 202, description = "It is cancelled", body = DeliveryView),
        (status = 409, description = "It is final already, or being attempted right now", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn cancel_delivery(
    State(Shared(engine)): State<Shared>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let ApiState { directory, storage, dispatcher, turns, .. } = &*engine;
    let turn = turns.changes.turn(tenant).await?;
    let delivery = storage.deliveries.delivery(tenant, id).await?.ok_or_else(|| no_delivery(id))?;
    let recalled = dispatcher.recall(&delivery, directory.clock().now()).map_err(not_recalled)?;
    let deliveries = Arc::clone(&storage.deliveries);
    // To the end, though the client may have gone: what is cancelled on disk must not be put back into memory.
    let cancelling = tokio::spawn(async move {
        let _turn = turn;
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
        NotRecalled::UnderWay => {
            let detail = "the delivery is being attempted right now and may have reached its receiver; \
                cancel it again when the attempt has ended, if it did not succeed";
            Problem::new(Kind::Conflict, detail)
        }
        NotRecalled::TooMany => {
            let detail =
                "too many deliveries have been cancelled that are still being stored; try again in a moment";
            Problem::new(Kind::TooManyRequests, detail)
        }
    }
}

/// # Errors
/// Where the delivery has had as many attempts as it may have had to be retried.
fn attempted_too_often(delivery: &Delivery) -> Result<(), Problem> {
    const MOST: u32 = RetrySchedule::MAX_BEFORE_RETRY_BY_HAND;
    if delivery.attempts < MOST {
        return Ok(());
    }
    let times = delivery.attempts;
    let detail = format!(
        "it has been attempted {times} times, and after {MOST} it is retried by hand no more; publish the event again"
    );
    Err(Problem::new(Kind::LimitReached, detail))
}

fn done(id: DeliveryId, changed: Option<Changed>, what: &'static str) -> Result<Delivery, Problem> {
    match changed.ok_or_else(|| no_delivery(id))? {
        Changed::Done(delivery) => Ok(delivery),
        Changed::Refused(state) => {
            let detail = format!("the delivery is `{state}` and cannot be {what} now");
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
        }
    }

    #[test]
    fn what_was_attempted_very_often_is_not_retried_by_hand() {
        assert_eq!(attempted_too_often(&attempted(199)), Ok(()));
        let problem = attempted_too_often(&attempted(200)).unwrap_err();
        assert_eq!(problem.kind(), Kind::LimitReached);
        assert!(problem.detail().contains("attempted 200 times"), "{problem}");
    }
}
