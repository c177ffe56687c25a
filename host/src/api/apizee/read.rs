//! `GET /api/v3/apizee/webhook`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::find::find;
use super::wire::WebhookView;
use crate::api::auth::Caller;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::Scope;

/// Get the Apizee web hook
///
/// Requires `hooks:read`.
#[utoipa::path(
    get, path = "/api/v3/apizee/webhook", tag = "apizee",
    responses((status = 200, description = "The settings", body = WebhookView)),
)]
pub(super) async fn get_webhook(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<WebhookView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    WebhookView::of(&*find(&directory, tenant)?).map(Json)
}
