//! The project web hook, API v1: one web hook for each numbered project, which receives the project's session
//! events.
//!
//! A web hook is a hook of the engine with [`Surface::ProjectWebHook`](crate::domain::Surface) and the
//! project's number. Its pipeline is the standard plugin `project-envelope`. The client's settings are stored
//! with the hook as [`web_hook::StoredSettings`]. Paths, parameters, responses and the order of their members
//! are those of the original API.

mod auth;
mod delete;
mod envelope;
mod event;
mod parameters;
mod path;
mod put;
mod show;
mod time;
mod trigger;
mod used_passwords;
mod web_hook;

use axum::Router;
use axum::routing::{get, post};
use http::{Method, Uri};

use super::SharedApiState;
use super::problem::shorten;
use envelope::ApiError;
pub use used_passwords::UsedPasswords;

/// The prefix of the paths.
pub(super) const PREFIX: &str = "/api/v1";

const TIME: &str = "/time";
const WEB_HOOK: &str = "/projects/{project_id}/web_hook";
const TRIGGER: &str = "/projects/{project_id}/web_hook/trigger_session_test";
const EVENT: &str = "/projects/{project_id}/web_hook/events/{event_id}";

/// The whole paths of the surface.
pub(super) fn paths() -> impl Iterator<Item = String> {
    [TIME, WEB_HOOK, TRIGGER, EVENT].into_iter().map(|path| format!("{PREFIX}{path}"))
}

/// The routes of the surface, relative to [`PREFIX`].
pub fn routes() -> Router<SharedApiState> {
    let web_hook = get(show::show).put(put::put).delete(delete::delete);
    Router::new()
        .route(TIME, get(time::time))
        .route(WEB_HOOK, web_hook)
        .route(TRIGGER, post(trigger::trigger))
        .route(EVENT, get(event::event))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no route {method} {}", shorten(uri.path())))
}

async fn no_such_method(method: Method) -> ApiError {
    ApiError::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        format!("the method {method} is not supported here; see the header Allow"),
    )
}
