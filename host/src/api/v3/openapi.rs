//! `GET /api/v3/openapi.json`: the OpenAPI 3.1 document, generated from the routes.
//!
//! Handlers describe their own requests and responses, with shared value types from [`schemas`]. [`complete`]
//! adds the parts that operations have in common: error responses, the tenant header, and a name for each
//! schema.

mod complete;
pub(in crate::api) mod schemas;

use std::sync::LazyLock;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
use crate::api::params::NoParams;
use crate::api::problem::{Problem, ProblemBody};

const SCHEME: &str = "key";

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// The document without routes.
pub(super) fn base_document() -> OpenApi {
    let description = "Hookwright accepts events, shapes them with the WebAssembly plugins of tenants, and delivers them \
        as signed webhooks.\n\nA key belongs to one tenant. Requests with the operator's key name the tenant in the header \
        `Hookwright-Tenant`. Unknown members and parameters are errors; a member that is `null` counts as absent. \
        Times are RFC 3339, in responses in UTC with milliseconds. Lists are paginated: send `next` of one page as \
        `cursor` to get the next. Error responses are problem details (RFC 9457): 400 if the request is invalid, \
        409 if it conflicts with stored state. Resources of other tenants are reported as not found.";
    let key = SecurityScheme::Http(
        Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key of a tenant, or the operator's key."))
            .build(),
    );
    let components = ComponentsBuilder::new()
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme(SCHEME, key)
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Hookwright v3")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(description))
                .build(),
        )
        .security(Some([SecurityRequirement::new(SCHEME, [] as [&str; 0])]))
        .components(Some(components))
        .build()
}

/// The complete document.
pub(super) fn document() -> Result<Value, serde_json::Error> {
    serde_json::to_value(super::routes().into_openapi()).map(complete::complete)
}

/// Get the OpenAPI document
#[utoipa::path(
    get, path = "/api/v3/openapi.json", tag = "engine", security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document of API v3", content_type = "application/json", body = Value)),
)]
pub(super) async fn openapi(_: NoParams) -> Result<impl IntoResponse, Problem> {
    static DOCUMENT: LazyLock<Result<Bytes, serde_json::Error>> =
        LazyLock::new(|| serde_json::to_vec(&document()?).map(Bytes::from));
    match &*DOCUMENT {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "application/json")], text.clone())),
        Err(error) => Err(Problem::internal("writing the OpenAPI document", error)),
    }
}

#[cfg(test)]
mod tests;
