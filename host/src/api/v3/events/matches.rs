//! `GET /events/{id}/matches`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::get::find;
use crate::api::auth::Caller;
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{Params, Segment};
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{EventId, HookId, Scope};
use crate::services::HookMatch;
use crate::storage::Storage;

/// What an event is for one hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookMatch)]
pub(super) struct MatchView {
    #[schema(value_type = schemas::HookId)]
    hook: String,
    /// Whether the hook, as it is now, would get the event.
    matches: bool,
    /// What keeps the hook from getting the event, or kept it when the event was accepted; empty if nothing
    /// did. `type` and `project`: it does not subscribe to the event. `disabled`, `paused`: it is so now.
    /// `created_later`, `changed_later`: after the event was accepted. `test_of_another`: a test event is
    /// only for the tested hook. `dropped`: its pipeline dropped the event.
    #[schema(value_type = Vec<schemas::MatchReason>)]
    why: Vec<&'static str>,
    /// The newest delivery of the event for the hook; null if there is none.
    delivery: Option<MatchedDelivery>,
}

/// A delivery in brief.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MatchedDelivery {
    #[schema(value_type = schemas::DeliveryId)]
    id: String,
    #[schema(value_type = schemas::DeliveryState)]
    state: &'static str,
    /// What created it.
    #[schema(value_type = schemas::Trigger)]
    trigger: &'static str,
}

/// List which hooks an event matches
///
/// Requires `hooks:read` and `deliveries:read`. Says of each hook of the tenant whether it gets the event,
/// and why not. Hooks are compared as they are now; deliveries show what was decided when the event was
/// accepted.
#[utoipa::path(
    get, path = "/api/v3/events/{id}/matches", tag = "events",
    params(
        ("id" = schemas::EventId, Path, description = "The event's id: the sender's or the engine's"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of hooks, oldest first", body = Page<MatchView>)),
)]
pub(super) async fn list_matches(
    State(storage): State<Storage>,
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(id): Segment<EventId>,
    uri: Uri,
) -> Result<Json<Page<MatchView>>, Problem> {
    caller.may(Scope::HooksRead)?;
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let wanted: PageRequest<HookId> = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "matches")?;
    let event = find(&storage, tenant, &id).await?;
    let deliveries = storage.deliveries.of_event(tenant, event.key).await?;
    let view = |id: HookId, found: HookMatch| MatchView {
        hook: id.to_string(),
        matches: found.matches,
        why: found.why.into_iter().map(|reason| reason.as_str()).collect(),
        delivery: found.delivery.map(|delivery| MatchedDelivery {
            id: delivery.id.to_string(),
            state: delivery.state.as_str(),
            trigger: delivery.trigger.as_str(),
        }),
    };
    let (hooks, all_paused) = (directory.hooks(tenant), directory.is_paused(tenant));
    Ok(Json(wanted.select(
        hooks,
        |hook| hook.id,
        |hook| view(hook.id, HookMatch::of(&hook, &event, &deliveries, all_paused)),
    )))
}
