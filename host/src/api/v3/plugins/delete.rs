//! `DELETE /plugins/{name}`.

use std::sync::Arc;

use axum::extract::State;
use http::{StatusCode, Uri};

use super::read::{no_plugin, version_of};
use super::upload::is_standard;
use crate::api::auth::Caller;
use crate::api::params::Segment;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{PluginName, Scope};

/// Delete a plugin
///
/// Needs `plugins:write`. All its versions go, or the one that is named, which is not the newest. Refused while a hook uses
/// any of what goes.
#[utoipa::path(
    delete, path = "/api/v3/plugins/{name}", tag = "plugins",
    params(
        ("name" = schemas::PluginName, Path, description = "Its name"),
        ("version" = Option<u32>, Query, description = "Which version; absent: all of them", minimum = 1),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "A hook uses it, it ships with the engine, or it is the newest version", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn delete_plugin(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    if is_standard(&name) {
        let detail = format!("`{name}` ships with the engine and cannot be deleted");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let was_there = match version_of(&uri)? {
        None => directory.delete_plugin(tenant, &name).await?,
        Some(number) => directory.delete_plugin_version(tenant, &name, number).await?,
    };
    if !was_there {
        return Err(no_plugin(&name));
    }
    Ok(StatusCode::NO_CONTENT)
}
