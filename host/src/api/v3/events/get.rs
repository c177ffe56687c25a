//! `GET /events/{id}` and `GET /events/{id}/deliveries`.

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::json;
use crate::api::page::{Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::deliveries::{DeliveryView, Include};
use crate::api::v3::openapi::schemas;
use crate::domain::{Delivery, DeliveryId, Event, EventId, Scope, TenantId};
use crate::storage::Storage;

/// The query parameters of the list of deliveries.
const PARAMS: [&str; 3] = [Include::PARAM, "limit", "cursor"];

/// An accepted event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(in crate::api::v3) struct EventView {
    /// The id that receivers see as `webhook-id`: the sender's id if it gave one, else the engine's.
    #[schema(value_type = schemas::EventId)]
    id: String,
    /// The engine's id, which deliveries have as `event`. `GET /events/{id}` accepts both ids.
    #[schema(value_type = schemas::EngineEventId)]
    engine_id: String,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    /// When the event occurred according to its sender; `accepted_at` if the sender did not say.
    occurred_at: Time,
    /// When the engine accepted the event.
    accepted_at: Time,
    /// The key by which hooks keep an order; absent if the event has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::OrderingKey)]
    ordering_key: Option<String>,
    /// When the content was erased; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Time)]
    erased_at: Option<Time>,
    /// The data, exactly as it was sent; null if it was erased.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.to_string(),
            engine_id: event.key.to_string(),
            event_type: event.event_type.to_string(),
            project: event.project,
            occurred_at: Time(event.occurred_at),
            accepted_at: Time(event.accepted_at()),
            erased_at: None,
            ordering_key: event.ordering_key.as_ref().map(|key| key.as_str().to_owned()),
            data: json::raw(&event.data),
        }
    }
}

/// Get an event
///
/// Requires `events:read`.
#[utoipa::path(
    get, path = "/api/v3/events/{id}", tag = "events",
    params(("id" = schemas::EventId, Path, description = "The event's id: the sender's or the engine's")),
    responses((status = 200, description = "The event", body = EventView)),
)]
pub(super) async fn get_event(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<EventId>,
    _: NoParams,
) -> Result<Json<EventView>, Problem> {
    let tenant = caller.may(Scope::EventsRead)?;
    let event = find(&storage, tenant, &id).await?;
    let erased_at = match &*event.data {
        // Only then it may be erased.
        "null" => storage.retention.erased_at(tenant, event.key).await?,
        _ => None,
    };
    Ok(Json(EventView { erased_at: erased_at.map(Time), ..event.into() }))
}

pub(super) async fn find(storage: &Storage, tenant: TenantId, id: &EventId) -> Result<Event, Problem> {
    let event = storage.events.event(tenant, id).await?;
    event.ok_or_else(|| Problem::not_found("event", id.as_str()))
}

/// List the deliveries of an event
///
/// Requires `deliveries:read`.
#[utoipa::path(
    get, path = "/api/v3/events/{id}/deliveries", tag = "events",
    params(
        ("id" = schemas::EventId, Path, description = "The event's id: the sender's or the engine's"),
        ("include" = Option<schemas::DeliveryInclude>, Query, description = "With `last_attempt`, each delivery shows its last attempt"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of deliveries, oldest first", body = Page<DeliveryView>)),
)]
pub(super) async fn list_event_deliveries(
    State(storage): State<Storage>,
    caller: Caller,
    Segment(id): Segment<EventId>,
    uri: Uri,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &PARAMS)?;
    let wanted: PageRequest<DeliveryId> = PageRequest::of(&params, "event-deliveries")?;
    let include = Include::of(&params)?;
    let event = find(&storage, tenant, &id).await?;
    let id_of = |delivery: &Delivery| delivery.id;
    // An event may have many more deliveries than a page shows.
    let deliveries = wanted.take(storage.deliveries.of_event(tenant, event.key).await?, id_of);
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
    let notes = storage.delivery_notes.notes_of(tenant, &ids).await?;
    let included = include.read(&storage, tenant, &deliveries).await?;
    let view = |delivery: Delivery| {
        let note = notes.get(&delivery.id).copied().unwrap_or_default();
        let last = included.get(&delivery.id);
        DeliveryView::of(delivery, &event.id, note).with_last_attempt(last)
    };
    Ok(Json(wanted.cut(deliveries, None, id_of, view)))
}
