//! Webitel's hooks, API v2, for clients that move here by changing a host name.
//!
//! A domain is a tenant: its name is the domain. A hook of this surface is a hook like any other, whose filter, fields,
//! templates and headers are settings of standard plugins; what a client sent is kept beside it and echoed as it was.
//! `host/docs/migrating/webitel.md` lists what differs from the original.

mod access;
mod answer;
mod events;
mod given;
mod hooks;
mod hs256;
mod id;
mod query;
mod token;
mod tokens;
mod unknown_senders;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use http::{HeaderValue, Method, StatusCode, header};

use super::Shared;
use answer::Refusal;

/// What a body may have, in bytes: what the original's reader takes.
const MAX_BODY: usize = 5 * 1024 * 1024;
/// How much of a URL that leads nowhere is repeated, in characters.
const MAX_SHOWN_URL: usize = 2_000;

/// Where the surface is: as documented, and as in the document's curl line, which goes by way of a proxy.
const PLACES: [&str; 2] = ["/api/v2", "/engine/api/v2"];

/// Every route of this surface.
pub fn routes() -> Router<Shared> {
    PLACES.into_iter().fold(Router::new(), |routes, place| {
        // The place itself with a slash at its end is none of what is nested there.
        let bare = any(no_such_route).layer(middleware::from_fn(cross_origin));
        routes.nest(place, surface()).route(&format!("{place}/"), bare)
    })
}

fn surface() -> Router<Shared> {
    Router::new()
        .merge(hooks::routes())
        .merge(events::routes())
        .merge(tokens::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .layer(middleware::from_fn(cross_origin))
}

/// The methods at `path`, and at the same with a slash at its end.
fn either(path: &str, methods: MethodRouter<Shared>) -> Router<Shared> {
    Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods)
}

/// The original knows no method as wrong: a route that does not take one is not found.
async fn no_such_route(OriginalUri(uri): OriginalUri) -> Refusal {
    let mut url: String = uri.to_string();
    if let Some((end, _)) = url.char_indices().nth(MAX_SHOWN_URL) {
        url.truncate(end);
        url.push('…');
    }
    Refusal::new(StatusCode::NOT_FOUND, format!("{url} not found."))
}

/// Lets pages of any origin call, as the original does: what a caller may do hangs on its token, which no browser
/// sends by itself.
async fn cross_origin(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,PUT,POST,PATCH,DELETE,OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-type,Accept,X-Access-Token,X-Key"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    response
}
