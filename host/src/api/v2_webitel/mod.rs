//! Webitel's hooks, API v2, for clients that migrate by changing the host name.
//!
//! A domain is a tenant, whose name is the domain. A hook of this surface is a hook of the engine: filter,
//! fields, templates and headers become settings of standard plugins. The members that the client sent are
//! stored with the hook and returned unchanged. `host/docs/migrating/webitel.md` lists the differences from
//! the original API.

mod access;
mod events;
mod hooks;
mod hs256;
mod id;
mod input;
mod query;
mod response;
mod slashes;
mod token;
mod tokens;
mod unauthenticated_reads;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{HeaderValue, Method, StatusCode, header};

use super::SharedApiState;
use response::ApiError;

/// The maximum length of an unknown URL in an error message, in characters.
const MAX_SHOWN_URL: usize = 2_000;

/// The prefixes of the paths: as documented, and as in the documented curl example, which goes through a
/// proxy.
const PREFIXES: [&str; 2] = ["/api/v2", "/engine/api/v2"];

/// The whole paths of the surface.
pub(super) fn paths() -> impl Iterator<Item = String> {
    let paths = || hooks::PATHS.into_iter().chain([events::PATH]).chain(tokens::PATHS);
    PREFIXES.into_iter().flat_map(move |prefix| paths().map(move |path| format!("{prefix}{path}")))
}

/// The routes of the surface.
pub fn routes() -> Router<SharedApiState> {
    PREFIXES.into_iter().fold(Router::new(), |routes, prefix| {
        // `nest` does not match the prefix with a trailing slash.
        let bare = any(no_such_route).layer(middleware::from_fn(cross_origin));
        routes.nest(prefix, surface()).route(&format!("{prefix}/"), bare)
    })
}

fn surface() -> Router<SharedApiState> {
    Router::new()
        .merge(hooks::routes())
        .merge(events::routes())
        .merge(tokens::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .layer(middleware::from_fn(cross_origin))
}

/// The original API has no 405: an unsupported method is 404.
async fn no_such_route(OriginalUri(uri): OriginalUri) -> ApiError {
    let mut url: String = uri.to_string();
    if let Some((end, _)) = url.char_indices().nth(MAX_SHOWN_URL) {
        url.truncate(end);
        url.push('…');
    }
    ApiError::new(StatusCode::NOT_FOUND, format!("{url} not found."))
}

/// Allows requests from all origins, as the original API does. This is safe, because browsers do not send
/// tokens by themselves.
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
