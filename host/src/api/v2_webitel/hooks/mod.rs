//! `/hooks`: the hooks of a domain, with the members of the original API.

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
use members::{HookInput, Identity};

use super::access::Segments;
use super::id::{self, ParsedId};
use super::response::ApiError;
use super::with_and_without_slash;
use crate::api::SharedApiState;
use crate::api::problem::Kind;
use crate::api::v3::hooks::Trial;
use crate::directory::Directory;
use crate::domain::{Hook, Surface, Tenant};

pub(super) fn routes() -> Router<SharedApiState> {
    let one = get(read::get_hook).put(replace::replace_hook).delete(delete::delete_hook);
    with_and_without_slash("/hooks", get(read::list_hooks).post(create::create_hook))
        .merge(with_and_without_slash("/hooks/{id}", one))
}

/// Finds the hook in the path, if the domain created it through this surface.
///
/// # Errors
/// Fails if the id in the path is malformed.
fn find_hook(directory: &Directory, domain: &Tenant, path: &Segments) -> Result<Option<Arc<Hook>>, ApiError> {
    let text = path.get(0).unwrap_or_default();
    let parsed = id::parse(text).ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "Bad id"))?;
    let ParsedId::Own(id) = parsed else { return Ok(None) };
    Ok(directory.hook_of(domain.id, id).filter(|hook| hook.origin.surface == Surface::Webitel))
}

/// Validates the settings of `action.plugin`, if there is one, by a trial call. The engine wrote the settings
/// of the other plugins.
///
/// # Errors
/// Fails if the plugin rejects its settings.
async fn check_plugin_settings(
    trial: &Trial,
    wanted: HookInput,
    identity: Identity,
    current: Option<&Hook>,
) -> Result<(), ApiError> {
    let Some(own) = wanted.own_plugin.clone() else { return Ok(()) };
    let hook = wanted.into_hook(identity)?;
    let checked = trial.settings(&hook, current, |step| step.plugin == own).await;
    checked.map_err(|problem| match problem.kind() {
        Kind::InvalidValue => ApiError::bad(format_args!("action.settings: {}", problem.detail())),
        _ => problem.into(),
    })
}
