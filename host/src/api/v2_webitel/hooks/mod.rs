//! `/hooks`: the hooks of a domain, with the members of the original API.

mod create;
mod delete;
mod find;
mod members;
mod pipeline;
mod read;
mod replace;
mod view;

use axum::Router;
use axum::routing::get;

use super::slashes::with_and_without_slash;
use crate::api::SharedApiState;

/// The paths below the surface's prefixes.
pub(super) const PATHS: [&str; 2] = ["/hooks", "/hooks/{id}"];

pub(super) fn routes() -> Router<SharedApiState> {
    let one = get(read::get_hook).put(replace::replace_hook).delete(delete::delete_hook);
    with_and_without_slash(PATHS[0], get(read::list_hooks).post(create::create_hook))
        .merge(with_and_without_slash(PATHS[1], one))
}
