//! The engine's own surface, `/api/v3`. It has everything.
//!
//! A file for each resource or verb. Every route is registered with its description, so that the
//! OpenAPI document is the router's own list.

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

use super::{Shared, apizee};

/// What a body of plain settings may have, in bytes.
const MAX_SMALL_BODY: usize = 64 * 1024;

/// Every route of v3, with its description.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::frame())
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
