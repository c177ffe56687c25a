//! Apizee's company web hook: one for each tenant, with the settings of Apizee's console.
//!
//! Apizee has no API for these settings, so the routes are part of v3 and of its OpenAPI document. The web
//! hook is a hook of the engine with [`Surface::Apizee`](crate::domain::Surface). Its pipeline is the
//! standard plugin `apizee-envelope`.

mod change;
mod find;
mod read;
mod wire;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::SharedApiState;

/// The routes of the surface.
pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(read::get_webhook, change::put_webhook, change::delete_webhook))
}
