//! `GET /deliveries` and `GET /deliveries/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::attempt::AttemptView;
use super::filter::{filter_of, notes_of};
use super::include::Include;
use super::view::{DeliveryView, Details, FullDeliveryView, page_of_attempts};
use crate::api::auth::Caller;
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::domain::{Attempt, AttemptId, Delivery, DeliveryId, DeliveryState, Scope, TenantId};
use crate::services::{ListPart, RequestLimits, list_filtered, list_noted};
use crate::storage::{Listed, Storage};

/// The number of attempts in the view of one delivery.
const LATEST_ATTEMPTS: usize = 20;
/// The maximum number of attempts on a page.
const MAX_ATTEMPTS: usize = 100;
/// The name of lists of attempts in their cursors.
const ATTEMPTS: &str = "attempts";
const PARAMS: [&str; 11] = [
    "hook",
    "event",
    "state",
    "type",
    "job",
    "interrupted",
    "since",
    "until",
    Include::PARAM,
    "limit",
    "cursor",
];

/// List deliveries
///
/// Requires `deliveries:read`. A search that passes over many deliveries stops early: a page may then have
/// fewer items than `limit`, or none, although more follow. The list is complete when `next` is null.
#[utoipa::path(
    get, path = "/api/v3/deliveries", tag = "deliveries",
    params(
        ("hook" = Option<schemas::HookId>, Query, description = "Only deliveries for this hook"),
        ("event" = Option<schemas::EventId>, Query, description = "Only deliveries of this event: the sender's id or the engine's"),
        ("state" = Option<schemas::DeliveryStates>, Query, description = "Only deliveries in this state, or in one of several, such as `waiting,exhausted`"),
        ("type" = Option<schemas::TypePattern>, Query, description = "Only deliveries of events of this type, or of all types with a prefix, such as `order.*`"),
        ("job" = Option<schemas::JobId>, Query, description = "Only deliveries that this replay made"),
        ("interrupted" = Option<bool>, Query, description = "With `true`, only deliveries that were interrupted, and may have been sent twice"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only deliveries created at this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only deliveries created before this time"),
        ("include" = Option<schemas::DeliveryInclude>, Query, description = "With `last_attempt`, each delivery shows its last attempt"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of deliveries, newest first", body = Page<DeliveryView>)),
)]
pub(super) async fn list_deliveries(
    State(storage): State<Storage>,
    State(limits): State<Arc<RequestLimits>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &PARAMS)?;
    let wanted: PageRequest<DeliveryId> = PageRequest::of(&params, "deliveries")?;
    let (filter, notes, include) = (filter_of(&params)?, notes_of(&params)?, Include::of(&params)?);
    // One more, to know whether there is a next page.
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    let Listed { deliveries, searched_to } = if let Some(notes) = notes {
        list_noted(&storage, tenant, (notes, &filter), wanted.after, limit).await?
    } else {
        // The search for this state reads all unfinished deliveries of the tenant.
        let _permit = match filter.states.contains(&DeliveryState::Delivering) {
            true => Some(limits.scans.acquire(tenant).await?),
            false => None,
        };
        list_filtered(&storage, tenant, &filter, ListPart::Before(wanted.after), limit).await?
    };
    let details = Details::of(&storage, tenant, &deliveries).await?;
    let included = include.read(&storage, tenant, &deliveries).await?;
    let view = |delivery: Delivery| {
        let last = included.get(&delivery.id);
        details.view(delivery).with_last_attempt(last)
    };
    Ok(Json(wanted.cut(deliveries, searched_to, |delivery| delivery.id, view)))
}

/// Get a delivery with its latest attempts
///
/// Requires `deliveries:read`. Includes the latest 20 attempts; `GET /deliveries/{id}/attempts` lists all.
#[utoipa::path(
    get, path = "/api/v3/deliveries/{id}", tag = "deliveries",
    params(("id" = schemas::DeliveryId, Path, description = "The delivery's id")),
    responses((status = 200, description = "The delivery", body = FullDeliveryView)),
)]
pub(super) async fn get_delivery(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    _: NoParams,
) -> Result<Json<FullDeliveryView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let latest = PageRequest::first(LATEST_ATTEMPTS, ATTEMPTS);
    let (delivery, attempts) = attempts_of(&storage, tenant, id, &latest).await?;
    let state = delivery.state;
    let details = Details::of(&storage, tenant, std::slice::from_ref(&delivery)).await?;
    let ordering_key = storage.events.ordering_key(tenant, delivery.event).await?;
    Ok(Json(FullDeliveryView::of(state, (details.view(delivery), ordering_key), attempts, &latest)))
}

/// List the attempts of a delivery
///
/// Requires `deliveries:read`. `limit` is at most 100.
#[utoipa::path(
    get, path = "/api/v3/deliveries/{id}/attempts", tag = "deliveries",
    params(
        ("id" = schemas::DeliveryId, Path, description = "The delivery's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of attempts, newest first", body = Page<AttemptView>)),
)]
pub(super) async fn list_attempts(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<DeliveryId>,
    uri: Uri,
) -> Result<Json<Page<AttemptView>>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &page::PARAMS)?;
    let wanted: PageRequest<AttemptId> = PageRequest::of(&params, ATTEMPTS)?;
    if wanted.limit > MAX_ATTEMPTS {
        return Err(Problem::parameter(
            "limit",
            format!("`limit` is an integer from 1 to {MAX_ATTEMPTS} for attempts"),
        ));
    }
    let (_, attempts) = attempts_of(&storage, tenant, id, &wanted).await?;
    Ok(Json(page_of_attempts(attempts, &wanted)))
}

/// The delivery and its attempts after the cursor, newest first: one more than fits on the page, to know
/// whether there is a next page.
async fn attempts_of(
    storage: &Storage,
    tenant: TenantId,
    id: DeliveryId,
    wanted: &PageRequest<AttemptId>,
) -> Result<(Delivery, Vec<Attempt>), Problem> {
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    let found = storage.deliveries.with_attempts(tenant, id, wanted.after, limit).await?;
    found.ok_or_else(|| no_delivery(id))
}

pub(super) fn no_delivery(id: DeliveryId) -> Problem {
    Problem::not_found("delivery", &id.to_string())
}
