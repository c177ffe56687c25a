//! `/hooks`: the domain's hooks, in the original's members.

mod create;
mod delete;
mod members;
mod pipeline;
mod read;
mod replace;
mod view;

use axum::Router;
use axum::routing::get;

use super::access::Segments;
use super::answer::Refusal;
use super::either;
use super::id::{self, Named};
use crate::api::Shared;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Surface, Tenant};

pub(super) fn routes() -> Router<Shared> {
    let one = get(read::get_hook).put(replace::replace_hook).delete(delete::delete_hook);
    either("/hooks", get(read::list_hooks).post(create::create_hook)).merge(either("/hooks/{id}", one))
}

/// The hook that the path names, if it is one of the domain's; hooks of other surfaces are none here.
///
/// # Errors
/// Where what the path says has not the form of an id.
fn named(directory: &Directory, domain: &Tenant, path: &Segments) -> Result<Option<HookId>, Refusal> {
    let text = path.get(0).unwrap_or_default();
    match id::read(text).ok_or_else(|| Refusal::new(http::StatusCode::BAD_REQUEST, "Bad id"))? {
        Named::Nothing => Ok(None),
        Named::Hook(id) => {
            Ok(directory.hook_of(domain.id, id).filter(|hook| is_own(hook)).map(|hook| hook.id))
        }
    }
}

/// Whether the hook was made through this surface, which alone changes it.
fn is_own(hook: &Hook) -> bool {
    hook.origin.surface == Surface::Webitel
}
