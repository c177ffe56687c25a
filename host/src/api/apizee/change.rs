//! `PUT` and `DELETE /api/v3/apizee/webhook`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::find::{find, is_it, no_webhook};
use super::wire::{WebhookInput, WebhookView};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{Scope, Surface};
use crate::services::HookService;

/// The maximum size of the settings, in bytes: 50 headers of the maximum size, and the other members.
const MAX_BODY: usize = 256 * 1024;

/// Create or replace the Apizee web hook
///
/// Requires `hooks:write`. Absent members get their defaults.
#[utoipa::path(
    put, path = "/api/v3/apizee/webhook", tag = "apizee", request_body = WebhookInput,
    responses((status = 200, description = "The new settings", body = WebhookView)),
)]
pub(super) async fn put_webhook(
    State(hooks): State<HookService>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<Json<WebhookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(ContentType::JsonOrUntyped, MAX_BODY).await?;
    let settings = json::parse::<WebhookInput>(&body)?.check()?;
    let actor = caller.actor_through(Surface::Apizee);
    let hook = hooks.put(&actor, tenant, is_it, |current| settings.into_hook(tenant, current)).await?;
    WebhookView::of(&hook).map(Json)
}

/// Delete the Apizee web hook
///
/// Requires `hooks:write`. Cancels the web hook's deliveries that are not in a final state.
#[utoipa::path(
    delete, path = "/api/v3/apizee/webhook", tag = "apizee",
    responses((status = 204, description = "The web hook was deleted")),
)]
pub(super) async fn delete_webhook(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find(&directory, tenant)?;
    if !directory.by(&caller.actor_through(Surface::Apizee)).delete_hook(tenant, hook.id).await? {
        return Err(no_webhook());
    }
    Ok(StatusCode::NO_CONTENT)
}
