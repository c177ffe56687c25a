//! Apizee's company web hook: one for each tenant, with the settings of Apizee's console.
//!
//! Apizee has no API for these settings, so the routes are part of v3 and of its OpenAPI document. The web
//! hook is a hook of the engine with [`Surface::Apizee`](crate::domain::Surface). Its pipeline is the
//! standard plugin `apizee-envelope`.

mod change;
mod read;
mod wire;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::SharedApiState;
use super::problem::{Kind, Problem};
use crate::directory::Directory;
use crate::domain::{Hook, Surface, TenantId};

/// The routes of the surface.
pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(read::get_webhook, change::put_webhook, change::delete_webhook))
}

/// Finds the tenant's web hook.
///
/// # Errors
/// Fails if the tenant has none.
fn find(directory: &Directory, tenant: TenantId) -> Result<Arc<Hook>, Problem> {
    directory.hooks_through(tenant, Surface::Apizee).into_iter().next().ok_or_else(no_webhook)
}

fn is_it(hook: &Hook) -> bool {
    hook.origin.surface == Surface::Apizee
}

fn no_webhook() -> Problem {
    Problem::new(
        Kind::NotFound,
        "the tenant has no Apizee web hook; create it with PUT /api/v3/apizee/webhook",
    )
}
