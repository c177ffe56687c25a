//! `GET /deliveries` and `GET /deliveries/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::view::{DeliveryView, EventIds, FullDeliveryView};
use crate::api::auth::Caller;
use crate::api::page::{Page, Wanted};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::turns::Turns;
use crate::api::v3::openapi::schemas;
use crate::domain::{DeliveryId, DeliveryState, Scope};
use crate::storage::{DeliveryQuery, Listed, Storage};

const PARAMS: [&str; 7] = ["hook", "state", "type", "since", "until", "limit", "cursor"];

/// List deliveries
///
/// Needs `deliveries:read`. A page may hold fewer than there are, even none, where much had to be passed over to find
/// them: the list goes on as long as there is a `next`.
#[utoipa::path(
    get, path = "/api/v3/deliveries", tag = "deliveries",
    params(
        ("hook" = Option<schemas::HookId>, Query, description = "Only those for this hook"),
        ("state" = Option<schemas::DeliveryState>, Query, description = "Only those in this state"),
        ("type" = Option<schemas::EventType>, Query, description = "Only those of events of exactly this type"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only those made at this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only those made before this time"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<DeliveryView>)),
)]
pub(super) async fn list_deliveries(
    State(storage): State<Storage>,
    State(turns): State<Arc<Turns>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &PARAMS)?;
    let wanted: Wanted<DeliveryId> = Wanted::of(&params, "deliveries")?;
    let query = DeliveryQuery {
        hook: params.parse("hook")?,
        state: params.parse("state")?,
        event_type: params.parse("type")?,
        since: params.time("since")?,
        until: params.time("until")?,
        before: wanted.after,
        // One more tells whether there is a next page.
        limit: u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX),
    };
    if query.since.zip(query.until).is_some_and(|(since, until)| since >= until) {
        return Err(Problem::parameter(
            "until",
            "`until` is not later than `since`: there is nothing between",
        ));
    }
    // Those are looked for among all that are unfinished, however many there are.
    let _turn = match query.state {
        Some(DeliveryState::Delivering) => Some(turns.walks.turn(tenant).await?),
        _ => None,
    };
    let Listed { deliveries, searched_to } = storage.deliveries.list(tenant, &query).await?;
    let ids = EventIds::of(&storage, tenant, &deliveries).await?;
    Ok(Json(wanted.cut(deliveries, searched_to, |delivery| delivery.id, |delivery| ids.view(delivery))))
}

/// One delivery with its attempts
///
/// Needs `deliveries:read`.
#[utoipa::path(
    get, path = "/api/v3/deliveries/{id}", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "Its id")),
    responses((status = 200, description = "The delivery", body = FullDeliveryView)),
)]
pub(super) async fn get_delivery(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
) -> Result<Json<FullDeliveryView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let found = storage.deliveries.with_attempts(tenant, id).await?;
    let (delivery, attempts) = found.ok_or_else(|| no_delivery(id))?;
    let state = delivery.state;
    let ids = EventIds::of(&storage, tenant, std::slice::from_ref(&delivery)).await?;
    Ok(Json(FullDeliveryView::of(state, ids.view(delivery), &attempts)))
}

pub(super) fn no_delivery(id: DeliveryId) -> Problem {
    Problem::not_found("delivery", &id.to_string())
}
