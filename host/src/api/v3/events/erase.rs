//! `DELETE /events/{id}`: erases the content of an event.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::get::find;
use crate::api::author::Author;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{AuditAction, AuditObject, EventId, Scope};
use crate::services::DeliveryService;
use crate::storage::Storage;

/// An event whose content was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasedEvent)]
pub(super) struct ErasedView {
    /// The id that receivers saw as `webhook-id`.
    #[schema(value_type = schemas::EventId)]
    id: String,
    /// The engine's id.
    #[schema(value_type = schemas::EngineEventId)]
    engine_id: String,
    /// When the content was erased.
    erased_at: Time,
    /// How many deliveries the event has in each state. Those that were not final are cancelled.
    deliveries: BTreeMap<&'static str, u32>,
    /// How many deliveries were attempted: their receivers may have the content.
    attempted: u32,
}

/// Erase an event
///
/// Requires `events:write`. Removes the event's data and ordering key, what was to be sent, and the attempts of its
/// deliveries with what they sent and got. Deliveries that are not final are cancelled; a request that is being sent
/// is not recalled, and its record is removed when it ends. The event itself stays, with `data` null and `erased_at`,
/// until it is deleted as other events of its time. Its id stays known: whatever is published with it is a
/// duplicate. It cannot be undone; a second request has the same result.
#[utoipa::path(
    delete, path = "/api/v3/events/{id}", tag = "events",
    params(("id" = schemas::EventId, Path, description = "The event's id: the sender's or the engine's")),
    responses((status = 200, description = "The content is erased", body = ErasedView)),
)]
pub(super) async fn erase_event(
    State(deliveries): State<DeliveryService>,
    State(storage): State<Storage>,
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<EventId>,
    _: NoParams,
) -> Result<Json<ErasedView>, Problem> {
    let tenant = caller.may(Scope::EventsWrite)?;
    let event = find(&storage, tenant, &id).await?;
    let object = AuditObject::new("event", event.key);
    let (actor, action) = (caller.actor(), AuditAction::EventErased);
    let editor = directory.by(&actor);
    // Erasing is bounded by what was accepted, and repeating it is not.
    match storage.retention.erased_at(tenant, event.key).await? {
        None => editor.note_removal(tenant, action, object).await?,
        Some(_) => editor.note(tenant, action, object, Vec::new()).await?,
    }
    let Some(erased) = deliveries.erase(tenant, event.key).await? else {
        return Err(Problem::not_found("event", id.as_str()));
    };
    Ok(Json(ErasedView {
        id: event.id.to_string(),
        engine_id: event.key.to_string(),
        erased_at: Time(erased.at),
        deliveries: erased.states.iter().map(|(state, count)| (state.as_str(), *count)).collect(),
        attempted: erased.attempted,
    }))
}
