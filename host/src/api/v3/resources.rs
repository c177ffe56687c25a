//! The routes of all resources.

use utoipa_axum::router::OpenApiRouter;

use super::openapi::base::base_document;
use super::{
    audit_log, deliveries, engine, events, health, hooks, jobs, jwks, keys, logins, nodes, operator_keys,
    plugins, projects, sign_in_links, stats, stream, tenants,
};
use crate::api::{SharedApiState, apizee};

/// The routes with their descriptions, except the route of the OpenAPI document itself.
pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::with_openapi(base_document())
        .merge(health::routes())
        .merge(nodes::routes())
        .merge(engine::routes())
        .merge(operator_keys::routes())
        .merge(tenants::routes())
        .merge(projects::routes())
        .merge(keys::routes())
        .merge(logins::routes())
        .merge(sign_in_links::routes())
        .merge(events::routes())
        .merge(hooks::routes())
        .merge(jwks::routes())
        .merge(plugins::routes())
        .merge(deliveries::routes())
        .merge(jobs::routes())
        .merge(stats::routes())
        .merge(stream::routes())
        .merge(audit_log::routes())
        .merge(apizee::routes())
}
