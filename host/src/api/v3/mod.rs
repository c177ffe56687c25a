//! The engine's own API, `/api/v3`. It covers all features.
//!
//! There is one module for each resource and one file for each verb or view. Every route is registered
//! together with its description, so the OpenAPI document lists exactly the routes of the router.

mod audit_log;
mod comparison;
mod deliveries;
mod dry_run;
mod engine;
pub(super) mod events;
mod fault_place;
mod health;
pub(super) mod hooks;
mod jobs;
mod jwks;
mod key_end;
mod keys;
mod limits;
mod logins;
pub mod nodes;
pub(super) mod openapi;
mod operator_keys;
mod plugins;
mod projects;
mod report;
mod resources;
mod sign_in_links;
mod stats;
mod stream;
mod tenants;

use utoipa_axum::router::OpenApiRouter;

use super::SharedApiState;

/// The routes of v3 with their descriptions.
pub fn routes() -> OpenApiRouter<SharedApiState> {
    resources::routes().merge(openapi::routes())
}
