//! `DELETE /plugins/{name}`.

use std::sync::Arc;

use axum::extract::State;
use http::{StatusCode, Uri};

use super::read::{no_plugin, version_of};
use super::upload::is_standard;
use crate::api::author::Author;
use crate::api::params::Segment;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{PluginName, Scope};

/// Delete a plugin
///
/// Requires `plugins:write`. Deletes all versions, or only `version`, which must not be the newest. Fails
/// while a hook uses a version to be deleted.
#[utoipa::path(
    delete, path = "/api/v3/plugins/{name}", tag = "plugins",
    params(
        ("name" = schemas::PluginName, Path, description = "The plugin's name"),
        ("version" = Option<u32>, Query, description = "The version to delete. Default: all versions", minimum = 1),
    ),
    responses(
        (status = 204, description = "The plugin or the version was deleted"),
        (status = 409, description = "A hook uses it, it is a standard plugin, or it is the newest version", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn delete_plugin(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(name): Segment<PluginName>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    if is_standard(&name) {
        let detail = format!("`{name}` is a standard plugin and cannot be deleted");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let actor = caller.actor();
    let editor = directory.by(&actor);
    let was_there = match version_of(&uri)? {
        None => editor.delete_plugin(tenant, &name).await?,
        Some(number) => editor.delete_plugin_version(tenant, &name, number).await?,
    };
    if !was_there {
        return Err(no_plugin(&name));
    }
    Ok(StatusCode::NO_CONTENT)
}
