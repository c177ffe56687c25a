//! `GET /api/v3/openapi.json`: the OpenAPI 3.1 document, made from the routes themselves.
//!
//! Handlers describe what is theirs. What all have in common is added here: the security scheme, and
//! the problems that a request of its kind can meet.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::auth::TENANT_HEADER;
use crate::api::params::NoParams;
use crate::api::problem::{self, Problem, ProblemBody};

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
        .response("Problem", problem_response("What is wrong, and where"))
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
pub(super) fn document() -> OpenApi {
    let mut document = super::routes().into_openapi();
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete(path, operation);
        }
    }
    document
}

/// This document
#[utoipa::path(
    get, path = "/api/v3/openapi.json", tag = "engine", security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document of this surface", content_type = "application/json", body = serde_json::Value)),
)]
pub(super) async fn openapi(_: NoParams) -> Result<impl IntoResponse, Problem> {
    static DOCUMENT: LazyLock<Result<Bytes, serde_json::Error>> =
        LazyLock::new(|| serde_json::to_vec(&document()).map(Bytes::from));
    match &*DOCUMENT {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "application/json")], text.clone())),
        Err(error) => Err(Problem::internal("writing the OpenAPI document", error)),
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Adds the problems that every request of this kind can meet, and the operator's header.
fn complete(path: &str, operation: &mut Operation) {
    let is_open = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    let names_something = path.contains('{');
    for (status, words, applies) in [
        ("400", "Something is wrong with what was sent", true),
        ("401", "No known key was sent", !is_open),
        ("403", "The key may not do that", !is_open),
        ("404", "There is no such thing, or it isn't the caller's", names_something),
        ("408", "The body did not arrive in time", has_body),
        ("413", "The body, or a member of it, is too large", has_body),
        ("415", "The body's type isn't taken here", has_body),
        ("500", "The engine failed", true),
        ("503", "The engine cannot do that right now; Retry-After says when to try again", true),
    ] {
        if applies {
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem_response(words)));
        }
    }
    if !is_open {
        operation.parameters.get_or_insert_default().push(RefOr::T(tenant_header()));
    }
}

fn problem_response(words: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    ResponseBuilder::new().description(words).content(problem::MEDIA_TYPE, Content::new(Some(schema))).build()
}

fn tenant_header() -> Parameter {
    ParameterBuilder::new()
        .name(TENANT_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("For the operator's key: the tenant to act for, by id or name."))
        .schema(Some(String::schema()))
        .build()
}

#[cfg(test)]
mod tests;
