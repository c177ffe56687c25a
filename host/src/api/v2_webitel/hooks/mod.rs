//! `/hooks`: the domain's hooks, in the original's members.

mod create;
mod delete;
mod members;
mod pipeline;
mod read;
mod replace;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use members::{Identity, Wanted};

use super::access::Segments;
use super::answer::Refusal;
use super::either;
use super::id::{self, Named};
use crate::api::Shared;
use crate::api::problem::Kind;
use crate::api::v3::hooks::Trial;
use crate::directory::Directory;
use crate::domain::{Hook, Surface, Tenant};

pub(super) fn routes() -> Router<Shared> {
    let one = get(read::get_hook).put(replace::replace_hook).delete(delete::delete_hook);
    either("/hooks", get(read::list_hooks).post(create::create_hook)).merge(either("/hooks/{id}", one))
}

/// The hook that the path names, if it is one of the domain's; hooks of other surfaces, which alone change them, are
/// none here.
///
/// # Errors
/// Where what the path says has not the form of an id.
fn named(directory: &Directory, domain: &Tenant, path: &Segments) -> Result<Option<Arc<Hook>>, Refusal> {
    let text = path.get(0).unwrap_or_default();
    let named = id::read(text).ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "Bad id"))?;
    let Named::Hook(id) = named else { return Ok(None) };
    Ok(directory.hook_of(domain.id, id).filter(|hook| hook.origin.surface == Surface::Webitel))
}

/// Asks the plugin in the place of the template, if there is one, whether it takes its settings. Those of the others the engine
/// has written.
///
/// # Errors
/// Where it refuses them.
async fn ask(
    trial: &Trial,
    wanted: Wanted,
    identity: Identity,
    current: Option<&Hook>,
) -> Result<(), Refusal> {
    let Some(own) = wanted.own_plugin.clone() else { return Ok(()) };
    let hook = wanted.into_hook(identity)?;
    let asked = trial.settings(&hook, current, |step| step.plugin == own).await;
    asked.map_err(|problem| match problem.kind() {
        Kind::InvalidValue => Refusal::bad(format_args!("action.settings: {}", problem.detail())),
        _ => problem.into(),
    })
}
