//! The HTTP API: one module for each surface, and the modules that surfaces share.
//!
//! A surface owns its wire types and converts them to domain types; no other module uses them. Handlers
//! contain no domain rules: they authenticate, parse, convert, call the engine and respond. There is no
//! middleware: each handler requests what it needs through extractors, so publishing an event pays for
//! nothing else.

mod admin;
pub mod apizee;
pub mod auth;
pub mod author;
pub mod body;
mod console;
pub mod credentials;
pub mod downloads;
pub mod json;
pub mod merge_patch;
pub mod page;
pub mod params;
pub mod pointer;
pub mod problem;
pub mod publishing;
mod rate_limit;
pub mod request_source;
pub mod sessions;
mod state;
pub mod time;
pub mod uploads;
pub mod v1_project_web_hook;
pub mod v2_webitel;
pub mod v3;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, Uri};
use tower::ServiceExt as _;

pub use console::Console;
pub use state::{ApiState, SharedApiState};

use problem::{Kind, Problem, shorten};

use crate::metrics::http_server;

/// The prefix of the paths of v3.
const V3: &str = "/api/v3/";

/// What the listeners of the engine serve.
pub struct Routers {
    /// Every surface.
    pub api: Router,
    /// Probes and metrics; and v3, if operators use it there.
    pub admin: Router,
}

/// Which routes the admin listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminRoutes {
    /// Probes and metrics.
    Monitoring,
    /// Those of v3 as well.
    MonitoringAndV3,
}

/// The routers of all listeners. The console, if there is one, is where operators and tenants use v3.
pub fn routers(state: ApiState, admin: AdminRoutes, console: Option<Console>) -> Routers {
    let state = SharedApiState::new(state);
    let (mut v3, document) = v3::routes().split_for_parts();
    let others = admin::PATHS.map(str::to_owned).into_iter().chain(v1_project_web_hook::paths());
    http_server::set_routes(
        document.paths.paths.into_keys().chain(others).chain(v2_webitel::paths()).collect(),
    );
    if let Some(console) = console {
        v3 = v3.merge(console.routes());
    }
    let monitoring = admin::routes();
    let admin = match admin {
        AdminRoutes::Monitoring => with_fallbacks(monitoring).with_state(state.clone()),
        AdminRoutes::MonitoringAndV3 => complete(monitoring.merge(v3.clone()), state.clone()),
    };
    let api = v3.nest(v1_project_web_hook::PREFIX, v1_project_web_hook::routes()).merge(v2_webitel::routes());
    Routers { api: complete(api, state), admin }
}

fn complete(routes: Router<SharedApiState>, state: SharedApiState) -> Router {
    let routes = with_fallbacks(routes).with_state(state);
    // A fallback, so that requests with a canonical path pay nothing.
    let again = routes.clone();
    routes.fallback(move |request: Request| without_slash(again, request))
}

/// Serves a path of v3 with a trailing slash like the path without it.
async fn without_slash(routes: Router, mut request: Request) -> Response {
    let path = request.uri().path();
    if let Some(bare) = path.strip_suffix('/').filter(|bare| bare.starts_with(V3) && !bare.ends_with('/')) {
        let target = match request.uri().query() {
            Some(query) => format!("{bare}?{query}"),
            None => bare.to_owned(),
        };
        if let Ok(uri) = target.parse() {
            *request.uri_mut() = uri;
        }
    }
    let Ok(response) = routes.oneshot(request).await;
    response
}

fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.fallback(no_such_route).method_not_allowed_fallback(no_such_method)
}

async fn no_such_route(method: Method, uri: Uri) -> Problem {
    let path = shorten(uri.path());
    let hint =
        if uri.path().len() > 1 && uri.path().ends_with('/') { "; remove the trailing slash" } else { "" };
    Problem::new(Kind::NotFound, format!("there is no route {method} {path}{hint}"))
}

/// The router adds the header `Allow`.
async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} does not support {method}; see the header Allow", shorten(uri.path())),
    )
}
