//! `POST /deliveries/{id}/retry` and `/cancel`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;

use super::view::{DeliveryView, Details};
use crate::api::auth::Caller;
use crate::api::body::Payload;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::domain::{DeliveryId, Scope};
use crate::services::DeliveryService;
use crate::storage::Storage;

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
    State(deliveries): State<DeliveryService>,
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let delivery = deliveries.retry(tenant, id).await?;
    let details = Details::of(&storage, tenant, std::slice::from_ref(&delivery)).await?;
    Ok((StatusCode::ACCEPTED, Json(details.view(delivery))))
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
    State(deliveries): State<DeliveryService>,
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let delivery = deliveries.cancel(tenant, id).await?;
    let details = Details::of(&storage, tenant, std::slice::from_ref(&delivery)).await?;
    Ok((StatusCode::ACCEPTED, Json(details.view(delivery))))
}
