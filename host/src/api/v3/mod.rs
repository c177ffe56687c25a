//! The engine's own API, `/api/v3`. It covers all features.
//!
//! There is one module for each resource and one file for each verb or view. Every route is registered
//! together with its description, so the OpenAPI document lists exactly the routes of the router.

mod deliveries;
mod dry_run;
pub(super) mod events;
mod health;
pub(super) mod hooks;
mod keys;
mod logins;
pub(super) mod openapi;
mod plugins;
mod projects;
mod report;
mod tenants;

use utoipa_axum::router::OpenApiRouter;

use super::{SharedApiState, apizee};

/// The maximum size of a body without event data or plugin settings, in bytes.
const MAX_SMALL_BODY: usize = 64 * 1024;

/// The routes of v3 with their descriptions.
pub fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::with_openapi(openapi::base_document())
        .merge(health::routes())
        .merge(openapi::routes())
        .merge(tenants::routes())
        .merge(projects::routes())
        .merge(keys::routes())
        .merge(logins::routes())
        .merge(events::routes())
        .merge(hooks::routes())
        .merge(plugins::routes())
        .merge(deliveries::routes())
        .merge(apizee::routes())
}
