//! `POST /events/{id}/deliveries`: sends a stored event to one hook.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::get::find;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::deliveries::DeliveryView;
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::domain::{EventId, HookId, Scope};
use crate::services::DeliveryService;
use crate::storage::{DeliveryNote, Storage};

/// The hook that gets the event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedeliveryInput {
    /// The hook's id.
    #[schema(value_type = schemas::HookId)]
    hook: String,
}

/// Send a stored event to a hook
///
/// Requires `deliveries:write`. Creates a delivery with the trigger `replay`, also if the hook does not
/// subscribe to the event or has a delivery of it already. The hook's pipeline runs as it is now.
#[utoipa::path(
    post, path = "/api/v3/events/{id}/deliveries", tag = "events", request_body = RedeliveryInput,
    params(("id" = schemas::EventId, Path, description = "The event's id: the sender's or the engine's")),
    responses(
        (status = 202, description = "The delivery is due", body = DeliveryView),
        (status = 409, description = "The hook is disabled, or the event has too many deliveries or was erased", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn redeliver_event(
    State(deliveries): State<DeliveryService>,
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<EventId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let RedeliveryInput { hook } = json::parse(&body)?;
    let hook: HookId = hook.parse().map_err(|_| {
        Problem::at(Kind::InvalidValue, Pointer::to("hook"), "`hook` is the id of a hook, such as `hook_…`")
    })?;
    let event = find(&storage, tenant, &id).await?;
    let delivery = deliveries.redeliver(tenant, event.key, hook).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryView::of(delivery, &event.id, DeliveryNote::default()))))
}
