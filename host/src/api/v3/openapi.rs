//! `GET /api/v3/openapi.json`: the OpenAPI 3.1 document, made from the routes themselves.
//!
//! Handlers describe what is theirs, with the [`schemas`] of values that they share. What all have in common is
//! added by [`complete`]: the problems that a request of its kind can meet, and one name for each schema.

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

use crate::api::Shared;
use crate::api::params::NoParams;
use crate::api::problem::{Problem, ProblemBody};

const SCHEME: &str = "key";

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// What the document has before any route is added.
pub(super) fn frame() -> OpenApi {
    let description = "Hookwright takes events in, shapes them by tenants' WebAssembly plugins, and delivers them \
        as signed webhooks.\n\nA tenant's key implies the tenant; the operator's key names one by the header \
        `Hookwright-Tenant`. Unknown members and parameters are refused by name; `null` stands for an absent \
        member. Times are RFC 3339 in UTC with milliseconds. Lists come in pages: send `next` of one page as \
        `cursor` for the next. Refusals are problem details (RFC 9457): 400 for whatever is wrong with what was \
        sent, 409 where the state of things stands against it. Another tenant's things are answered as not there.";
    let key = SecurityScheme::Http(
        Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A tenant's key or the operator's."))
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

/// The finished document.
pub(super) fn document() -> Result<Value, serde_json::Error> {
    serde_json::to_value(super::routes().into_openapi()).map(complete::complete)
}

/// This document
#[utoipa::path(
    get, path = "/api/v3/openapi.json", tag = "engine", security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document of this surface", content_type = "application/json", body = Value)),
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
