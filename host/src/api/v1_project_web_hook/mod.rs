//! The project web hook, API v1: one web hook for each numbered project, called for its session events.
//!
//! A web hook is one of the engine's hooks, with [`Surface::ProjectWebHook`](crate::domain::Surface) and the project's
//! number; its pipeline is the standard plugin `project-envelope`. What a client decided is kept beside it as
//! [`web_hook::Kept`]. Paths, parameters, answers and their order are those of the original.

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

use super::Shared;
use super::problem::shorten;
use envelope::Refusal;
pub use used_passwords::UsedPasswords;

/// Every route of the surface, relative to `/api/v1`.
pub fn routes() -> Router<Shared> {
    let web_hook = get(show::show).put(put::put).delete(delete::delete);
    Router::new()
        .route("/time", get(time::time))
        .route("/projects/{project_id}/web_hook", web_hook)
        .route("/projects/{project_id}/web_hook/trigger_session_test", post(trigger::trigger))
        .route("/projects/{project_id}/web_hook/events/{event_id}", get(event::event))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_route(method: Method, uri: Uri) -> Refusal {
    Refusal::not_found(format!("nothing answers {method} {}", shorten(uri.path())))
}

async fn no_such_method(method: Method) -> Refusal {
    Refusal::new(http::StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not taken here"))
}
