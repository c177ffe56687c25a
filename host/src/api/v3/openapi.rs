//! `GET /api/v3/openapi.json`: the OpenAPI 3.1 document, generated from the routes.
//!
//! Handlers describe their own requests and responses, with shared value types from [`schemas`]. [`complete`]
//! adds the parts that operations have in common: error responses, the tenant header, and a name for each
//! schema.

pub(super) mod base;
mod complete;
pub(in crate::api) mod schemas;

use std::sync::LazyLock;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::resources;
use crate::api::SharedApiState;
use crate::api::params::NoParams;
use crate::api::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// The complete document.
pub(super) fn document() -> Result<Value, serde_json::Error> {
    serde_json::to_value(resources::routes().merge(routes()).into_openapi()).map(complete::complete)
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
