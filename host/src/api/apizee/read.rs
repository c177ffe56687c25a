//! `GET /api/v3/apizee/webhook`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::no_webhook;
use super::wire::WebhookView;
use crate::api::auth::Caller;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{Scope, Surface};

/// The Apizee web hook
///
/// Needs `hooks:read`.
#[utoipa::path(
    get, path = "/api/v3/apizee/webhook", tag = "apizee",
    responses((status = 200, description = "Its settings", body = WebhookView)),
)]
pub(super) async fn get_webhook(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<WebhookView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let hook = directory.hooks_through(tenant, Surface::Apizee).into_iter().next().ok_or_else(no_webhook)?;
    WebhookView::of(&hook).map(Json)
}
