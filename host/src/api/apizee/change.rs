//! `PUT` and `DELETE /api/v3/apizee/webhook`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::wire::{WebhookInput, WebhookView};
use super::{find, is_it, no_webhook};
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::json;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::Scope;

/// The greatest size of the settings, in bytes: 50 headers of the greatest size, and the rest.
const MAX_BODY: usize = 256 * 1024;

/// Make or replace the Apizee web hook
///
/// Needs `hooks:write`. What is absent takes its default.
#[utoipa::path(
    put, path = "/api/v3/apizee/webhook", tag = "apizee", request_body = WebhookInput,
    responses((status = 200, description = "Its settings as they are now", body = WebhookView)),
)]
pub(super) async fn put_webhook(
    State(directory): State<Arc<Directory>>,
    State(dispatcher): State<Arc<Dispatcher>>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<Json<WebhookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(Takes::JsonOrUntyped, MAX_BODY).await?;
    let settings = json::parse::<WebhookInput>(&body)?.check()?;
    let hook = directory.put_hook(tenant, is_it, |current| settings.into_hook(tenant, current)).await?;
    // It may have been enabled, with deliveries that have been due for long.
    dispatcher.wake();
    WebhookView::of(&hook).map(Json)
}

/// Delete the Apizee web hook
///
/// Needs `hooks:write`. Its deliveries that are not final are cancelled.
#[utoipa::path(
    delete, path = "/api/v3/apizee/webhook", tag = "apizee",
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_webhook(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find(&directory, tenant)?;
    if !directory.delete_hook(tenant, hook.id).await? {
        return Err(no_webhook());
    }
    Ok(StatusCode::NO_CONTENT)
}
