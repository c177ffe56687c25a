//! `/engine`: the operator pauses and resumes deliveries of all tenants, and sees how the engine is.

mod figures;
mod unwell_hooks;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::MAX_SMALL_BODY;
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::{SharedApiState, json};
use crate::directory::Directory;
use crate::domain::UnixMillis;
use crate::services::HookStates;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_engine, patch_engine))
        .routes(routes!(figures::get_figures))
        .routes(routes!(unwell_hooks::list_unwell_hooks))
}

/// What holds for all tenants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Engine)]
pub(super) struct EngineView {
    /// Whether the deliveries of all tenants are held.
    paused: bool,
    /// Since when; null if they are not.
    paused_since: Option<Time>,
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnginePatch {
    /// Whether the deliveries of all tenants are held.
    paused: Option<bool>,
}

fn view(since: Option<UnixMillis>) -> Json<EngineView> {
    Json(EngineView { paused: since.is_some(), paused_since: since.map(Time) })
}

/// Get whether the engine is paused
///
/// Requires the operator's key.
#[utoipa::path(
    get, path = "/api/v3/engine", tag = "engine",
    responses((status = 200, description = "What holds for all tenants", body = EngineView)),
)]
pub(super) async fn get_engine(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<EngineView>, Problem> {
    caller.must_read_as_operator()?;
    Ok(view(directory.engine_paused_since()))
}

/// Pause or resume the engine
///
/// Requires the operator's key. While the engine is paused, events are accepted and matched, and nothing is
/// sent; this holds for all nodes, and across restarts. Resuming sends what was held, in the order of
/// acceptance.
#[utoipa::path(
    patch, path = "/api/v3/engine", tag = "engine",
    request_body(content = EnginePatch, content_type = "application/merge-patch+json", description = "What to change"),
    responses((status = 200, description = "What holds now", body = EngineView)),
)]
pub(super) async fn patch_engine(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<Json<EngineView>, Problem> {
    caller.must_be_operator()?;
    let body = payload.read(ContentType::MergePatch, MAX_SMALL_BODY).await?;
    let EnginePatch { paused } = json::parse(&body)?;
    let Some(paused) = paused else { return Ok(view(directory.engine_paused_since())) };
    Ok(view(states.pause_engine(&caller.actor(), paused).await?))
}
