//! `POST /deliveries/{id}/retry` and `/cancel`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;

use super::read::no_delivery;
use super::view::DeliveryView;
use crate::api::auth::Caller;
use crate::api::body::Payload;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::{Kind, Problem};
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{DeliveryId, Scope};
use crate::storage::{Changed, Storage};

/// Retry a delivery
///
/// Needs `deliveries:write`. It is attempted at once, from the start of its schedule, with the pipeline run anew. It takes no
/// members.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/retry", tag = "deliveries",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 202, description = "It will be attempted", body = DeliveryView),
        (status = 409, description = "It is being attempted right now, or its hook is gone", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn retry_delivery(
    State(directory): State<Arc<Directory>>,
    State(storage): State<Storage>,
    State(dispatcher): State<Arc<Dispatcher>>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let delivery = storage.deliveries.delivery(tenant, id).await?.ok_or_else(|| no_delivery(id))?;
    if directory.hook_of(tenant, delivery.hook).is_none() {
        let detail = format!("the delivery cannot be retried: its hook {} is gone", delivery.hook);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let changed = storage.deliveries.retry(tenant, id, directory.clock().now()).await?;
    let answer = answer(id, changed, "retried")?;
    dispatcher.wake();
    Ok(answer)
}

/// Cancel a delivery
///
/// Needs `deliveries:write`. An attempt that is being made may still reach the receiver. It takes no members.
#[utoipa::path(
    post, path = "/api/v3/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 202, description = "It is cancelled", body = DeliveryView),
        (status = 409, description = "It is final already", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn cancel_delivery(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let changed = storage.deliveries.cancel(tenant, id).await?;
    answer(id, changed, "cancelled")
}

fn answer(
    id: DeliveryId,
    changed: Option<Changed>,
    what: &'static str,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    match changed.ok_or_else(|| no_delivery(id))? {
        Changed::Done(delivery) => Ok((StatusCode::ACCEPTED, Json(delivery.into()))),
        Changed::Refused(state) => {
            let detail = format!("the delivery is `{state}` and cannot be {what} now");
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}
